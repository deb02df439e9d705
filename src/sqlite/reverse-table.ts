import type Database from 'better-sqlite3'
import { quote } from '../core/quote.ts'
import type { RowPatch } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import { type Bound, bindValue, type KeyPart, keepsClass, keyParts } from './reverse-bind.ts'
import { type Refusal, refusalOf } from './reverse-refusal.ts'
import { drifted, readShape, type TableShape } from './reverse-shape.ts'

/** Sets of columns whose UPDATE is kept prepared. */
const MOST_STATEMENTS = 200

/** A value that a statement is to set. */
export interface Assignment {
  /** Name of the column, or of the rowid. */
  readonly name: string
  readonly value: Bound
}

/** What became of a row. `taken`: a value that is unique is held by another row, which may yet move. */
export type Outcome =
  | { readonly kind: 'written' }
  | { readonly kind: 'taken'; readonly refusal: Refusal }
  | { readonly kind: 'refused'; readonly refusal: Refusal }

const WRITTEN: Outcome = { kind: 'written' }

/**
 * One table of the source as the way back writes it, row by row and by its key alone: the column's own collation finds
 * the row through its index, the bytes then decide (trap H22). Every statement says OR ABORT, since a column that was
 * declared ON CONFLICT REPLACE would delete other rows in silence.
 */
export class TableWriter {
  readonly table: TableSpec
  readonly shape: TableShape
  readonly #database: Sqlite
  readonly #statements = new Map<string, Database.Statement<unknown[]>>()
  readonly name: string

  constructor(database: Sqlite, table: TableSpec) {
    this.#database = database
    this.table = table
    this.shape = readShape(database, table)
    this.name = sourceTable(table.name)
  }

  statement(sql: string): Database.Statement<unknown[]> {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      if (this.#statements.size >= MOST_STATEMENTS) this.#statements.clear()
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  /** A condition that finds the row of a key, and what it binds; undefined for a key that no row can have. */
  match(key: string): { readonly sql: string; readonly values: readonly Bound[] } | undefined {
    const parts = keyParts(key)
    const values: Bound[] = []
    const terms: string[] = []
    for (const [index, column] of this.table.key.columns.entries()) {
      const part = parts[index] as KeyPart
      if (part.type === 'null') return undefined
      const x = quote(column.name)
      if (this.table.key.kind === 'rowid') {
        terms.push(`${x} = ?`)
        values.push(part.value)
        continue
      }
      const mark = part.raw ? 'CAST(? AS TEXT)' : '?'
      terms.push(`${x} = ${mark} AND ${x} = ${mark} COLLATE BINARY AND typeof(${x}) = '${part.type}'`)
      values.push(part.value, part.value)
    }
    return { sql: terms.join(' AND '), values }
  }

  has(key: string): boolean {
    const match = this.match(key)
    if (match === undefined) return false
    return this.statement(`SELECT 1 FROM ${this.name} WHERE ${match.sql}`).get(...match.values) !== undefined
  }

  /** True where there was such a row. */
  remove(key: string): boolean {
    const match = this.match(key)
    if (match === undefined) return false
    return this.statement(`DELETE FROM ${this.name} WHERE ${match.sql}`).run(...match.values).changes > 0
  }

  /** Writes a row where that needs no other row to move. A refusal leaves the row as it was. */
  write(patch: RowPatch): Outcome {
    const assignments = this.assignments(patch)
    if (!Array.isArray(assignments)) return { kind: 'refused', refusal: assignments as Refusal }
    if (!patch.isNew) return this.#update(patch.key, assignments)
    const outcome = this.insert(assignments)
    // There already, as it may be where it had no image: then PostgreSQL's values are written over its own.
    if (outcome.kind !== 'taken' || !this.has(patch.key)) return outcome
    return this.#update(patch.key, this.withoutKey(assignments))
  }

  /** What a patch sets, the key's columns first for a new row; or why SQLite cannot hold it. */
  assignments(patch: RowPatch): Assignment[] | Refusal {
    const [misfit] = patch.misfits
    if (misfit !== undefined) return this.#misfit(misfit[0], misfit[1])
    const { columns, key } = this.table
    const { affinities, keyAffinities, keyPlaces } = this.shape
    const assignments: Assignment[] = []
    if (patch.isNew) {
      for (const [index, part] of keyParts(patch.key).entries()) {
        const { name } = key.columns[index] as (typeof key.columns)[number]
        if (part.type === 'null' || part.raw || !keepsClass(part, keyAffinities[index] ?? 'BLOB')) {
          const reason = 'the source cannot hold this key'
          return { column: name, reason, value: String(part.value), kind: 'misfit' }
        }
        assignments.push({ name, value: part.value })
      }
    }
    for (const [place, text] of patch.values) {
      const column = columns[place]
      if (column === undefined) throw new Error(`${this.table.name} has no column ${place}`)
      // A row is found by its key, so that is as it should be.
      if (keyPlaces.includes(place)) continue
      const value = text === null ? null : bindValue(column, text, affinities[place] ?? 'BLOB')
      if (value === undefined) return this.#misfit(place, text ?? '')
      assignments.push({ name: column.name, value })
    }
    return assignments
  }

  withoutKey(assignments: readonly Assignment[]): Assignment[] {
    const keys = new Set(this.table.key.columns.map(({ name }) => name))
    return assignments.filter(({ name }) => !keys.has(name))
  }

  insert(assignments: readonly Assignment[]): Outcome {
    const names = assignments.map(({ name }) => quote(name)).join(', ')
    const marks = assignments.map(() => '?').join(', ')
    const values = assignments.map(({ value }) => value)
    return this.attempt(`INSERT OR ABORT INTO ${this.name} (${names}) VALUES (${marks})`, values)
  }

  #update(key: string, assignments: readonly Assignment[]): Outcome {
    if (assignments.length === 0) return WRITTEN
    const match = this.match(key)
    if (match === undefined) throw this.missing(key)
    const set = assignments.map(({ name }) => `${quote(name)} = ?`).join(', ')
    const values = assignments.map(({ value }) => value)
    const sql = `UPDATE OR ABORT ${this.name} SET ${set} WHERE ${match.sql}`
    return this.attempt(sql, [...values, ...match.values], key)
  }

  /** Runs a statement that writes one row. With a key it must find its row. */
  attempt(sql: string, values: readonly Bound[], key?: string): Outcome {
    let changes: number
    try {
      changes = this.statement(sql).run(...values).changes
    } catch (error) {
      const refusal = refusalOf(error, this.table)
      return { kind: refusal.kind === 'duplicate' ? 'taken' : 'refused', refusal }
    }
    if (key !== undefined && changes === 0) throw this.missing(key)
    return WRITTEN
  }

  missing(key: string): Error {
    return drifted(`the row ${key} of ${this.table.name} was in the source and is gone`)
  }

  #misfit(place: number, text: string): Refusal {
    const { name, type, codec, format } = this.table.columns[place] as TableSpec['columns'][number]
    const as = [type, codec, format].filter((part) => part !== undefined).join(', ')
    return {
      column: name,
      reason: `${name}: SQLite cannot hold this value (${as})`,
      value: text,
      kind: 'misfit',
    }
  }
}
