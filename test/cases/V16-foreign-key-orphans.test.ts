import { closeSync, openSync, writeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// SQLite checks foreign keys only where a connection asks for it: rows without a parent are common, and told.

test('rows without a parent are counted and named; those with one, or with NULL, are not', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE parents (id INTEGER PRIMARY KEY, code TEXT UNIQUE)',
      'CREATE TABLE pairs (a INTEGER, b TEXT, PRIMARY KEY (a, b))',
      `CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents, code TEXT REFERENCES parents (code),
         a INTEGER, b TEXT, FOREIGN KEY (a, b) REFERENCES pairs)`,
      'CREATE TABLE lost (id INTEGER PRIMARY KEY, gone INTEGER REFERENCES nowhere, kept INTEGER REFERENCES parents)',
      `INSERT INTO parents VALUES (1, 'x')`,
      `INSERT INTO pairs VALUES (1, 'y')`,
      `INSERT INTO children VALUES (1, 1, 'x', 1, 'y'), (2, 9, NULL, 1, NULL), (3, 8, 'z', 1, 'n'), (4, NULL, NULL, NULL, NULL)`,
      'INSERT INTO lost VALUES (1, 5, 1), (2, 6, 7)',
    ],
  })
  const { result, serious, find } = await assess(scenario)
  expect(serious).toEqual([
    'warns foreign_key_left_out lost.gone',
    'warns foreign_key_orphans children',
    'warns foreign_key_orphans children.code',
    'warns foreign_key_orphans children.parent',
    'warns foreign_key_orphans lost.kept',
  ])
  expect(find('foreign_key_orphans', 'children', 'parent')).toMatchObject({
    count: 2,
    examples: ['id=2', 'id=3'],
  })
  expect(find('foreign_key_orphans', 'lost', 'kept')).toMatchObject({ count: 1, examples: ['id=2'] })
  expect(result.code).toBe(0)
})

test('a foreign key to columns that are not unique, or to a table that stays behind', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE parents (id INTEGER PRIMARY KEY, code TEXT)',
      'CREATE TABLE children (id INTEGER PRIMARY KEY, code TEXT REFERENCES parents (code))',
      'CREATE TABLE others (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES left_out)',
      'CREATE TABLE left_out (id INTEGER PRIMARY KEY)',
      `INSERT INTO children VALUES (1, 'x')`,
    ],
    env: { EXCLUDE_TABLES: 'left_out' },
  })
  const { serious, find } = await assess(scenario)
  expect(serious).toEqual([
    'warns foreign_key_left_out children.code',
    'warns foreign_key_left_out others.parent',
  ])
  expect(find('foreign_key_left_out', 'children')?.message).toContain('needs a plain unique index')
  expect(find('foreign_key_left_out', 'others')?.message).toContain('left_out is not moved')
  expect(find('table_excluded')).toMatchObject({ severity: 'info', table: 'left_out' })
})

test('damage that SQLite finds by itself blocks, and the other tables are looked at', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, m INTEGER NOT NULL)',
      'CREATE TABLE torn (id INTEGER PRIMARY KEY, a TEXT)',
      'INSERT INTO t VALUES (1, 1), (2, 2)',
      `INSERT INTO torn VALUES (1, 'a')`,
      // NOT NULL that came later, as by hand.
      'PRAGMA writable_schema = 1',
      `UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 't'`,
      'PRAGMA writable_schema = RESET',
      'UPDATE t SET m = NULL WHERE id = 1',
      'PRAGMA writable_schema = 1',
      `UPDATE sqlite_schema SET sql = replace(sql, 'm INTEGER', 'm INTEGER NOT NULL') WHERE name = 't'`,
      'PRAGMA writable_schema = RESET',
      'PRAGMA wal_checkpoint(TRUNCATE)',
    ],
  })
  const [root, size] = await scenario.write([
    `SELECT rootpage FROM sqlite_schema WHERE name = 'torn'`,
    'PRAGMA page_size',
  ])
  const page = Number(size?.rows[0]?.[0])
  const file = openSync(scenario.path, 'r+')
  writeSync(file, Buffer.alloc(page, 0x7f), 0, page, (Number(root?.rows[0]?.[0]) - 1) * page)
  closeSync(file)

  const { result, serious, find } = await assess(scenario)
  expect(serious).toEqual(['blocks damaged torn', 'blocks null_in_not_null t.m'])
  expect(find('null_in_not_null')).toMatchObject({ count: 1, examples: ['id=1'] })
  expect(result.code).toBe(3)
})
