/**
 * The planner as assess asks it: where each table lands, and what of its values, names and constraints does not go
 * there.
 */

import type { ServerFacts, SourceSurvey } from '../core/assess/inputs.ts'
import { keyFindings } from '../core/assess/keys.ts'
import { nameFindings } from '../core/assess/names.ts'
import { duplicateFindings, misfitFindings, zoneFindings } from '../core/assess/planned-values.ts'
import type { LeftBehind } from '../core/assess/schema.ts'
import { uniqueChecks } from '../core/assess/uniques.ts'
import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import { type PlannedTable, planTables } from '../core/plan.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { ColumnSpec } from '../core/table.ts'
import { defaultSql, finishPlan } from '../postgres/schema.ts'
import { captureSql } from '../sqlite/capture-sql.ts'
import type { Sqlite } from '../sqlite/open.ts'
import { profileTable } from '../sqlite/profile.ts'
import type { ReaderGate } from '../sqlite/reader-gate.ts'
import { countMisfits, findDuplicates } from '../sqlite/value-checks.ts'

export interface PlannedSource {
  /** Tables that could be planned. */
  readonly planned: readonly PlannedTable[]
  readonly findings: readonly Finding[]
  /** What of a schema does not come over to tables that slipway makes. */
  readonly leftBehind: readonly LeftBehind[]
}

export interface PlanRequest {
  readonly database: Sqlite
  readonly survey: SourceSurvey
  /** Undefined: it could not be looked at; the tables are planned as if it had none. */
  readonly server: ServerFacts | undefined
  readonly taken: ReadonlySet<string>
  readonly schema: string
  readonly gate: ReaderGate
  readonly signal: AbortSignal
}

export async function planForAssess(request: PlanRequest): Promise<PlannedSource> {
  const { database, survey, server, gate, signal } = request
  const findings = nameFindings(survey.inventory.tables)
  const planned: PlannedTable[] = []
  for (const source of survey.inventory.tables) {
    const facts = survey.facts.get(source.name)
    const profile = facts === undefined ? undefined : await profileTable(database, source, gate, signal)
    const table = profile === undefined ? undefined : planOne(request, source, profile, findings)
    if (table !== undefined) planned.push(table)
    findings.push(...keyFindings(source, facts, table?.spec))
    if (table === undefined) continue
    findings.push(...captureFindings(table), ...zoneFindings(table, facts))
    const existing = server?.tables.find((each) => each.table.name === table.spec.target)
    const duplicates = uniqueChecks(table, existing?.table, facts).flatMap(
      (check) => findDuplicates(database, check) ?? [],
    )
    const misfits = table.spec.owned ? [] : await countMisfits(database, source, table.spec, gate, signal)
    findings.push(...duplicateFindings(duplicates), ...misfitFindings(misfits, survey.facts))
  }
  return { planned, findings, leftBehind: planned.flatMap(leftBehindOf) }
}

function planOne(
  { server, taken, schema }: PlanRequest,
  source: SourceTable,
  profile: Awaited<ReturnType<typeof profileTable>>,
  findings: Finding[],
): PlannedTable | undefined {
  const existing = server?.tables ?? []
  // Whose they are and what they hold is told apart, and must not keep their columns from being looked at.
  const targets = existing.map(({ table }) => ({ ...table, empty: true, mine: true }))
  const owned = new Set(existing.filter((each) => each.made).map(({ table }) => table.name))
  try {
    const [table] = planTables([source], new Map([[source.name, profile]]), targets, schema, owned, taken)
    if (table === undefined) return undefined
    findings.push(...table.warnings.flatMap((text) => asFinding(source.name, 'warns', text)))
    const at = existing.find((each) => each.table.name === table.spec.target)
    if (at !== undefined && !table.spec.owned) findings.push(...existingFindings(source.name, at))
    return table
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'plan_refused') throw error
    const problems = error.facts.problems as readonly string[]
    findings.push(...problems.flatMap((text) => asFinding(source.name, 'blocks', text)))
    return undefined
  }
}

function existingFindings(source: string, { table, ours }: ServerFacts['tables'][number]): Finding[] {
  const name = `${table.schema}.${table.name}`
  const findings: Finding[] = []
  if (!table.mine) {
    findings.push({
      code: 'target_owner',
      severity: 'blocks',
      table: source,
      message: `${name} belongs to ${table.owner}: capture's gate and foreign keys need its owner's rights`,
      remedy: `GRANT ${quote(table.owner)} TO ${quote(table.role)};`,
    })
  }
  if (!table.empty && !ours) {
    findings.push({
      code: 'target_not_empty',
      severity: 'blocks',
      table: source,
      message: `${name} holds rows already: they would collide with the source's`,
      remedy: `Empty it (TRUNCATE ${quote(table.schema, table.name)}), or leave it out: EXCLUDE_TABLES=${source}`,
    })
  }
  return findings
}

/** Sentences of the planner that nobody else says. */
const SAID: readonly (readonly [RegExp, string | undefined])[] = [
  [/hidden column|cannot be followed/, undefined],
  [/ becomes .*, not /, undefined],
  [/generated columns are not copied/, undefined],
  [/the name has \d+ bytes|has an empty name|keeps this name for itself/, undefined],
  [/ has no place in /, 'column_missing'],
  [/ is NOT NULL without a default/, 'column_required'],
  [/ is a key of type /, 'key_type'],
  [/ is the name of a view/, 'name_taken'],
  [/ lands in /, 'mapped'],
  [/ is not in the source/, 'column_extra'],
]

function asFinding(table: string, severity: 'blocks' | 'warns', message: string): Finding[] {
  const found = SAID.find(([pattern]) => pattern.test(message))
  if (found !== undefined && found[1] === undefined) return []
  return [{ code: found?.[1] ?? 'plan_refused', severity, table, message }]
}

/** What the triggers of capture could not see (trap H11). */
function captureFindings({ source, spec }: PlannedTable): Finding[] {
  try {
    captureSql(source, spec)
    return []
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { code, message, remedy } = error
    return [{ code, severity: 'blocks', table: source.name, message, remedy }]
  }
}

function leftBehindOf({ source, spec }: PlannedTable): LeftBehind[] {
  if (!spec.owned) return []
  const { skipped } = finishPlan(source, spec)
  const indexes = source.indexes.flatMap((index): LeftBehind[] => {
    const said = skipped.find((text) => text.includes(`: index ${index.name} is not carried over`))
    if (said === undefined || index.origin === 'pk') return []
    const reason = index.where === undefined ? 'it is on an expression or a collation' : 'it is partial'
    return [{ table: source.name, kind: index.unique ? 'unique' : 'index', name: index.name, reason }]
  })
  const defaults = source.columns.flatMap((column): LeftBehind[] => {
    const to = spec.columns.find((each) => each.name === column.name) as ColumnSpec | undefined
    const none = column.defaultSql === null || /^null$/i.test(column.defaultSql)
    if (to === undefined || none || column.name === source.rowidColumn) return []
    if (defaultSql(column, to) !== undefined) return []
    const reason = 'it is an expression, or means something else in PostgreSQL'
    return [{ table: source.name, kind: 'default', column: column.name, name: column.defaultSql, reason }]
  })
  const generated = source.columns
    .filter((column) => column.generated)
    .map(
      ({ name }): LeftBehind => ({
        table: source.name,
        kind: 'generated',
        column: name,
        reason: 'its values are computed by SQLite',
      }),
    )
  const checks: LeftBehind[] = /\bCHECK\s*\(/i.test(source.sql)
    ? [{ table: source.name, kind: 'check', reason: 'conditions are not translated' }]
    : []
  return [...indexes, ...defaults, ...generated, ...checks]
}
