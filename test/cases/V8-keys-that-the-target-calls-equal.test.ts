import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Two keys of SQLite that a PostgreSQL type would call one: a row would be lost in silence.

const KINDS: [what: string, declared: string, first: string, second: string][] = [
  ['two spellings of an instant', 'DATETIME', `'2024-01-01 10:00:00'`, `'2024-01-01T10:00:00Z'`],
  ['an instant in two zones', 'TIMESTAMP', `'2024-01-01T10:00:00Z'`, `'2024-01-01T12:00:00+02:00'`],
  ['with and without seconds', 'DATETIME', `'2024-01-01 10:00'`, `'2024-01-01 10:00:00'`],
  [
    'two spellings of a UUID',
    'UUID',
    `'6ba7b810-9dad-11d1-80b4-00c04fd430c8'`,
    `'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'`,
  ],
  ['text of numbers', 'TEXT', `'1.0'`, `'1.00'`],
  ['JSON with other blanks', 'JSON', `'[1, 2]'`, `'[1,2]'`],
  ['trailing blanks', 'CHAR(5)', `'ab'`, `'ab '`],
]

test.for(KINDS)('%s: both there from the start', async ([, declared, first, second]) => {
  await using scenario = await Scenario.prepare({
    source: [
      `CREATE TABLE t (k ${declared} PRIMARY KEY, n INTEGER)`,
      `INSERT INTO t VALUES (${first}, 1), (${second}, 2)`,
    ],
  })
  const result = await scenario.slipway.run(['snapshot'])
  if (result.code === 0) expect((await scenario.compareRows('t')).postgres).toEqual(2)
  else expect(result.stderr).toMatch(/^error: .*\bt\b/m)
})

test.for(KINDS)(
  '%s: the second comes while replicating',
  { timeout: 60_000 },
  async ([, declared, first, second]) => {
    await using scenario = await Scenario.replicating({
      source: [`CREATE TABLE t (k ${declared} PRIMARY KEY, n INTEGER)`, `INSERT INTO t VALUES (${first}, 1)`],
    })
    await scenario.write([`INSERT INTO t VALUES (${second}, 2)`])
    const outcome = await scenario.mendedOrStopped()
    if (outcome === 'equal') expect((await scenario.compareRows('t')).postgres).toEqual(2)
  },
)
