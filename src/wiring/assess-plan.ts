/**
 * The planner as assess asks it: where each table lands, and what of its values, names and constraints does not go
 * there.
 */
import type { SourceSurvey } from '../core/assess/inputs.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import type { PlannedTable } from '../core/plan.ts'
import type { PlanFile } from '../core/plan-file.ts'
import { captureSql } from '../sqlite/capture-sql.ts'
import type { Sqlite } from '../sqlite/open.ts'
import type { ReaderGate } from '../sqlite/reader-gate.ts'
import type { SeenTarget } from './assess-target.ts'
import { type Planning, planSource } from './planning.ts'
import { schemaFindings } from './table-copy.ts'

export interface PlanRequest {
  readonly config: Config
  readonly database: Sqlite
  readonly survey: SourceSurvey
  readonly target: SeenTarget
  /** Null: it is planned without one. */
  readonly plan: PlanFile | null
  readonly gate: ReaderGate
  readonly signal: AbortSignal
}

/** The plan with everything that is to be said of it; the DDL that stays behind is among the findings. */
export async function planForAssess(request: PlanRequest): Promise<Planning> {
  const { config, database, survey, target, plan, gate, signal } = request
  // Tables whose pages are damaged cannot be counted; one without facts that is not damaged is told by the planner.
  const damaged = new Set(
    survey.inventory.tables.map(({ name }) => name).filter((name) => !survey.checks.has(name)),
  )
  const only = new Set(survey.inventory.tables.map(({ name }) => name).filter((name) => !damaged.has(name)))
  const planning = await planSource({
    config,
    reader: database,
    connection: target.connection,
    gate,
    plan,
    before: target.before,
    widened: new Map(),
    signal,
    step: () => undefined,
    only,
  })
  const { planned } = planning
  return {
    ...planning,
    findings: [...planning.findings, ...planned.flatMap(captureFindings), ...schemaFindings(planned)],
  }
}

/** What the triggers of capture could not see (trap H11). */
function captureFindings({ source, spec }: PlannedTable): Finding[] {
  // Nothing identifies its rows, which is told already.
  if (spec.key.columns.length === 0) return []
  try {
    captureSql(source, spec)
    return []
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { code, message, remedy } = error
    return [{ code, severity: 'blocks', table: source.name, message, remedy }]
  }
}
