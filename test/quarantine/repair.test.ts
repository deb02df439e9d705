import { expect, test } from 'vitest'
import { quarantineCounts, quarantinedKeys, readQuarantine } from '../../src/postgres/quarantine.ts'
import { aside, Bench, keysOf, lines, table } from './bench.ts'

// Repair brings rows by another way than a batch: through a stage that a comparison has filled.

const T = table('t', ['id bigint', 'v text', 'span interval'], { duplicates: 'first' })
const C = table('c', ['id bigint', 't_id bigint'], {
  parents: [{ columns: ['t_id'], parent: 't', parentColumns: ['id'] }],
})
const DDL = `
  CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE CHECK (v <> 'bad'), span interval);
  CREATE TABLE c (id bigint PRIMARY KEY, t_id bigint)`

test('a stage is mended into the target with everything that a batch would do', async () => {
  await using bench = await Bench.open(DDL, [T, C])
  await bench.apply(
    {
      table: T,
      rows: [
        [1, 'a', null],
        [2, 'b', null],
        [3, 'c', null],
        [5, 'bad', null],
      ],
    },
    {
      table: C,
      rows: [
        [1, 2],
        [2, 3],
      ],
    },
  )
  const { merger } = bench.writer
  const mended = await bench.connection.transaction(async (client) => {
    await bench.control.admit(client, 'update')
    const rows = lines([
      [1, 'a', '1 day'],
      [2, 'bad', null],
      [3, 'a', null],
      [4, 'd', 'soon'],
      [6, 'e', '90 minutes'],
    ])
    const { stage, refused } = await merger.load(client, T, rows)
    expect(refused).toHaveLength(2)
    return await merger.mend(client, T, stage, 5 - refused.length)
  })
  expect(mended).toBe(1)
  expect(await bench.rows('SELECT id, v, span::text FROM t ORDER BY id')).toEqual([['1', 'a', '1 day']])
  expect((await bench.entries()).map((entry) => `${entry.table} ${entry.key} ${entry.kind}`)).toEqual([
    'c id=1 parent',
    'c id=2 parent',
    't id=2 refused',
    't id=3 duplicate',
    't id=5 refused',
  ])
})

test('rows that are set aside are no difference', async () => {
  await using bench = await Bench.open(DDL, [T, C])
  await bench.apply({
    table: T,
    rows: [
      [1, 'a', null],
      [2, 'bad', null],
      [3, 'a', null],
    ],
  })
  const { merger } = bench.writer
  await bench.connection.transaction(async (client) => {
    const rows = lines([
      [1, 'a', null],
      [2, 'bad', null],
      [3, 'a', null],
      [4, 'x', null],
    ])
    const { stage, refused } = await merger.load(client, T, rows)
    expect(refused).toEqual([])
    expect(await merger.quarantine.takeOut(client, T, stage)).toBe(2)
    const left = await client.query(`SELECT id FROM ${stage} ORDER BY id`)
    expect(left.rows).toEqual([{ id: '1' }, { id: '4' }])
  })
})

test('what operators are told, within limits', async () => {
  await using bench = await Bench.open(DDL, [T, C])
  await bench.apply(
    { table: C, aside: [aside(9n, '', 'the row as a whole', '')] },
    {
      table: T,
      rows: [
        [1, 'a', null],
        [10, 'a', null],
        [2, 'bad', null],
      ],
    },
  )
  const all = await readQuarantine(bench.connection, 'bench', 2)
  expect(all).toMatchObject({
    total: 3,
    blocking: 2,
    tables: [
      { table: 'c', rows: 1 },
      { table: 't', rows: 2 },
    ],
    entries: [
      { table: 'c', key: 'id=9', column: null, value: null, kind: 'misfit' },
      { table: 't', key: 'id=2', column: 'v', value: "'bad'" },
    ],
  })
  expect(await quarantineCounts(bench.connection, 'bench')).toEqual([
    { table: 'c', rows: 1 },
    { table: 't', rows: 2 },
  ])
  expect(await quarantineCounts(bench.connection, 'another')).toEqual([])
  const keys = await quarantinedKeys(bench.connection, 'bench')
  expect(keysOf(keys, 't').sort()).toEqual(['["i10"]', '["i2"]'])
  expect(await bench.writer.quarantined()).toEqual(keys)
})

test('a batch that the server takes back leaves no trace', async () => {
  await using bench = await Bench.open(DDL, [T, C])
  await bench.apply({ table: T, rows: [[1, 'a', null]] })
  // Another position: the batch is refused after its rows were looked at, or before; nothing of it stays.
  await bench.client.query(`UPDATE slipway.checkpoint SET seq = 77`)
  await expect(bench.apply({ table: T, rows: [[2, 'bad', null]] })).rejects.toMatchObject({
    code: 'position_moved',
  })
  expect(await bench.entries()).toEqual([])
})
