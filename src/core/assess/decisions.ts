import type { Finding } from '../finding.ts'
import type { PlanColumn, PlanFile, PlanTable } from '../plan-file.ts'

export function planTableOf(plan: PlanFile | undefined, table: string): PlanTable | undefined {
  return plan?.tables[table]
}

export function planColumnOf(
  plan: PlanFile | undefined,
  table: string,
  column: string,
): PlanColumn | undefined {
  return plan?.tables[table]?.columns?.[column]
}

/** What a plan says to a finding, as people would say it; undefined where it says nothing. */
type Decide = (table: PlanTable, column: PlanColumn) => string | undefined

const misfit: Decide = (_table, column) => column.misfit && `misfit "${column.misfit}"`
const type: Decide = (_table, column) => column.type && `type ${column.type}`
const zone: Decide = (_table, column) => column.zone && `zone ${column.zone}`
const columnName: Decide = (_table, column) => column.target && `target "${column.target}"`
const tableName: Decide = (table) => table.target && `target "${table.target}"`

function transform(...names: readonly string[]): Decide {
  return (_table, column) => {
    const found = column.transforms?.find((each) => names.includes(each))
    return found && `transform "${found}"`
  }
}

const DECISIONS: Readonly<Record<string, readonly Decide[]>> = {
  text_nul: [transform('strip_nul'), misfit, (t, c) => (c.type === 'bytea' ? type(t, c) : undefined)],
  text_invalid_utf8: [
    transform('replace_invalid_utf8'),
    misfit,
    (t, c) => (c.type === 'bytea' ? type(t, c) : undefined),
  ],
  values_do_not_fit: [misfit],
  widened: [type, misfit],
  naive_beside_zoned: [zone],
  naive_times: [zone],
  duplicates: [
    (table) =>
      table.duplicates !== undefined && table.duplicates !== 'fail'
        ? `duplicates "${table.duplicates}"`
        : undefined,
  ],
  name_too_long: [columnName, tableName],
  name_reserved: [columnName],
  name_empty: [columnName, tableName],
  names_collide: [columnName, tableName],
  hidden_key: [(table) => (table.key === 'rowid' ? 'key "rowid"' : undefined)],
}

/** The finding as it stands beside a plan: what a person has decided is good to know, and no more. */
export function decided(finding: Finding, plan: PlanFile | undefined): Finding {
  const table = finding.table === undefined ? undefined : planTableOf(plan, finding.table)
  if (table === undefined || finding.severity === 'info') return finding
  const column = finding.column === undefined ? undefined : table.columns?.[finding.column]
  const left = table.include === false || column?.include === false ? 'it stays behind' : undefined
  // A column's decision is its own: the table's new name does not shorten the name of a column.
  const own = finding.column === undefined ? { ...table } : { ...table, target: undefined }
  const said =
    left ??
    DECISIONS[finding.code]?.map((decide) => decide(own as PlanTable, column ?? {})).find((text) => text)
  if (said === undefined) return finding
  const { remedy: _, ...rest } = finding
  return { ...rest, severity: 'info', message: `${finding.message} (the plan says: ${said})` }
}
