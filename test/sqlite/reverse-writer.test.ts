import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/core/errors.ts'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { batchOf, patch, row, START, spec } from '../support/reverse-batch.ts'

const T = spec('t', ['id bigint', 'a text', 'b numeric', 'c jsonb'])
const SCHEMA = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b, c TEXT)',
  `INSERT INTO t VALUES (1, 'one', 1e20, '{"b": 1, "a": 2}'), (2, 'two', 2, NULL), (3, CAST(x'ff' AS TEXT), x'00', ' [1] ')`,
]

/**
 * Commits in the write-ahead log: the last frame of each one has the size of the database in its header. No checkpoint
 * may have begun the log anew since it was made.
 */
function commits(path: string): number {
  const log = readFileSync(`${path}-wal`)
  const frame = 24 + log.readUInt32BE(8)
  let count = 0
  for (let at = 32; at + frame <= log.length; at += frame) if (log.readUInt32BE(at + 4) !== 0) count++
  return count
}

describe('a batch', () => {
  test('is one commit: its rows, its position, and the fence that closes again', async () => {
    using back = new WayBack(SCHEMA)
    await back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'x' })] })
    const before = commits(back.path)
    await back.apply({ table: T, gone: ['["i2"]'], patches: [patch(T, '["i1"]', { a: 'y' })] })
    expect(commits(back.path)).toBe(before + 1)
    expect(back.writer.position()).toEqual({ snapshot: '12:12:', token: 'token 2' })
  })

  test('writes the columns that it names, new rows and deletes, and nothing else', async () => {
    using back = new WayBack(SCHEMA)
    const before = dump(back.path).rows.t as string[]
    const applied = await back.apply({
      table: T,
      gone: ['["i2"]'],
      patches: [
        patch(T, '["i1"]', { a: 'uno' }),
        row(T, '["i9"]', { id: '9', a: 'nine', b: '1.50', c: null }),
      ],
    })
    expect(applied).toEqual({
      upserted: 2,
      deleted: 1,
      perTable: [{ table: 't', upserted: 2, deleted: 1 }],
      quarantined: 0,
    })
    const after = dump(back.path).rows.t as string[]
    expect(after[0]).toBe(before[0]?.replace(/text:6F6E65/, 'text:756E6F'))
    expect(after[1]).toBe(before[2])
    expect(back.read('SELECT id, a, b, typeof(b), c FROM t WHERE id = 9')).toEqual([
      [9, 'nine', 1.5, 'real', null],
    ])
    expect(back.writer.position()).toEqual({ snapshot: '11:11:', token: 'token 1' })
  })

  test('is written once: the second time it is refused', async () => {
    using back = new WayBack(SCHEMA)
    const batch = back.next([{ table: T, patches: [patch(T, '["i1"]', { a: 'x' })] }])
    await back.writer.apply(batch)
    const before = dump(back.path)
    await expect(back.writer.apply(batch)).rejects.toMatchObject({
      code: 'position_moved',
      policy: 'transient',
    })
    const otherToken = batchOf({ ...batch.to, token: 'another' }, START, [])
    await expect(back.writer.apply(otherToken)).rejects.toMatchObject({ code: 'position_moved' })
    expect(dump(back.path)).toEqual(before)
  })

  test('is refused where PostgreSQL does not lead', async () => {
    using back = new WayBack(SCHEMA)
    back.write(`UPDATE _slipway_control SET value = 'sqlite' WHERE name = 'authority'`)
    const before = dump(back.path)
    expect(() => back.writer.position()).toThrow(Failure)
    await expect(back.apply({ table: T, gone: ['["i1"]'] })).rejects.toMatchObject({ code: 'not_leading' })
    expect(dump(back.path)).toEqual(before)
  })

  test('waits for a writer that has the lock for a moment', async () => {
    using back = new WayBack(SCHEMA)
    const other = new Database(back.path)
    try {
      other.exec('BEGIN IMMEDIATE')
      let held = true
      const applied = back.apply({ table: T, gone: ['["i1"]'] }).then((result) => ({ result, held }))
      // Others of this process run meanwhile: nothing here blocks.
      await new Promise((resolve) => setTimeout(resolve, 50))
      held = false
      other.exec('ROLLBACK')
      expect(await applied).toMatchObject({ result: { deleted: 1 }, held: false })
    } finally {
      other.close()
    }
  })

  test('fails whole where its pages end in an error, before or after the lock', async () => {
    using back = new WayBack(SCHEMA)
    const before = dump(back.path)
    const broken = {
      ...back.next([]),
      tables: [
        {
          table: T,
          gone: async function* () {
            yield ['["i1"]']
            yield ['["i2"]']
          },
          patches: async function* () {
            yield [patch(T, '["i3"]', { a: 'x'.repeat(20_000_000) })]
            throw new Error('the server is gone')
          },
        },
      ],
    }
    await expect(back.writer.apply(broken)).rejects.toThrow('the server is gone')
    expect(dump(back.path)).toEqual(before)
    expect((await back.apply({ table: T, gone: ['["i1"]'] })).deleted).toBe(1)
  })

  test('says that a row is gone which was there', async () => {
    using back = new WayBack(SCHEMA)
    await expect(back.apply({ table: T, patches: [patch(T, '["i77"]', { a: 'x' })] })).rejects.toMatchObject({
      code: 'source_drift',
    })
  })

  test('writes over a row that is there although it is said to be new', async () => {
    using back = new WayBack(SCHEMA)
    await back.apply({ table: T, patches: [row(T, '["i1"]', { id: '1', a: 'x', b: '5', c: null })] })
    expect(back.read('SELECT a, b, typeof(b), c FROM t WHERE id = 1')).toEqual([['x', 5, 'integer', null]])
  })
})

describe('keys', () => {
  test('composite, WITHOUT ROWID, of every class', async () => {
    const w = spec('w', ['k text', 'j numeric', 'n bigint'], { key: ['k', 'j'], rowid: undefined })
    using back = new WayBack([
      'CREATE TABLE w (k TEXT COLLATE NOCASE, j, n INTEGER, PRIMARY KEY (k, j)) WITHOUT ROWID',
      `INSERT INTO w VALUES ('a', 1, 1), ('b', 1.5, 2), ('c', x'ff', 3), (CAST(x'c3' AS TEXT), 0, 4), ('d', 'x', 5)`,
    ])
    await back.apply({
      table: w,
      gone: ['["tA","i1"]', '["ta","r3ff0000000000000"]', '["tc","bff"]', '["uc3","i0"]', '["td","n"]'],
      patches: [
        patch(w, '["tb","r3ff8000000000000"]', { n: '20' }),
        row(w, '["td","i7"]', { k: 'd', j: '7', n: '70' }),
      ],
    })
    expect(back.read('SELECT k, j, n FROM w ORDER BY k, j')).toEqual([
      ['a', 1, 1],
      ['b', 1.5, 20],
      ['d', 7, 70],
      ['d', 'x', 5],
    ])
  })

  test('1 and 1.0 in an untyped key are one to its index, and two keys here', async () => {
    const u = spec('u', ['k numeric', 'n bigint'])
    using back = new WayBack(['CREATE TABLE u (k PRIMARY KEY, n)', 'INSERT INTO u VALUES (1.0, 1)'])
    await back.apply({ table: u, gone: ['["i1"]'] })
    expect(back.read('SELECT typeof(k) FROM u')).toEqual([['real']])
    await back.apply({
      table: u,
      gone: ['["r3ff0000000000000"]'],
      patches: [row(u, '["i1"]', { k: '1', n: '2' })],
    })
    expect(back.read('SELECT typeof(k), n FROM u')).toEqual([['integer', 2]])
  })

  test('a table without a key keeps its rowids', async () => {
    const r = spec('r', ['a text'], { kind: 'rowid', key: ['rowid'] })
    using back = new WayBack(['CREATE TABLE r (a TEXT)', `INSERT INTO r VALUES ('x'), ('x'), ('x')`])
    await back.apply({
      table: r,
      gone: ['["i2"]'],
      patches: [patch(r, '["i3"]', { a: 'y' }), row(r, '["i40"]', { a: 'new' })],
    })
    expect(back.read('SELECT rowid, a FROM r ORDER BY rowid')).toEqual([
      [1, 'x'],
      [3, 'y'],
      [40, 'new'],
    ])
  })

  test('keys that the source cannot hold are set aside', async () => {
    const n = spec('n', ['k text', 'a text'])
    using back = new WayBack(['CREATE TABLE n (k NUMERIC PRIMARY KEY, a TEXT)'])
    const applied = await back.apply({
      table: n,
      patches: [row(n, '["t007"]', { k: '007', a: 'x' }), row(n, '["tx7"]', { k: 'x7', a: 'y' })],
    })
    expect(applied).toMatchObject({ upserted: 1, quarantined: 1 })
    expect(back.read('SELECT k FROM n')).toEqual([['x7']])
  })

  test('AUTOINCREMENT goes on above what PostgreSQL gave out', async () => {
    using back = new WayBack(['CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b, c TEXT)'])
    await back.apply({ table: T, patches: [row(T, '["i50"]', { id: '50', a: null, b: null, c: null })] })
    expect(back.read(`SELECT seq FROM sqlite_sequence WHERE name = 't'`)).toEqual([[50]])
  })
})

test('columns that are not in the plan, and generated ones, stay as they are', async () => {
  const g = spec('g', ['id bigint', 'a text'])
  using back = new WayBack([
    `CREATE TABLE g (id INTEGER PRIMARY KEY, a TEXT UNIQUE, twice TEXT AS (a || a), other DEFAULT 'd')`,
    `INSERT INTO g (id, a, other) VALUES (1, 'p', 1e20), (2, 'q', x'00')`,
  ])
  await back.apply({ table: g, patches: [patch(g, '["i1"]', { a: 'q' }), patch(g, '["i2"]', { a: 'p' })] })
  await back.apply({ table: g, patches: [row(g, '["i3"]', { id: '3', a: 'r' })] })
  expect(back.read('SELECT id, a, twice, typeof(other), other FROM g')).toEqual([
    [1, 'q', 'qq', 'real', 1e20],
    [2, 'p', 'pp', 'blob', Buffer.from([0])],
    [3, 'r', 'rr', 'text', 'd'],
  ])
})

test('a large batch: more than memory takes ahead, in many pages', async () => {
  using back = new WayBack(['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b, c TEXT)'])
  const text = 'x'.repeat(1000)
  const rows = Array.from({ length: 20_000 }, (_, i) =>
    row(T, `["i${i}"]`, { id: String(i), a: text, b: String(i), c: null }),
  )
  expect((await back.applyInPages([{ table: T, patches: rows }], 500)).upserted).toBe(20_000)
  const gone = rows.slice(0, 15_000).map(({ key }) => key)
  const patches = rows.slice(15_000).map(({ key }) => patch(T, key, { b: '-1' }))
  expect(await back.apply({ table: T, gone, patches })).toMatchObject({ upserted: 5_000, deleted: 15_000 })
  expect(back.read('SELECT count(*), sum(b) FROM t')).toEqual([[5_000, -5_000]])
})
