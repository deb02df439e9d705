import { readFileSync } from 'node:fs'
import { Value } from 'typebox/value'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { PlanFile, PlanTable } from '../core/plan-file.ts'
import { canonicalType } from '../core/type-names.ts'
import { PlanSchema } from './plan-schema.ts'

/** The plan of a configuration; undefined where none is named and none is there. Throws as `readPlanFile` does. */
export function loadPlan(config: Pick<Config, 'planFile' | 'planFileNamed'>): PlanFile | undefined {
  try {
    return readPlanFile(config.planFile)
  } catch (error) {
    const absent = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
    if (absent && !config.planFileNamed) return undefined
    throw error
  }
}

/** Reads and checks a plan by its form alone. Throws a Failure `plan_invalid` (exit 2) with every problem. */
export function readPlanFile(path: string): PlanFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw invalid(path, [`it cannot be read (${messageOf(error)})`], error)
  }
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''), withoutPrototype)
  } catch (error) {
    throw invalid(path, [`it is no JSON: ${where(messageOf(error), text)}`], error)
  }
  const problems = formProblems(value)
  if (problems.length > 0) throw invalid(path, problems)
  return canonical(value as PlanFile)
}

function invalid(path: string, problems: readonly string[], cause?: unknown): Failure {
  return new Failure({
    code: 'plan_invalid',
    exit: 2,
    message:
      problems.length === 1
        ? `the plan ${path} is not usable: ${problems[0]}`
        : `the plan ${path} is not usable:\n  - ${problems.join('\n  - ')}`,
    remedy: 'Correct it, or write a new one: slipway assess --write-plan',
    facts: { problems },
    cause,
  })
}

/** Names come from a schema: one may be `constructor`. */
function withoutPrototype(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.assign(Object.create(null), value)
}

/** V8 tells the line of most errors, and none of an end that comes too early. */
function where(message: string, text: string): string {
  return /\bline \d+/.test(message) ? message : `${message} (line ${text.trimEnd().split('\n').length})`
}

function formProblems(value: unknown): string[] {
  const problems: string[] = []
  if (typeof value !== 'object' || value === null) return ['it is no object']
  for (const { keyword, instancePath, schemaPath, params, message } of Value.Errors(PlanSchema, value)) {
    const place = placeOf(instancePath)
    const given = JSON.stringify(at(value, instancePath))
    // What an outer rule says again, and the alternatives of the one `anyOf`.
    if (keyword === 'additionalProperties' || schemaPath.includes('/anyOf/')) continue
    if (keyword === 'boolean') {
      problems.push(`${place} is unknown${meant(segments(instancePath).at(-1), knownBeside(instancePath))}`)
    } else if (keyword === 'anyOf') {
      problems.push(`${place}: ${given} is neither a list of columns nor "rowid"`)
    } else if (keyword === 'enum') {
      const allowed = (params as { allowedValues: unknown[] }).allowedValues.map(String)
      problems.push(
        `${place}: ${given} is not one of ${allowed.join(', ')}${meant(at(value, instancePath), allowed)}`,
      )
    } else if (keyword === 'pattern') problems.push(`${place}: ${given} is no type of PostgreSQL`)
    else problems.push(`${place} ${message}`)
  }
  problems.push(...zoneProblems(value as PlanFile))
  return [...new Set(problems)]
}

const KNOWN: readonly (readonly string[])[] = [
  ['$schema', 'version', 'schema', 'tables'],
  ['include', 'note', 'target', 'key', 'duplicates', 'existing_rows', 'columns'],
  ['include', 'note', 'declared', 'target', 'type', 'codec', 'format', 'zone', 'transforms', 'misfit'],
]

/** Properties that may stand where an unknown one stands: the plan's, a table's or a column's. */
function knownBeside(instancePath: string): readonly string[] {
  return KNOWN[(segments(instancePath).length - 1) >> 1] ?? []
}

function meant(given: unknown, names: readonly string[]): string {
  const near = typeof given === 'string' ? nearest(given, names) : undefined
  return near === undefined ? '' : `; did you mean ${near}?`
}

function segments(instancePath: string): string[] {
  return instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function placeOf(instancePath: string): string {
  const parts = segments(instancePath).map((part) => (/^[\w$]+$/.test(part) ? part : JSON.stringify(part)))
  return parts.length === 0 ? 'the plan' : parts.join('.')
}

function at(value: unknown, instancePath: string): unknown {
  return segments(instancePath).reduce<unknown>(
    (inner, part) => (inner as Record<string, unknown> | undefined)?.[part],
    value,
  )
}

function zoneProblems(plan: PlanFile): string[] {
  const problems: string[] = []
  for (const [table, { columns = {} }] of Object.entries<PlanTable>(plan.tables ?? {})) {
    for (const [column, { zone }] of Object.entries(columns ?? {})) {
      if (typeof zone !== 'string' || isZone(zone)) continue
      const place = placeOf(`/tables/${table}/columns/${column}/zone`)
      problems.push(
        `${place}: there is no zone ${JSON.stringify(zone)}${meant(zone, Intl.supportedValuesOf('timeZone'))}`,
      )
    }
  }
  return problems
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** Types under the names that PostgreSQL gives them, so that they can be compared. */
function canonical(plan: PlanFile): PlanFile {
  for (const { columns } of Object.values(plan.tables)) {
    for (const column of Object.values(columns ?? {}) as { type?: string }[]) {
      if (column.type !== undefined) column.type = canonicalType(column.type)
    }
  }
  return plan
}
