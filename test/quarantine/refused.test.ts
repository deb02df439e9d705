import { expect, test } from 'vitest'
import type { TableSpec } from '../../src/core/table.ts'
import { aside, Bench, table } from './bench.ts'

// A row that PostgreSQL refuses is set aside in the batch's own transaction; the others go in, and so does the
// position. A fitting image of the key clears it.

const DDL = `
  CREATE TYPE mood AS ENUM ('sad', 'fine');
  CREATE DOMAIN small AS integer CHECK (VALUE < 100);
  CREATE TABLE t (
    id bigint PRIMARY KEY, m mood, n small, needed text NOT NULL, span interval, ip inet, price numeric,
    v varchar(3), tags text[], CONSTRAINT t_price CHECK (price >= 0), CONSTRAINT t_both CHECK (price > 0 OR v IS NOT NULL)
  )`
const T = table('t', [
  'id bigint',
  'm mood',
  'n small',
  'needed text',
  'span interval',
  'ip inet',
  'price numeric',
  'v character varying(3)',
  'tags text[]',
])
const good = (id: number): (string | number)[] => [
  id,
  'fine',
  7,
  'x',
  '01:30:00',
  '10.0.0.1',
  1,
  'abc',
  '{a,b}',
]
const but = (id: number, column: number, value: string | number | null): (string | number | null)[] =>
  good(id).map((cell, i) => (i === column ? value : cell))

test.for([
  ['enum', 1, 'meh', 'm', /invalid input value for enum mood/],
  ['domain', 2, 100, 'n', /violates check constraint "small_check"/],
  ['not null', 3, null, 'needed', /null value in column "needed"/],
  ['interval that does not come back', 4, '90 minutes', 'span', /would store it as '01:30:00'/],
  ['no interval at all', 4, 'soon', 'span', /invalid input syntax for type interval/],
  ['inet that does not come back', 5, '10.0.0.1/32', 'ip', /would store it as '10.0.0.1'/],
  ['check of one column', 6, -1, 'price', /violates check constraint "t_price"/],
  ['text that a cast would cut', 7, 'abcd', 'v', /would store it as 'abc'/],
  ['array that does not come back', 8, '{ a }', 'tags', /would store it as '\{a\}'/],
] as const)('%s', async ([, at, value, column, why]) => {
  await using bench = await Bench.open(DDL, [T])
  const first = await bench.apply({ table: T, rows: [good(1), good(2)] })
  expect(first).toMatchObject({ quarantined: 0, upserted: 2 })
  const applied = await bench.apply({ table: T, rows: [good(3), but(2, at, value), good(4)] })
  expect(applied).toMatchObject({ quarantined: 1, upserted: 2, retry: [] })
  // Its older image stands for a state that never was.
  expect(await bench.rows('SELECT id FROM t ORDER BY id')).toEqual([['1'], ['3'], ['4']])
  expect(await bench.entries()).toMatchObject([
    {
      table: 't',
      target: 't',
      key: 'id=2',
      column,
      kind: 'refused',
      blocking: true,
      attempts: 1,
      reason: expect.stringMatching(why),
    },
  ])
  // A fault of the same key again: it is the same entry.
  await bench.apply({ table: T, rows: [but(2, at, value)] })
  const [entry] = await bench.entries()
  expect(entry).toMatchObject({ key: 'id=2', attempts: 2 })
  expect((entry?.last ?? '') > (entry?.since ?? '')).toBe(true)
  expect(await bench.apply({ table: T, rows: [good(2)] })).toMatchObject({ quarantined: 0 })
  expect(await bench.rows('SELECT id, span::text FROM t WHERE id = 2')).toEqual([['2', '01:30:00']])
})

test('a check of several columns names the row', async () => {
  await using bench = await Bench.open(DDL, [T])
  const row = good(1).map((cell, i) => (i === 6 ? 0 : i === 7 ? null : cell))
  await bench.apply({ table: T, rows: [row] })
  expect(await bench.entries()).toMatchObject([{ key: 'id=1', column: null, value: null, kind: 'refused' }])
})

test('deleting the row at the source clears it', async () => {
  await using bench = await Bench.open(DDL, [T])
  await bench.apply({ table: T, rows: [but(1, 1, 'meh')] })
  expect(await bench.apply({ table: T, gone: [[1]] })).toMatchObject({ quarantined: 0 })
  expect(await bench.entries()).toEqual([])
})

test('what the source set aside: its old row goes, other keys of the batch do not care', async () => {
  await using bench = await Bench.open(DDL, [T])
  await bench.apply({ table: T, rows: [good(1), good(2)] })
  const applied = await bench.apply({
    table: T,
    rows: [good(3)],
    aside: [aside(2n, 'price', 'it is no number', "'a\0b'"), aside('x', 'id', 'a text value', "'x'")],
  })
  expect(applied).toMatchObject({ quarantined: 2, deleted: 1 })
  expect(await bench.rows('SELECT id FROM t ORDER BY id')).toEqual([['1'], ['3']])
  expect(await bench.entries()).toMatchObject([
    { key: 'id=2', column: 'price', kind: 'misfit', value: "'a\\0b'" },
    { key: "id='x'", column: 'id', kind: 'misfit' },
  ])
  expect(await bench.apply({ table: T, rows: [good(2)] })).toMatchObject({ quarantined: 1 })
})

test('thousands of rows, some of them refused, in several blocks', async () => {
  await using bench = await Bench.open(DDL, [T])
  const rows = Array.from({ length: 2_600 }, (_, id) =>
    id % 800 === 13 ? but(id, 6, -id) : id % 900 === 7 ? but(id, 1, 'meh') : good(id),
  )
  const applied = await bench.apply({ table: T, rows })
  expect(applied.quarantined).toBe(7)
  expect(await bench.rows('SELECT count(*)::int FROM t')).toEqual([[2_593]])
  expect((await bench.entries()).map((entry) => entry.key)).toEqual(
    ['id=7', 'id=13', 'id=813', 'id=907', 'id=1613', 'id=1807', 'id=2413'].sort(
      (a, b) => a.length - b.length || (a < b ? -1 : 1),
    ),
  )
})

test('the plan says fail: the batch stops, and nothing of it is there', async () => {
  const strict: TableSpec = {
    ...T,
    columns: T.columns.map((column) => (column.name === 'm' ? { ...column, misfit: 'fail' } : column)),
  }
  await using bench = await Bench.open(DDL, [strict])
  await expect(bench.apply({ table: strict, rows: [good(1), but(2, 1, 'meh')] })).rejects.toMatchObject({
    code: 'misfit',
    policy: 'person',
    facts: { table: 't', column: 'm' },
  })
  expect(await bench.rows('SELECT count(*)::int FROM t')).toEqual([[0]])
  expect(await bench.entries()).toEqual([])
})

test('a table of ours: the caller is asked for a wider type', async () => {
  const own = table('o', ['id bigint', 'j json'], { owned: true })
  await using bench = await Bench.open('CREATE TABLE o (id bigint PRIMARY KEY, j json)', [own])
  await expect(bench.apply({ table: own, rows: [[1, 'no json']] })).rejects.toMatchObject({
    code: 'misfit',
    facts: { table: 'o', column: 'j', holds: 'text' },
  })
})

test('a value that no index of the target holds', async () => {
  const long = table('l', ['id bigint', 'v text'])
  await using bench = await Bench.open(
    'CREATE TABLE l (id bigint PRIMARY KEY, v text); CREATE INDEX ON l (v)',
    [long],
  )
  const noise = Array.from({ length: 9_000 }, (_, i) =>
    String.fromCharCode(33 + ((i * 7919 + ((i * i) % 8111)) % 90)),
  ).join('')
  const applied = await bench.apply({
    table: long,
    rows: [
      [1, noise],
      [2, 'short'],
    ],
  })
  expect(applied.quarantined).toBe(1)
  expect(await bench.entries()).toMatchObject([
    { key: 'id=1', kind: 'refused', reason: expect.stringContaining('index row') },
  ])
  expect(await bench.rows('SELECT id FROM l')).toEqual([['2']])
})

test('a key of megabytes can be set aside', async () => {
  const wide = table('w', ['k text', 'n integer'])
  await using bench = await Bench.open('CREATE TABLE w (k text PRIMARY KEY, n integer)', [wide])
  const noise = Buffer.from(
    Array.from({ length: 30_000 }, (_, i) => (i * 7919 + ((i * i) % 8111)) % 251),
  ).toString('base64')
  expect(
    await bench.apply({
      table: wide,
      rows: [
        [noise, 1],
        ['ok', 2],
      ],
    }),
  ).toMatchObject({ quarantined: 1 })
  expect(await bench.rows('SELECT k FROM w')).toEqual([['ok']])
  expect(await bench.apply({ table: wide, gone: [[noise]] })).toMatchObject({ quarantined: 0 })
})

test('columns that the source does not have keep their values', async () => {
  const x = table('x', ['id bigint', 'v integer'])
  await using bench = await Bench.open(
    `CREATE TABLE x (id bigint PRIMARY KEY, v integer CHECK (v < 10), note text NOT NULL DEFAULT 'new', twice integer GENERATED ALWAYS AS (v * 2) STORED)`,
    [x],
  )
  await bench.apply({
    table: x,
    rows: [
      [1, 1],
      [2, 2],
    ],
  })
  await bench.client.query(`UPDATE x SET note = 'kept' WHERE id = 1`)
  await bench.apply({
    table: x,
    rows: [
      [1, 5],
      [2, 11],
      [3, 3],
    ],
  })
  expect(await bench.rows('SELECT id, v, note, twice FROM x ORDER BY id')).toEqual([
    ['1', 5, 'kept', 10],
    ['3', 3, 'new', 6],
  ])
})
