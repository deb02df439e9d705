/** Rows that hold each other's unique values: what can be written is written, and all else stays as it was. */
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RowPatch } from '../../src/core/reverse.ts'
import { forgetAside } from '../../src/sqlite/reverse-notes.ts'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, row, spec } from '../support/reverse-batch.ts'

const T = spec('t', ['id bigint', 'u text', 'v text', 'keep text'])
const TABLE = `CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE ON CONFLICT REPLACE, v TEXT COLLATE NOCASE UNIQUE, keep TEXT)`
const key = (id: number): string => `["i${id}"]`

test('a swap, a cycle and a chain', async () => {
  using back = new WayBack([
    TABLE,
    `INSERT INTO t VALUES (1, 'a', 'x', CAST(x'ff' AS TEXT)), (2, 'b', 'y', '2'), (3, 'c', 'z', '3'), (4, 'd', NULL, '4'), (5, 'e', NULL, '5')`,
  ])
  const kept = back.read('SELECT id, hex(keep), typeof(keep) FROM t')
  const applied = await back.apply({
    table: T,
    patches: [
      patch(T, key(1), { u: 'b', v: 'y' }),
      patch(T, key(2), { u: 'c', v: 'x' }),
      patch(T, key(3), { u: 'a' }),
      patch(T, key(4), { u: 'e' }),
      patch(T, key(5), { u: 'f' }),
      row(T, key(6), { id: '6', u: 'd', v: null, keep: 'new' }),
    ],
  })
  expect(applied).toMatchObject({ upserted: 6, quarantined: 0 })
  expect(back.read('SELECT id, u, v FROM t')).toEqual([
    [1, 'b', 'y'],
    [2, 'c', 'x'],
    [3, 'a', 'z'],
    [4, 'e', null],
    [5, 'f', null],
    [6, 'd', null],
  ])
  expect(back.read('SELECT id, hex(keep), typeof(keep) FROM t WHERE id < 6')).toEqual(kept)
})

test('a value that goes with its row, or that its row gives up later in the batch', async () => {
  using back = new WayBack([TABLE, `INSERT INTO t VALUES (1, 'a', NULL, ''), (2, 'b', NULL, '')`])
  await back.apply({
    table: T,
    gone: [key(1)],
    patches: [
      row(T, key(3), { id: '3', u: 'b', v: null, keep: '' }),
      row(T, key(4), { id: '4', u: 'a', v: null, keep: '' }),
      patch(T, key(2), { u: 'c' }),
    ],
  })
  expect(back.read('SELECT id, u FROM t ORDER BY id')).toEqual([
    [2, 'c'],
    [3, 'b'],
    [4, 'a'],
  ])
})

test('every row takes the place of the next, as many as there are', async () => {
  const count = 20_000
  using back = new WayBack([
    'CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v TEXT, keep TEXT)',
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO t SELECT i, i, NULL, 'k' FROM n`,
  ])
  const numbers = spec('t', ['id bigint', 'u bigint', 'v text', 'keep text'])
  const patches = Array.from({ length: count }, (_, i) =>
    patch(numbers, key(i + 1), { u: String(((i + 1) % count) + 1) }),
  )
  expect(await back.apply({ table: numbers, patches })).toMatchObject({ upserted: count, quarantined: 0 })
  expect(back.read(`SELECT count(*) FROM t WHERE u = id % ${count} + 1`)).toEqual([[count]])
})

describe('rows that SQLite refuses', () => {
  const twins = (): WayBack =>
    new WayBack([
      TABLE,
      `INSERT INTO t VALUES (1, 'a', 'Anna', CAST(x'fe' AS TEXT)), (2, 'b', 'Bert', '2'), (3, 'c', 'Cleo', '3')`,
    ])

  test('are set aside as they were, and those that wait for their values with them', async () => {
    using back = twins()
    const before = dump(back.path).rows.t
    // 1 would be the twin of 3; 2 wants what 1 has.
    const applied = await back.apply({
      table: T,
      patches: [
        patch(T, key(1), { v: 'CLEO' }),
        patch(T, key(2), { v: 'Anna' }),
        row(T, key(4), { id: '4', u: 'd', v: 'bert', keep: '4' }),
      ],
    })
    expect(applied).toMatchObject({ upserted: 0, quarantined: 3 })
    expect(dump(back.path).rows.t).toEqual(before)
    const { total, entries } = back.writer.aside(2)
    expect(total).toBe(3)
    expect(entries).toHaveLength(2)
    expect(entries[0]).toMatchObject({
      table: 't',
      key: key(1),
      column: 'v',
      reason: 'SQLite refuses the row: UNIQUE constraint failed: t.v',
      attempts: 1,
    })
    expect(back.writer.quarantined()).toEqual([{ table: 't', keys: [key(1), key(2), key(4)] }])
    expect(back.warnings).toHaveLength(3)
    expect(back.warnings[0]).toMatch(/^t, id=1 is set aside/)
  })

  test('come back in once they fit, and are set aside no more', async () => {
    using back = twins()
    const wanted = [patch(T, key(1), { v: 'CLEO' }), patch(T, key(2), { v: 'Anna' })]
    await back.apply({ table: T, patches: wanted })
    await back.apply({ table: T, patches: wanted })
    expect(back.warnings).toHaveLength(2)
    expect(back.writer.aside(9).entries.map(({ attempts }) => attempts)).toEqual([2, 2])
    const applied = await back.apply({ table: T, patches: [...wanted, patch(T, key(3), { v: 'Doris' })] })
    expect(applied).toMatchObject({ upserted: 3, quarantined: 0 })
    expect(back.read('SELECT id, v, hex(keep) FROM t')).toEqual([
      [1, 'CLEO', 'FE'],
      [2, 'Anna', '32'],
      [3, 'Doris', '33'],
    ])
    expect(back.writer.aside(9)).toEqual({ total: 0, entries: [] })
  })

  test('are set aside no more when they are gone, or need nothing any more', async () => {
    using back = twins()
    await back.apply({
      table: T,
      patches: [
        patch(T, key(1), { v: 'CLEO' }),
        patch(T, key(2), { v: 'cleo' }),
        row(T, key(4), { id: '4', u: 'd', v: 'bert', keep: '4' }),
        row(T, key(5), { id: '5', u: 'e', v: 'bert', keep: '5' }),
      ],
    })
    await back.apply({ table: T, gone: [key(1)] })
    expect(back.writer.quarantined()).toEqual([{ table: 't', keys: [key(2), key(4), key(5)] }])
    await back.apply({
      table: T,
      gone: [key(4)],
      patches: [patch(T, key(2), {}), row(T, key(5), { id: '5', u: 'e', v: 'CLEO', keep: '' })],
    })
    expect(back.writer.quarantined()).toEqual([{ table: 't', keys: [key(5)] }])
    expect(back.read('SELECT count(*) FROM t')).toEqual([[2]])
  })

  test('what had taken the place of one that stays is undone, along a whole chain', async () => {
    const count = 500
    using back = new WayBack([
      TABLE,
      `INSERT INTO t VALUES (0, 'zero', 'Twin', '0')`,
      `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO t SELECT i, 'u' || i, 'v' || i, x'00' FROM n`,
    ])
    const before = dump(back.path).rows.t
    // Each takes the u of the next, and the last, which would have to go elsewhere, would be a twin.
    const patches = Array.from({ length: count }, (_, i) =>
      patch(T, key(i + 1), i + 1 < count ? { u: `u${i + 2}` } : { u: 'free', v: 'TWIN' }),
    )
    expect(await back.apply({ table: T, patches })).toMatchObject({ upserted: 0, quarantined: count })
    expect(dump(back.path).rows.t).toEqual(before)
  })

  test('CHECK, NOT NULL, types of STRICT tables, misfits: the row stays as it was', async () => {
    const s = spec('s', ['id bigint', 'n bigint', 'd double precision', 'j text'])
    using back = new WayBack([
      `CREATE TABLE s (id INTEGER PRIMARY KEY, n INTEGER NOT NULL ON CONFLICT REPLACE DEFAULT 7 CHECK (n < 100),
         d REAL CHECK (json_extract(j, '$.a') > 0), j ANY) STRICT`,
      `INSERT INTO s VALUES (1, 1, 1.5, '{"a":1}'), (2, 2, 2.5, '{"a":2}'), (3, 3, 3.5, '{"a":3}')`,
    ])
    const before = dump(back.path).rows.s
    const applied = await back.apply({
      table: s,
      patches: [
        patch(s, key(1), { n: null }),
        patch(s, key(2), { n: '100' }),
        patch(s, key(3), { j: 'no JSON' }),
        { ...row(s, key(4), { id: '4', n: '4', j: '{"a":1}' }), misfits: [[2, 'NaN']] },
      ],
    })
    expect(applied).toMatchObject({ upserted: 0, quarantined: 4 })
    expect(dump(back.path).rows.s).toEqual(before)
    const { entries } = back.writer.aside(10)
    expect(entries.map(({ column }) => column)).toEqual(['n', '', '', 'd'])
    expect(entries[3]).toMatchObject({
      value: 'NaN',
      reason: 'd: SQLite cannot hold this value (double precision)',
    })
  })

  test('are forgotten with the way back', async () => {
    using back = twins()
    await back.apply({ table: T, patches: [patch(T, key(1), { v: 'CLEO' })] })
    const database = new Database(back.path)
    forgetAside(database)
    database.close()
    expect(back.writer.aside(9)).toEqual({ total: 0, entries: [] })
    expect(back.writer.position().token).toBe('token 1')
  })

  test('too many are no exception any more', async () => {
    using back = twins()
    const before = dump(back.path)
    const patches = Array.from({ length: 10_001 }, (_, i) =>
      row(T, key(i + 10), { id: String(i + 10), u: 'a', v: null, keep: '' }),
    )
    await expect(back.apply({ table: T, patches })).rejects.toMatchObject({ code: 'too_many_misfits' })
    expect(dump(back.path)).toEqual(before)
  })
})

interface State {
  readonly u: string | null
  readonly v: string | null
}

const value = fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'A', 'B'), { nil: null, freq: 6 })
const table = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.record({ u: value, v: value }))

const consistent = (rows: Readonly<Record<string, State>>): boolean => {
  const all = (values: (string | null | undefined)[]): boolean => {
    const some = values.filter((one) => one != null)
    return new Set(some).size === some.length
  }
  const states = Object.values(rows)
  return all(states.map(({ u }) => u)) && all(states.map(({ v }) => v?.toLowerCase()))
}

const SHAPES = [
  [
    'an INTEGER PRIMARY KEY',
    'id INTEGER PRIMARY KEY, u TEXT UNIQUE, v TEXT COLLATE NOCASE, keep TEXT',
    '',
    'i',
  ],
  ['a key of text', 'id TEXT PRIMARY KEY, u TEXT UNIQUE, v TEXT COLLATE NOCASE, keep TEXT', '', 't'],
  ['WITHOUT ROWID', 'id TEXT PRIMARY KEY, u TEXT UNIQUE, v TEXT COLLATE NOCASE, keep', 'WITHOUT ROWID', 't'],
] as const

test.each(SHAPES)(
  '%s: what is not set aside is as it should be, what is, as it was',
  async (_, columns, option, letter) => {
    using back = new WayBack([
      `CREATE TABLE t (${columns}) ${option}`,
      'CREATE UNIQUE INDEX v ON t (v) WHERE v IS NOT NULL',
    ])
    const planned = spec('t', [`id ${letter === 'i' ? 'bigint' : 'text'}`, 'u text', 'v text', 'keep text'], {
      rowid: option === '' ? 'rowid' : undefined,
    })
    const keyed = (id: string): string => JSON.stringify([letter + id])
    const place = option === '' ? 'rowid' : '0'
    /** By id: values and rowid. */
    const stored = (): Map<string, unknown[]> =>
      new Map(back.read(`SELECT id, u, v, keep, ${place} FROM t`).map((r) => [String(r[0]), r.slice(1)]))
    await fc.assert(
      fc.asyncProperty(table.filter(consistent), table, fc.func(fc.nat()), async (before, after, order) => {
        const gone = [...stored().keys()].map(keyed)
        const clean = back.writer.quarantined().flatMap(({ keys }) => keys)
        await back.apply({ table: planned, gone: [...new Set([...gone, ...clean])] })
        const first = Object.entries(before).map(([id, state]) =>
          row(planned, keyed(id), { id, ...state, keep: `kept ${id}` }),
        )
        await back.apply({ table: planned, patches: first })
        const was = stored()
        expect(was.size).toBe(first.length)
        const patches: RowPatch[] = Object.entries(after).flatMap(([id, { u, v }]) => {
          const old = before[id]
          if (old === undefined) return [row(planned, keyed(id), { id, u, v, keep: 'new' })]
          const values = { ...(old.u === u ? {} : { u }), ...(old.v === v ? {} : { v }) }
          return Object.keys(values).length === 0 ? [] : [patch(planned, keyed(id), values)]
        })
        patches.sort((one, other) => order(one.key) - order(other.key))
        const applied = await back.apply({
          table: planned,
          gone: Object.keys(before)
            .filter((id) => after[id] === undefined)
            .map(keyed),
          patches,
        })
        const aside = new Set(back.writer.quarantined().flatMap(({ keys }) => keys))
        expect(aside.size).toBe(applied.quarantined)
        if (consistent(after)) expect([...aside]).toEqual([])
        const now = stored()
        const ids = new Set([...Object.keys(before), ...Object.keys(after), ...now.keys()])
        for (const id of ids) {
          const [old, wanted, found] = [was.get(id), after[id], now.get(id)]
          if (aside.has(keyed(id))) expect([id, found]).toEqual([id, old])
          else if (wanted === undefined) expect([id, found]).toEqual([id, undefined])
          else if (old === undefined) expect(found?.slice(0, 3)).toEqual([wanted.u, wanted.v, 'new'])
          else expect(found).toEqual([wanted.u, wanted.v, old[2], old[3]])
        }
        expect(back.read('PRAGMA integrity_check')).toEqual([['ok']])
      }),
      { numRuns: process.env.SLIPWAY_TEST_FULL === '1' ? 3_000 : 100 },
    )
  },
)
