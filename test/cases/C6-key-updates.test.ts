import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// An update of the key concerns two keys: the old one goes, the new one comes.

test('moves, chains, swaps and shifts of keys', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (10, 'd'), (11, 'e')`,
      'CREATE TABLE s (k TEXT PRIMARY KEY, a TEXT)',
      `INSERT INTO s VALUES ('x', 'a'), ('y', 'b'), ('z', 'c')`,
      'CREATE TABLE w (p INTEGER, q TEXT, a TEXT, PRIMARY KEY (p, q)) WITHOUT ROWID',
      `INSERT INTO w VALUES (1, 'x', 'a'), (1, 'y', 'b'), (2, 'x', 'c')`,
      'CREATE TABLE u (code TEXT NOT NULL UNIQUE, a TEXT)',
      `INSERT INTO u VALUES ('m', 'a'), ('n', 'b')`,
    ],
  })
  await scenario.write([
    // Three times the same row, in one batch.
    'UPDATE t SET id = 100 WHERE id = 1',
    'UPDATE t SET id = 101 WHERE id = 100',
    'UPDATE t SET id = 1 WHERE id = 101',
    // A swap of keys through a third.
    'BEGIN',
    'UPDATE t SET id = -5 WHERE id = 2',
    'UPDATE t SET id = 2 WHERE id = 3',
    'UPDATE t SET id = 3 WHERE id = -5',
    'COMMIT',
    // All at once.
    'UPDATE t SET id = -id',
    'UPDATE t SET id = id + 1000',
    `UPDATE s SET k = k || k`,
    `UPDATE OR REPLACE s SET k = 'xx' WHERE k = 'zz'`,
    `UPDATE w SET p = -p`,
    `UPDATE w SET q = 'z' WHERE p = -1 AND q = 'y'`,
    `UPDATE u SET code = 'o' WHERE code = 'm'`,
    `UPDATE u SET code = 'm' WHERE code = 'n'`,
  ])
  await scenario.equalAtLagZero()
})
