import type { PlannedTable } from '../plan.ts'
import type { SourceTable } from '../source-schema.ts'
import type { ColumnSpec } from '../table.ts'
import type { TargetTable, TargetUnique } from '../target-schema.ts'
import { counted, type TableFacts } from './facts.ts'
import { plainUniques } from './target.ts'

/** A unique of the target to be held against the source's rows. */
export interface UniqueCheck {
  readonly table: SourceTable
  readonly index: string
  readonly columns: readonly ColumnSpec[]
  /** Such as `lower`, by column: the target compares what it makes of the value. */
  readonly fold: readonly ('lower' | undefined)[]
  /** It holds only some rows, by a condition that SQLite cannot judge. */
  readonly partial: boolean
}

/** Uniques of the target that the source does not keep already, by its own uniques. */
export function uniqueChecks(
  { source, spec }: PlannedTable,
  target: TargetTable | undefined,
  facts: TableFacts | undefined,
): UniqueCheck[] {
  if (!spec.owned) {
    return (target?.uniques ?? []).flatMap((unique) => {
      const check = checkOf(unique, source, spec.columns, target as TargetTable)
      return check === undefined || keptBySource(check, facts) ? [] : [check]
    })
  }
  // In a table of ours a unique is the source's own; only its type may make one value of two.
  return plainUniques(source)
    .filter((index) => index.origin !== 'pk')
    .flatMap((index) => {
      const columns = index.parts.flatMap(
        (part) => spec.columns.find((column) => column.name === part.column) ?? [],
      )
      if (columns.length < index.parts.length || !columns.some(({ name }) => mixed(facts, name))) return []
      return [
        { table: source, index: index.name, columns, fold: columns.map(() => undefined), partial: false },
      ]
    })
}

/** `1` and `'1'` are two values in SQLite, and one where the column becomes text. */
function mixed(facts: TableFacts | undefined, column: string): boolean {
  const counts = facts?.columns.get(column)
  const kinds = [counted(counts, 'integer', 'real'), counted(counts, 'text'), counted(counts, 'blob')]
  return kinds.filter((count) => count > 0).length > 1
}

function checkOf(
  unique: TargetUnique,
  table: SourceTable,
  specs: readonly ColumnSpec[],
  target: TargetTable,
): UniqueCheck | undefined {
  const columns: ColumnSpec[] = []
  const fold: ('lower' | undefined)[] = []
  for (const part of unique.parts) {
    const lower = /^lower\(\(?("?)([^"()]+)\1\)?(?:::text)?\)$/.exec(part)?.[2]
    const name = lower ?? part.replace(/^"(.*)"$/, '$1').replaceAll('""', '"')
    const column = specs.find((each) => each.target === name)
    if (column === undefined) return undefined
    const exact = target.columns.find((each) => each.name === name)?.exact !== false
    columns.push(column)
    fold.push(lower !== undefined || !exact ? 'lower' : undefined)
  }
  return { table, index: unique.name, columns, fold, partial: unique.where !== undefined }
}

function keptBySource(check: UniqueCheck, facts: TableFacts | undefined): boolean {
  if (check.columns.some(({ name }) => mixed(facts, name))) return false
  const names = new Set(check.columns.map((column) => column.name))
  const { rowidColumn } = check.table
  if (rowidColumn !== undefined && names.has(rowidColumn)) return true
  return plainUniques(check.table).some((index) =>
    index.parts.every((part) => {
      const place = check.columns.findIndex((column) => column.name === part.column)
      return place >= 0 && (check.fold[place] === undefined || part.collation === 'NOCASE')
    }),
  )
}
