import type { Duplicates, Misfits } from '../core/assess/inputs.ts'
import type { UniqueCheck } from '../core/assess/uniques.ts'
import { copyField, keyField } from '../core/codec.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { sourceTable } from './introspect.ts'
import type { Sqlite } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'

/** Groups of equal rows are counted up to here. */
const MOST_GROUPS = 1_000
const EXAMPLES = 3
/** Rows that one read transaction looks at, and columns of one SELECT. */
const WINDOW_ROWS = 20_000
const COLUMNS_AT_ONCE = 400

/** Rows of which the target would call two the same; undefined where there are none. One read transaction. */
export function findDuplicates(database: Sqlite, check: UniqueCheck): Duplicates | undefined {
  const name = exampleKey(check.table)
  // As the target will hold them: 1 and '1' are two values here, and one where both become text.
  const parts = check.columns.map((column, index) => {
    const encoded = copyField(column, quote(column.name))
    const folded = check.fold[index] ?? (column.type === 'uuid' ? 'lower' : undefined)
    return `${folded === undefined ? encoded : `${folded}(${encoded})`} COLLATE BINARY`
  })
  const present = check.columns.map((column) => `${quote(column.name)} IS NOT NULL`)
  const groups = parts.map((_, index) => `e${index}`)
  const rows = database
    .prepare(
      `SELECT min(k), max(k) FROM (SELECT ${quote(name)} AS k, ${parts.map((part, index) => `${part} AS e${index}`).join(', ')}
         FROM ${sourceTable(check.table.name)} WHERE ${present.join(' AND ')} LIMIT -1)
       WHERE ${groups.map((group) => `${group} IS NOT NULL`).join(' AND ')}
       GROUP BY ${groups.join(', ')} HAVING count(*) > 1 LIMIT ${MOST_GROUPS + 1}`,
    )
    .raw()
    .all() as [unknown, unknown][]
  if (rows.length === 0) return undefined
  return {
    table: check.table.name,
    index: check.index,
    columns: check.columns.map((column) => column.name),
    groups: Math.min(rows.length, MOST_GROUPS),
    more: rows.length > MOST_GROUPS,
    examples: rows.slice(0, EXAMPLES).map(([one, other]) => `${name}=${one} and ${name}=${other}`),
    partial: check.partial,
  }
}

/**
 * Counts the values of a table that the codecs of these columns refuse: exactly those that a copy would set aside.
 * Bytes that are no text are not seen by a codec, and counted by the survey.
 */
export async function countMisfits(
  database: Sqlite,
  table: SourceTable,
  spec: TableSpec,
  gate: ReaderGate,
  signal: AbortSignal,
): Promise<Misfits[]> {
  const walk = table.rowid ?? table.rowidColumn
  const keys = new Set(spec.key.columns.map((column) => column.name))
  const key = quote(exampleKey(table))
  const from = sourceTable(table.name)
  const found: Misfits[] = []
  for (let at = 0; at < spec.columns.length; at += COLUMNS_AT_ONCE) {
    const columns = spec.columns.slice(at, at + COLUMNS_AT_ONCE)
    const misfit = columns.map((column) => {
      const x = quote(column.name)
      const encoded = keys.has(column.name) ? keyField(column, x) : copyField(column, x)
      return `(${x} IS NOT NULL AND (${encoded}) IS NULL)`
    })
    const counts = columns.map(() => 0)
    const examples = columns.map((): string[] => [])
    const sums = columns.map((_, index) => `total(m${index})`).join(', ')
    const flags = misfit.map((sql, index) => `${sql} AS m${index}`).join(', ')
    let last: bigint | undefined
    for (;;) {
      await gate.pass(signal)
      signal.throwIfAborted()
      const ahead = walk === undefined ? '1' : last === undefined ? '1' : `${quote(walk)} > ?`
      const window = walk === undefined ? '' : `ORDER BY ${quote(walk)} LIMIT ${WINDOW_ROWS}`
      const bound = last === undefined ? [] : [last]
      const end = database.transaction(() => {
        const row = database
          .prepare(
            `SELECT count(*), max(w), ${sums} FROM (SELECT ${walk === undefined ? '0' : quote(walk)} AS w, ${flags}
             FROM ${from} WHERE ${ahead} ${window || 'LIMIT -1'})`,
          )
          .raw()
          .get(...bound) as (number | bigint | null)[]
        columns.forEach((_, index) => {
          const count = Number(row[index + 2])
          const some = examples[index] as string[]
          counts[index] = (counts[index] as number) + count
          if (count === 0 || some.length >= EXAMPLES) return
          const upTo = walk === undefined ? '1' : `${quote(walk)} <= ?`
          const keysOf = database
            .prepare(
              `SELECT ${key} FROM ${from} WHERE ${ahead} AND ${upTo} AND ${misfit[index]} LIMIT ${EXAMPLES - some.length}`,
            )
            .pluck()
            .all(...bound, ...(walk === undefined ? [] : [row[1]]))
          some.push(...keysOf.map((value) => `${exampleKey(table)}=${value}`))
        })
        return Number(row[0]) < WINDOW_ROWS || walk === undefined ? undefined : (row[1] as bigint)
      })()
      if (end === undefined) break
      last = end
    }
    columns.forEach((column, index) => {
      const count = counts[index] as number
      if (count > 0)
        found.push({
          table: table.name,
          column: column.name,
          type: column.type,
          count,
          examples: examples[index] as string[],
        })
    })
  }
  return found
}

/** A column that names a row for people. */
function exampleKey(table: SourceTable): string {
  const primary = table.columns.filter((column) => column.primary > 0)
  return (
    (primary.length === 1 ? primary[0]?.name : undefined) ?? table.rowid ?? table.columns[0]?.name ?? 'rowid'
  )
}
