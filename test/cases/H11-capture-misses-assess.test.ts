import { describe, expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// Rows that REPLACE displaces can be captured where the unique's value is known before the row is in: else assess blocks.

describe('uniques through which a displaced row could not be seen', () => {
  const cases: [what: string, source: string[], serious: string[]][] = [
    [
      'a unique expression of the rowid',
      ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', 'CREATE UNIQUE INDEX u ON t (id % 1000)'],
      ['blocks capture_unmatchable t'],
    ],
    [
      'a unique generated column of a NULL that becomes its default',
      [`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'x', b TEXT AS (a || '!') UNIQUE)`],
      ['blocks capture_unmatchable t'],
    ],
    [
      'an expression of other columns is well',
      ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', 'CREATE UNIQUE INDEX u ON t (lower(a))'],
      [],
    ],
    [
      'a NOCASE key, and NULLs that become defaults, are well',
      [`CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, a TEXT NOT NULL DEFAULT 'x' UNIQUE)`],
      ['warns collation_differs t.k'],
    ],
  ]
  test.for(cases)('%s', async ([, source, expected]) => {
    await using scenario = await Scenario.prepare({ source })
    const { result, serious, find } = await assess(scenario)
    expect(serious).toEqual(expected)
    const blocked = expected.some((line) => line.startsWith('blocks'))
    expect(result.code).toBe(blocked ? 3 : 0)
    if (blocked) expect(find('capture_unmatchable')?.remedy).toContain('EXCLUDE_TABLES=t')
  })
})

test('a trigger with RAISE(IGNORE) is told, and no reason to stop', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `CREATE TRIGGER quiet AFTER INSERT ON t WHEN NEW.a = 'quiet' BEGIN SELECT RAISE ( IGNORE ); END`,
    ],
  })
  const { result, find } = await assess(scenario)
  expect(result.code).toBe(0)
  expect(find('trigger_raises_ignore')).toMatchObject({ severity: 'info', table: 't', examples: ['quiet'] })
})
