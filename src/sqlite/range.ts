import { decodeKey, encodeKey, type KeyValue } from '../core/key.ts'
import type { Chunk, CopyRows } from '../core/ports.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { lineFits, readAside } from './aside.ts'
import { readHead } from './head.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import { asBytes, hasUnfitBytes, lineBytes, lineColumns, misfit, rowLine } from './rows.ts'

/** A chunk's encoded text stays near this, whatever its rows weigh: several of them are in memory at once. */
const CHUNK_BYTES = 4 * 1024 * 1024
/** The first rows of a range tell about how many it may have; weighing all that it may not would be read for nothing. */
const SAMPLE_ROWS = 200

export interface RangeOptions {
  readonly encoding: string
  readonly chunkRows: number
  /** Capture is not installed in a copy made once: there is no changelog to read the head of. */
  readonly captured: boolean
}

/**
 * The next rows of a table with a scan key in (after, upTo], encoded, in the caller's read transaction: at most
 * `chunkRows`, and fewer where rows weigh much.
 */
export function readRange(
  database: Sqlite,
  table: TableSpec,
  after: string | undefined,
  upTo: string | undefined,
  options: RangeOptions,
): Chunk {
  const scan = scanColumns(table)
  const list = scan.length === 1 ? (scan[0] as string) : `(${scan.join(', ')})`
  const marks = scan.length === 1 ? '?' : `(${scan.map(() => '?').join(', ')})`
  const from = after === undefined ? undefined : decodeKey(after)
  const to = upTo === undefined ? undefined : decodeKey(upTo)
  const ahead =
    [...(from ? [`${list} > ${marks}`] : []), ...(to ? [`${list} <= ${marks}`] : [])].join(' AND ') || '1'
  const aheadValues = [...(from ?? []), ...(to ?? [])]
  const head = options.captured ? readHead(database).seq : 0n

  const end = (limit: number): RangeEnd => rangeEnd(database, table, ahead, aheadValues, limit)
  const sample = Math.min(options.chunkRows, SAMPLE_ROWS)
  let rows = sample
  let found = end(rows)
  if (found.rows === 0) return { rows: NO_ROWS, aside: [], last: undefined, exhausted: true, head }
  // A little less than would fit by the sample: too much would have to be weighed again.
  const likely = Math.min(options.chunkRows, Math.floor((0.8 * sample * CHUNK_BYTES) / found.bytes))
  if (found.rows === sample && likely > sample) {
    rows = likely
    found = end(rows)
  }
  // Few rows may weigh much: halve until the encoded chunk fits its bound, down to a single row.
  while (found.bytes > CHUNK_BYTES && found.rows > 1) {
    rows = Math.max(1, Math.min(found.rows >> 1, Math.floor((found.rows * CHUNK_BYTES) / found.bytes)))
    found = end(rows)
  }
  const exhausted = found.rows < rows
  const source = `FROM ${sourceTable(table.name)} AS t WHERE ${ahead} AND ${list} <= ${marks}`
  const values = [...aheadValues, ...found.last]
  const last = encodeKey(found.last)
  const line = rowLine(table, 't')
  // LIMIT keeps SQLite from merging the two SELECTs, which would encode each row once per aggregate.
  const block = readBlock(database, options.encoding, `SELECT ${line} AS line ${source} LIMIT -1`, values)
  if (block.all !== found.rows) {
    throw new Error(`${table.name}: a chunk of ${found.rows} rows came back with ${block.all}`)
  }
  if (block.fit === block.all && !hasUnfitBytes(block.bytes)) {
    return { rows: blockRows(block.bytes, block.all), aside: [], last, exhausted, head }
  }
  const aside = readAside(database, table, options.encoding, source, values)
  const fitting = readBlock(
    database,
    options.encoding,
    `SELECT line FROM (SELECT ${line} AS line ${source} LIMIT -1) WHERE ${lineFits('line')}`,
    values,
  )
  return { rows: blockRows(fitting.bytes, fitting.all), aside, last, exhausted, head }
}

/** What the copy walks a table by: the rowid, the order of its pages, or the key where there is none. */
export function scanColumns(table: TableSpec): string[] {
  const names = table.rowid === undefined ? table.key.columns.map((column) => column.name) : [table.rowid]
  return names.map((name) => `t.${quote(name)}`)
}

function readBlock(
  database: Sqlite,
  encoding: string,
  lines: string,
  values: readonly KeyValue[],
): { all: number; fit: number; bytes: Buffer } {
  const read = database
    .prepare(
      `SELECT count(*) AS n, count(line) AS fit, ${asBytes('group_concat(line, char(10))', encoding)} AS block FROM (${lines})`,
    )
    .get(...values) as { n: bigint; fit: bigint; block: Buffer | string | null }
  return {
    all: Number(read.n),
    fit: Number(read.fit),
    bytes: read.block === null ? Buffer.alloc(0) : lineBytes(read.block),
  }
}

interface RangeEnd {
  readonly rows: number
  readonly bytes: number
  readonly last: KeyValue[]
}

/** The key of the last of the next `rows` rows, how many there are, and about how long their text will be. */
function rangeEnd(
  database: Sqlite,
  table: TableSpec,
  ahead: string,
  values: readonly KeyValue[],
  rows: number,
): RangeEnd {
  const scan = scanColumns(table).join(', ')
  const weights = lineColumns(table)
    .filter((c) => !/^(bigint|integer|smallint|boolean|double precision|real|uuid|date)$/.test(c.type))
    .map((c) => `coalesce(octet_length(t.${quote(c.source)}),0)${c.type === 'bytea' ? '*2' : ''}`)
  const weight = weights.length === 0 ? '0' : weights.join('+')
  const source = `FROM ${sourceTable(table.name)} AS t WHERE ${ahead} ORDER BY ${scan}`
  // The greatest rowid is the last one; what is greatest of another key depends on its collation.
  const rowid = table.rowid === undefined ? 'NULL' : scan
  const sums = database
    .prepare(
      `SELECT count(*) AS n, coalesce(sum(w), 0) AS bytes, max(k) AS k FROM (SELECT ${weight} AS w, ${rowid} AS k ${source} LIMIT ${rows})`,
    )
    .get(...values) as { n: bigint; bytes: bigint; k: bigint | null }
  const n = Number(sums.n)
  if (n === 0) return { rows: 0, bytes: 0, last: [] }
  const last =
    sums.k !== null
      ? [sums.k]
      : (database
          .prepare(`SELECT ${scan} ${source} LIMIT 1 OFFSET ${n - 1}`)
          .raw()
          .get(...values) as KeyValue[])
  // A text key that is not valid UTF-8 comes back as another text: the walk could not go on from it.
  const lost = last.find((value) => typeof value === 'string' && value.includes('\ufffd'))
  if (lost !== undefined) {
    const why = 'the table is walked by this key, and its text may not be valid UTF-8'
    throw misfit(table, table.key.columns[0]?.name ?? '', 'a key', 'a row', String(lost), why)
  }
  return { rows: n, bytes: Number(sums.bytes) + n * 16 * table.columns.length, last }
}

const NEWLINE = Buffer.from('\n')
const NO_ROWS: CopyRows = { rows: 0, bytes: 0, read: () => [] }

function blockRows(block: Buffer, rows: number): CopyRows {
  if (rows === 0) return NO_ROWS
  return { rows, bytes: block.length + 1, read: () => [block, NEWLINE] }
}
