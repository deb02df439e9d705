import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// `INT` and `INTEGER … DESC` look like the rowid and are not; a table may have a unique for its key, or several.

test('near-rowid keys, unique keys, blobs and reals as keys', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE a (id INT PRIMARY KEY, n TEXT)',
      `INSERT INTO a VALUES (3, 'x'), (1, 'y')`,
      'CREATE TABLE d (id INTEGER PRIMARY KEY DESC, n TEXT)',
      `INSERT INTO d VALUES (3, 'x'), (1, 'y')`,
      'CREATE TABLE u (code TEXT NOT NULL, region INTEGER NOT NULL, n TEXT, UNIQUE (code, region))',
      `INSERT INTO u VALUES ('a', 1, 'x'), ('a', 2, 'y')`,
      'CREATE TABLE w (r REAL, b BLOB, n INTEGER, PRIMARY KEY (r, b)) WITHOUT ROWID',
      `INSERT INTO w VALUES (0.1, x'00', 1), (0.30000000000000004, x'', 2)`,
      'CREATE TABLE only_key (a INTEGER, b TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID',
      `INSERT INTO only_key VALUES (1, 'x'), (2, 'x')`,
    ],
  })
  await scenario.write([
    `INSERT OR REPLACE INTO a VALUES (1, 'again'), (2, 'new')`,
    'UPDATE a SET id = id + 10 WHERE id > 1',
    'DELETE FROM a WHERE id = 1',
    `INSERT OR REPLACE INTO d VALUES (1, 'again'), (2, 'new')`,
    'UPDATE d SET id = -id',
    `INSERT OR REPLACE INTO u VALUES ('a', 2, 'again'), ('b', 1, 'new')`,
    `UPDATE u SET code = 'c' WHERE region = 1 AND code = 'a'`,
    'UPDATE w SET r = r * 3',
    `DELETE FROM w WHERE b = x''`,
    `UPDATE only_key SET a = a + 5`,
    `INSERT OR IGNORE INTO only_key VALUES (6, 'x'), (9, 'y')`,
  ])
  await scenario.equalAtLagZero()
})
