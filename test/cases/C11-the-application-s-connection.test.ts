import { expect, test } from 'vitest'
import { execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// The triggers run in the application's process, under its pragmas and beside whatever it has attached.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b TEXT)',
  `INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')`,
]
const WORK = [
  `INSERT OR REPLACE INTO t VALUES (3, 'a', 'displaces 1')`,
  `UPDATE t SET id = 20 WHERE id = 2`,
  `INSERT INTO t (a) VALUES ('c'), ('d')`,
  `DELETE FROM t WHERE a = 'd'`,
]

test.for([
  ['trusted_schema', 'OFF'],
  ['cell_size_check', 'ON'],
  ['ignore_check_constraints', 'ON'],
  ['legacy_alter_table', 'ON'],
  ['count_changes', 'ON'],
  ['reverse_unordered_selects', 'ON'],
  ['temp_store', '2'],
  ['case_sensitive_like', 'ON'],
  ['synchronous', 'OFF'],
] as const)('PRAGMA %s = %s', async ([pragma, value]) => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write(WORK, { pragmas: { [pragma]: value } })
  await scenario.equalAtLagZero()
})

test('the file attached to another one that has tables of the same names', async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const main = scenario.workspace.file('main.db')
  await execute(main, [
    ...SOURCE,
    'CREATE TABLE _slipway_changelog (seq INTEGER PRIMARY KEY, tbl, op, at, nonce, k0)',
    ['ATTACH ? AS other', [scenario.path]],
    ...WORK.map((sql) => sql.replace(/\bt\b/, 'other.t')),
    'BEGIN',
    `INSERT INTO t VALUES (50, 'both', 'main')`,
    `INSERT INTO other.t VALUES (60, 'both', 'other')`,
    'COMMIT',
  ])
  const [strays] = await execute(main, ['SELECT count(*) FROM _slipway_changelog'])
  expect(strays?.rows).toEqual([[0]])
  await scenario.equalAtLagZero()
})
