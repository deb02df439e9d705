/** The plan as a file: what was decided, and for what is undecided a proposal that a person can change. */
import type { Finding } from './finding.ts'
import type { PlannedTable } from './plan.ts'
import type { PlanColumn, PlanFile, PlanTable } from './plan-file.ts'
import type { SourceColumn } from './source-schema.ts'
import { HIDDEN_KEY } from './table.ts'

export interface WrittenPlan {
  readonly schema: string
  readonly tables: readonly PlannedTable[]
  readonly findings: readonly Finding[]
  /** What is not moved, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
  /** The plan that was in force: its notes and consents stay. */
  readonly plan?: PlanFile | undefined
  /** Settings of columns on top of what was planned, by table and column: e.g. transforms that a survey proposes. */
  readonly proposals?: ReadonlyMap<string, ReadonlyMap<string, PlanColumn>> | undefined
}

/**
 * Deterministic: tables by name, columns in the order of the source. Read back, it plans the same; where something
 * blocks, it holds the most careful decision that lets the copy go on, with the reason as its note. What only a person
 * can decide (deleting rows of the target, the meaning of numbers) stays open.
 */
export function planFileOf(written: WrittenPlan): PlanFile {
  const entries = new Map<string, PlanTable>()
  for (const { name, reason } of written.skipped) entries.set(name, { include: false, note: reason })
  for (const planned of written.tables) {
    const about = written.findings.filter(({ table }) => table === planned.source.name)
    entries.set(planned.source.name, tableEntry(planned, about, written))
  }
  const sorted = [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { version: 1, schema: written.schema, tables: byName(sorted) }
}

/** Without a prototype: a table may be named `constructor`. */
function byName<T>(entries: Iterable<readonly [string, T]>): Readonly<Record<string, T>> {
  const result = Object.create(null) as Record<string, T>
  for (const [name, value] of entries) result[name] = value
  return result
}

function tableEntry(
  { source, spec }: PlannedTable,
  findings: readonly Finding[],
  { plan, proposals }: WrittenPlan,
): PlanTable {
  const entry = plan?.tables[source.name]
  const duplicates = findings.find(({ code, severity }) => code === 'duplicates' && severity === 'blocks')
  const badKey = findings.find(({ code }) => code === 'key_type' || code === 'key_unusable')
  const key = spec.key.columns.map((column) => column.name)
  const hidden = spec.key.columns.some((column) => column.target === HIDDEN_KEY) || badKey !== undefined
  const note = noteOf(
    [duplicates, badKey, findings.find(({ code }) => code === 'target_not_empty')],
    entry?.note,
  )
  return {
    ...(note === undefined ? {} : { note }),
    target: spec.target,
    ...(key.length === 0 ? {} : { key: hidden && source.rowid !== undefined ? 'rowid' : key }),
    ...(spec.duplicates !== undefined
      ? { duplicates: spec.duplicates }
      : duplicates === undefined
        ? {}
        : { duplicates: 'first' }),
    ...(entry?.existing_rows === undefined ? {} : { existing_rows: entry.existing_rows }),
    columns: byName(
      source.columns
        .filter((column) => !column.generated)
        .map((column) => {
          const about = findings.filter((finding) => finding.column === column.name)
          const proposed = proposals?.get(source.name)?.get(column.name)
          const own = entry?.columns?.[column.name]
          return [column.name, { ...columnEntry(column, { source, spec }, about, own), ...proposed }] as const
        }),
    ),
  }
}

/** What lets a copy go on where a finding blocks. */
const ASIDE: ReadonlySet<string> = new Set(['values_do_not_fit', 'null_in_not_null', 'not_text'])
/** What a person who reads the plan wants to know. */
const NOTED: ReadonlySet<string> = new Set([
  'widened',
  'naive_times',
  'renamed',
  'text_as_bytes',
  'time_unclear',
  'values_set_aside',
  'computed_by_target',
  'column_missing',
])

function columnEntry(
  column: SourceColumn,
  { spec }: Pick<PlannedTable, 'source' | 'spec'>,
  findings: readonly Finding[],
  entry: PlanColumn | undefined,
): PlanColumn {
  const { declared } = column
  const placed = spec.columns.find((each) => each.name === column.name)
  const blocked = findings.find(({ code, severity }) => ASIDE.has(code) && severity === 'blocks')
  const note = noteOf([blocked, ...findings.filter(({ code }) => NOTED.has(code))], entry?.note)
  const noted = note === undefined ? {} : { note }
  if (placed === undefined) return { include: false, ...noted, declared }
  const { target, type, codec, format, zone, transforms } = placed
  const misfit = blocked === undefined ? placed.misfit : 'quarantine'
  return {
    ...noted,
    declared,
    target,
    type,
    ...(codec === undefined ? {} : { codec }),
    ...(format === undefined ? {} : { format }),
    ...(zone === undefined ? {} : { zone }),
    ...(transforms === undefined ? {} : { transforms }),
    ...(misfit === undefined ? {} : { misfit }),
  }
}

/** A person's own note stays. */
function noteOf(findings: readonly (Finding | undefined)[], own: string | undefined): string | undefined {
  if (own !== undefined) return own
  const said = findings.flatMap((finding) => (finding === undefined ? [] : [finding.message]))
  return said.length === 0 ? undefined : said.join('; ')
}
