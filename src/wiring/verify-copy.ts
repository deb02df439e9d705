import { Failure } from '../core/errors.ts'
import { showKey } from '../core/key.ts'
import type { Compared, Difference } from '../core/ports.ts'
import type { TableSpec } from '../core/table.ts'
import { compareStage, coversTarget, readKeyPage } from '../postgres/compare.ts'
import type { Connection } from '../postgres/connection.ts'
import { targetName } from '../postgres/dormant.ts'
import { keyTextSql } from '../postgres/key-text.ts'
import { copyInto, FreshStages, targetColumns } from '../postgres/stage.ts'
import type { ChunkReader } from '../sqlite/chunks.ts'
import { absentKeys } from '../sqlite/late-read.ts'
import type { Sqlite } from '../sqlite/open.ts'

const SAMPLES = 20

export interface VerifyCopy {
  readonly connection: Connection
  /** Both read the same source, which nobody changes meanwhile. */
  readonly database: Sqlite
  readonly chunks: ChunkReader
  readonly tables: readonly TableSpec[]
  readonly signal: AbortSignal
}

export interface VerifiedTable {
  readonly table: string
  readonly compared: Compared
}

/**
 * Compares every value of every table with the target: chunk by chunk out of the source into a temporary table typed
 * like the target, joined by the key there; then the target's keys are looked up in the source, so that a row too many
 * is found as well. Memory is bounded by a chunk, and nothing is locked.
 */
export async function verifyCopy(work: VerifyCopy): Promise<VerifiedTable[]> {
  const results: VerifiedTable[] = []
  const stages = new FreshStages(work.connection)
  for (const table of work.tables)
    results.push({ table: table.name, compared: await verifyTable(work, stages, table) })
  return results
}

async function verifyTable(work: VerifyCopy, stages: FreshStages, table: TableSpec): Promise<Compared> {
  const { connection, chunks, signal } = work
  const sum = { rows: 0, missing: 0, extra: 0, different: 0, quarantined: 0, repaired: 0, displaced: [] }
  const samples: Difference[] = []
  for (let after: string | undefined, done = false; !done; ) {
    const chunk = await chunks.readChunk(table, after, undefined, signal)
    const from = after
    const found = await connection.transaction(async (client) => {
      const rows = await stages.get(client, table, 'rows')
      await copyInto(client, rows, targetColumns(table), chunk.rows, table)
      return await compareStage(client, {
        table,
        rows,
        gone: await stages.get(client, table, 'gone'),
        migration: undefined,
        ride: { table, after: from, chunk, gone: undefined },
      })
    })
    sum.rows += chunk.rows.rows
    sum.missing += found.missing
    sum.different += found.different
    sum.extra += found.extra
    sum.quarantined += chunk.aside.length
    samples.push(...found.samples.slice(0, SAMPLES - samples.length))
    after = chunk.last ?? after
    done = chunk.exhausted
  }
  if (!coversTarget(table)) {
    for (const key of await extraKeys(work, table, sum.rows - sum.missing)) {
      sum.extra++
      const shown = showKey(table.key.columns, key)
      if (samples.length < SAMPLES)
        samples.push({ table: table.name, key: shown, kind: 'extra', columns: [] })
    }
  }
  return { ...sum, displaced: [], samples }
}

/** Keys that only the target has; the count tells first whether there are any. */
async function extraKeys(
  { connection, database, signal }: VerifyCopy,
  table: TableSpec,
  matched: number,
): Promise<string[]> {
  const counted = await connection.use((client) =>
    client.query(`SELECT count(*) AS n FROM ${targetName(table)}`),
  )
  if (Number(counted.rows[0].n) === matched) return []
  const extra: string[] = []
  for (let after: readonly string[] | undefined, more = true; more; ) {
    signal.throwIfAborted()
    const place = after
    const page = await connection.use((client) => readKeyPage(client, table, place, keyTextSql(table, 't')))
    extra.push(...absentKeys(database, table, page.keys))
    after = page.next
    more = page.next !== undefined
  }
  return extra
}

/** Throws a Failure `not_equal` that names the first difference; returns where all is equal. */
export function refuseDifferences(
  results: readonly VerifiedTable[],
  remedy: string,
  /** Rows of a table that were left out on purpose, and are told as such. */
  leftOut: ReadonlyMap<string, number> = new Map(),
): void {
  const wrong = results
    .map(({ table, compared }) => ({
      table,
      compared,
      count: differences(compared, leftOut.get(table) ?? 0),
    }))
    .filter(({ count }) => count > 0)
  if (wrong.length === 0) return
  const tables = wrong.map(({ table, count }) => `${table} (${count})`).join(', ')
  const samples = wrong.flatMap(({ compared }) => compared.samples)
  // A value says more than a row that is there or not.
  const first = samples.find(({ kind }) => kind === 'different') ?? samples[0]
  throw new Failure({
    code: 'not_equal',
    exit: 1,
    message: `the copy differs from the source in ${tables}; first at ${first === undefined ? '?' : describe(first)}`,
    remedy,
    facts: { samples },
  })
}

function differences({ missing, extra, different }: Compared, leftOut: number): number {
  return Math.abs(missing - leftOut) + extra + different
}

function describe({ table, key, kind, columns }: Difference): string {
  if (kind !== 'different') return `${table} ${key} (${kind})`
  return `${table} ${key}: ${columns.map(({ column, source, target }) => `${column} is ${show(source)} and became ${show(target)}`).join(', ')}`
}

function show(value: string | null): string {
  return value === null ? 'NULL' : `'${value.slice(0, 60)}'`
}
