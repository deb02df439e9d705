import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { capture, fenceOf, NEVER } from '../support/fence.ts'
import { execute } from '../support/foreign.ts'

// The newest trigger fires first. Triggers that come back in another order than they were made in fire in another one,
// and an application whose triggers build on each other gets other values.

const SOURCE = [
  'PRAGMA journal_mode = WAL',
  'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)',
  'CREATE TABLE log (what TEXT)',
  // Neither by name nor by kind in the order in which they were made.
  `CREATE TRIGGER m AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('m'); UPDATE t SET n = n * 10 WHERE id = NEW.id; END`,
  `CREATE TRIGGER z AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('z'); UPDATE t SET n = n + 1 WHERE id = NEW.id; END`,
  `CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('a'); UPDATE t SET n = n - 5 WHERE id = NEW.id; END`,
  `CREATE TRIGGER y BEFORE INSERT ON t BEGIN INSERT INTO log VALUES ('y'); END`,
  `CREATE TRIGGER b BEFORE INSERT ON t BEGIN INSERT INTO log VALUES ('b'); END`,
]

const PROBE = [
  'INSERT INTO t (n) VALUES (7)',
  'SELECT group_concat(what) FROM (SELECT what FROM log ORDER BY rowid)',
  'SELECT n FROM t ORDER BY id DESC LIMIT 1',
  'DELETE FROM log',
]

test('triggers fire after a fence in the order in which they fired before', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  const tables = capture(path)
  using fence = fenceOf(path, tables)
  const seen = async () => (await execute(path, PROBE)).slice(1, 3).map(({ rows }) => rows[0]?.[0])
  const before = await seen()
  expect(before).toEqual(['b,y,a,z,m', 30])
  for (const attempt of [1, 3, 5]) {
    using lock = await fence.lock(5_000, NEVER)
    lock.raise({ epoch: 2, attempt })
    await lock.commit({ ms: 1_000, signal: NEVER })
    lock.lower({ from: { authority: 'none', epoch: 2, attempt }, epoch: 1, attempt: attempt + 1 })
    await lock.commit()
    expect(await seen()).toEqual(before)
  }
})
