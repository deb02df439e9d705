import { test } from 'vitest'
import type { Parameter } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// REAL to text is 15 digits up to SQLite 3.52: every double must arrive with all its bits (V2, V3).

const DOUBLES: Parameter[] = [
  0.1 + 0.2,
  1 / 3,
  Math.PI,
  5e-324,
  2.2250738585072014e-308,
  2.225073858507201e-308,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  1e22,
  1e23,
  9007199254740992,
  0.000001,
  1e-7,
  123456789012345680,
  4.35,
  100,
  { real: 'inf' },
  { real: '-inf' },
]

test('every double bit for bit, in the copy and in a batch', async () => {
  const insert = (table: string): [string, Parameter[]][] =>
    DOUBLES.map((value) => [`INSERT INTO ${table} (r) VALUES (?)`, [value]])
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL)',
      'CREATE TABLE k (r REAL PRIMARY KEY, n INTEGER)',
      ...insert('t'),
      'INSERT INTO k SELECT r, id FROM t WHERE abs(r) < 9e99',
    ],
  })
  await scenario.equalAtLagZero()
  await scenario.write([
    ...insert('t'),
    'UPDATE t SET r = r / 3 WHERE abs(r) < 9e99',
    'UPDATE k SET n = n + 1',
    'UPDATE k SET r = r / 7 WHERE abs(r) BETWEEN 1e-3 AND 1e20',
    'DELETE FROM k WHERE n % 2 = 0',
  ])
  await scenario.equalAtLagZero()
})
