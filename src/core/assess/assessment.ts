import type { Finding, Severity } from '../finding.ts'
import type { PlannedTable } from '../plan.ts'
import type { ColumnFacts } from './facts.ts'
import type { FileFacts, ServerFacts, SourceSurvey } from './inputs.ts'
import { listed } from './misfit-kinds.ts'

/** What `slipway assess` answers; `--json` prints it as it is. */
export interface Assessment {
  readonly summary: {
    readonly blocks: number
    readonly warns: number
    readonly info: number
    readonly tables: number
    readonly rows: number
    /** Of the values. */
    readonly bytes: number
    /** Of the whole snapshot, backup and indexes included; an estimate from rows and bytes. */
    readonly estimatedSeconds: number
  }
  readonly source: FileFacts
  /** Null where it could not be looked at. */
  readonly target: (Omit<ServerFacts, 'tables'> & { readonly tables: readonly string[] }) | null
  readonly tables: readonly AssessedTable[]
  /** By table, the worst first. */
  readonly findings: readonly Finding[]
  readonly sentence: string
  /** The plan that was written, where that was asked for. */
  readonly plan: { readonly path: string; readonly written: boolean } | null
}

export interface AssessedTable {
  readonly table: string
  /** Null where it could not be planned. */
  readonly target: string | null
  /** Slipway makes it. */
  readonly made: boolean
  readonly rows: number
  readonly bytes: number
  /** Columns that identify a row; empty where it is the rowid. */
  readonly key: readonly string[]
  readonly strict: boolean
  readonly withoutRowid: boolean
  readonly columns: readonly ({
    readonly column: string
    readonly declared: string
    /** Type in the target; null where it could not be planned. */
    readonly type: string | null
  } & Omit<ColumnFacts, 'examples'>)[]
}

/**
 * What a snapshot of one million news articles took (1.2 GB, two cores, all on one machine): backup, two looks at the
 * values, the copy, keys and indexes. Half of it is the server's.
 */
const ROWS_PER_SECOND = 120_000
const BYTES_PER_SECOND = 50_000_000
const START_SECONDS = 2

/** Seconds that a snapshot will take, roughly: machines and networks differ more than this knows. */
export function estimateSeconds(rows: number, bytes: number): number {
  return Math.ceil(START_SECONDS + rows / ROWS_PER_SECOND + bytes / BYTES_PER_SECOND)
}

const RANK: Readonly<Record<Severity, number>> = { blocks: 0, warns: 1, info: 2 }

/** By table in the order of the source, what is of no table first; the worst first within a table. */
export function sortFindings(findings: readonly Finding[], survey: SourceSurvey): Finding[] {
  const order = new Map(survey.inventory.tables.map((table, index) => [table.name, index + 1]))
  const columns = new Map(
    survey.inventory.tables.flatMap((table) =>
      table.columns.map((column, index) => [`${table.name}\0${column.name}`, index + 1] as const),
    ),
  )
  const place = (finding: Finding): readonly number[] => [
    finding.table === undefined ? 0 : (order.get(finding.table) ?? order.size + 1),
    RANK[finding.severity],
    columns.get(`${finding.table}\0${finding.column}`) ?? 0,
  ]
  return findings.toSorted((a, b) => {
    const [one, other] = [place(a), place(b)]
    const at = one.findIndex((number, index) => number !== other[index])
    return at < 0 ? a.code.localeCompare(b.code, 'en') : (one[at] as number) - (other[at] as number)
  })
}

/** One of each code and place: the first that is given says more. */
export function distinct(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>()
  return findings.filter(({ code, table, column, message }) => {
    // Without a column one code may stand for several things of a table.
    const place = JSON.stringify([code, table, column ?? message])
    return !seen.has(place) && seen.add(place)
  })
}

export function assemble(
  survey: SourceSurvey,
  server: ServerFacts | undefined,
  planned: readonly PlannedTable[],
  found: readonly Finding[],
): Omit<Assessment, 'plan'> {
  const findings = sortFindings(distinct(found), survey)
  const facts = [...survey.facts.values()]
  const rows = facts.reduce((sum, table) => sum + table.rows, 0)
  const bytes = facts.reduce((sum, table) => sum + table.bytes, 0)
  const of = (severity: Severity): number => findings.filter((each) => each.severity === severity).length
  const estimatedSeconds = estimateSeconds(rows, bytes)
  return {
    summary: {
      blocks: of('blocks'),
      warns: of('warns'),
      info: of('info'),
      tables: survey.inventory.tables.length,
      rows,
      bytes,
      estimatedSeconds,
    },
    source: survey.file,
    target: server === undefined ? null : { ...server, tables: server.tables.map(({ table }) => table.name) },
    tables: survey.inventory.tables.map((table) => describe(table.name, survey, planned)),
    findings,
    sentence: sentenceOf(findings, estimatedSeconds),
  }
}

function describe(name: string, survey: SourceSurvey, planned: readonly PlannedTable[]): AssessedTable {
  const source = survey.inventory.tables.find((table) => table.name === name)
  const spec = planned.find((each) => each.spec.name === name)?.spec
  const facts = survey.facts.get(name)
  return {
    table: name,
    target: spec?.target ?? null,
    made: spec?.owned ?? false,
    rows: facts?.rows ?? 0,
    bytes: facts?.bytes ?? 0,
    key: spec === undefined || spec.key.kind === 'rowid' ? [] : spec.key.columns.map((column) => column.name),
    strict: source?.strict ?? false,
    withoutRowid: source?.withoutRowid ?? false,
    columns: [...(facts?.columns ?? [])].map(([column, { examples: _, ...counts }]) => ({
      column,
      declared: source?.columns.find((each) => each.name === column)?.declared ?? '',
      type: spec?.columns.find((each) => each.name === column)?.type ?? null,
      ...counts,
    })),
  }
}

/** The one sentence that a person remembers. */
export function sentenceOf(findings: readonly Finding[], seconds: number): string {
  const blocking = findings.filter((finding) => finding.severity === 'blocks')
  const general = blocking.filter((finding) => finding.table === undefined)
  if (general.length > 0) {
    const more = blocking.length - 1
    return `Cannot move yet: ${general[0]?.message}${more > 0 ? ` (and ${more} more)` : ''}.`
  }
  const moves = `Moves in about ${roughly(seconds)}`
  if (blocking.length > 0) {
    const columns = new Set(
      blocking.flatMap(({ table, column }) => (column === undefined ? [] : [`${table}\0${column}`])),
    ).size
    const tables = new Set(blocking.flatMap(({ table, column }) => (column === undefined ? [table] : [])))
      .size
    const parts = [plural(columns, 'column'), plural(tables, 'table')].filter((part) => part !== '')
    return `${moves}; ${listed(parts)} ${columns + tables === 1 ? 'needs' : 'need'} a decision.`
  }
  const warnings = findings.filter((finding) => finding.severity === 'warns').length
  if (warnings === 0) return `${moves}; nothing stands in the way.`
  return `${moves}; nothing stands in the way, and ${warnings === 1 ? 'one thing' : `${warnings} things`} will be different.`
}

function plural(count: number, noun: string): string {
  return count === 0 ? '' : `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** `40 s`, `3 min`, `2 h`: no more digits than an estimate has. */
function roughly(seconds: number): string {
  if (seconds < 10) return `${seconds} s`
  if (seconds < 100) return `${Math.round(seconds / 5) * 5} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
