import { isUtf8 } from 'node:buffer'
import { describeKey, type KeyValue } from '../core/key.ts'
import type { Measure } from '../core/plan-measures.ts'
import { naturalKey } from '../core/plan-types.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'

/** Measures of one SELECT. */
const MEASURES = 400

/** Keys that are shown of the rows of a measure. */
export const EXAMPLES = 3

/** Texts of a column that are looked at in one block; a window with more is halved, down to one row. */
const BLOCK_BYTES = 512 * 1024

/** How often each measure of a table held, summed over its windows, with the keys of some of the rows. */
export class Counts {
  readonly examples = new Map<string, Map<string, string[]>>()
  readonly columns = new Map<string, Map<string, number>>()
  /** Whether the declared key holds NULL. */
  readonly #statements = new Map<string, ReturnType<Sqlite['prepare']>>()
  nullKeys = false
  readonly #database: Sqlite
  readonly #table: SourceTable
  readonly #nullKey: string
  readonly #utf8: boolean

  constructor(database: Sqlite, table: SourceTable) {
    this.#database = database
    this.#table = table
    this.#utf8 = String(database.pragma('encoding', { simple: true })) === 'UTF-8'
    const primary = table.columns.filter((column) => column.primary > 0 && column.name !== table.rowidColumn)
    this.#nullKey = primary.map((column) => `${quote(column.name)} IS NULL`).join(' OR ') || '0'
  }

  of(column: string, measure: string): number {
    return this.columns.get(column)?.get(measure) ?? 0
  }

  /** Counts the rows of `where`: a window between two rowids, or a condition with at most one value. */
  read(measures: readonly Measure[], where: string, values: readonly bigint[]): void {
    const wanted = measures.filter((measure) => {
      if (measure.screened === undefined || this.#isSuspect(measure.column, where, values)) return true
      this.#add(measure, 0)
      return false
    })
    // SQLite allows 2,000 result columns, and one row is read more than once rather than refused.
    for (let from = 0; from === 0 || from < wanted.length; from += MEASURES) {
      const some = wanted.slice(from, from + MEASURES)
      const row = this.#database
        .prepare(
          `SELECT ${[`total(${this.#nullKey})`, ...some.map((m) => `total(${m.sql})`)].join(', ')} FROM ${sourceTable(this.#table.name)} WHERE ${where}`,
        )
        .raw()
        .get(...values) as number[]
      this.nullKeys ||= Number(row[0]) > 0
      some.forEach((measure, i) => {
        const count = Number(row[i + 1])
        this.#add(measure, count)
        if (count > 0 && measure.examples) this.#exemplify(measure, where, values)
      })
    }
  }

  #add({ column, name }: Measure, count: number): void {
    const byName = this.columns.get(column) ?? new Map<string, number>()
    this.columns.set(column, byName.set(name, (byName.get(name) ?? 0) + count))
  }

  /** Whether the texts of a column may hold what is no text: in one block, since a call for each value costs more. */
  #isSuspect(column: string, where: string, values: readonly bigint[]): boolean {
    if (!this.#utf8) return true
    const x = quote(column)
    const from = `FROM ${sourceTable(this.#table.name)} WHERE (${where}) AND typeof(${x})='text'`
    const bytes = this.#pluck(`SELECT total(octet_length(${x}) + 1) ${from}`, values)
    if (Number(bytes) > BLOCK_BYTES) {
      const [after, last] = values
      if (after === undefined || last === undefined || last - after < 2n) return true
      const middle = after + (last - after) / 2n
      return this.#isSuspect(column, where, [after, middle]) || this.#isSuspect(column, where, [middle, last])
    }
    const block = this.#pluck(
      `SELECT CAST(group_concat(${x},char(10)) AS BLOB) ${from}`,
      values,
    ) as Buffer | null
    return block !== null && (block.includes(0) || !isUtf8(block))
  }

  /** Statements are kept: thousands of them would wait for the garbage collector with what SQLite holds for each. */
  #pluck(sql: string, values: readonly bigint[]): unknown {
    const known = this.#statements.get(sql) ?? this.#database.prepare(sql).pluck()
    this.#statements.set(sql, known)
    return known.get(...values)
  }

  #exemplify(measure: Measure, where: string, values: readonly bigint[]): void {
    const byColumn = this.examples.get(measure.column) ?? new Map<string, string[]>()
    const keys = byColumn.get(measure.name) ?? []
    if (keys.length >= EXAMPLES) return
    const shown = shownKey(this.#table)
    const rows = this.#database
      .prepare(
        `SELECT ${shown.map((name) => quote(name)).join(', ')} FROM ${sourceTable(this.#table.name)} WHERE (${where}) AND (${measure.sql}) LIMIT ${EXAMPLES - keys.length}`,
      )
      .raw()
      .all(...values) as KeyValue[][]
    keys.push(...rows.map((row) => showRow(shown, row)))
    this.examples.set(measure.column, byColumn.set(measure.name, keys))
  }
}

/** The columns by which a person finds a row again. */
export function shownKey(table: SourceTable): readonly string[] {
  const natural = naturalKey(table)
  if (natural !== undefined) return natural.columns
  return table.rowid === undefined ? table.columns.slice(0, 1).map((column) => column.name) : [table.rowid]
}

/** A row's key for people. */
export function showRow(names: readonly string[], values: readonly KeyValue[]): string {
  return describeKey(
    names.map((name) => ({ name, target: name, type: '' })),
    values,
  )
}
