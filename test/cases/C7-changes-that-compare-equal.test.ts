import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Changes that SQLite's own comparison calls none: another case under NOCASE, trailing blanks under RTRIM, another
// storage class of the same number.

test('case, blanks and storage classes', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT COLLATE RTRIM, c, d TEXT UNIQUE COLLATE NOCASE)',
      `INSERT INTO t VALUES (1, 'abc', 'x', 1, 'q'), (2, 'def', 'y', '1', 'r')`,
      'CREATE TABLE k (name TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
      `INSERT INTO k VALUES ('abc', 1), ('def', 2)`,
    ],
  })
  await scenario.write([
    `UPDATE t SET a = 'ABC', b = 'x   ' WHERE id = 1`,
    `UPDATE t SET c = '1' WHERE id = 1`,
    `UPDATE t SET c = 1 WHERE id = 2`,
    `UPDATE t SET d = 'Q' WHERE id = 1`,
    `UPDATE k SET name = 'ABC' WHERE name = 'abc'`,
    `UPDATE k SET name = 'Def', n = 3 WHERE name = 'DEF'`,
  ])
  await scenario.equalAtLagZero()
})
