import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// NEW.rowid is -1 in a BEFORE INSERT trigger when the rowid is omitted: the real key must be the one that is
// logged, and a row whose key really is -1 is a row like any other.

test('omitted, NULL, explicit and negative rowids', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)',
      'CREATE TABLE k (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)',
      'CREATE TABLE n (a TEXT)',
      `INSERT INTO t VALUES (-1, 'minus one'), (0, 'zero')`,
    ],
  })
  await scenario.write([
    `INSERT INTO t (a) VALUES ('omitted')`,
    `INSERT INTO t VALUES (NULL, 'null')`,
    `INSERT INTO t (rowid, a) VALUES (77, 'explicit')`,
    `INSERT INTO t (_rowid_, a) VALUES (-9223372036854775808, 'lowest')`,
    `INSERT OR REPLACE INTO t VALUES (-1, 'zero')`,
    `INSERT OR REPLACE INTO t (a) VALUES ('minus one'), ('null')`,
    `INSERT INTO t VALUES (9223372036854775807, 'highest')`,
    // The highest is taken: SQLite picks a random one.
    `INSERT INTO t (a) VALUES ('random')`,
    `DELETE FROM t WHERE a = 'random'`,
    `INSERT INTO k (a) VALUES ('x'), ('y')`,
    'DELETE FROM k',
    `INSERT INTO k (a) VALUES ('z')`,
    `INSERT INTO n (rowid, a) VALUES (-1, 'x'), (NULL, 'y')`,
    `INSERT INTO n (a) VALUES ('z')`,
    'DELETE FROM n WHERE rowid = -1',
  ])
  await scenario.equalAtLagZero()
})
