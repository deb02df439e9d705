import { describe, expect, test } from 'vitest'
import { decodeKey } from '../../src/core/key.ts'
import type { Applied, KeySet } from '../../src/core/ports.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import type { DuplicatesPolicy, TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { CopyWriter } from '../../src/postgres/copy.ts'
import { Bench, keysOf, lines, table } from './bench.ts'

// Uniques that the target has and the source does not keep: which row stays is a function of the rows alone,
// whenever each of them came, and what gave way comes back when nothing is in its way any more.

/** More of them with SLIPWAY_TEST_FULL=1. */
const STEPS = process.env.SLIPWAY_TEST_FULL === '1' ? 60 : 25

const DDL = `
  CREATE TABLE d (k text PRIMARY KEY, a text UNIQUE, b integer, c text);
  CREATE UNIQUE INDEX d_b ON d (b, (a IS NULL)) WHERE b > 0;
  CREATE UNIQUE INDEX d_c ON d (lower(c))`

function spec(duplicates: DuplicatesPolicy | undefined): TableSpec {
  return table('d', ['k text', 'a text', 'b integer', 'c text'], { duplicates })
}

type Row = readonly [k: string, a: string | null, b: number | null, c: string | null]

/** The values that a row claims, each a name of its own. */
function claims([, a, b, c]: Row): string[] {
  return [
    ...(a === null ? [] : [`a ${a}`]),
    ...(b === null || b <= 0 ? [] : [`b ${b} ${a === null}`]),
    ...(c === null ? [] : [`c ${c.toLowerCase()}`]),
  ]
}

/** What stays: each row, in the order of the keys' bytes, that claims nothing which one before it has. */
function expected(rows: Iterable<Row>, policy: 'first' | 'last'): string[] {
  const sorted = [...rows].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  if (policy === 'last') sorted.reverse()
  const taken = new Set<string>()
  const stays = sorted.filter((row) => {
    if (claims(row).some((claim) => taken.has(claim))) return false
    for (const claim of claims(row)) taken.add(claim)
    return true
  })
  return stays.map((row) => JSON.stringify(row)).sort()
}

function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** A source that is only a map; `send` brings some of its keys as a batch would. */
class Model {
  readonly rows = new Map<string, Row>()
  readonly bench: Bench
  readonly spec: TableSpec
  #due = new Set<string>()

  constructor(bench: Bench, of: TableSpec) {
    this.bench = bench
    this.spec = of
  }

  async send(keys: Iterable<string>): Promise<Applied> {
    const touched = [...new Set(keys)]
    const applied = await this.bench.apply({
      table: this.spec,
      rows: touched.flatMap((key) => (this.rows.has(key) ? [this.rows.get(key) as Row] : [])),
      gone: touched.filter((key) => !this.rows.has(key)).map((key) => [key]),
    })
    this.#due = new Set(keysOf(applied.retry, 'd').map((key) => String(decodeKey(key)[0])))
    return applied
  }

  get due(): string[] {
    return [...this.#due]
  }

  /** Until nothing is due; at most as many rounds as rows could give way one after the other. */
  async drain(choose: (due: string[]) => string[] = (due) => due): Promise<void> {
    for (let round = 0; this.#due.size > 0; round++) {
      if (round > 300) throw new Error(`still due: ${this.due}`)
      await this.send(choose(this.due))
    }
  }

  async target(): Promise<string[]> {
    const rows = await this.bench.rows('SELECT k, a, b, c FROM d')
    return rows.map((row) => JSON.stringify(row)).sort()
  }
}

async function shuffle(policy: DuplicatesPolicy, seed: number): Promise<Model> {
  const of = spec(policy)
  const bench = await Bench.open(DDL, [of])
  const model = new Model(bench, of)
  const below = random(seed)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T
  const keys = Array.from({ length: 14 }, (_, i) => `${pick(['k', 'K', 'é', 'z'])}${i}`)
  for (let step = 0; step < STEPS; step++) {
    const touched = Array.from({ length: 1 + below(5) }, () => pick(keys))
    for (const key of touched) {
      if (below(4) === 0) model.rows.delete(key)
      else {
        model.rows.set(key, [
          key,
          pick(['x', 'y', 'z', 'w', null]),
          pick([null, 0, 1, 2, 3]),
          pick(['p', 'P', 'q', 'r', 'R', null, null]),
        ])
      }
    }
    // What is due comes with the next changes, or by itself, all of it or one row.
    if (below(3) === 0) await model.send([...touched, ...model.due])
    else {
      await model.send(touched)
      if (below(3) > 0) await model.drain((due) => (below(2) === 0 ? due : [pick(due)]))
    }
  }
  await model.drain()
  return model
}

describe.for([1, 2, 3, 4])('seed %i', (seed) => {
  test.for(['first', 'last'] as const)(
    '%s: the same rows stay as if all had come at once',
    { timeout: 60_000 },
    async (policy) => {
      const model = await shuffle(policy, seed)
      await using bench = model.bench
      expect(await model.target()).toEqual(expected(model.rows.values(), policy))
      const entries = await bench.entries()
      const stays = (await bench.rows('SELECT k FROM d')).length
      expect(entries.length + stays).toBe(model.rows.size)
      for (const entry of entries) expect(entry).toMatchObject({ kind: 'duplicate', blocking: false })
    },
  )

  test('fail: no value twice, nothing lost, nothing aside without a reason', {
    timeout: 60_000,
  }, async () => {
    const model = await shuffle('fail', seed)
    await using bench = model.bench
    const target = await model.target()
    const there = new Set(target.map((text) => (JSON.parse(text) as Row)[0]))
    const taken = new Set(target.flatMap((text) => claims(JSON.parse(text) as Row)))
    for (const text of target) expect(JSON.stringify(model.rows.get((JSON.parse(text) as Row)[0]))).toBe(text)
    for (const [key, row] of model.rows)
      if (!there.has(key))
        expect(
          claims(row).some((claim) => taken.has(claim)),
          key,
        ).toBe(true)
    for (const entry of await bench.entries())
      expect(entry).toMatchObject({ kind: 'duplicate', blocking: true })
  })
})

test('fail: the row that is there stays, whatever its key; the newcomer comes in when it goes', async () => {
  const of = spec('fail')
  await using bench = await Bench.open(DDL, [of])
  await bench.apply({ table: of, rows: [['m', 'x', null, null]] })
  await bench.apply({
    table: of,
    rows: [
      ['a', 'x', null, null],
      ['m', 'x', 1, null],
      ['z', 'x', null, null],
    ],
  })
  expect(await bench.rows('SELECT k, b FROM d')).toEqual([['m', 1]])
  expect(await bench.entries()).toMatchObject([
    {
      key: "k='a'",
      column: 'a',
      kind: 'duplicate',
      value: "'x'",
      reason: expect.stringContaining("k='m' has this one"),
    },
    { key: "k='z'" },
  ])
  // A change of the winner that keeps its value changes nothing for the others.
  expect((await bench.apply({ table: of, rows: [['m', 'x', 2, null]] })).retry).toEqual([])
  const { retry } = await bench.apply({ table: of, rows: [['m', 'y', 2, null]] })
  expect(keysOf(retry, 'd').sort()).toEqual(['["ta"]', '["tz"]'])
})

test('what is due stays due until it comes again', async () => {
  const of = spec('first')
  await using bench = await Bench.open(DDL, [of])
  await bench.apply({
    table: of,
    rows: [
      ['1', 'x', null, null],
      ['2', 'x', null, null],
    ],
  })
  const due: KeySet[] = [{ table: 'd', keys: ['["t2"]'] }]
  expect((await bench.apply({ table: of, gone: [['1']] })).retry).toEqual(due)
  expect((await bench.apply({ table: of, rows: [['9', 'w', null, null]] })).retry).toEqual(due)
  expect((await bench.apply({ table: of, rows: [['2', 'x', null, null]] })).retry).toEqual([])
  expect(await bench.rows('SELECT k FROM d ORDER BY k')).toEqual([['2'], ['9']])
})

test('an equality that is wider than bytes, and one that was made after the start', async () => {
  const of = table('n', ['id bigint', 'v numeric', 'w text'], { duplicates: 'first' })
  await using bench = await Bench.open('CREATE TABLE n (id bigint PRIMARY KEY, v numeric UNIQUE, w text)', [
    of,
  ])
  await bench.client.query(
    `CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     CREATE UNIQUE INDEX ON n (w COLLATE folded)`,
  )
  await bench.apply({
    table: of,
    rows: [
      [2, '1.0', 'Abc'],
      [1, '1.00', 'x'],
      [3, '5', 'aBC'],
    ],
  })
  expect(await bench.rows('SELECT id FROM n ORDER BY id')).toEqual([['1'], ['3']])
  expect(await bench.entries()).toMatchObject([{ key: 'id=2', column: 'v' }])
  await bench.apply({ table: of, rows: [[2, '7', 'Abc']] })
  expect(await bench.rows('SELECT id FROM n ORDER BY id')).toEqual([['1'], ['2']])
})

test.for(['first', 'last'] as const)(
  'chunks of a copy, several at once: %s',
  { timeout: 60_000 },
  async (policy) => {
    const of = spec(policy)
    await using bench = await Bench.open(DDL, [of])
    const source: SourceTable = {
      name: 'd',
      columns: [],
      withoutRowid: false,
      strict: false,
      autoincrement: false,
      indexes: [],
      checks: [],
      conflicts: [],
      foreignKeys: [],
      triggers: [],
      rowid: 'rowid',
      rowidColumn: undefined,
      sql: '',
      fingerprint: '',
    }
    const sessions = [0, 1, 2].map((i) => new Connection(bench.database.url, `slipway bench copy ${i}`))
    try {
      const writer = new CopyWriter(
        bench.connection,
        sessions,
        bench.control,
        [{ source, spec: of }],
        [],
        () => undefined,
      )
      const below = random(11)
      const rows = Array.from(
        { length: 480 },
        (_, i): Row => [
          `k${i}`,
          `a${below(700)}`,
          below(3) === 0 ? below(600) : null,
          below(2) === 0 ? `${below(2) === 0 ? 'c' : 'C'}${below(900)}` : null,
        ],
      )
      const parts = [0, 1, 2].map((part) => ({
        table: 'd',
        part,
        lower: undefined,
        upper: undefined,
        last: undefined,
        rows: 0,
        done: false,
      }))
      await writer.begin({ seq: 0n, mark: '' }, { parts, expected: new Map() }, 'x')
      await Promise.all(
        parts.map(async (part) => {
          const mine = rows.filter((_, i) => i % 3 === part.part)
          for (let at = 0, last: string | undefined; at < mine.length; at += 40) {
            const chunk = mine.slice(at, at + 40)
            const next = `["i${at}"]`
            const exhausted = at + 40 >= mine.length
            await writer.writeChunk(
              of,
              { ...part, last },
              { rows: lines(chunk), aside: [], last: next, exhausted, head: 0n },
            )
            last = next
          }
        }),
      )
      await writer.settle()
      const model = new Model(bench, of)
      for (const row of rows) model.rows.set(row[0], row)
      await model.send(['nobody'])
      await model.drain()
      expect(await model.target()).toEqual(expected(rows, policy))
      expect((await bench.entries()).length + (await model.target()).length).toBe(rows.length)
    } finally {
      for (const session of sessions) await session.close()
    }
  },
)
