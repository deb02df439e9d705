/** What no pragma tells of a table, read from texts that SQLite itself accepts. */
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { readCreateTable } from '../../src/core/ddl/create-table.ts'
import { introspect } from '../../src/sqlite/introspect.ts'

function read(...statements: string[]) {
  const sqlite = new Database(':memory:')
  sqlite.defaultSafeIntegers(true)
  for (const sql of statements) sqlite.exec(sql)
  const { tables } = introspect(sqlite, [], [])
  sqlite.close()
  const table = tables.find(({ name }) => name === 't')
  if (table === undefined) throw new Error('no table t')
  return table
}

test('CHECKs, with and without a name, at columns and at the table, commas or none', () => {
  const table = read(`CREATE TABLE t (
    a INTEGER CONSTRAINT positive CHECK (a > 0) CHECK (a < 10) NOT NULL, -- CHECK (no)
    "b, (" TEXT DEFAULT ')' CHECK ("b, (" <> ')'), c DEFAULT (1 + (2)) /* CHECK (0) */,
    CONSTRAINT "both one" CHECK (a <> c)
    CHECK (length("b, (") < 5) CONSTRAINT k UNIQUE (a), UNIQUE (c))`)
  expect(table.checks).toEqual([
    { name: 'positive', sql: 'a > 0', column: 'a' },
    { name: undefined, sql: 'a < 10', column: 'a' },
    { name: undefined, sql: `"b, (" <> ')'`, column: 'b, (' },
    { name: 'both one', sql: 'a <> c', column: undefined },
    { name: undefined, sql: 'length("b, (") < 5', column: undefined },
  ])
})

test('generated columns, stored or not, and collations', () => {
  const table = read(`CREATE TABLE t (a TEXT COLLATE nocase, b COLLATE "RTRIM" UNIQUE, c TEXT,
    d TEXT GENERATED ALWAYS AS (a || ')' || c) STORED NOT NULL, e INT AS (length(a)) VIRTUAL, f AS (c) COLLATE NOCASE)`)
  expect(table.columns.map(({ name, collation }) => `${name} ${collation}`)).toEqual([
    'a NOCASE',
    'b RTRIM',
    'c BINARY',
    'd BINARY',
    'e BINARY',
    'f NOCASE',
  ])
  expect(table.columns.slice(3).map(({ generatedSql, stored }) => [generatedSql, stored])).toEqual([
    [`a || ')' || c`, true],
    ['length(a)', false],
    ['c', false],
  ])
})

test('foreign keys: names, and which are deferred', () => {
  const table = read(
    'CREATE TABLE p (x INTEGER PRIMARY KEY, y, z, UNIQUE (y, z))',
    `CREATE TABLE t (a REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
      b INTEGER CONSTRAINT to_p REFERENCES "P" (x) NOT DEFERRABLE INITIALLY DEFERRED,
      c INTEGER REFERENCES p (x) MATCH FULL DEFERRABLE INITIALLY IMMEDIATE, d, e,
      CONSTRAINT pair FOREIGN KEY (d, "e") REFERENCES p (y, z) ON DELETE NO ACTION DEFERRABLE INITIALLY DEFERRED)`,
  )
  const told = table.foreignKeys.map(({ name, columns, parentColumns, deferred }) =>
    [name ?? '-', columns.join(), parentColumns.join(), deferred].join(' '),
  )
  expect(told.sort()).toEqual(['- a x true', '- c x false', 'pair d,e y,z true', 'to_p b x false'])
})

test('what happens on a conflict', () => {
  const table =
    read(`CREATE TABLE t (a TEXT UNIQUE ON CONFLICT REPLACE, b NOT NULL ON CONFLICT IGNORE DEFAULT 1,
    c UNIQUE ON CONFLICT ABORT, PRIMARY KEY (b, c) ON CONFLICT FAIL, CHECK (a <> '') ON CONFLICT IGNORE)`)
  expect(table.conflicts).toEqual([
    'a UNIQUE ON CONFLICT REPLACE',
    'b NOT NULL ON CONFLICT IGNORE',
    'PRIMARY KEY (b, c) ON CONFLICT FAIL',
  ])
})

test('texts as ALTER TABLE and CREATE TABLE AS leave them', () => {
  const table = read(
    'CREATE TABLE old AS SELECT 1 AS a, 2 AS b',
    'ALTER TABLE old ADD COLUMN "c d" TEXT CHECK ("c d" <> \'\') REFERENCES q (w) DEFERRABLE INITIALLY DEFERRED',
    'ALTER TABLE old RENAME COLUMN "c d" TO e',
    'ALTER TABLE old RENAME TO t',
  )
  expect(table.checks).toEqual([{ name: undefined, sql: `"e" <> ''`, column: 'e' }])
  expect(table.foreignKeys).toMatchObject([{ columns: ['e'], deferred: true }])
})

describe('what it cannot follow', () => {
  test.each([
    '',
    'CREATE VIEW v AS SELECT 1',
    `CREATE TABLE t (a CHECK (`,
    `CREATE TABLE t (a DEFAULT 'x)`,
    'CREATE TABLE t (a ^)',
  ])('%s', (sql) => {
    expect(readCreateTable(sql)).toBeUndefined()
  })
})

test('virtual tables are named with their module and what to use instead', () => {
  const sqlite = new Database(':memory:')
  sqlite.defaultSafeIntegers(true)
  sqlite.exec(
    'CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts5(a); CREATE VIRTUAL TABLE "r r" USING rtree(id, a, b)',
  )
  sqlite.exec('CREATE VIEW v AS SELECT 1')
  const { skipped } = introspect(sqlite, [], [])
  sqlite.close()
  expect(skipped.map(({ name }) => name)).toEqual(['f', 'r r', 'v'])
  expect(skipped[0]?.reason).toMatch(/fts5.*tsvector.*pg_trgm/)
  expect(skipped[1]?.reason).toMatch(/rtree.*GiST/)
  expect(skipped[2]?.reason).toMatch(/yours to make/)
})
