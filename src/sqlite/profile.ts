import type { Finding } from '../core/finding.ts'
import { describeKey, type KeyValue } from '../core/key.ts'
import type { Match } from '../core/plan-match.ts'
import { type Measure, measuresOf } from '../core/plan-measures.ts'
import type { Duplicates, TableProfile } from '../core/plan-profile.ts'
import { BUILT_IN_COLLATIONS, naturalKey } from '../core/plan-types.ts'
import type { UniqueCheck } from '../core/plan-uniques.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'

/** Measures of one SELECT. */
const MEASURES = 400

/** Rows that one read transaction looks at. */
const WINDOW_ROWS = 50_000n

/** Keys that are shown of the rows of a measure, and of the groups of duplicates. */
const EXAMPLES = 3

/** Groups of duplicates that are counted: more of them tell nobody more. */
const GROUPS = 10_000

/**
 * Counts what planning asks of a table (core/plan-measures.ts): for each column the values that each rule would
 * refuse. A table with a rowid is read in windows, so that no read transaction is long (trap C20); only duplicates are
 * looked for in the table as a whole.
 */
export async function profileTable(
  database: Sqlite,
  match: Match,
  gate: ReaderGate,
  signal: AbortSignal,
): Promise<TableProfile> {
  const { source } = match
  const { measures, uniques, newest } = measuresOf(match)
  const counts = new Counts(database, source, measures)
  const primary = source.columns.filter((column) => column.primary > 0 && column.name !== source.rowidColumn)
  const samples = new Map<string, string>()
  if (measures.length > 0 || primary.length > 0) {
    for (const [where, values] of windows(database, source)) {
      await gate.pass(signal)
      signal.throwIfAborted()
      counts.read(where, values)
      for (const column of newest) {
        const text = newestText(database, source, column, where, values)
        if (text !== undefined) samples.set(column, text)
      }
    }
  }
  const duplicates = new Map<string, Duplicates>()
  for (const check of uniques) {
    await gate.pass(signal)
    signal.throwIfAborted()
    const found = findDuplicates(database, source, check)
    if (found !== undefined) duplicates.set(check.unique.name, found)
  }
  return {
    columns: counts.columns(),
    nullKeys: counts.nullKeys,
    examples: counts.examples,
    duplicates,
    newest: samples,
  }
}

/** Sums over all windows, and the keys of the first rows of each measure. */
class Counts {
  readonly examples = new Map<string, Map<string, string[]>>()
  nullKeys = false
  readonly #database: Sqlite
  readonly #table: SourceTable
  readonly #measures: readonly Measure[]
  readonly #sums: number[]
  readonly #nullKey: string

  constructor(database: Sqlite, table: SourceTable, measures: readonly Measure[]) {
    this.#database = database
    this.#table = table
    this.#measures = measures
    this.#sums = measures.map(() => 0)
    const primary = table.columns.filter((column) => column.primary > 0 && column.name !== table.rowidColumn)
    this.#nullKey = primary.map((column) => `${quote(column.name)} IS NULL`).join(' OR ') || '0'
  }

  read(where: string, values: readonly bigint[]): void {
    // SQLite allows 2,000 result columns, and one row is read more than once rather than refused.
    for (let from = 0; from === 0 || from < this.#measures.length; from += MEASURES) {
      const some = this.#measures.slice(from, from + MEASURES)
      const row = this.#database
        .prepare(
          `SELECT ${[`total(${this.#nullKey})`, ...some.map((m) => `total(${m.sql})`)].join(', ')} FROM ${sourceTable(this.#table.name)} WHERE ${where}`,
        )
        .raw()
        .get(...values) as number[]
      this.nullKeys ||= Number(row[0]) > 0
      some.forEach((measure, i) => {
        const count = Number(row[i + 1])
        this.#sums[from + i] = (this.#sums[from + i] as number) + count
        if (count > 0 && measure.examples) this.#exemplify(measure, where, values)
      })
    }
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
    keys.push(...rows.map((row) => describe(shown, row)))
    this.examples.set(measure.column, byColumn.set(measure.name, keys))
  }

  columns(): Map<string, Map<string, number>> {
    const result = new Map<string, Map<string, number>>()
    this.#measures.forEach(({ column, name }, index) => {
      const profile = result.get(column) ?? new Map<string, number>()
      result.set(column, profile.set(name, this.#sums[index] as number))
    })
    return result
  }
}

/** The columns by which a person finds a row again. */
function shownKey(table: SourceTable): readonly string[] {
  const natural = naturalKey(table)
  if (natural !== undefined) return natural.columns
  return table.rowid === undefined ? table.columns.slice(0, 1).map((column) => column.name) : [table.rowid]
}

function describe(names: readonly string[], values: readonly KeyValue[]): string {
  return describeKey(
    names.map((name) => ({ name, target: name, type: '' })),
    values,
  )
}

/** The last text of a window, in the order of rowids: how the application writes a time now. */
function newestText(
  database: Sqlite,
  table: SourceTable,
  column: string,
  where: string,
  values: readonly bigint[],
): string | undefined {
  const x = quote(column)
  const order = table.rowid === undefined ? '' : ` ORDER BY ${quote(table.rowid)} DESC`
  return database
    .prepare(
      `SELECT ${x} FROM ${sourceTable(table.name)} WHERE (${where}) AND typeof(${x}) = 'text'${order} LIMIT 1`,
    )
    .pluck()
    .get(...values) as string | undefined
}

function findDuplicates(database: Sqlite, table: SourceTable, check: UniqueCheck): Duplicates | undefined {
  if (check.parts === undefined) return undefined
  const shown = shownKey(table)
  const names = check.parts.map((_, index) => `u${index}`)
  const keys = shown.map((_, index) => `k${index}`)
  const columns = [
    ...check.parts.map((part, index) => `${part} AS u${index}`),
    // min() of a key would ask for a collation that perhaps only the application has.
    ...shown.map((name, index) => `${quote(name)} COLLATE BINARY AS k${index}`),
  ]
  const real =
    check.unique.nullsEqual === true ? '1' : names.map((name) => `${name} IS NOT NULL`).join(' AND ')
  // Beside min() of the key's first column its other columns are those of the same row.
  const rows = database
    .prepare(
      `SELECT count(*) AS n, min(${keys[0]}), ${keys.join(', ')} FROM (SELECT ${columns.join(', ')} FROM ${sourceTable(table.name)})
       WHERE ${real} GROUP BY ${names.join(', ')} HAVING count(*) > 1 LIMIT ${GROUPS}`,
    )
    .raw()
    .iterate() as IterableIterator<[bigint, KeyValue, ...KeyValue[]]>
  const examples: string[] = []
  let groups = 0
  let total = 0
  for (const [count, , ...key] of rows) {
    groups++
    total += Number(count)
    if (examples.length < EXAMPLES) examples.push(`${describe(shown, key)} and ${Number(count) - 1} more`)
  }
  return { groups, rows: total, examples }
}

/**
 * A WITHOUT ROWID table is ordered by its key: with a collation that only the application has, nothing of it can be
 * read here (trap V26). Elsewhere such a key only means that the rowid takes its place. Undefined where it can be read.
 */
export function foreignCollation(table: SourceTable): Finding | undefined {
  const foreign = table.indexes
    .filter((index) => index.origin === 'pk')
    .flatMap((index) => index.parts)
    .find((part) => !BUILT_IN_COLLATIONS.has(part.collation.toUpperCase()))
  if (!table.withoutRowid || foreign === undefined) return undefined
  return {
    code: 'source_collation',
    severity: 'blocks',
    table: table.name,
    column: foreign.column,
    message: `${table.name} is ordered by the collation ${foreign.collation}, which only the application has: nothing of it can be read here`,
    remedy: `Leave the table out: EXCLUDE_TABLES=${table.name}`,
  }
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
