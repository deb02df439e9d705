import { expect, test } from 'vitest'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, spec } from '../support/reverse-batch.ts'

// Bytes in columns that nobody touched stay: digits that PostgreSQL does not keep, 1e20 in an INTEGER, JSON's order.

const T = spec('t', [
  'id bigint',
  'at timestamp with time zone',
  'n bigint',
  'doc jsonb',
  'raw text',
  'title text',
])

test('a change of one column leaves every other cell of the file as it was', async () => {
  using back = new WayBack([
    'CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, n INTEGER, doc TEXT, raw, title TEXT UNIQUE)',
    `INSERT INTO t VALUES (1, '2024-01-01T00:00:00.123456789Z', 1e20, '{"b": 1, "a" : 2}', CAST(x'c328' AS TEXT), 'one'),
       (2, '0000-00-00', '12abc', ' [1.50] ', x'00', 'two'), (3, 1700000000.5, -0.0, NULL, '', 'three')`,
  ])
  const before = dump(back.path)
  await back.apply({
    table: T,
    patches: [patch(T, '["i1"]', { title: 'uno' }), patch(T, '["i3"]', { title: 'tre' })],
  })
  const after = dump(back.path)
  const expected = (before.rows.t as string[]).map((line) =>
    line.replace('text:6F6E65', 'text:756E6F').replace('text:7468726565', 'text:747265'),
  )
  expect(after.rows.t).toEqual(expected)
  expect(after.schema).toEqual(before.schema)
})

test('also where rows have to be taken out and put in again', async () => {
  using back = new WayBack([
    'CREATE TABLE t (id TEXT PRIMARY KEY, at TEXT, n INTEGER, doc TEXT, raw, title TEXT UNIQUE)',
    `INSERT INTO t (rowid, id, at, n, doc, raw, title) VALUES (70, '1', '2024-01-01T00:00:00.123456789Z', 1e20, '{"b": 1, "a" : 2}', CAST(x'c328' AS TEXT), 'one'),
       (5, '2', '0000-00-00', '12abc', ' [1.50] ', x'00', 'two'), (900, '3', 1700000000.5, -0.0, NULL, -0.0, 'three')`,
  ])
  const t = spec('t', ['id text', ...T.columns.slice(1).map(({ name, type }) => `${name} ${type}`)])
  const before = dump(back.path).rows.t as string[]
  const swapped = await back.apply({
    table: t,
    patches: [
      patch(t, '["t1"]', { title: 'two' }),
      patch(t, '["t2"]', { title: 'three' }),
      patch(t, '["t3"]', { title: 'one' }),
    ],
  })
  expect(swapped.upserted).toBe(3)
  const titles = ['6F6E65', '74776F', '7468726565']
  const wanted = new Map([
    [titles[0], titles[1]],
    [titles[1], titles[2]],
    [titles[2], titles[0]],
  ])
  const pattern = new RegExp(`text:(${titles.join('|')})(?=$|\\|)`)
  expect(dump(back.path).rows.t).toEqual(
    before.map((line) => line.replace(pattern, (_, title) => `text:${wanted.get(title)}`)),
  )
})
