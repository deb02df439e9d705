import type { Finding } from '../finding.ts'
import type { SourceTable } from '../source-schema.ts'
import type { SourceSurvey } from './inputs.ts'
import { listed } from './misfit-kinds.ts'

/** Foreign keys that rows break, or that cannot be carried over (traps V16, V23). */
export function relationFindings({ inventory, extras, checks }: SourceSurvey): Finding[] {
  const there = new Map(extras.tables.map((name) => [name.toLowerCase(), name]))
  const moved = new Set(inventory.tables.map((table) => table.name.toLowerCase()))
  return inventory.tables.flatMap((table) => [
    ...parents(table, there, moved),
    ...(checks.get(table.name)?.orphans ?? []).map(
      ({ columns, parent, count, more, examples }): Finding => ({
        code: 'foreign_key_orphans',
        severity: 'warns',
        table: table.name,
        ...(columns.length === 1 ? { column: columns[0] as string } : {}),
        count,
        examples,
        message: `${more ? 'more than ' : ''}${count} ${count === 1 ? 'row has' : 'rows have'} no parent in ${parent} (${listed(columns)}): the foreign key will stay NOT VALID in PostgreSQL`,
        remedy: `Delete these rows or mend them in SQLite: PRAGMA foreign_key_check(${table.name}) lists them.`,
      }),
    ),
    ...(checks.get(table.name)?.mismatched ?? []).map(
      (message): Finding => ({
        code: 'foreign_key_mismatch',
        severity: 'warns',
        table: table.name,
        message: `a foreign key cannot be carried over: its parent columns are not unique (SQLite says: ${message})`,
        remedy: 'Give the parent columns a unique index, or live without the foreign key in PostgreSQL.',
      }),
    ),
  ])
}

function* parents(
  table: SourceTable,
  there: ReadonlyMap<string, string>,
  moved: ReadonlySet<string>,
): Iterable<Finding> {
  for (const { columns, parent } of table.foreignKeys) {
    if (moved.has(parent.toLowerCase())) continue
    const missing = !there.has(parent.toLowerCase())
    yield {
      code: missing ? 'foreign_key_no_parent' : 'foreign_key_not_moved',
      severity: 'warns',
      table: table.name,
      ...(columns.length === 1 ? { column: columns[0] as string } : {}),
      message: `the foreign key (${listed(columns)}) names ${parent}, ${missing ? 'which does not exist' : 'which is not moved'}: it is not carried over`,
      remedy: missing ? 'Drop it in SQLite, or make the table.' : `Move ${parent} too, or live without it.`,
    }
  }
}
