import type { AssessOptions } from '../cli/work.ts'
import { type Assessment, assemble } from '../core/assess/assessment.ts'
import { explained } from '../core/assess/explained.ts'
import type { TableFacts } from '../core/assess/facts.ts'
import type { SourceSurvey, TableChecks } from '../core/assess/inputs.ts'
import { relationFindings } from '../core/assess/relations.ts'
import { sourceSchemaFindings } from '../core/assess/schema.ts'
import { sourceFindings } from '../core/assess/source.ts'
import { targetFindings } from '../core/assess/target.ts'
import { byteProposals, valueFindings } from '../core/assess/values.ts'
import type { Config } from '../core/config.ts'
import type { Finding } from '../core/finding.ts'
import type { TableStatus } from '../core/operator.ts'
import type { PlanFile } from '../core/plan-file.ts'
import { planFileOf } from '../core/plan-write.ts'
import { etaSeconds, ratePerSecond } from '../core/progress.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { readExtras, readFileFacts } from '../sqlite/file-facts.ts'
import {
  checkFile,
  checkReadLeavesNothing,
  isSqliteError,
  openReader,
  type Sqlite,
  sourceFailure,
} from '../sqlite/open.ts'
import { patiently } from '../sqlite/patient.ts'
import { foreignCollation } from '../sqlite/profile.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { roughRows, surveyTable } from '../sqlite/survey.ts'
import { checkTable, WriteProbe } from '../sqlite/table-checks.ts'
import { planForAssess } from './assess-plan.ts'
import { refuseEditedPlan, writePlan } from './assess-plan-file.ts'
import { lookAtTarget, type SeenTarget } from './assess-target.ts'
import { loadPlan } from './plan-file.ts'
import { type Planning, readInventory } from './planning.ts'

/**
 * `slipway assess`: looks at every value and at both schemas, and says what will not fit and where. Reads only, on
 * both sides; with `writePlan` it writes one file.
 */
export async function assess(config: Config, options: AssessOptions): Promise<Assessment> {
  const path = config.sqlitePath
  checkFile(path)
  checkReadLeavesNothing(path)
  if (options.writePlan && !options.force) refuseEditedPlan(config)
  // Written anew it holds what would be proposed if there were none.
  const plan = options.writePlan ? null : (loadPlan(config) ?? null)
  const reader = openReader(path)
  try {
    await using target = await lookAtTarget(config, options)
    const gate = new ReaderGate(path, config.maxWalMb * 1024 * 1024)
    const surveyed = await surveySource(reader, config, plan, gate, options)
    const { survey } = surveyed
    options.observer.step('planning')
    const { signal } = options
    const request = { config, database: reader, survey, target, plan, gate, signal }
    const planning = await patiently(path, signal, () => planForAssess(request))
    const found = findingsOf(config, surveyed, target, planning)
    if (options.writePlan) {
      const { inventory, planned } = planning
      writePlan(
        config,
        planFileOf({
          schema: config.postgresSchema,
          tables: planned,
          findings: found,
          skipped: inventory.skipped,
          proposals: byteProposals(planned, found),
        }),
      )
    }
    return {
      ...assemble(survey, target.server, planning.planned, found),
      plan: options.writePlan || plan !== null ? { path: config.planFile, written: options.writePlan } : null,
    }
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    reader.close()
  }
}

function findingsOf(
  config: Config,
  { survey, viewReasons, findings: unreadable }: Surveyed,
  { server, findings: ofTarget }: SeenTarget,
  { planned, findings, plan }: Planning,
): Finding[] {
  const { facts, inventory } = survey
  const ofValues = planned.flatMap((table) =>
    valueFindings(table, facts.get(table.source.name), plan?.tables[table.source.name]),
  )
  // That bytes which are no text make a wider column is said by what they are.
  const said = (finding: Finding): boolean =>
    finding.code === 'widened' &&
    ofValues.some(
      ({ code, table, column }) =>
        code.startsWith('text_') && table === finding.table && column === finding.column,
    )
  return [
    ...ofTarget,
    ...sourceFindings(survey, config.maxWalMb * 1024 * 1024),
    ...unreadable,
    ...ofValues,
    ...findings
      .filter((finding) => !said(finding))
      .map((finding) => {
        const source = inventory.tables.find(({ name }) => name === finding.table)
        const spec = planned.find((each) => each.source.name === finding.table)?.spec
        return explained(finding, source, spec, facts.get(finding.table ?? ''))
      }),
    ...relationFindings(survey),
    ...sourceSchemaFindings(survey, viewReasons),
    ...(server === undefined ? [] : targetFindings(server, planned)),
  ]
}

interface Surveyed {
  readonly survey: SourceSurvey
  /** Why a view cannot be read here. */
  readonly viewReasons: ReadonlyMap<string, string>
  /** Tables whose pages cannot be read. */
  readonly findings: readonly Finding[]
}

async function surveySource(
  reader: Sqlite,
  config: Config,
  plan: PlanFile | null,
  gate: ReaderGate,
  { observer, signal }: AssessOptions,
): Promise<Surveyed> {
  const path = config.sqlitePath
  const file = await patiently(path, signal, () => readFileFacts(reader, path))
  const inventory = readInventory(config, reader, plan)
  const names = inventory.tables.map((table) => table.name)
  const extras = readExtras(reader)
  observer.step(`looking at the values of ${names.length} tables`)
  const facts = new Map<string, TableFacts>()
  const checks = new Map<string, TableChecks>()
  const findings: Finding[] = []
  using probe = new WriteProbe(path)
  const expected = new Map(inventory.tables.map((table) => [table.name, expectedRows(reader, table)]))
  const tell = (table: SourceTable, rows: number, startedAt: number, done: boolean): void =>
    observer.copied(
      status(table.name, rows, expected.get(table.name) ?? rows, performance.now() - startedAt, done),
    )
  for (const table of inventory.tables) tell(table, 0, performance.now(), false)
  for (const table of inventory.tables) {
    const startedAt = performance.now()
    try {
      if (canBeRead(table)) {
        const surveyed = await surveyTable(reader, table, {
          gate,
          signal,
          path,
          encoding: file.encoding,
          onRows: (rows) => tell(table, rows, startedAt, false),
        })
        facts.set(table.name, surveyed)
      }
      await gate.pass(signal)
      checks.set(
        table.name,
        await patiently(path, signal, () => checkTable(reader, probe, table, extras.tables)),
      )
    } catch (error) {
      if (!(error as { code?: string }).code?.startsWith('SQLITE_CORRUPT')) throw error
      const { message, remedy } = sourceFailure(path, error)
      findings.push({ code: 'damaged', severity: 'blocks', table: table.name, message, remedy })
    }
    tell(table, facts.get(table.name)?.rows ?? 0, startedAt, true)
  }
  const viewReasons = new Map(
    extras.views.flatMap(({ name }) => {
      const reason = probe.tryView(name)
      return reason === undefined ? [] : [[name, reason] as const]
    }),
  )
  return { survey: { file, inventory, extras, facts, checks }, viewReasons, findings }
}

/** What cannot be read is told when its values are looked at. */
function expectedRows(reader: Sqlite, table: SourceTable): number {
  if (!canBeRead(table)) return 0
  try {
    return roughRows(reader, table)
  } catch (error) {
    if (!isSqliteError(error)) throw error
    return 0
  }
}

/** A table that is ordered by a collation of the application cannot be walked here (trap V26). */
function canBeRead(table: SourceTable): boolean {
  return foreignCollation(table) === undefined
}

function status(
  table: string,
  rows: number,
  expected: number,
  elapsedMs: number,
  done: boolean,
): TableStatus {
  const progress = { done: rows, expected: Math.max(rows, expected), elapsedMs }
  return {
    table,
    target: table,
    state: done ? 'copied' : rows === 0 ? 'waiting' : 'copying',
    rows_copied: rows,
    rows_expected: done ? rows : progress.expected,
    rows_per_second: ratePerSecond(progress),
    eta_seconds: done ? 0 : etaSeconds(progress),
  }
}
