import { expect, test } from 'vitest'
import type { SetAside } from '../../src/core/ports.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { CopyWriter } from '../../src/postgres/copy.ts'
import { aside, Bench, type Cell, lines, table } from './bench.ts'

// The copy sets rows aside chunk by chunk; children look for their parents once all are in.

const P = table('p', ['id bigint', 'v text'])
const C = table('c', ['id bigint', 'p_id bigint'], {
  parents: [{ columns: ['p_id'], parent: 'p', parentColumns: ['id'] }],
})
const DDL = `
  CREATE TABLE p (id bigint PRIMARY KEY, v text CHECK (v <> 'bad'));
  CREATE TABLE c (id bigint PRIMARY KEY, p_id bigint)`

function sourceOf(spec: TableSpec, more: Partial<SourceTable> = {}): SourceTable {
  return {
    name: spec.name,
    columns: spec.columns.map((column) => ({
      name: column.name,
      declared: 'TEXT',
      notNull: false,
      defaultSql: null,
      primary: column.name === 'id' ? 1 : 0,
      generated: false,
      generatedSql: undefined,
      stored: false,
      collation: 'BINARY',
    })),
    checks: [],
    conflicts: [],
    withoutRowid: false,
    strict: false,
    autoincrement: false,
    indexes: [],
    foreignKeys: [],
    triggers: [],
    rowid: 'id',
    rowidColumn: 'id',
    sql: '',
    fingerprint: '',
    ...more,
  }
}

class Copy implements AsyncDisposable {
  readonly bench: Bench
  readonly writer: CopyWriter
  readonly #session: Connection
  readonly #last = new Map<string, string>()

  constructor(bench: Bench, sources: readonly SourceTable[]) {
    this.bench = bench
    this.#session = new Connection(bench.database.url, 'slipway bench copy 0')
    const planned = bench.tables.map((spec, i) => ({ spec, source: sources[i] ?? sourceOf(spec) }))
    this.writer = new CopyWriter(
      bench.connection,
      [this.#session],
      bench.control,
      planned,
      bench.tables,
      () => undefined,
    )
  }

  async begin(): Promise<void> {
    this.#last.clear()
    const parts = this.bench.tables.map((spec) => this.#part(spec))
    await this.writer.begin({ seq: 0n, mark: '' }, { parts, expected: new Map() }, 'x')
  }

  #part(spec: TableSpec) {
    const part = { table: spec.name, part: 0, lower: undefined, upper: undefined, rows: 0, done: false }
    return { ...part, last: this.#last.get(spec.name) }
  }

  async chunk(
    spec: TableSpec,
    rows: readonly (readonly Cell[])[],
    asides: readonly SetAside[] = [],
  ): Promise<void> {
    const last = `["i${Number(this.#last.get(spec.name)?.slice(3, -2) ?? 0) + 1}"]`
    const chunk = { rows: lines(rows), aside: asides, last, exhausted: false, head: 0n }
    await this.writer.writeChunk(spec, this.#part(spec), chunk)
    this.#last.set(spec.name, last)
  }

  async shown(): Promise<string[]> {
    return (await this.bench.entries()).map((entry) => `${entry.table} ${entry.key} ${entry.kind}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close()
  }
}

test('misfits and refusals of chunks, and children at the end', async () => {
  await using bench = await Bench.open(DDL, [P, C])
  await using copy = new Copy(bench, [])
  await copy.begin()
  await copy.chunk(C, [
    [1, 1],
    [2, 2],
    [3, 3],
    [4, null],
  ])
  await copy.chunk(
    P,
    [
      [1, 'bad'],
      [3, 'c'],
    ],
    [aside(2n, 'v', 'a blob value', "x'00'")],
  )
  expect(await copy.shown()).toEqual(['p id=1 refused', 'p id=2 misfit'])
  await copy.writer.settle()
  expect(await copy.shown()).toEqual(['c id=1 parent', 'c id=2 parent', 'p id=1 refused', 'p id=2 misfit'])
  expect(await bench.rows('SELECT id FROM c ORDER BY id')).toEqual([['3'], ['4']])
  // A key that comes again, since its row moved meanwhile, leaves what it was.
  await copy.chunk(P, [[2, 'fits']])
  expect(await copy.shown()).toEqual(['c id=1 parent', 'c id=2 parent', 'p id=1 refused'])
  // A new copy starts from nothing.
  await copy.begin()
  expect(await copy.shown()).toEqual([])
})

test('a table of ours, copied straight in, and a chunk of it that holds a misfit', async () => {
  const own = table('o', ['id bigint', 'j json'], { owned: true })
  const kept: TableSpec = {
    ...own,
    columns: own.columns.map((column) =>
      column.name === 'j' ? { ...column, misfit: 'quarantine' } : column,
    ),
  }
  await using bench = await Bench.open('SELECT 1', [kept])
  await using copy = new Copy(bench, [])
  await copy.begin()
  await copy.chunk(kept, [
    [1, '[]'],
    [2, '[]'],
  ])
  await copy.chunk(kept, [
    [3, '[]'],
    [4, 'no json'],
  ])
  await copy.chunk(kept, [[5, '[]']], [aside(6n, 'j', 'a blob value', "x'00'")])
  expect(await bench.rows('SELECT id FROM o ORDER BY id')).toEqual([['1'], ['2'], ['3'], ['5']])
  expect(await copy.shown()).toEqual(['o id=4 refused', 'o id=6 misfit'])
})

test('a unique of the source moves from row to row while it is copied; one of the target alone is judged', async () => {
  const u = table('u', ['id bigint', 's text', 't text'])
  await using bench = await Bench.open(
    'CREATE TABLE u (id bigint PRIMARY KEY, s text UNIQUE, t text UNIQUE)',
    [u],
  )
  const part = { column: 's', expression: undefined, collation: 'BINARY', descending: false }
  const unique = { name: 'u_s', unique: true, origin: 'c' as const, parts: [part], where: undefined }
  await using copy = new Copy(bench, [sourceOf(u, { indexes: [unique] })])
  await copy.begin()
  await copy.chunk(u, [
    [1, 'a', 'x'],
    [2, 'b', 'y'],
  ])
  // 1 gave its `a` away before this chunk was read, so it is in the changelog; nobody gave `y` away.
  await copy.chunk(u, [
    [3, 'a', 'z'],
    [4, 'd', 'y'],
  ])
  expect(await bench.rows('SELECT id FROM u ORDER BY id')).toEqual([['2'], ['3']])
  expect(await copy.shown()).toEqual(['u id=4 duplicate'])
})
