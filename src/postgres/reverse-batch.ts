import { Failure } from '../core/errors.ts'
import type { ReverseBatch, ReversePosition, ReverseTable, RowPatch } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { GONE, PATCHES } from './reverse-compare.ts'

/** Rows of a page, and about how many bytes they may weigh. */
const PAGE_ROWS = 500n
const PAGE_BYTES = 4 * 1024 * 1024
const PAGE_KEYS = 5_000n

/** Numbers of results, both included. */
export interface Extent {
  readonly first: bigint
  readonly last: bigint
  readonly bytes: number
}

export interface StoredTable {
  readonly table: TableSpec
  /** By which its results are found. */
  readonly place: number
  readonly patches: Extent | undefined
  readonly gone: Extent | undefined
}

export interface StoredBatchOptions {
  readonly connection: Connection
  /** Of the session that holds the results. */
  readonly generation: number
  readonly from: ReversePosition
  readonly to: ReversePosition
  readonly changes: number
  readonly tables: readonly StoredTable[]
}

/** Patches of a batch, fetched page by page out of the session that computed them. */
export class StoredBatch implements ReverseBatch {
  readonly from: ReversePosition
  readonly to: ReversePosition
  readonly changes: number
  readonly tables: readonly ReverseTable[]
  readonly #connection: Connection
  readonly #generation: number
  /** All the results of a small batch, by place: asked for once, since each answer takes its time. */
  #all: Promise<ReadonlyMap<number, SmallTable>> | undefined
  #open = true

  constructor({ connection, generation, from, to, changes, tables }: StoredBatchOptions) {
    this.#connection = connection
    this.#generation = generation
    this.from = from
    this.to = to
    this.changes = changes
    const small = isSmall(tables)
    this.tables = tables.map(({ table, place, gone, patches }) => ({
      table,
      gone: () => (small ? this.#small(place, 'gone') : this.#gone(gone)),
      patches: () => (small ? this.#small(place, 'patches') : this.#patches(patches)),
    }))
  }

  /** The next read takes the place of the results. */
  close(): void {
    this.#open = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  async #query(text: string, values: unknown[]): Promise<Record<string, string>[]> {
    if (!this.#open) throw new Error('the batch is closed: another one was read')
    return await this.#connection.use(async (client) => {
      if (this.#connection.generation !== this.#generation) {
        throw new Failure({
          code: 'reverse_batch_lost',
          policy: 'transient',
          message: 'the session that held a batch of the way back was lost: it is read again',
        })
      }
      return (await client.query(text, values)).rows
    })
  }

  async *#small<K extends keyof SmallTable>(place: number, kind: K): AsyncIterable<SmallTable[K]> {
    this.#all ??= this.#readAll()
    const found = (await this.#all).get(place)?.[kind]
    if (found !== undefined && found.length > 0) yield found
  }

  async #readAll(): Promise<ReadonlyMap<number, SmallTable>> {
    const rows = await this.#query(
      `SELECT tbl, false AS gone, key, is_new, marks, array_to_json(vals)::text AS vals, n FROM ${PATCHES}
       UNION ALL SELECT tbl, true, key, NULL, NULL, NULL, n FROM ${GONE} ORDER BY n`,
      [],
    )
    const found = new Map<number, { patches: RowPatch[]; gone: string[] }>()
    for (const row of rows as unknown as (StoredPatch & { tbl: number; gone: boolean })[]) {
      const of = found.get(row.tbl) ?? { patches: [], gone: [] }
      found.set(row.tbl, of)
      if (row.gone) of.gone.push(row.key)
      else of.patches.push(patchOf(row))
    }
    return found
  }

  async *#gone(extent: Extent | undefined): AsyncIterable<readonly string[]> {
    if (extent === undefined) return
    for (let first = extent.first; first <= extent.last; first += PAGE_KEYS) {
      const rows = await this.#query(`SELECT key FROM ${GONE} WHERE n >= $1 AND n < $2 ORDER BY n`, [
        first,
        first + PAGE_KEYS,
      ])
      yield rows.slice(0, Number(extent.last - first) + 1).map((row) => row.key as string)
    }
  }

  async *#patches(extent: Extent | undefined): AsyncIterable<readonly RowPatch[]> {
    if (extent === undefined) return
    for (let first = extent.first; first <= extent.last; ) {
      const most = extent.last - first + 1n
      // A row that is heavier than a page is one.
      const rows = await this.#query(
        `SELECT key, is_new, marks, array_to_json(vals)::text AS vals
         FROM (SELECT *, sum(weight) OVER (ORDER BY n) - weight AS before FROM ${PATCHES} WHERE n >= $1 AND n < $2) p
         WHERE before < ${PAGE_BYTES} ORDER BY n`,
        [first, first + (most < PAGE_ROWS ? most : PAGE_ROWS)],
      )
      yield rows.map((row) => patchOf(row as unknown as StoredPatch))
      first += BigInt(rows.length)
    }
  }
}

interface SmallTable {
  readonly patches: readonly RowPatch[]
  readonly gone: readonly string[]
}

/** All of it is not more than a page. */
function isSmall(tables: readonly StoredTable[]): boolean {
  const extents = tables.flatMap(({ patches, gone }) => [patches, gone]).filter((one) => one !== undefined)
  const sum = (of: (one: Extent) => number): number => extents.reduce((total, one) => total + of(one), 0)
  return (
    sum(({ first, last }) => Number(last - first + 1n)) <= PAGE_ROWS &&
    sum(({ bytes }) => bytes) <= PAGE_BYTES
  )
}

interface StoredPatch {
  readonly key: string
  readonly is_new: boolean
  readonly marks: string
  readonly vals: string
}

function patchOf({ key, is_new: isNew, marks, vals }: StoredPatch): RowPatch {
  const texts = JSON.parse(vals) as (string | null)[]
  const values: [number, string | null][] = []
  const misfits: [number, string][] = []
  for (let column = 0; column < marks.length; column++) {
    if (marks[column] === 'v') values.push([column, texts[column] ?? null])
    else if (marks[column] === 'm') misfits.push([column, texts[column] ?? ''])
  }
  return { key, isNew, values, misfits }
}
