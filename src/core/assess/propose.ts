import type { PlannedTable } from '../plan.ts'
import { TIMESTAMPTZ } from '../plan.ts'
import type { PlanColumn, PlanFile, PlanTable } from '../plan-file.ts'
import type { SourceColumn } from '../source-schema.ts'
import { type CodecName, type ColumnSpec, misfitPolicy, type TableSpec } from '../table.ts'
import { type ColumnFacts, counted, type TableFacts, type Trait, valuesOf } from './facts.ts'
import { describeMisfits, misfitCount } from './misfit-kinds.ts'

/**
 * The plan that assess proposes: what slipway would do by itself, written out, and for what needs a decision the one
 * that changes least. Deterministic: the order is that of the source.
 */
export function proposePlan(
  planned: readonly PlannedTable[],
  facts: ReadonlyMap<string, TableFacts>,
): PlanFile {
  return {
    version: 1,
    schema: planned[0]?.spec.schema ?? 'public',
    tables: Object.fromEntries(
      planned.map(({ source, spec }) => [
        source.name,
        proposeTable(source.columns, spec, facts.get(source.name)),
      ]),
    ),
  }
}

function proposeTable(
  columns: readonly SourceColumn[],
  spec: TableSpec,
  facts: TableFacts | undefined,
): PlanTable {
  return {
    target: spec.target,
    key: spec.key.kind === 'rowid' ? 'rowid' : spec.key.columns.map((column) => column.name),
    duplicates: spec.duplicates ?? 'fail',
    columns: Object.fromEntries(
      spec.columns.map((column) => {
        const declared = columns.find((each) => each.name === column.name)?.declared ?? ''
        return [column.name, proposeColumn(declared, column, spec, facts?.columns.get(column.name))]
      }),
    ),
  }
}

function proposeColumn(
  declared: string,
  column: ColumnSpec,
  table: TableSpec,
  facts: ColumnFacts | undefined,
): PlanColumn {
  const codec = column.codec ?? codecOf(column.type, facts)
  const naive = column.type === TIMESTAMPTZ && counted(facts, 'iso_naive') > 0
  const decision = codec === undefined ? misfitOf(column, table, facts) : {}
  return {
    declared,
    ...(column.target === column.name ? {} : { target: column.target }),
    type: column.type,
    ...(codec === undefined ? {} : { codec }),
    ...(column.format === undefined ? {} : { format: column.format }),
    ...(naive || column.zone !== undefined ? { zone: column.zone ?? 'UTC' } : {}),
    ...(column.transforms === undefined ? {} : { transforms: column.transforms }),
    ...decision,
  }
}

/** What becomes of values that do not fit, and what else could be chosen. */
function misfitOf(
  column: ColumnSpec,
  table: TableSpec,
  facts: ColumnFacts | undefined,
): Pick<PlanColumn, 'misfit' | 'note'> {
  if (column.misfit !== undefined) return { misfit: column.misfit }
  const count = misfitCount(facts, column.type)
  if (count === 0) return {}
  const transforms = [
    ...(counted(facts, 'nul') > 0 ? ['strip_nul'] : []),
    ...(counted(facts, 'invalid_utf8') > 0 ? ['replace_invalid_utf8'] : []),
    ...(counted(facts, 'empty') > 0 && !/^(text|char)/.test(column.type) ? ['empty_as_null'] : []),
    ...(counted(facts, 'zero_date') > 0 && /^(date|time)/.test(column.type) ? ['zero_date_as_null'] : []),
  ]
  const policy = misfitPolicy(table, column)
  const meaning =
    policy === 'widen' ? 'the whole column becomes bytea' : 'these rows are set aside and stay behind'
  const others = [
    policy === 'widen' ? '"misfit": "quarantine"' : '"misfit": "fail"',
    ...transforms.map((name) => `"transforms": ["${name}"]`),
  ]
  return {
    misfit: policy,
    note: `${describeMisfits(facts, column.type)}: ${meaning}; instead: ${others.join(', or ')}`,
  }
}

/** How the values are spelled, where the type alone does not say it and all of them are alike. */
function codecOf(type: string, facts: ColumnFacts | undefined): CodecName | undefined {
  const all = valuesOf(facts)
  const are = (...traits: readonly Trait[]): boolean => all > 0 && counted(facts, ...traits) === all
  if (/^timestamp|^date$/.test(type)) {
    if (are('epoch_s')) return 'epoch_s'
    if (are('epoch_ms')) return 'epoch_ms'
    if (are('julian')) return 'julian'
  }
  if (type === 'uuid') {
    if (are('blob16')) return 'bytes'
    if (are('hex32')) return 'hex'
  }
  if (type === 'boolean' && counted(facts, 'boolean_word') > 0 && are('zero_or_one', 'boolean_word'))
    return 'words'
  return undefined
}
