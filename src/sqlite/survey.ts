import { isUtf8 } from 'node:buffer'
import type { TableFacts } from '../core/assess/facts.ts'
import { ColumnTally } from '../core/assess/tally.ts'
import { describeKey, type KeyValue } from '../core/key.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import { patiently } from './patient.ts'
import type { ReaderGate } from './reader-gate.ts'

/** A read transaction ends after that long, whatever its rows weigh (trap C20); the clock is read every few rows. */
const WINDOW_MS = 250
const CLOCK_EVERY = 64
/** Longer values are looked at one by one, and never as part of a row. */
const LONG_BYTES = 65_536
/** SQLite allows 2,000 result columns; a wider table is read more than once. */
const COLUMNS_AT_ONCE = 1_000

export interface SurveyOptions {
  readonly gate: ReaderGate
  readonly signal: AbortSignal
  readonly path: string
  /** Of the database: `UTF-8`, `UTF-16le`, `UTF-16be`. */
  readonly encoding: string
  /** How long a read transaction may last; default: 250. */
  readonly windowMs?: number
  /** Told after each window. */
  readonly onRows: (rows: number) => void
}

type Value = null | bigint | number | string | Buffer

/**
 * Looks at every value of a table once, in the order of its pages, in short read transactions: rows that are written
 * meanwhile may be seen or not. Bytes that are no UTF-8 reach JavaScript as U+FFFD (trap R6), so text with that
 * character is looked at again as bytes.
 */
export async function surveyTable(
  database: Sqlite,
  table: SourceTable,
  options: SurveyOptions,
): Promise<TableFacts> {
  const names = table.columns.filter((column) => !column.generated).map((column) => column.name)
  const tallies = names.map(() => new ColumnTally())
  let rows = 0
  for (let from = 0; from === 0 || from < names.length; from += COLUMNS_AT_ONCE) {
    const some = names.slice(from, from + COLUMNS_AT_ONCE)
    const read = new TableRead(database, table, some, tallies.slice(from), options)
    do {
      await options.gate.pass(options.signal)
      options.signal.throwIfAborted()
      await patiently(options.path, options.signal, () => database.transaction(() => read.window())())
      if (from === 0) options.onRows(read.rows)
    } while (!read.finished)
    rows = read.rows
  }
  return {
    rows,
    bytes: tallies.reduce((sum, tally) => sum + tally.bytes, 0),
    columns: new Map(names.map((name, index) => [name, (tallies[index] as ColumnTally).facts()])),
  }
}

/** About how many rows there are, for progress: both ends are found without a scan, gaps make it too high. Throws where the pages cannot be read. */
export function roughRows(database: Sqlite, table: SourceTable): number {
  const name = sourceTable(table.name)
  const counted = database.prepare(`SELECT count(*) FROM (SELECT 1 FROM ${name} LIMIT 100000)`).pluck().get()
  const walk = table.rowid ?? table.rowidColumn
  if (Number(counted) < 100_000 || walk === undefined) return Number(counted)
  const ends = `SELECT min(${quote(walk)}) AS r FROM ${name} UNION ALL SELECT max(${quote(walk)}) FROM ${name}`
  return Number(database.prepare(`SELECT max(r) - min(r) + 1 FROM (${ends})`).pluck().get())
}

/** A value of a walk's column as it is bound: text as its bytes, since not every text can be bound as one. */
interface Mark {
  readonly value: Value
  readonly text: boolean
}

function markSql({ text }: Mark): string {
  return text ? 'CAST(? AS TEXT)' : '?'
}

/** A value that has to be looked at as bytes, or by its size. */
interface Doubt {
  readonly column: number
  readonly place: readonly Mark[]
  readonly key: string
}

/** Columns in whose order the windows follow each other; none: the table is read in one go. */
function walkOf(table: SourceTable): readonly string[] {
  const rowid = table.rowid ?? table.rowidColumn
  if (rowid !== undefined) return [rowid]
  const descends = table.indexes.some(
    (index) => index.origin === 'pk' && index.parts.some((part) => part.descending),
  )
  // The key of a rowid table may hold NULL, which no comparison passes (trap C15).
  return table.withoutRowid && !descends ? primaryKey(table) : []
}

function primaryKey(table: SourceTable): string[] {
  const primary = table.columns.filter((column) => column.primary > 0)
  return primary.sort((a, b) => a.primary - b.primary).map((column) => column.name)
}

class TableRead {
  readonly #database: Sqlite
  readonly #table: SourceTable
  readonly #columns: readonly string[]
  readonly #tallies: readonly ColumnTally[]
  readonly #encoding: string
  readonly #windowMs: number
  readonly #walk: readonly string[]
  /** Result columns before the values: those of the walk, each with its storage class where it is a key. */
  readonly #lead: number
  readonly #keyPlaces: readonly { readonly name: string; readonly place: number }[]
  #last: readonly Mark[] | undefined
  #row: Value[] = []
  rows = 0
  finished = false

  constructor(
    database: Sqlite,
    table: SourceTable,
    columns: readonly string[],
    tallies: readonly ColumnTally[],
    options: SurveyOptions,
  ) {
    this.#database = database
    this.#table = table
    this.#columns = columns
    this.#tallies = tallies
    this.#encoding = options.encoding
    this.#windowMs = options.windowMs ?? WINDOW_MS
    this.#walk = walkOf(table)
    this.#lead = table.withoutRowid ? 2 * this.#walk.length : this.#walk.length
    const shown = primaryKey(table)
    // For people: the declared key where there is one, else the rowid, which stands first.
    this.#keyPlaces =
      shown.length > 0
        ? shown.map((name) => ({ name, place: this.#lead + columns.indexOf(name) }))
        : this.#walk.map((name, place) => ({ name, place }))
  }

  readonly #key = (): string => {
    if (this.#keyPlaces.length === 0) return `row ${this.rows}`
    const columns = this.#keyPlaces.map(({ name }) => ({ name, target: name, type: '' }))
    // A key column beyond the columns of this read is not known here.
    return describeKey(
      columns,
      this.#keyPlaces.map(({ place }) => (this.#row[place] ?? null) as KeyValue),
    )
  }

  /** Reads on for a while. Runs in a transaction: what is looked at twice is the same both times. */
  window(): void {
    const doubts: Doubt[] = []
    const began = performance.now()
    const statement = this.#database.prepare(this.#sql()).raw()
    const bound = (this.#last ?? []).map(({ value }) => value)
    const end = this.#lead + this.#columns.length
    let last: readonly Mark[] | undefined
    for (const row of statement.iterate(...bound) as IterableIterator<Value[]>) {
      this.#row = row
      this.rows++
      const long = row[end] === 1n
      for (let place = this.#lead; place < end; place++) {
        this.#look(row[place] as Value, place - this.#lead, long, doubts)
      }
      if (this.#walk.length === 0 || this.rows % CLOCK_EVERY > 0) continue
      if (performance.now() - began < this.#windowMs) continue
      last = this.#place()
      break
    }
    for (const doubt of doubts) this.#lookAgain(doubt)
    this.#last = last
    this.finished = last === undefined
  }

  #look(value: Value, column: number, long: boolean, doubts: Doubt[]): void {
    const tally = this.#tallies[column] as ColumnTally
    const doubtful = typeof value === 'string' ? this.#mayBeInvalid(value) : value === null && long
    if (doubtful) doubts.push({ column, place: this.#place(), key: this.#key() })
    else if (typeof value === 'string') tally.text(value, Buffer.byteLength(value), this.#key)
    else if (Buffer.isBuffer(value)) tally.blob(value.length, this.#key)
    else tally.plain(value, this.#key)
  }

  /** SQLite joins a lone surrogate of UTF-16 with whatever follows it. */
  #mayBeInvalid(value: string): boolean {
    return this.#encoding === 'UTF-8' ? value.includes('\ufffd') : /[\ud800-\udfff\ufffd]/.test(value)
  }

  /** Where the present row is: its walk key, or how many rows come before it. */
  #place(): readonly Mark[] {
    if (this.#walk.length === 0) return [{ value: BigInt(this.rows - 1), text: false }]
    if (!this.#table.withoutRowid) return [{ value: this.#row[0] as Value, text: false }]
    return this.#walk.map((_, index) => ({
      value: this.#row[2 * index + 1] as Value,
      text: this.#row[2 * index] === 'text',
    }))
  }

  #lookAgain({ column, place, key }: Doubt): void {
    const x = quote(this.#columns[column] as string)
    const at =
      this.#walk.length === 0
        ? 'LIMIT 1 OFFSET ?'
        : `WHERE ${this.#walk.map((name, index) => `${quote(name)} = ${markSql(place[index] as Mark)}`).join(' AND ')}`
    const [kind, length, bytes] = this.#database
      .prepare(
        `SELECT typeof(${x}), octet_length(${x}), CASE WHEN typeof(${x}) = 'text' THEN CAST(${x} AS BLOB) END
         FROM ${sourceTable(this.#table.name)} ${at}`,
      )
      .raw()
      .get(...place.map(({ value }) => value)) as [string, bigint | null, Buffer | null]
    const tally = this.#tallies[column] as ColumnTally
    if (kind === 'null') tally.plain(null, () => key)
    else if (kind === 'blob') tally.blob(Number(length), () => key)
    else this.#lookAtBytes(tally, bytes as Buffer, key)
  }

  #lookAtBytes(tally: ColumnTally, bytes: Buffer, key: string): void {
    const text = decode(bytes, this.#encoding)
    if (text === undefined) tally.invalidText(bytes.length, hasNul(bytes, this.#encoding), () => key)
    else tally.text(text, Buffer.byteLength(text), () => key)
  }

  #sql(): string {
    const walk = this.#walk.map((name) => quote(name))
    const lead = this.#table.withoutRowid
      ? walk.map((k) => `typeof(${k}), CASE typeof(${k}) WHEN 'text' THEN CAST(${k} AS BLOB) ELSE ${k} END`)
      : walk
    const long = this.#columns.map((name) => {
      // Numbers are below every text: their length would cost a conversion.
      const x = quote(name)
      return `${x} COLLATE BINARY >= '' AND octet_length(${x}) > ${LONG_BYTES}`
    })
    const values = this.#columns.map(
      (name, index) => `CASE WHEN ${long[index]} THEN NULL ELSE ${quote(name)} END`,
    )
    const isLong = anyOf(long.map((condition) => `(${condition})`))
    const marks = this.#last?.map(markSql).join(', ')
    return (
      `SELECT ${[...lead, ...values, isLong].join(', ')} FROM ${sourceTable(this.#table.name)}` +
      (marks === undefined ? '' : ` WHERE (${walk.join(', ')}) > (${marks})`) +
      (walk.length === 0 ? '' : ` ORDER BY ${walk.join(', ')}`)
    )
  }
}

/** The bytes of a text as SQLite keeps them; undefined where they are none. */
function decode(bytes: Buffer, encoding: string): string | undefined {
  if (encoding === 'UTF-8') return isUtf8(bytes) ? bytes.toString('utf8') : undefined
  if (bytes.length % 2 === 1) return undefined
  const text = (encoding === 'UTF-16be' ? Buffer.from(bytes).swap16() : bytes).toString('utf16le')
  return text.isWellFormed() ? text : undefined
}

function hasNul(bytes: Buffer, encoding: string): boolean {
  return encoding === 'UTF-8' && bytes.includes(0)
}

/** OR as a balanced tree: SQLite refuses expressions deeper than 1,000. */
function anyOf(conditions: readonly string[]): string {
  if (conditions.length === 0) return '0'
  if (conditions.length === 1) return conditions[0] as string
  const middle = conditions.length >> 1
  return `(${anyOf(conditions.slice(0, middle))} OR ${anyOf(conditions.slice(middle))})`
}
