/** Whether a plan still fits the source that it was made for. */
import type { Finding } from './finding.ts'
import { nearest } from './nearest.ts'
import type { PlanFile, PlanTable } from './plan-file.ts'
import type { SourceTable } from './source-schema.ts'
import type { TableSpec } from './table.ts'

export interface Checked {
  readonly sources: readonly SourceTable[]
  readonly skipped?: readonly string[] | undefined
  readonly schema: string
  readonly plan?: PlanFile | undefined
}

/** One `plan_outdated` for each difference; a plan that leaves something open differs in nothing there. */
export function planDifferences({ sources, skipped = [], schema, plan }: Checked): Finding[] {
  if (plan === undefined) return []
  const findings: Finding[] = []
  const differ = (message: string, table?: string, column?: string): void => {
    findings.push({ code: 'plan_outdated', severity: 'blocks', table, column, message })
  }
  if (plan.schema !== schema)
    differ(`the plan is made for the schema ${plan.schema}, and POSTGRES_SCHEMA is ${schema}`)
  for (const [name, entry] of Object.entries(plan.tables)) {
    const source = sources.find((table) => table.name === name)
    if (source !== undefined) {
      for (const [column, message] of tableDifferences(source, entry)) differ(message, name, column)
    } else if (entry.include !== false && !skipped.includes(name)) {
      const others = sources.map((table) => table.name).filter((other) => !(other in plan.tables))
      differ(
        `the plan names the table ${name}, and the source has none of that name${hint(name, others)}`,
        name,
      )
    }
  }
  return findings
}

function* tableDifferences(source: SourceTable, entry: PlanTable): Iterable<[string | undefined, string]> {
  if (entry.include === false) return
  const names = source.columns.map((column) => column.name)
  for (const name of Array.isArray(entry.key) ? entry.key : []) {
    if (!names.includes(name))
      yield [
        undefined,
        `the plan's key of ${source.name} names ${name}, and there is no such column${hint(name, names)}`,
      ]
  }
  if (entry.columns === undefined) return
  for (const [name, planned] of Object.entries(entry.columns)) {
    const column = source.columns.find((each) => each.name === name)
    if (column === undefined) {
      if (planned.include === false) continue
      const others = names.filter((other) => !(other in (entry.columns ?? {})))
      yield [name, `the plan names ${source.name}.${name}, and there is no such column${hint(name, others)}`]
    } else if (planned.declared !== undefined && planned.declared !== column.declared) {
      yield [
        name,
        `${source.name}.${name} was declared ${planned.declared || 'without a type'}, and is ${column.declared || 'without a type'} now`,
      ]
    }
  }
  // Who lists the columns has decided about all of them; an entry with only some of the settings has not.
  if (!Object.values(entry.columns).some((planned) => planned.declared !== undefined)) return
  for (const column of source.columns) {
    if (!column.generated && !(column.name in entry.columns))
      yield [column.name, `${source.name}.${column.name} is new: the plan does not name it`]
  }
}

/**
 * What a plan says now and a running migration does otherwise: it was planned before the plan was changed. One line
 * each, empty where the plan is followed.
 */
export function planChanges(plan: PlanFile | undefined, tables: readonly TableSpec[]): string[] {
  return tables.flatMap((spec) => {
    const entry = plan?.tables[spec.name]
    const now = { target: spec.target, duplicates: spec.duplicates }
    const lines = differences(spec.name, entry, now, ['target', 'duplicates'])
    for (const column of spec.columns) {
      const planned = entry?.columns?.[column.name]
      const place = `${spec.name}.${column.name}`
      if (planned?.include === false) lines.push(`${place} is left out`)
      lines.push(...differences(place, planned, column, ['target', 'codec', 'zone', 'misfit', 'transforms']))
      // A type of the target that slipway did not make may go by another name.
      if (spec.owned) lines.push(...differences(place, planned, column, ['type']))
    }
    return lines
  })
}

function differences<P extends object, K extends keyof P & string>(
  place: string,
  planned: P | undefined,
  now: { readonly [name in K]?: unknown },
  settings: readonly K[],
): string[] {
  return settings
    .filter((name) => planned?.[name] !== undefined && String(planned[name]) !== String(now[name] ?? ''))
    .map((name) => `${place}: ${name} ${String(planned?.[name])}, not ${String(now[name] ?? 'unset')}`)
}

function hint(name: string, others: readonly string[]): string {
  const near = nearest(name, others)
  return near === undefined ? '' : `; did you mean ${near}?`
}
