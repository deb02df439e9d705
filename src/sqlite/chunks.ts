import { encodeKey } from '../core/key.ts'
import type { Chunk, SnapshotSource } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { readHead } from './head.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, type Sqlite, sourceFailure } from './open.ts'
import { type RangeOptions, readRange } from './range.ts'
import type { ReaderGate } from './reader-gate.ts'

/**
 * Reads the snapshot: key ranges of a table, each in a read transaction of its own that ends before anything
 * is sent (trap C20). SQLite encodes the whole chunk; JavaScript receives one block of bytes.
 *
 * A table with a rowid is walked by rowid, the order of its pages, also where its key is another column: a row
 * whose rowid changes meanwhile is in the changelog.
 */
export class ChunkReader implements SnapshotSource {
  readonly #database: Sqlite
  readonly #path: string
  readonly #gate: ReaderGate
  readonly #range: RangeOptions

  constructor(
    database: Sqlite,
    options: { readonly path: string; readonly gate: ReaderGate } & RangeOptions,
  ) {
    this.#database = database
    this.#path = options.path
    this.#gate = options.gate
    this.#range = options
  }

  head(): Checkpoint {
    return this.#range.captured ? readHead(this.#database) : { seq: 0n, mark: '' }
  }

  estimateRows(table: TableSpec): number {
    const sql =
      table.rowid === undefined
        ? `SELECT count(*) FROM ${sourceTable(table.name)}`
        : // Both ends are found without a scan. Gaps make it too high, so small tables are counted.
          `SELECT coalesce(max(r) - min(r) + 1, 0) FROM (SELECT min(${quote(table.rowid)}) AS r FROM ${sourceTable(table.name)}
           UNION ALL SELECT max(${quote(table.rowid)}) FROM ${sourceTable(table.name)})`
    const estimate = Number(this.#database.prepare(sql).pluck().get() ?? 0)
    if (table.rowid === undefined || estimate <= 1) return estimate
    const counted = this.#database
      .prepare(`SELECT count(*) FROM (SELECT 1 FROM ${sourceTable(table.name)} LIMIT 200000)`)
      .pluck()
      .get()
    return Number(counted) < 200_000 ? Number(counted) : estimate
  }

  split(table: TableSpec, parts: number): { lower: string | undefined; upper: string | undefined }[] {
    const whole = [{ lower: undefined, upper: undefined }]
    if (table.rowid === undefined || parts < 2) return whole
    const rowid = quote(table.rowid)
    const low = this.#database
      .prepare(`SELECT min(${rowid}) FROM ${sourceTable(table.name)}`)
      .pluck()
      .get() as bigint | null
    const high = this.#database
      .prepare(`SELECT max(${rowid}) FROM ${sourceTable(table.name)}`)
      .pluck()
      .get() as bigint | null
    if (low === null || high === null || high - low < BigInt(parts)) return whole
    const cuts = Array.from(
      { length: parts - 1 },
      (_, i) => low + ((high - low) * BigInt(i + 1)) / BigInt(parts),
    )
    const keys = cuts.map((cut) => encodeKey([cut]))
    return [undefined, ...keys].map((lower, i) => ({ lower, upper: keys[i] }))
  }

  async readChunk(
    table: TableSpec,
    after: string | undefined,
    upTo: string | undefined,
    signal: AbortSignal,
  ): Promise<Chunk> {
    await this.#gate.pass(signal)
    signal.throwIfAborted()
    try {
      return this.#database.transaction(() => readRange(this.#database, table, after, upTo, this.#range))()
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#path, error) : error
    }
  }
}
