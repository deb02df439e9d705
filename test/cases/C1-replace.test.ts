import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// REPLACE deletes rows of other keys without firing a DELETE trigger, unless the connection set
// recursive_triggers: each way to displace a row, with the pragma off and on.

const UNIQUES = [
  'CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b INTEGER, UNIQUE (b))',
  'CREATE TABLE clause (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT REPLACE, b INTEGER)',
  'CREATE TABLE partial (id INTEGER PRIMARY KEY, a TEXT, on_air INTEGER)',
  'CREATE UNIQUE INDEX partial_a ON partial (a) WHERE on_air = 1',
  'CREATE TABLE expression (id INTEGER PRIMARY KEY, a TEXT, b TEXT)',
  `CREATE UNIQUE INDEX expression_ab ON expression (lower(a) || coalesce(b, '-'))`,
  'CREATE TABLE collated (id INTEGER PRIMARY KEY, a TEXT, b TEXT)',
  'CREATE UNIQUE INDEX collated_a ON collated (a COLLATE NOCASE, b COLLATE RTRIM)',
  'CREATE TABLE composite (x INTEGER, y TEXT, a TEXT UNIQUE, PRIMARY KEY (x, y)) WITHOUT ROWID',
  'CREATE TABLE typed (id TEXT PRIMARY KEY, n INTEGER UNIQUE, r REAL UNIQUE)',
]

const FILL = [
  `INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, NULL, NULL), (5, NULL, 5)`,
  `INSERT INTO clause VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)`,
  `INSERT INTO partial VALUES (1, 'a', 1), (2, 'a', 0), (3, 'b', 1), (4, 'c', 1)`,
  `INSERT INTO expression VALUES (1, 'A', NULL), (2, 'b', 'x'), (3, 'c', 'y')`,
  `INSERT INTO collated VALUES (1, 'Abc', 'x '), (2, 'def', 'y'), (3, 'ghi', 'z')`,
  `INSERT INTO composite VALUES (1, 'p', 'a'), (1, 'q', 'b'), (2, 'p', 'c')`,
  `INSERT INTO typed VALUES ('k1', 1, 1.5), ('k2', 2, 2.5), ('k3', 3, 3.5)`,
]

const DISPLACE = [
  // Three rows at once: by the key, by `a`, by `b`.
  `INSERT OR REPLACE INTO plain VALUES (1, 'b', 3)`,
  `REPLACE INTO plain (a, b) VALUES ('new', 5)`,
  `UPDATE OR REPLACE plain SET b = 9 WHERE id = 4`,
  `UPDATE OR REPLACE plain SET a = 'new' WHERE id = 4`,
  `INSERT INTO clause VALUES (10, 'a', 1)`,
  `UPDATE clause SET a = 'c' WHERE id = 2`,
  // An upsert whose own conflict clause does not cover the other unique.
  `INSERT INTO clause VALUES (3, 'a', 7) ON CONFLICT (id) DO UPDATE SET a = excluded.a`,
  `INSERT OR REPLACE INTO partial VALUES (9, 'a', 1)`,
  `UPDATE OR REPLACE partial SET on_air = 1 WHERE id = 2`,
  `UPDATE OR REPLACE partial SET a = 'b' WHERE id = 4`,
  `INSERT OR REPLACE INTO expression VALUES (9, 'a', '-')`,
  `UPDATE OR REPLACE expression SET a = 'C', b = 'Y' WHERE id = 2`,
  `UPDATE OR REPLACE expression SET a = 'C', b = 'y' WHERE id = 2`,
  `INSERT OR REPLACE INTO collated VALUES (9, 'aBC', 'x')`,
  `UPDATE OR REPLACE collated SET a = 'DEF', b = 'y   ' WHERE id = 3`,
  `INSERT OR REPLACE INTO composite VALUES (3, 'r', 'a')`,
  `UPDATE OR REPLACE composite SET a = 'b' WHERE x = 2`,
  // Affinity turns '3' into 3 and 2 into 2.0 before the comparison.
  `INSERT OR REPLACE INTO typed VALUES ('k9', '3', 2.5)`,
  `UPDATE OR REPLACE typed SET n = 1.0 WHERE id = 'k9'`,
  // An INSERT from a SELECT displaces rows that it has just made.
  `INSERT OR REPLACE INTO plain (a, b) SELECT 'same', b + 100 FROM plain WHERE b IS NOT NULL`,
]

test.for([0, 1])('with recursive_triggers = %i', async (recursive) => {
  await using scenario = await Scenario.replicating({ source: [...UNIQUES, ...FILL] })
  await scenario.write(DISPLACE, { pragmas: { recursive_triggers: recursive } })
  const [counts] = await scenario.write([
    'SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM clause)',
  ])
  // Rows did go: the scenario displaces.
  expect(counts?.rows).toEqual([[3, 2]])
  await scenario.equalAtLagZero()
})
