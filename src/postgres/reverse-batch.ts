import { Failure } from '../core/errors.ts'
import type { ReverseBatch, ReversePosition, ReverseTable, RowPatch } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { RESULTS } from './reverse-compare.ts'

/** Rows of a page, and about how many bytes they may weigh. */
const PAGE_ROWS = 500
const PAGE_BYTES = 4 * 1024 * 1024
const PAGE_KEYS = 5_000

export interface StoredBatchOptions {
  readonly connection: Connection
  /** Of the session that holds the results. */
  readonly generation: number
  readonly from: ReversePosition
  readonly to: ReversePosition
  readonly changes: number
  /** By their places in the results. */
  readonly tables: ReadonlyMap<number, TableSpec>
}

/** Patches of a batch, fetched page by page out of the session that computed them. */
export class StoredBatch implements ReverseBatch {
  readonly from: ReversePosition
  readonly to: ReversePosition
  readonly changes: number
  readonly tables: readonly ReverseTable[]
  readonly #connection: Connection
  readonly #generation: number
  #open = true

  constructor({ connection, generation, from, to, changes, tables }: StoredBatchOptions) {
    this.#connection = connection
    this.#generation = generation
    this.from = from
    this.to = to
    this.changes = changes
    this.tables = [...tables].map(([place, table]) => ({
      table,
      gone: () => this.#gone(place),
      patches: () => this.#patches(place),
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

  async *#gone(place: number): AsyncIterable<readonly string[]> {
    for (let last = '0'; ; ) {
      const rows = await this.#query(
        `SELECT n, key FROM ${RESULTS} WHERE tbl = $1 AND gone AND n > $2 ORDER BY n LIMIT ${PAGE_KEYS}`,
        [place, last],
      )
      if (rows.length > 0) yield rows.map((row) => row.key as string)
      if (rows.length < PAGE_KEYS) return
      last = rows.at(-1)?.n as string
    }
  }

  async *#patches(place: number): AsyncIterable<readonly RowPatch[]> {
    for (let last = '0'; ; ) {
      const sizes = await this.#query(
        `SELECT n, weight FROM ${RESULTS} WHERE tbl = $1 AND NOT gone AND n > $2 ORDER BY n LIMIT ${PAGE_ROWS}`,
        [place, last],
      )
      if (sizes.length === 0) return
      let count = 0
      for (let bytes = 0; count < sizes.length; count++) {
        bytes += Number(sizes[count]?.weight)
        if (bytes > PAGE_BYTES && count > 0) break
      }
      const end = sizes[count - 1]?.n as string
      const rows = await this.#query(
        `SELECT key, is_new, marks, array_to_json(vals)::text AS vals FROM ${RESULTS}
         WHERE tbl = $1 AND NOT gone AND n > $2 AND n <= $3 ORDER BY n`,
        [place, last, end],
      )
      yield rows.map((row) => patchOf(row as unknown as StoredPatch))
      if (count === sizes.length && count < PAGE_ROWS) return
      last = end
    }
  }
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
