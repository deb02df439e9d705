import type { Finding } from '../finding.ts'
import { BUILT_IN_COLLATIONS, naturalKey } from '../plan.ts'
import type { SourceTable } from '../source-schema.ts'
import type { TableSpec } from '../table.ts'
import { counted, examplesOf, type TableFacts } from './facts.ts'

/** Tables whose rows nothing but the rowid tells apart, and why; those that cannot be followed at all. */
export function keyFindings(
  table: SourceTable,
  facts: TableFacts | undefined,
  spec: TableSpec | undefined,
): Finding[] {
  const foreign = table.indexes
    .filter((index) => index.origin === 'pk')
    .flatMap((index) => index.parts)
    .find((part) => !BUILT_IN_COLLATIONS.has(part.collation.toUpperCase()))
  if (table.withoutRowid && foreign !== undefined) {
    return [
      {
        code: 'source_collation',
        severity: 'blocks',
        table: table.name,
        ...(foreign.column === undefined ? {} : { column: foreign.column }),
        message: `the table is ordered by the collation ${foreign.collation}, which only the application has: nothing of it can be read here`,
        remedy: `Leave the table out: EXCLUDE_TABLES=${table.name}`,
      },
    ]
  }
  const found = (why: string, more: Partial<Finding> = {}): Finding =>
    table.rowid === undefined
      ? {
          code: 'no_key',
          severity: 'blocks',
          table: table.name,
          ...more,
          message: `${why}, and no name of the rowid is left that could be used instead`,
          remedy: `Give it a primary key, or leave it out: EXCLUDE_TABLES=${table.name}`,
        }
      : {
          code: 'hidden_key',
          severity: 'warns',
          table: table.name,
          ...more,
          message: `${why}, so the target gets a hidden column for the rowid, and VACUUM means a new copy`,
          remedy: 'Give it a primary key in SQLite if VACUUM is run while slipway works; else nothing.',
        }
  const natural = naturalKey(table)
  if (natural === undefined) return [found('the table has no key')]
  // The rowid is never NULL and never anything but an integer.
  if (table.rowidColumn !== undefined) return []
  const nulls = natural.columns.filter((name) => counted(facts?.columns.get(name), 'null') > 0)
  if (nulls.length > 0) {
    return nulls.map((column) => {
      const counts = facts?.columns.get(column)
      const [count, examples] = [counted(counts, 'null'), examplesOf(counts, 'null')]
      return found('the key holds NULL', { column, count, examples })
    })
  }
  if (foreign !== undefined)
    return [found(`the key compares by ${foreign.collation}, which only the application has`)]
  return spec?.key.kind === 'rowid' ? [found('the key holds values of several kinds')] : []
}
