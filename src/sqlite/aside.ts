import { isUtf8 } from 'node:buffer'
import { Failure } from '../core/errors.ts'
import { encodeKey, type KeyValue, RawText, showKey } from '../core/key.ts'
import type { SetAside } from '../core/ports.ts'
import { literal, quote } from '../core/quote.ts'
import { type ColumnSpec, misfitPolicy, type TableSpec } from '../core/table.ts'
import type { Sqlite } from './open.ts'
import { asBytes, lineColumns, misfit, rowLine } from './rows.ts'

/** More misfits of one table in one read are no exception any more: somebody has to decide about the column. */
const MANY = 10_000
/** Characters of a value that are shown. */
const SHOWN = 100

/** SQL: the line is there, and PostgreSQL's text can hold its bytes. */
export function lineFits(line: string): string {
  return `slipway_is_text(CAST(${line} AS BLOB))`
}

/**
 * The rows that the target cannot hold, among those of `from` (which names them `t`), and why. Throws the misfit where
 * the plan wants that (`fail`, `widen`). Slow: it is only asked where a misfit is known to be there.
 */
export function readAside(
  database: Sqlite,
  table: TableSpec,
  encoding: string,
  from: string,
  parameters: readonly KeyValue[],
): SetAside[] {
  const columns = lineColumns(table)
  const keys = table.key.columns.map((column) => `t.${quote(column.name)}`)
  const names = new Set(table.key.columns.map((column) => column.name))
  const wrong = columns.map((column) => {
    const x = `t.${quote(column.source)}`
    const isKey = names.has(column.source)
    const bytes = column.type === 'bytea' ? '' : ` WHEN NOT ${lineFits(column.encode(x))} THEN 2`
    return `CASE WHEN ${x} IS NULL THEN ${isKey ? 3 : 0} WHEN (${column.encode(x)}) IS NULL THEN 1${bytes} ELSE 0 END`
  })
  const first = `CASE ${wrong.map((sql, i) => `WHEN (${sql}) <> 0 THEN ${i}`).join(' ')} END`
  const inner = [
    ...keys.flatMap((key, i) => [`typeof(${key}) AS c${i}`, `${keyBytes(key, encoding)} AS k${i}`]),
    `${first} AS place`,
    ...columns.map((column, i) => `t.${quote(column.source)} AS v${i}`),
  ]
  const of = (what: (i: number) => string): string =>
    `CASE place ${columns.map((_, i) => `WHEN ${i} THEN ${what(i)}`).join(' ')} END`
  // LIMIT keeps SQLite from merging the two SELECTs, which would look for the place once per use.
  const statement = database
    .prepare(
      `SELECT ${keys.flatMap((_, i) => [`c${i}`, `k${i}`]).join(', ')}, place, ${of((i) => `typeof(v${i})`)}, ${of((i) => shown(`v${i}`))}
       FROM (SELECT ${inner.join(', ')} ${from} AND NOT coalesce(${lineFits(rowLine(table, 't'))}, 0) LIMIT -1)`,
    )
    .raw()
  const result: SetAside[] = []
  const rows = statement.iterate(...parameters) as IterableIterator<(KeyValue | Buffer)[]>
  for (const row of rows) {
    const key = encodeKey(table.key.columns.map((_, i) => keyValue(row[2 * i], row[2 * i + 1])))
    const [place, kind, value] = row.slice(2 * keys.length) as [bigint | null, string, string]
    if (place === null) throw new Error(`${table.name}: the row at ${key} fits, and its line does not`)
    const column = columns[Number(place)] as (typeof columns)[number]
    const spec = column.spec ?? table.columns.find((c) => c.name === column.source)
    const isKey = names.has(column.source)
    const why =
      kind === 'null'
        ? 'PostgreSQL keeps no NULL in a key'
        : kind === 'text' && value.startsWith("x'")
          ? 'text with a NUL byte, or that is not valid UTF-8'
          : `a ${kind} value that ${isKey ? 'the key' : column.type} cannot hold`
    const holds = value.startsWith("x'") && kind === 'text' ? 'bytea' : undefined
    refuse(table, spec, column.type, key, value, why, holds)
    result.push({
      key,
      column: column.source,
      reason: `${column.source}: ${value} does not fit ${column.type} (${why})`,
      value,
    })
    if (result.length > MANY) {
      throw new Failure({
        code: 'too_many_misfits',
        message: `${table.name}: more than ${MANY} rows do not fit at once, the last one at ${showKey(table.key.columns, key)} (${column.source}: ${value})`,
        remedy: `Decide about ${table.name}.${column.source} in the plan: slipway assess --write-plan, then slipway start`,
        facts: { table: table.name, column: column.source },
      })
    }
  }
  return result
}

/** Keys whose columns hold NULL are in the log, and no join finds their rows. */
export function readNullKeys(database: Sqlite, table: TableSpec): SetAside[] {
  const isNull = table.key.columns.map((column) => `t.${quote(column.name)} IS NULL`).join(' OR ')
  const found = database
    .prepare(`SELECT 1 FROM ${quote('main', table.name)} AS t WHERE ${isNull} LIMIT 1`)
    .get()
  if (found === undefined) return []
  const key = encodeKey(table.key.columns.map(() => null))
  const column = table.key.columns[0]?.name ?? ''
  const why = 'PostgreSQL keeps no NULL in a key'
  refuse(
    table,
    table.columns.find((c) => c.name === column),
    'a key',
    key,
    'NULL',
    why,
    undefined,
  )
  return [{ key, column, reason: `${column}: ${why}`, value: 'NULL' }]
}

function refuse(
  table: TableSpec,
  spec: ColumnSpec | undefined,
  type: string,
  key: string,
  value: string,
  why: string,
  holds: string | undefined,
): void {
  const policy = spec === undefined ? (table.owned ? 'widen' : 'quarantine') : misfitPolicy(table, spec)
  if (policy === 'quarantine') return
  const column = spec?.name ?? table.key.columns[0]?.name ?? ''
  throw misfit(table, column, type, showKey(table.key.columns, key), value, why, holds)
}

function keyBytes(x: string, encoding: string): string {
  return `CASE typeof(${x}) WHEN 'text' THEN ${asBytes(x, encoding)} ELSE ${x} END`
}

function keyValue(kind: unknown, value: unknown): KeyValue | RawText {
  if (kind !== 'text' || !Buffer.isBuffer(value)) return value as KeyValue
  return isUtf8(value) ? value.toString('utf8') : new RawText(value)
}

/** A literal that people read: of a long value its beginning, of bytes that are no text their hexadecimal form. */
function shown(x: string): string {
  const bytes = `CAST(${x} AS BLOB)`
  const cut = `CASE WHEN length(${bytes})>${SHOWN} THEN ${literal('…')} ELSE '' END`
  return (
    `CASE typeof(${x}) WHEN 'text' THEN CASE WHEN ${lineFits(x)} THEN quote(substr(${x},1,${SHOWN})) ` +
    `ELSE 'x'''||hex(substr(${bytes},1,40))||'''' END||${cut} ` +
    `WHEN 'blob' THEN 'x'''||hex(substr(${x},1,40))||''''||${cut} ELSE quote(${x}) END`
  )
}
