import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import { amount } from '../core/finding.ts'
import { showKey } from '../core/key.ts'
import type { TableStatus } from '../core/operator.ts'
import type { PlannedTable } from '../core/plan.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { ownConstraints } from '../postgres/constraints.ts'
import { type Dormant, targetName } from '../postgres/dormant.ts'
import { tryIndex } from '../postgres/indexes.ts'
import { createTableSql, finishPlan } from '../postgres/schema.ts'
import { copyInto, targetColumns } from '../postgres/stage.ts'
import { copyTolerantly, type RefusedRow } from '../postgres/tolerant-copy.ts'
import type { ChunkReader } from '../sqlite/chunks.ts'

/** A transaction of the target. */
type Client = Parameters<typeof copyInto>[0]

/** The table as its rows need it: made where it is ours, with a hidden column where nothing else identifies a row. */
export async function makeTable(client: Client, { source, spec }: PlannedTable): Promise<void> {
  if (spec.owned) await client.query(createTableSql(source, spec))
  else if (spec.key.kind === 'rowid')
    await client.query(`ALTER TABLE ${targetName(spec)} ADD COLUMN IF NOT EXISTS ${quote(HIDDEN_KEY)} bigint`)
}

export interface FillOptions {
  readonly chunks: ChunkReader
  /** Rows that PostgreSQL refuses are left out and told, instead of ending the copy. */
  readonly tolerant: boolean
  readonly signal: AbortSignal
  readonly copied: (table: TableStatus) => void
}

export interface Filled {
  readonly rows: number
  /** How many rows the target cannot hold, and the first of them. */
  readonly aside: number
  readonly asideFirst: readonly RefusedRow[]
  /** Those among them that PostgreSQL itself refused. */
  readonly refused: number
}

const ASIDE_SHOWN = 5

/** Every row of a table that fits, chunk by chunk. */
export async function fillTable(
  client: Client,
  spec: TableSpec,
  { chunks, signal, copied, tolerant }: FillOptions,
): Promise<Filled> {
  const startedAt = performance.now()
  const expected = chunks.estimateRows(spec)
  const asideFirst: RefusedRow[] = []
  let rows = 0
  let aside = 0
  let refused = 0
  for (let after: string | undefined, done = false; !done; ) {
    const chunk = await chunks.readChunk(spec, after, undefined, signal)
    const left = chunk.aside.map(({ key, column, reason }) => ({
      key: showKey(spec.key.columns, key),
      column,
      reason,
    }))
    if (tolerant) left.push(...(await copyTolerantly(client, spec, chunk.rows)))
    else if (chunk.rows.rows > 0)
      await copyInto(client, targetName(spec), targetColumns(spec), chunk.rows, spec)
    rows += chunk.rows.rows - (left.length - chunk.aside.length)
    refused += left.length - chunk.aside.length
    aside += left.length
    asideFirst.push(...left.slice(0, ASIDE_SHOWN - asideFirst.length))
    after = chunk.last ?? after
    done = chunk.exhausted
    copied(status(spec, rows, expected, done, performance.now() - startedAt))
  }
  return { rows, aside, asideFirst, refused }
}

function status(spec: TableSpec, copied: number, expected: number, done: boolean, ms: number): TableStatus {
  return {
    table: spec.name,
    target: spec.target,
    state: done ? 'copied' : 'copying',
    rows_copied: copied,
    rows_expected: done ? copied : Math.max(copied, expected),
    rows_per_second: ms > 0 ? Math.round((copied * 1000) / ms) : null,
    eta_seconds: done ? 0 : null,
  }
}

/** The key of a table that was filled without one; a hidden column gets an index, by which rows are found again. */
export async function makeKey(client: Client, { source, spec }: PlannedTable): Promise<void> {
  if (spec.owned) {
    const { key } = finishPlan(source, spec)
    if (key !== undefined) await client.query(key)
  } else if (spec.key.kind === 'rowid') {
    await client.query(`CREATE UNIQUE INDEX ON ${targetName(spec)} (${quote(HIDDEN_KEY)})`)
  }
}

/** Every index that the source has; what the rows or PostgreSQL do not allow is told. */
export async function makeIndexes(client: Client, { source, spec }: PlannedTable): Promise<Finding[]> {
  if (!spec.owned) return []
  const findings: Finding[] = []
  for (const index of finishPlan(source, spec).indexes) {
    const made = await tryIndex(client, spec, index)
    if (typeof made !== 'string') findings.push(made)
  }
  return findings
}

/** What cannot be carried over of the tables that slipway makes, said before anything is made. */
export function schemaFindings(planned: readonly PlannedTable[]): Finding[] {
  const own = planned.filter(({ spec }) => spec.owned)
  return [
    ...own.flatMap(({ source, spec }) => finishPlan(source, spec).findings),
    ...ownConstraints(planned).findings,
  ]
}

/** CHECKs and foreign keys of our own tables, for `wakeUp`. */
export function constraintsOf(planned: readonly PlannedTable[]): readonly Dormant[] {
  return ownConstraints(planned).dormant
}

/** Rows that are left out, for people; undefined where there are none. */
export function asideFinding(spec: TableSpec, { aside, asideFirst }: Filled): Finding | undefined {
  if (aside === 0) return undefined
  return {
    code: 'rows_set_aside',
    severity: 'warns',
    table: spec.name,
    count: aside,
    examples: asideFirst.map(({ key }) => key),
    message: `${spec.name}: ${amount(aside, 'row')} cannot be held by the target: ${asideFirst[0]?.reason}`,
    remedy: 'Decide in the plan (a type, a transform), or change the values in SQLite.',
  }
}

/** A copy that nothing follows must be whole, but for rows that the plan itself sets aside. */
export function refuseAside(spec: TableSpec, filled: Filled): Finding | undefined {
  const finding = asideFinding(spec, filled)
  if (finding === undefined) return undefined
  const agreed = filled.asideFirst.every(
    ({ column }) => spec.columns.find(({ name }) => name === column)?.misfit === 'quarantine',
  )
  if (agreed) return finding
  throw new Failure({
    code: 'misfit',
    message: `${finding.message} (${finding.examples?.join('; ')})`,
    remedy: `${finding.remedy} To leave such rows behind, say "misfit": "quarantine" there.`,
    facts: { table: spec.name, count: filled.aside },
  })
}
