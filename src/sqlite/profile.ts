import type { Finding } from '../core/finding.ts'
import type { KeyValue } from '../core/key.ts'
import type { Match } from '../core/plan-match.ts'
import { measuresOf } from '../core/plan-measures.ts'
import type { Duplicates, TableProfile } from '../core/plan-profile.ts'
import { BUILT_IN_COLLATIONS } from '../core/plan-types.ts'
import type { UniqueCheck } from '../core/plan-uniques.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { Counts, EXAMPLES, shownKey, showRow } from './counts.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'

/** Rows that one read transaction looks at. */
const WINDOW_ROWS = 50_000n

/** Groups of duplicates that are counted: more of them tell nobody more. */
const GROUPS = 10_000

/**
 * Counts what planning asks of a table (core/plan-measures.ts): for each column the values that each rule would
 * refuse, and for those that refuse something once more what other rules would do. A table with a rowid is read in
 * windows, so that no read transaction is long (trap C20); only duplicates are looked for in the table as a whole.
 */
export async function profileTable(
  database: Sqlite,
  match: Match,
  gate: ReaderGate,
  signal: AbortSignal,
): Promise<TableProfile> {
  const { source } = match
  const { measures, uniques, newest } = measuresOf(match)
  const counts = new Counts(database, source)
  const samples = new Map<string, string>()
  for await (const [where, values] of gated(windows(database, source), gate, signal)) {
    counts.read(
      measures.filter(({ after }) => after === undefined),
      where,
      values,
    )
    for (const column of newest) {
      const text = newestText(database, source, column, where, values)
      if (text !== undefined) samples.set(column, text)
    }
  }
  const more = measures.filter(({ column, after }) => after !== undefined && counts.of(column, after) > 0)
  if (more.length > 0) {
    for await (const [where, values] of gated(windows(database, source), gate, signal))
      counts.read(more, where, values)
  }
  const duplicates = new Map<string, Duplicates>()
  for (const check of uniques) {
    await gate.pass(signal)
    signal.throwIfAborted()
    const found = findDuplicates(database, source, check)
    if (found !== undefined) duplicates.set(check.unique.name, found)
  }
  return {
    columns: counts.columns,
    nullKeys: counts.nullKeys,
    examples: counts.examples,
    duplicates,
    newest: samples,
  }
}

/** Lets the WAL be reset between two of them. */
async function* gated<T>(steps: Iterable<T>, gate: ReaderGate, signal: AbortSignal): AsyncGenerator<T> {
  for (const step of steps) {
    yield step
    await gate.pass(signal)
    signal.throwIfAborted()
  }
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
    if (examples.length < EXAMPLES) examples.push(`${showRow(shown, key)} and ${Number(count) - 1} more`)
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
