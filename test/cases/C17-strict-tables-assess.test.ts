import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// STRICT promises storage classes, and neither valid UTF-8 nor finite numbers: every value is looked at all the same.

test('a STRICT table is looked at like any other', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, r REAL, x ANY) STRICT',
      `INSERT INTO t VALUES (1, 'fine', 0.5, 1), (2, CAST(x'ff' AS TEXT), 9e999, 2), (3, 'cut' || char(0), -9e999, 3)`,
    ],
  })
  const { result, serious, find, assessment } = await assess(scenario)
  expect(serious).toEqual(['blocks text_invalid_utf8 t.a', 'blocks text_nul t.a'])
  expect(find('text_invalid_utf8')?.examples).toEqual(['id=2'])
  expect(find('strict_table')).toMatchObject({ severity: 'info', table: 't' })
  // Infinity fits double precision.
  const real = assessment.tables[0]?.columns.find(({ column }) => column === 'r')
  expect(real).toMatchObject({ type: 'double precision', counts: { infinity: 2 } })
  expect(result.code).toBe(3)
})
