import { expect, test } from 'vitest'
import { applicationWrites, WayBack } from '../support/reverse.ts'
import { patch, row, START, spec } from '../support/reverse-batch.ts'

// Rows that PostgreSQL takes and SQLite does not: NaN, twins by NOCASE, what only the application's functions can index.

const T = spec('t', ['id bigint', 'name text', 'score double precision'])
const SCHEMA = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, score REAL NOT NULL)',
  `INSERT INTO t VALUES (1, 'Anna', 1.5), (2, 'Bert', 2.5)`,
]

test('they are set aside with the reason, and everything else comes through', async () => {
  using back = new WayBack(SCHEMA)
  const applied = await back.apply({
    table: T,
    patches: [
      { ...patch(T, '["i1"]', {}), misfits: [[2, 'NaN']] },
      row(T, '["i3"]', { id: '3', name: 'BERT', score: '1' }),
      row(T, '["i4"]', { id: '4', name: 'Cleo', score: null }),
      row(T, '["i5"]', { id: '5', name: 'Doris', score: 'Infinity' }),
      patch(T, '["i2"]', { score: '-0' }),
    ],
  })
  expect(applied).toMatchObject({ upserted: 2, quarantined: 3 })
  expect(back.writer.aside(10).entries.map(({ key, column, value }) => [key, column, value])).toEqual([
    ['["i1"]', 'score', 'NaN'],
    ['["i3"]', 'name', ''],
    ['["i4"]', 'score', ''],
  ])
  expect(back.read('SELECT id, name, score FROM t ORDER BY id')).toEqual([
    [1, 'Anna', 1.5],
    [2, 'Bert', 0],
    [5, 'Doris', Number.POSITIVE_INFINITY],
  ])
})

test('a twin comes in once the other one has gone, or has another name', async () => {
  using back = new WayBack(SCHEMA)
  const twin = row(T, '["i3"]', { id: '3', name: 'BERT', score: '1' })
  await back.apply({ table: T, patches: [twin] })
  expect(
    await back.apply({ table: T, patches: [twin, patch(T, '["i2"]', { name: 'Berta' })] }),
  ).toMatchObject({
    quarantined: 0,
  })
  expect(back.read('SELECT id, name FROM t ORDER BY id')).toEqual([
    [1, 'Anna'],
    [2, 'Berta'],
    [3, 'BERT'],
  ])
})

test.each([
  ['a function', 'CREATE INDEX own_index ON t (shout(name))'],
  ['a collation', 'CREATE INDEX own_index ON t (name COLLATE own)'],
])('an index with %s of the application: no write is possible, and nothing is half done', async (_, sql) => {
  using back = new WayBack(SCHEMA)
  applicationWrites(
    back.path,
    sql,
    `UPDATE _slipway_control SET value = (SELECT schema_version FROM pragma_schema_version) WHERE name = 'schema_version'`,
  )
  const before = back.read('SELECT * FROM t NOT INDEXED')
  await expect(
    back.apply({ table: T, patches: [row(T, '["i9"]', { id: '9', name: 'x', score: '1' })] }),
  ).rejects.toMatchObject({ code: 'source_unwritable', policy: 'person' })
  expect(back.read('SELECT * FROM t NOT INDEXED')).toEqual(before)
  expect(back.writer.position()).toEqual(START)
})

test('a trigger with "text" in double quotes can be made again by slipway, word for word', () => {
  using back = new WayBack(SCHEMA)
  const sql = `CREATE TRIGGER quoted AFTER UPDATE ON t WHEN NEW.name = "word" BEGIN INSERT INTO t VALUES (NULL, "other", 1); END`
  applicationWrites(back.path, sql)
  // As set aside and brought back: by a connection that takes no text in double quotes.
  back.write('DROP TRIGGER quoted')
  back.write(sql)
  expect(back.read(`SELECT sql FROM sqlite_schema WHERE name = 'quoted'`)).toEqual([[sql]])
  applicationWrites(back.path, `UPDATE t SET name = 'word' WHERE id = 1`)
  expect(back.read(`SELECT count(*) FROM t WHERE name = 'other'`)).toEqual([[1]])
})
