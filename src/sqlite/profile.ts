import { codecFor, keyField } from '../core/codec.ts'
import { Failure } from '../core/errors.ts'
import {
  asKey,
  BUILT_IN_COLLATIONS,
  type ColumnProfile,
  columnTypes,
  keyTypes,
  naturalKey,
  type TableProfile,
} from '../core/plan.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'

/** Measures of one SELECT. */
const MEASURES = 400

/** Rows that one read transaction looks at. */
const WINDOW_ROWS = 50_000n

/**
 * Counts, for each column, the values that each candidate type would refuse. A table with a rowid is read in
 * windows, so that no read transaction is long (trap C20).
 */
export async function profileTable(
  database: Sqlite,
  table: SourceTable,
  gate: ReaderGate,
  signal: AbortSignal,
): Promise<TableProfile> {
  const columns = table.columns.filter((column) => !column.generated && column.name !== table.rowidColumn)
  const measures: { column: string; type: string; sql: string }[] = []
  const keys = new Set(naturalKey(table)?.columns)
  for (const column of columns) {
    // Comparisons within a codec must not need a collation that only the application has (trap V26).
    const x = `${quote(column.name)} COLLATE BINARY`
    measures.push({ column: column.name, type: 'values', sql: `count(${x})` })
    for (const type of columnTypes(table, column)) {
      if (type === 'bytea') continue
      measures.push({ column: column.name, type, sql: `total(${x} IS NOT NULL AND ${misfitSql(type, x)})` })
    }
    for (const type of keys.has(column.name) ? keyTypes(column.declared) : []) {
      const sql = `total(${x} IS NOT NULL AND (${keyField({ type }, x)}) IS NULL)`
      measures.push({ column: column.name, type: asKey(type), sql })
    }
  }
  const primary = table.columns.filter((column) => column.primary > 0 && column.name !== table.rowidColumn)
  const nullKey = primary.map((column) => `${quote(column.name)} IS NULL`).join(' OR ') || '0'
  const sums = measures.map(() => 0)
  let nullKeys = false
  const read = (where: string, values: readonly bigint[]): void => {
    // SQLite allows 2,000 result columns, and one row is read more than once rather than refused.
    for (let from = 0; from === 0 || from < measures.length; from += MEASURES) {
      const some = measures.slice(from, from + MEASURES)
      const row = database
        .prepare(
          `SELECT ${[`total(${nullKey})`, ...some.map((m) => m.sql)].join(', ')} FROM ${sourceTable(table.name)} WHERE ${where}`,
        )
        .raw()
        .get(...values) as (number | bigint)[]
      nullKeys ||= Number(row[0]) > 0
      some.forEach((_, i) => {
        sums[from + i] = (sums[from + i] as number) + Number(row[i + 1])
      })
    }
  }
  if (measures.length > 0 || primary.length > 0) {
    for (const [where, values] of windows(database, table)) {
      await gate.pass(signal)
      signal.throwIfAborted()
      read(where, values)
    }
  }
  const byColumn = new Map<string, ColumnProfile>()
  measures.forEach(({ column, type }, index) => {
    const profile = (byColumn.get(column) ?? new Map()) as Map<string, number>
    profile.set(type, sums[index] as number)
    byColumn.set(column, profile)
  })
  return { columns: byColumn, nullKeys }
}

/**
 * A WITHOUT ROWID table is ordered by its key: with a collation that only the application has, nothing of it can be
 * read here (trap V26). Elsewhere such a key only means that the rowid takes its place.
 */
export function refuseForeignCollation(table: SourceTable): void {
  const foreign = table.indexes
    .filter((index) => index.origin === 'pk')
    .flatMap((index) => index.parts)
    .find((part) => !BUILT_IN_COLLATIONS.has(part.collation.toUpperCase()))
  if (!table.withoutRowid || foreign === undefined) return
  throw new Failure({
    code: 'source_collation',
    message: `${table.name} is ordered by the collation ${foreign.collation}, which only the application has`,
    remedy: `Leave the table out: EXCLUDE_TABLES=${table.name}`,
    facts: { table: table.name },
  })
}

/** Cheaper forms of "the codec yields NULL" where the storage class decides alone. */
function misfitSql(type: string, x: string): string {
  if (type === 'bigint') return `typeof(${x}) <> 'integer'`
  if (type === 'text') return `typeof(${x}) = 'blob'`
  return `(${codecFor(type)(x)}) IS NULL`
}

function* windows(database: Sqlite, table: SourceTable): Iterable<[string, bigint[]]> {
  if (table.rowid === undefined) {
    yield ['1', []]
    return
  }
  const rowid = quote(table.rowid)
  const next = database
    .prepare(
      `SELECT max(r) FROM (SELECT ${rowid} AS r FROM ${sourceTable(table.name)} WHERE ${rowid} > ? ORDER BY ${rowid} LIMIT ${WINDOW_ROWS})`,
    )
    .pluck()
  const first = database
    .prepare(`SELECT min(${rowid}) FROM ${sourceTable(table.name)}`)
    .pluck()
    .get() as bigint | null
  if (first === null) return
  yield [`${rowid} = ?`, [first]]
  for (let after = first; ; ) {
    const last = next.get(after) as bigint | null
    if (last === null) return
    yield [`${rowid} > ? AND ${rowid} <= ?`, [after, last]]
    after = last
  }
}
