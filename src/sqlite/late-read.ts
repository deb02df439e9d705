import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { TableBatch } from '../core/ports.ts'
import type { Seq } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { readAside, readNullKeys } from './aside.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import { asBytes, hasUnfitBytes, keyLine, lineBytes, rowLine } from './rows.ts'
import type { Spool, SpoolSection } from './spool.ts'

/** Lines are handed to the spool in blocks of this size. */
const BLOCK_BYTES = 256 * 1024
/** A long read lets others of this process run about this often. */
const YIELD_MS = 40

export interface LateReadOptions {
  readonly after: Seq
  readonly upTo: Seq
  /** Encoded keys that are read although nobody changed them. */
  readonly also: readonly string[]
  readonly encoding: string
  readonly spool: Spool
}

/**
 * The rows of one table that changed between two positions, as the caller's read transaction shows them: there, gone,
 * or such that the target cannot hold them.
 */
export async function lateRead(
  database: Sqlite,
  table: TableSpec,
  options: LateReadOptions,
): Promise<TableBatch> {
  return (
    (await readLines(database, table, options, false)) ??
    ((await readLines(database, table, options, true)) as TableBatch)
  )
}

/** Undefined where a misfit was met and `careful` is not set: then all is read again, each line by itself. */
async function readLines(
  database: Sqlite,
  table: TableSpec,
  { after, upTo, also, encoding, spool }: LateReadOptions,
  careful: boolean,
): Promise<TableBatch | undefined> {
  const keys = keysSql(table, also.length > 0)
  const parameters = [after, upTo, table.name, ...(also.length > 0 ? [JSON.stringify(also)] : [])]
  const join = joinSql(table)
  const present = `t.${quote(table.rowid ?? (table.key.columns[0]?.name as string))} IS NOT NULL`
  const nullKey = table.key.columns.map((_, index) => `c.k${index} IS NULL`).join(' OR ')
  const statement = database
    .prepare(
      `SELECT ${asBytes(
        keyLine(table, (i) => `c.k${i}`),
        encoding,
      )}, ${present}, ${asBytes(rowLine(table, 't'), encoding)}, ${nullKey}
       FROM (${keys}) AS c LEFT JOIN ${sourceTable(table.name)} AS t ON ${join}`,
    )
    .raw()
  const gone = new LineCollector(spool.section())
  const upserts = new LineCollector(spool.section())
  let since = Date.now()
  let seen = 0
  let nulls = false
  const rows = statement.iterate(...parameters) as IterableIterator<
    [Buffer | string | null, bigint, Buffer | string | null, bigint]
  >
  for (const [key, exists, line, hasNull] of rows) {
    if (hasNull === 1n) nulls = true
    // A key that the target cannot hold and whose row is gone was never there.
    else if (key === null && exists === 0n) continue
    else {
      const wanted = exists === 1n ? (key === null ? null : line) : key
      const bytes = wanted === null ? null : lineBytes(wanted)
      const fits = bytes !== null && !(careful && hasUnfitBytes(bytes))
      if (fits) (exists === 1n ? upserts : gone).add(bytes)
      else if (!careful) return undefined
    }
    if ((++seen & 255) === 0 && Date.now() - since > YIELD_MS) {
      await yieldToOthers()
      since = Date.now()
    }
  }
  if (gone.end() || upserts.end()) return undefined
  const aside = nulls ? readNullKeys(database, table) : []
  if (careful) {
    const from = `FROM (${keys}) AS c JOIN ${sourceTable(table.name)} AS t ON ${join} WHERE 1`
    aside.push(...readAside(database, table, encoding, from, parameters))
  }
  return { table, aside, gone: gone.section, upserts: upserts.section }
}

function keysSql(table: TableSpec, also: boolean): string {
  const names = table.key.columns.map((_, index) => `k${index}`)
  // 1 and 1.0 are equal and two keys.
  const classes = table.key.columns.flatMap((c, i) =>
    c.type === 'bigint' && c.target === HIDDEN_KEY ? [] : [`typeof(k${i}) AS c${i}`],
  )
  const list = [...names, ...classes].join(', ')
  const logged = `SELECT DISTINCT ${list} FROM main._slipway_changelog WHERE seq > ? AND seq <= ? AND tbl = ?`
  if (!also) return logged
  const decoded = names.map((name, index) => `${decodeSql(`json_extract(value, '$[${index}]')`)} AS ${name}`)
  return `${logged} UNION SELECT ${list} FROM (SELECT ${decoded.join(', ')} FROM json_each(?))`
}

/** Those of the encoded keys that have no row. */
export function absentKeys(database: Sqlite, table: TableSpec, keys: readonly string[]): string[] {
  const decoded = table.key.columns.map(
    (_, index) => `${decodeSql(`json_extract(value, '$[${index}]')`)} AS k${index}`,
  )
  return database
    .prepare(
      `SELECT c.value FROM (SELECT value, ${decoded.join(', ')} FROM json_each(?)) AS c
       WHERE NOT EXISTS (SELECT 1 FROM ${sourceTable(table.name)} AS t WHERE ${joinSql(table)})`,
    )
    .pluck()
    .all(JSON.stringify(keys)) as string[]
}

/** SQL of an encoded key's column (core/key.ts). */
function decodeSql(x: string): string {
  const rest = `substr(${x},2)`
  return (
    `CASE substr(${x},1,1) WHEN 'i' THEN CAST(${rest} AS INTEGER) WHEN 't' THEN ${rest} WHEN 'b' THEN unhex(${rest}) ` +
    `WHEN 'r' THEN slipway_double(${rest}) WHEN 'u' THEN CAST(unhex(${rest}) AS TEXT) END`
  )
}

/** The column's own collation finds the row through its index, the bytes then decide (trap H22). */
function joinSql(table: TableSpec): string {
  return table.key.columns
    .map((column, index) => {
      const x = `t.${quote(column.name)}`
      return table.key.kind === 'rowid' || column.name === table.rowid
        ? `${x} = c.k${index}`
        : `${x} = c.k${index} AND ${x} = c.k${index} COLLATE BINARY AND typeof(${x}) = typeof(c.k${index})`
    })
    .join(' AND ')
}

/** Joins lines to blocks and watches their bytes. */
class LineCollector {
  readonly section: SpoolSection
  #lines: Buffer[] = []
  #bytes = 0
  #unfit = false

  constructor(section: SpoolSection) {
    this.section = section
  }

  add(line: Buffer): void {
    this.#lines.push(line, NEWLINE)
    this.#bytes += line.length + 1
    if (this.#bytes >= BLOCK_BYTES) this.#flush()
  }

  #flush(): void {
    const block = Buffer.concat(this.#lines, this.#bytes)
    this.#unfit ||= hasUnfitBytes(block)
    this.section.add(block, this.#lines.length >> 1)
    this.#lines = []
    this.#bytes = 0
  }

  /** True when some line holds bytes that PostgreSQL's text cannot. */
  end(): boolean {
    if (this.#bytes > 0) this.#flush()
    return this.#unfit
  }
}

const NEWLINE = Buffer.from('\n')
