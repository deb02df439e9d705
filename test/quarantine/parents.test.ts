import { expect, test } from 'vitest'
import { decodeKey } from '../../src/core/key.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { aside, Bench, keysOf, table } from './bench.ts'

// While SQLite leads the target's foreign keys are asleep; yet no row of it refers to one that is set aside.

const DDL = `
  CREATE TABLE p (id bigint PRIMARY KEY, slug text CHECK (slug <> 'bad'));
  CREATE TABLE c (id bigint PRIMARY KEY, p_id integer, v text UNIQUE);
  CREATE TABLE g (c_id bigint, n integer, PRIMARY KEY (c_id, n));
  CREATE TABLE self (name text PRIMARY KEY, boss varchar(20))`

const P = table('p', ['id bigint', 'slug text'])
const C = table('c', ['id bigint', 'p_id integer', 'v text'], {
  duplicates: 'first',
  parents: [{ columns: ['p_id'], parent: 'P', parentColumns: ['ID'] }],
})
const G: TableSpec = {
  ...table('g', ['c_id bigint', 'n integer']),
  key: {
    kind: 'primary',
    columns: [
      { name: 'c_id', target: 'c_id', type: 'bigint' },
      { name: 'n', target: 'n', type: 'integer' },
    ],
  },
  parents: [{ columns: ['c_id'], parent: 'c', parentColumns: ['id'] }],
}
const SELF = table('self', ['name text', 'boss character varying(20)'], {
  parents: [{ columns: ['boss'], parent: 'self', parentColumns: ['name'] }],
})

async function open(): Promise<Bench> {
  return await Bench.open(DDL, [P, C, G, SELF])
}

async function shown(bench: Bench): Promise<string[]> {
  return (await bench.entries()).map((entry) => `${entry.table} ${entry.key} ${entry.kind}`)
}

test('children and theirs follow a parent, and come back after it', async () => {
  await using bench = await open()
  const rows = {
    p: [
      [1, 'a'],
      [2, 'b'],
    ],
    c: [
      [10, 1, 'x'],
      [11, 2, 'y'],
      [12, null, 'z'],
    ],
    g: [
      [10, 1],
      [10, 2],
      [11, 1],
    ],
  }
  await bench.apply({ table: G, rows: rows.g }, { table: C, rows: rows.c }, { table: P, rows: rows.p })
  const applied = await bench.apply({ table: P, rows: [[1, 'bad']] })
  expect(applied).toMatchObject({ quarantined: 4, retry: [] })
  expect(await shown(bench)).toEqual([
    'c id=10 parent',
    'g c_id=10, n=1 parent',
    'g c_id=10, n=2 parent',
    'p id=1 refused',
  ])
  expect((await bench.entries())[0]).toMatchObject({
    reason: 'its parent in p is set aside: id=1',
    column: null,
    blocking: true,
  })
  expect(await bench.rows('SELECT id FROM c ORDER BY id')).toEqual([['11'], ['12']])
  expect(await bench.rows('SELECT c_id, n FROM g')).toEqual([['11', 1]])
  // A child that arrives meanwhile is set aside at once.
  expect(await bench.apply({ table: C, rows: [[13, 1, 'w']] })).toMatchObject({ quarantined: 5 })

  const back = await bench.apply({ table: P, rows: [[1, 'good']] })
  expect(
    keysOf(back.retry, 'c')
      .map((key) => decodeKey(key)[0])
      .sort(),
  ).toEqual([10n, 13n])
  const next = await bench.apply({
    table: C,
    rows: [
      [10, 1, 'x'],
      [13, 1, 'w'],
    ],
  })
  expect(keysOf(next.retry, 'g').sort()).toEqual(['["i10","i1"]', '["i10","i2"]'])
  expect(
    await bench.apply({
      table: G,
      rows: [
        [10, 1],
        [10, 2],
      ],
    }),
  ).toMatchObject({ quarantined: 0, retry: [] })
  expect(await bench.rows('SELECT count(*)::int FROM g')).toEqual([[3]])
})

test('a parent that is deleted leaves orphans, as in the source', async () => {
  await using bench = await open()
  await bench.apply({ table: P, rows: [[1, 'bad']] }, { table: C, rows: [[10, 1, 'x']] })
  expect(await shown(bench)).toEqual(['c id=10 parent', 'p id=1 refused'])
  const { retry } = await bench.apply({ table: P, gone: [[1]] })
  expect(keysOf(retry, 'c')).toEqual(['["i10"]'])
  await bench.apply({ table: C, rows: [[10, 1, 'x']] })
  expect(await bench.rows('SELECT id, p_id FROM c')).toEqual([['10', 1]])
})

test('set aside by the source, or as a duplicate: the children follow, and block only where it does', async () => {
  await using bench = await open()
  await bench.apply(
    { table: P, rows: [[2, 'b']], aside: [aside(1n, 'slug', 'it is no text', "x'00'")] },
    {
      table: C,
      rows: [
        [10, 1, 'x'],
        [20, 2, 'same'],
        [21, 2, 'same'],
      ],
    },
    {
      table: G,
      rows: [
        [20, 1],
        [21, 1],
      ],
    },
  )
  expect(await shown(bench)).toEqual([
    'c id=10 parent',
    'c id=21 duplicate',
    'g c_id=21, n=1 parent',
    'p id=1 misfit',
  ])
  expect((await bench.entries()).map((entry) => entry.blocking)).toEqual([true, false, false, true])
})

test('a child that leaves frees its value for another', async () => {
  await using bench = await open()
  await bench.apply({
    table: P,
    rows: [
      [1, 'a'],
      [2, 'b'],
    ],
  })
  await bench.apply({
    table: C,
    rows: [
      [10, 1, 'same'],
      [20, 2, 'same'],
    ],
  })
  expect(await shown(bench)).toEqual(['c id=20 duplicate'])
  const { retry } = await bench.apply({ table: P, rows: [[1, 'bad']] })
  expect(keysOf(retry, 'c')).toEqual(['["i20"]'])
  await bench.apply({ table: C, rows: [[20, 2, 'same']] })
  expect(await bench.rows('SELECT id FROM c')).toEqual([['20']])
})

test('a table that refers to itself, in a ring', async () => {
  await using bench = await open()
  await bench.apply({
    table: SELF,
    rows: [
      ['a', 'c'],
      ['b', 'a'],
      ['c', 'b'],
      ['d', 'c'],
      ['e', null],
      ["q'", "q'"],
    ],
  })
  await bench.apply({ table: SELF, aside: [aside('a', 'boss', 'too long', '…')] })
  expect(await bench.rows('SELECT name FROM self ORDER BY name')).toEqual([['e'], ["q'"]])
  expect(await shown(bench)).toEqual([
    "self name='a' misfit",
    "self name='b' parent",
    "self name='c' parent",
    "self name='d' parent",
  ])
})
