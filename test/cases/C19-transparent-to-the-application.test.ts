import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { dump } from '../support/dump.ts'
import { execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'
import { createSource, Writer } from '../support/writers.ts'

// With capture in the file the application sees what it saw without: changes(), last_insert_rowid(), the same
// errors, the same rows.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INTEGER)',
  `INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)`,
  'CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)',
  `CREATE TRIGGER t_log AFTER INSERT ON t BEGIN INSERT INTO log (what) VALUES (NEW.a); END`,
]

test('changes() and last_insert_rowid()', async () => {
  const work = [
    `INSERT INTO t (a, n) VALUES ('c', 3), ('d', 4)`,
    'SELECT changes(), last_insert_rowid()',
    `INSERT OR IGNORE INTO t (a, n) VALUES ('c', 3)`,
    'SELECT changes(), last_insert_rowid()',
    `INSERT OR REPLACE INTO t (a, n) VALUES ('c', 33)`,
    'SELECT changes(), last_insert_rowid()',
    'UPDATE t SET n = n + 1 WHERE id < 3',
    'SELECT changes(), last_insert_rowid()',
    `INSERT INTO t (a, n) VALUES ('c', 5) ON CONFLICT (a) DO UPDATE SET n = excluded.n RETURNING id, n`,
    'SELECT changes(), last_insert_rowid()',
    'DELETE FROM t',
    'SELECT changes(), last_insert_rowid()',
  ]
  using bare = new Workspace()
  const path = bare.file('bare.db')
  await execute(path, ['PRAGMA journal_mode = WAL', ...SOURCE])
  const expected = (await execute(path, work)).map(({ rows, changes, rowid }) => ({ rows, changes, rowid }))
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const seen = (await scenario.write(work)).map(({ rows, changes, rowid }) => ({ rows, changes, rowid }))
  expect(seen).toEqual(expected)
  await scenario.equalAtLagZero()
})

test('thousands of random operations: same answers, same rows, same errors', {
  timeout: 60_000,
}, async () => {
  using bare = new Workspace()
  const path = bare.file('bare.db')
  await createSource(path, { fill: 300 })
  const expected = await new Writer({ path, seed: 'transparent', ops: 4000 }).done()
  // Everything is made by the writer itself, so the scenario begins with nothing but the tables.
  using captured = new Workspace()
  const other = captured.file('captured.db')
  await createSource(other, { fill: 300 })
  await using scenario = await Scenario.replicating({ adopt: other })
  const seen = await new Writer({ path: other, seed: 'transparent', ops: 4000 }).done()
  expect({ ...seen, slowest_ms: 0 }).toEqual({ ...expected, slowest_ms: 0 })
  await scenario.equalAtLagZero()
  const own = (rows: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> =>
    Object.fromEntries(Object.entries(rows).filter(([name]) => !name.startsWith('_slipway')))
  expect(own(dump(other).rows)).toEqual(dump(path).rows)
})
