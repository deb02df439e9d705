import { decodeKey, encodeKey, type KeyValue } from '../core/key.ts'
import type { Chunk, CopyRows, SnapshotSource } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { readHead } from './head.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, type Sqlite, sourceFailure } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'
import { asBytes, findMisfit, hasUnfitBytes, lineBytes, lineColumns, rowLine } from './rows.ts'

/** A chunk's encoded text stays near this, whatever its rows weigh. */
const CHUNK_BYTES = 8 * 1024 * 1024

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
  readonly #encoding: string
  readonly #chunkRows: number
  /** Capture is not installed in a copy made once: there is no changelog to read the head of. */
  readonly #captured: boolean

  constructor(
    database: Sqlite,
    options: { path: string; gate: ReaderGate; encoding: string; chunkRows: number; captured: boolean },
  ) {
    this.#database = database
    this.#path = options.path
    this.#gate = options.gate
    this.#encoding = options.encoding
    this.#chunkRows = options.chunkRows
    this.#captured = options.captured
  }

  head(): Checkpoint {
    return this.#captured ? readHead(this.#database) : { seq: 0n, mark: '' }
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
      return this.#database.transaction(() => this.#read(table, after, upTo))()
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#path, error) : error
    }
  }

  #read(table: TableSpec, after: string | undefined, upTo: string | undefined): Chunk {
    const scan = (table.rowid === undefined ? table.key.columns.map((c) => c.name) : [table.rowid]).map(
      (name) => `t.${quote(name)}`,
    )
    const list = scan.length === 1 ? (scan[0] as string) : `(${scan.join(', ')})`
    const marks = scan.length === 1 ? '?' : `(${scan.map(() => '?').join(', ')})`
    const from = after === undefined ? undefined : decodeKey(after)
    const to = upTo === undefined ? undefined : decodeKey(upTo)
    const ahead =
      [...(from ? [`${list} > ${marks}`] : []), ...(to ? [`${list} <= ${marks}`] : [])].join(' AND ') || '1'
    const aheadValues = [...(from ?? []), ...(to ?? [])]
    const order = scan.join(', ')
    const head = this.#captured ? readHead(this.#database).seq : 0n

    let rows = this.#chunkRows
    let end = this.#end(table, scan, ahead, aheadValues, order, rows)
    if (end.rows === 0) return { rows: NO_ROWS, aside: [], last: undefined, exhausted: true, head }
    // Few rows may weigh much: halve until the encoded chunk fits its bound, down to a single row.
    while (end.bytes > CHUNK_BYTES && end.rows > 1) {
      rows = Math.max(1, Math.min(end.rows >> 1, Math.floor((end.rows * CHUNK_BYTES) / end.bytes)))
      end = this.#end(table, scan, ahead, aheadValues, order, rows)
    }
    const exhausted = end.rows < rows
    const where = `${ahead} AND ${list} <= ${marks}`
    const values = [...aheadValues, ...end.last]
    // LIMIT keeps SQLite from merging the two SELECTs, which would encode each row once per aggregate.
    const encoded = this.#database
      .prepare(
        `SELECT count(*) AS rows, count(line) AS fit, ${asBytes('group_concat(line, char(10))', this.#encoding)} AS block
         FROM (SELECT ${rowLine(table, 't')} AS line FROM ${sourceTable(table.name)} AS t WHERE ${where} LIMIT -1)`,
      )
      .get(...values) as { rows: bigint; fit: bigint; block: Buffer | string | null }
    const block = encoded.block === null ? Buffer.alloc(0) : lineBytes(encoded.block)
    if (Number(encoded.rows) !== end.rows) {
      throw new Error(`${table.name}: a chunk of ${end.rows} rows came back with ${encoded.rows}`)
    }
    if (encoded.fit !== encoded.rows || hasUnfitBytes(block)) {
      throw findMisfit(this.#database, table, where, values)
    }
    return {
      rows: blockRows(block, Number(encoded.rows)),
      aside: [],
      last: encodeKey(end.last),
      exhausted,
      head,
    }
  }

  /** The key of the last of the next `rows` rows, how many there are, and about how long their text will be. */
  #end(
    table: TableSpec,
    scan: readonly string[],
    ahead: string,
    values: readonly KeyValue[],
    order: string,
    rows: number,
  ): { rows: number; bytes: number; last: KeyValue[] } {
    const weights = lineColumns(table)
      .filter((c) => !/^(bigint|integer|smallint|boolean|double precision|real|uuid|date)$/.test(c.type))
      .map((c) => `coalesce(octet_length(t.${quote(c.source)}),0)${c.type === 'bytea' ? '*2' : ''}`)
    const weight = weights.length === 0 ? '0' : weights.join('+')
    const source = `FROM ${sourceTable(table.name)} AS t WHERE ${ahead} ORDER BY ${order}`
    const sums = this.#database
      .prepare(
        `SELECT count(*) AS n, coalesce(sum(w), 0) AS bytes FROM (SELECT ${weight} AS w ${source} LIMIT ${rows})`,
      )
      .get(...values) as { n: bigint; bytes: bigint }
    const n = Number(sums.n)
    if (n === 0) return { rows: 0, bytes: 0, last: [] }
    const last = this.#database
      .prepare(`SELECT ${scan.join(', ')} ${source} LIMIT 1 OFFSET ${n - 1}`)
      .raw()
      .get(...values) as KeyValue[]
    // A text key that is not valid UTF-8 comes back as another text: the walk could not go on from it.
    if (last.some((value) => typeof value === 'string' && value.includes('\ufffd'))) {
      throw findMisfit(this.#database, table, ahead, values)
    }
    return { rows: n, bytes: Number(sums.bytes) + n * 16 * table.columns.length, last }
  }
}

const NEWLINE = Buffer.from('\n')
const NO_ROWS: CopyRows = { rows: 0, bytes: 0, read: () => [] }

function blockRows(block: Buffer, rows: number): CopyRows {
  return { rows, bytes: block.length + 1, read: () => [block, NEWLINE] }
}
