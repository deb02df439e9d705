/**
 * Decides where every table of the source lands, what identifies its rows, and how its values are encoded. Pure: it
 * looks at descriptions and counts, and says everything that is wrong, or will be different, at once.
 */
import { Failure } from './errors.ts'
import type { Finding } from './finding.ts'
import { planDifferences } from './plan-check.ts'
import { planExisting } from './plan-existing.ts'
import { type MatchInput, matchTables } from './plan-match.ts'
import { planOwn } from './plan-own.ts'
import type { TableProfile } from './plan-profile.ts'
import type { SourceTable } from './source-schema.ts'
import type { TableSpec } from './table.ts'

export interface PlanInput extends MatchInput {
  /** What was counted, by the source's names. */
  readonly profiles: ReadonlyMap<string, TableProfile>
  /** Tables and views of the source that are not moved: the plan may name them. */
  readonly skipped?: readonly string[] | undefined
  /** Names of the tables that are planned now; undefined: all. */
  readonly only?: ReadonlySet<string> | undefined
}

export interface PlannedTable {
  readonly source: SourceTable
  readonly spec: TableSpec
  /** What will be different, for people. */
  readonly warnings: readonly string[]
}

export interface PlanOutcome {
  readonly tables: readonly PlannedTable[]
  /** Of the tables that are planned now. */
  readonly findings: readonly Finding[]
}

/** Plans every table; one with a finding that blocks is planned as well as it goes. */
export function planTables(input: PlanInput): PlanOutcome {
  const { matches, findings: general } = matchTables(input)
  const moved = matches.map(({ source }) => source)
  const wanted = (table: string | undefined): boolean =>
    table === undefined || input.only === undefined || input.only.has(table)
  const findings: Finding[] = [...planDifferences(input), ...general].filter(({ table }) => wanted(table))
  const tables = matches
    .filter(({ source }) => wanted(source.name))
    .map((match): PlannedTable => {
      const { source } = match
      const profile = input.profiles.get(source.name)
      const planned =
        match.kind === 'own'
          ? planOwn(match, profile, input.schema, moved)
          : planExisting(match, profile, moved)
      findings.push(...planned.findings)
      const warnings = findings
        .filter(({ table, severity }) => table === source.name && severity === 'warns')
        .map(({ message }) => message)
      return { source, spec: planned.spec, warnings }
    })
  return { tables, findings }
}

/** Throws a Failure `plan_refused` that names everything that blocks; returns where nothing does. */
export function refuseBlocked(findings: readonly Finding[], schema: string): void {
  const blocking = findings.filter(({ severity }) => severity === 'blocks')
  if (blocking.length === 0) return
  const outdated = blocking.filter(({ code }) => code === 'plan_outdated')
  if (outdated.length > 0) {
    throw new Failure({
      code: 'plan_outdated',
      message: `the plan does not fit what is there:\n  - ${outdated.map(({ message }) => message).join('\n  - ')}`,
      remedy: 'Write a new one (slipway assess --write-plan) and compare the two, or change these lines.',
      facts: { problems: outdated.map(({ message }) => message) },
    })
  }
  const problems = blocking.map(({ message }) => message)
  const lines = blocking.map(({ message, remedy }) =>
    remedy === undefined ? message : `${message}. ${remedy}`,
  )
  throw new Failure({
    code: 'plan_refused',
    message: `the target schema ${schema} cannot take the source:\n  - ${lines.join('\n  - ')}`,
    remedy:
      'Change the target, decide in the plan (PLAN_FILE), or leave a table out: EXCLUDE_TABLES=name,name',
    facts: { problems, findings: blocking },
  })
}
