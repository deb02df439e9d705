import { isUtf8 } from 'node:buffer'
import { copyField, copyLine, keyField } from '../core/codec.ts'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { ColumnRule, ColumnSpec, TableSpec } from '../core/table.ts'
import { HIDDEN_KEY } from '../core/table.ts'

/** A column of a row's line; `encode` yields its COPY text, NULL for a misfit. */
interface LineColumn {
  readonly source: string
  readonly target: string
  readonly type: string
  readonly spec: ColumnSpec | undefined
  readonly encode: (x: string) => string
}

/** The columns of a row's line, in the order in which the target reads them. */
export function lineColumns(table: TableSpec): LineColumn[] {
  const keys = new Set(table.key.columns.map((column) => column.name))
  const column = (source: string, target: string, rule: ColumnRule, spec?: ColumnSpec): LineColumn => {
    const field = keys.has(source) ? keyField : copyField
    return { source, target, type: rule.type, spec, encode: (x) => field(rule, x) }
  }
  const hidden =
    table.key.kind === 'rowid'
      ? [column(table.key.columns[0]?.name as string, HIDDEN_KEY, { type: 'bigint' })]
      : []
  return [...hidden, ...table.columns.map((c) => column(c.name, c.target, c, c))]
}

/** SQL of a whole row's line, NULL when a value does not fit; `alias` names the row. */
export function rowLine(table: TableSpec, alias: string): string {
  return copyLine(lineColumns(table).map((c) => c.encode(`${alias}.${quote(c.source)}`)))
}

/** SQL of a key's line from any references to its columns. A NULL in a key is a misfit. */
export function keyLine(table: TableSpec, reference: (index: number) => string): string {
  return copyLine(table.key.columns.map((column, index) => keyField(column, reference(index))))
}

/**
 * COPY text is bytes of the database's encoding: UTF-8 as it stands, or UTF-16 that SQLite hands over as a
 * string (always valid then).
 */
export function lineBytes(value: Buffer | string): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value
}

/** The cast that keeps bytes as they are: a string would turn invalid UTF-8 into U+FFFD unseen (traps V6, R6). */
export function asBytes(sql: string, encoding: string): string {
  return encoding === 'UTF-8' ? `CAST(${sql} AS BLOB)` : sql
}

/** What PostgreSQL's text cannot hold, looked for in whole blocks: cheap, and only then row by row. */
export function hasUnfitBytes(block: Buffer): boolean {
  return block.includes(0) || !isUtf8(block)
}

/** A value that the target's type cannot hold. The loop re-plans a table of ours and stops for any other. */
export function misfit(
  table: TableSpec,
  column: string,
  type: string,
  key: string,
  shown: string,
  why: string,
  /** The one type that holds the value, where it is known. */
  holds?: string,
): Failure {
  return new Failure({
    code: 'misfit',
    message: `${table.name}.${column}: ${shown} at ${key} does not fit ${type} (${why})`,
    remedy: `Change the value in SQLite, or the type of ${table.target}.${column} in PostgreSQL; then: slipway start`,
    facts: { table: table.name, column, key, type, holds },
  })
}
