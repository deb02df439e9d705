import { expect, test } from 'vitest'
import { Bench, table } from '../quarantine/bench.ts'

// A deferrable unique cannot be named by ON CONFLICT, and one that is initially deferred speaks up at the commit,
// when it is too late to say which row it means.

const T = table('t', ['id bigint', 'v text'], { duplicates: 'first' })

test('a key that is deferrable', async () => {
  await using bench = await Bench.open(
    'CREATE TABLE t (id bigint PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text UNIQUE DEFERRABLE)',
    [T],
  )
  await bench.apply({
    table: T,
    rows: [
      [1, 'a'],
      [2, 'b'],
    ],
  })
  await bench.apply({
    table: T,
    rows: [
      [1, 'b'],
      [2, 'a'],
      [3, 'c'],
    ],
    gone: [],
  })
  expect(await bench.rows('SELECT id, v FROM t ORDER BY id')).toEqual([
    ['1', 'b'],
    ['2', 'a'],
    ['3', 'c'],
  ])
  expect(await bench.entries()).toEqual([])
})

test('duplicates of a unique that waits for the commit', async () => {
  await using bench = await Bench.open(
    `CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE DEFERRABLE INITIALLY DEFERRED);
     CREATE TABLE u (id bigint PRIMARY KEY, v text CHECK (v <> 'bad'))`,
    [T, table('u', ['id bigint', 'v text'])],
  )
  const u = bench.tables[1] ?? T
  await bench.apply({
    table: T,
    rows: [
      [2, 'x'],
      [5, 'y'],
    ],
  })
  await bench.apply(
    {
      table: T,
      rows: [
        [1, 'x'],
        [5, 'z'],
        [6, 'y'],
      ],
    },
    {
      table: u,
      rows: [
        [1, 'bad'],
        [2, 'ok'],
      ],
    },
  )
  expect(await bench.rows('SELECT id, v FROM t ORDER BY id')).toEqual([
    ['1', 'x'],
    ['5', 'z'],
    ['6', 'y'],
  ])
  expect(await bench.entries()).toMatchObject([
    { table: 't', key: 'id=2', kind: 'duplicate' },
    { table: 'u', key: 'id=1', kind: 'refused' },
  ])
})

test('an exclusion constraint, which no plan can judge beforehand', async () => {
  const r = table('r', ['id bigint', 'span int4range'])
  await using bench = await Bench.open(
    'CREATE TABLE r (id bigint PRIMARY KEY, span int4range, EXCLUDE USING gist (span WITH &&) DEFERRABLE INITIALLY DEFERRED)',
    [r],
  )
  await bench.apply({
    table: r,
    rows: [
      [1, '[1,5)'],
      [2, '[5,9)'],
    ],
  })
  await bench.apply({
    table: r,
    rows: [
      [1, '[5,7)'],
      [2, '[1,3)'],
      [3, '[6,8)'],
    ],
  })
  expect(await bench.rows('SELECT id, span FROM r ORDER BY id')).toEqual([
    ['1', '[5,7)'],
    ['2', '[1,3)'],
  ])
  expect(await bench.entries()).toMatchObject([{ key: 'id=3', kind: 'refused' }])
})
