import type { Finding } from '../finding.ts'
import type { SourceSurvey } from './inputs.ts'
import { listed } from './misfit-kinds.ts'

/** Foreign keys that rows break (trap V16). Those that cannot be carried over are told with the DDL. */
export function relationFindings({ inventory, checks }: SourceSurvey): Finding[] {
  return inventory.tables.flatMap((table) =>
    (checks.get(table.name)?.orphans ?? []).map(
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
  )
}
