import Database from 'better-sqlite3'
import type { Affinity } from '../core/codec/decode.ts'
import { messageOf } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { WayBackFinding, WayBackSample } from '../core/way-back.ts'
import { readAffinities } from './affinities.ts'
import { registerFunctions } from './functions.ts'
import { isSqliteError, openReader, type Sqlite } from './open.ts'
import { type Outcome, TableWriter } from './reverse-table.ts'
import { asBytes, hasUnfitBytes, lineBytes, lineColumns, rowLine } from './rows.ts'

/** Rows that SQLite took, each by its number as PostgreSQL shall read it again. */
export interface Rehearsed {
  readonly lines: readonly { readonly n: number; readonly line: Buffer }[]
  readonly findings: readonly WayBackFinding[]
}

/**
 * The tables of a source made again in memory, with their constraints and indexes, without rows and triggers: what
 * SQLite takes and makes of a value is seen there, and the application's file is not even locked.
 */
export class ScratchSource implements Disposable {
  readonly #source: Sqlite
  readonly #scratch: Sqlite
  readonly #encoding: string

  constructor(path: string) {
    this.#source = openReader(path)
    this.#scratch = new Database(':memory:')
    this.#scratch.defaultSafeIntegers(true)
    this.#encoding = String(this.#source.pragma('encoding', { simple: true }))
    this.#scratch.pragma(`encoding = '${this.#encoding}'`)
    this.#scratch.pragma('foreign_keys = 0')
    registerFunctions(this.#scratch)
  }

  /** Of the columns in the source. */
  affinities(table: TableSpec): ReadonlyMap<string, Affinity> {
    return readAffinities(this.#source, table.name)
  }

  /** Writes each row by itself as the way back would, and encodes what is kept of it as the way there would. */
  rehearse(table: TableSpec, samples: readonly WayBackSample[]): Rehearsed {
    const refusal = this.#make(table.name)
    if (refusal !== undefined) {
      return { lines: [], findings: [{ table: table.name, column: '', key: '', reason: refusal }] }
    }
    const lines: { n: number; line: Buffer }[] = []
    const findings: WayBackFinding[] = []
    const writer = new TableWriter(this.#scratch, table)
    for (const sample of samples) {
      const told = (column: string, reason: string): void =>
        void findings.push({ table: table.name, column, key: sample.shown, reason })
      const outcome = attempt(writer, sample)
      if (outcome.kind !== 'written') {
        const { column, reason, value } = outcome.refusal
        told(column, value === '' ? reason : `${reason}: ${value.slice(0, 100)}`)
        continue
      }
      if (!writer.has(sample.patch.key)) {
        told(table.key.columns[0]?.name ?? '', 'SQLite keeps this key as another one')
      } else {
        const line = this.#line(table, told)
        if (line !== undefined) lines.push({ n: sample.n, line })
      }
      this.#scratch.exec(`DELETE FROM ${writer.name}`)
    }
    return { lines, findings }
  }

  /** The one row that is there, encoded; undefined where a value of it could not go to PostgreSQL again. */
  #line(table: TableSpec, told: (column: string, reason: string) => void): Buffer | undefined {
    const from = `FROM ${quote('main', table.name)} AS t`
    const line = this.#scratch
      .prepare(`SELECT ${asBytes(rowLine(table, 't'), this.#encoding)} ${from}`)
      .pluck()
      .get() as Buffer | string | null
    const bytes = line === null ? undefined : lineBytes(line)
    if (bytes !== undefined && !hasUnfitBytes(bytes)) return bytes
    let found = false
    for (const { source, encode } of lineColumns(table)) {
      const x = `t.${quote(source)}`
      const [fits, kind] = this.#scratch
        .prepare(`SELECT (${encode(x)}) IS NOT NULL, typeof(${x}) ${from}`)
        .raw()
        .get() as [bigint, string]
      if (fits === 1n) continue
      found = true
      told(source, `SQLite keeps it as ${kind}, which would not go to PostgreSQL again`)
    }
    if (!found) told('', 'what SQLite keeps of the row is no text that PostgreSQL takes')
    return undefined
  }

  /** Why the table cannot be written from here; undefined where it is made. */
  #make(name: string): string | undefined {
    const rows = this.#source
      .prepare(
        `SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type = 'index'`,
      )
      .pluck()
      .all(name) as string[]
    try {
      for (const sql of rows) this.#scratch.exec(sql)
      return undefined
    } catch (error) {
      if (!isSqliteError(error)) throw error
      if (/unknown function|no such (function|collation)/.test(messageOf(error))) {
        return `${name} cannot be written in SQLite from here: ${messageOf(error)}`
      }
    }
    // A file keeps definitions that SQLite would not take any more, such as "text" in double quotes.
    this.#makePlain(name)
    return undefined
  }

  #makePlain(name: string): void {
    const columns = this.#source
      .prepare(`SELECT name, type FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0`)
      .all(name) as { name: string; type: string }[]
    const list = columns.map(({ name: column, type }) => `${quote(column)} ${type}`).join(', ')
    this.#scratch.exec(`DROP TABLE IF EXISTS ${quote(name)}; CREATE TABLE ${quote(name)} (${list})`)
  }

  [Symbol.dispose](): void {
    this.#scratch.close()
    this.#source.close()
  }
}

function attempt(writer: TableWriter, { patch }: WayBackSample): Outcome {
  try {
    return writer.write(patch)
  } catch (error) {
    return { kind: 'refused', refusal: { column: '', reason: messageOf(error), value: '', kind: 'refused' } }
  }
}
