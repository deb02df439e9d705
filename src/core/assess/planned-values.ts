import type { Finding } from '../finding.ts'
import type { PlannedTable } from '../plan.ts'
import { TIMESTAMPTZ } from '../plan.ts'
import { type ColumnFacts, counted, examplesOf, type TableFacts } from './facts.ts'
import type { Duplicates, Misfits } from './inputs.ts'
import { describeMisfits, listed } from './misfit-kinds.ts'
import { values } from './values.ts'

/** Naive times alone, in a column that goes into moments: UTC is assumed (trap V18). */
export function zoneFindings({ spec }: PlannedTable, facts: TableFacts | undefined): Finding[] {
  return spec.columns.flatMap((column) => {
    const counts = facts?.columns.get(column.name)
    const naive = counted(counts, 'iso_naive')
    if (column.type !== TIMESTAMPTZ || naive === 0 || counted(counts, 'iso_zoned') > 0) return []
    return [
      {
        code: 'naive_times',
        severity: 'warns' as const,
        table: spec.name,
        column: column.name,
        count: naive,
        examples: examplesOf(counts, 'iso_naive'),
        message: `${values(naive, 'time has', 'times have')} no zone and will be taken for ${column.zone ?? 'UTC'}`,
        remedy: 'If they are local times, name the zone in the plan: "zone": "Europe/Moscow".',
      },
    ]
  })
}

/** Values that the type of an existing table refuses, as its codec has counted them. */
export function misfitFindings(
  misfits: readonly Misfits[],
  facts: ReadonlyMap<string, TableFacts>,
): Finding[] {
  return misfits.map(({ table, column, type, count, examples }) => {
    const counts = facts.get(table)?.columns.get(column)
    const what = describeMisfits(counts, type)
    return {
      code: 'values_do_not_fit',
      severity: 'blocks',
      table,
      column,
      count,
      examples,
      message: `${values(count, 'value does', 'values do')} not fit ${type}${what === '' ? '' : ` (${what})`}`,
      remedy: `Decide in the plan: "misfit": "quarantine" sets these rows aside${transformsFor(counts, type)}.`,
    }
  })
}

function transformsFor(facts: ColumnFacts | undefined, type: string): string {
  const time = /^(date|time)/.test(type)
  const some = [
    counted(facts, 'empty') > 0 && !/^(text|char)/.test(type) ? 'empty_as_null' : '',
    time && counted(facts, 'zero_date') > 0 ? 'zero_date_as_null' : '',
    time && counted(facts, 'long_fraction') > 0 ? 'truncate_fraction' : '',
    type === 'jsonb' && counted(facts, 'json_nul') > 0 ? 'strip_json_nul' : '',
    /^char.*\(/.test(type) ? 'cut' : '',
    /^numeric\(/.test(type) ? 'round' : '',
  ].filter((name) => name !== '')
  if (some.length === 0) return ''
  return `, or "transforms": [${some.map((name) => JSON.stringify(name)).join(', ')}]`
}

/** Rows of which a unique index of the target would take one. */
export function duplicateFindings(found: readonly Duplicates[]): Finding[] {
  return found.map(({ table, index, columns, groups, more, examples, partial }) => ({
    code: 'duplicates',
    severity: partial ? 'warns' : 'blocks',
    table,
    ...(columns.length === 1 ? { column: columns[0] as string } : {}),
    count: groups,
    examples,
    message: `${more ? 'more than ' : ''}${values(groups, 'value stands', 'values stand')} in several rows of ${listed(columns)}, which ${index} makes unique in PostgreSQL${partial ? ' where its condition holds' : ''}`,
    remedy:
      'Decide in the plan: "duplicates": "first" or "last" keeps one row of each, or mend them in SQLite.',
  }))
}
