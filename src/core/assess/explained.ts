import type { Finding } from '../finding.ts'
import { candidateTypes } from '../plan-types.ts'
import type { SourceTable } from '../source-schema.ts'
import type { ColumnSpec, TableSpec } from '../table.ts'
import { type ColumnFacts, counted, type TableFacts } from './facts.ts'
import { describeMisfits, misfitCount } from './misfit-kinds.ts'

/** Findings of the planner about values: it counts what a type refuses, the survey knows what these values are. */
const ABOUT_VALUES: ReadonlySet<string> = new Set(['widened', 'values_do_not_fit', 'values_set_aside'])

/** A finding of the planner with what the survey knows besides: kinds of values, and transforms that would do. */
export function explained(
  finding: Finding,
  source: SourceTable | undefined,
  spec: TableSpec | undefined,
  facts: TableFacts | undefined,
): Finding {
  if (!ABOUT_VALUES.has(finding.code) || finding.column === undefined) return finding
  const column = source?.columns.find(({ name }) => name === finding.column)
  const to = spec?.columns.find(({ name }) => name === finding.column)
  const counts = facts?.columns.get(finding.column)
  if (column === undefined || to === undefined || counts === undefined) return finding
  // The type that the values do not fit.
  const type = finding.code === 'widened' ? candidateTypes(column.declared)[0] : to.type
  if (type === undefined || finding.count === undefined) return finding
  // Kinds are told only where they add up: a transform or a codec may take some of them.
  const what = misfitCount(counts, type) === finding.count ? describeMisfits(counts, type) : ''
  const remedy = remedyOf(finding, to, counts)
  return {
    ...finding,
    message: what === '' ? finding.message : `${finding.message} (${what})`,
    ...(remedy === undefined ? {} : { remedy }),
  }
}

function remedyOf(
  { code, severity, remedy }: Finding,
  to: ColumnSpec,
  facts: ColumnFacts,
): string | undefined {
  if (code !== 'values_do_not_fit' || severity !== 'blocks') return remedy
  const some = transformsFor(facts, to.type)
  if (some.length === 0) return remedy
  const names = some.map((name) => JSON.stringify(name)).join(', ')
  return `Decide in the plan (slipway assess --write-plan): "transforms": [${names}] for what they mend, "misfit": "quarantine" sets the rest aside.`
}

function transformsFor(facts: ColumnFacts, type: string): string[] {
  const time = /^(date|time)/.test(type)
  return [
    counted(facts, 'empty') > 0 && !/^(text|char)/.test(type) ? 'empty_as_null' : '',
    time && counted(facts, 'zero_date') > 0 ? 'zero_date_as_null' : '',
    time && counted(facts, 'long_fraction') > 0 ? 'truncate_fraction' : '',
    type === 'jsonb' && counted(facts, 'json_nul') > 0 ? 'strip_json_nul' : '',
    /^char.*\(/.test(type) ? 'cut' : '',
    /^numeric\(/.test(type) ? 'round' : '',
  ].filter((name) => name !== '')
}
