/** What the guards of a change of authority ask of SQLite. Nothing here writes, and nothing holds a lock for long. */
import { statfs } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { Failure } from '../core/errors.ts'
import type { DiskFacts, OrphanFacts, SourceGuardFacts } from '../core/guard-facts.ts'
import { quote } from '../core/quote.ts'
import type { SourceForeignKey, SourceTable } from '../core/source-schema.ts'
import { canary, compileErrorOf, isIntact, readControl } from './capture.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, openReader, type Sqlite, sourceFailure } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'
import { openLocker, takeWriteLock } from './write-lock.ts'

/** Rows of a child that are looked up at a time. */
const WINDOW = 20_000

interface CaptureProbe {
  readonly path: string
  /** The moved tables as they are now. */
  readonly tables: readonly SourceTable[]
  /** The write lock is asked for as long as this. */
  readonly waitMs: number
  readonly signal: AbortSignal
}

/**
 * Whether capture is as it was installed and logs: on each table one row is set to itself under a short write lock,
 * seen in the changelog, and rolled back. Throws Failure `source_locked` where another writer holds the lock all the time.
 */
export async function readSourceGuardFacts(probe: CaptureProbe): Promise<SourceGuardFacts> {
  // As long as a reader is open the writer does not checkpoint when it closes.
  const reader = openReader(probe.path)
  try {
    const control = readControl(reader)
    if (control === undefined) return { capture: ['there is no capture in this file'], lockMs: 0 }
    const capture = isIntact(reader, control)
      ? []
      : ['the schema or a trigger was changed since capture was installed']
    const writer = openLocker(probe.path)
    try {
      let lockMs = 0
      for (const table of probe.tables) {
        const askedAt = performance.now()
        await takeWriteLock(writer, probe.waitMs, probe.signal)
        lockMs = Math.max(lockMs, performance.now() - askedAt)
        try {
          const fault = tryOut(writer, table)
          if (fault !== undefined) capture.push(fault)
        } finally {
          writer.exec('ROLLBACK')
        }
        await setImmediate()
      }
      return { capture, lockMs }
    } finally {
      writer.close()
    }
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(probe.path, error) : error
  } finally {
    reader.close()
  }
}

/** What only the application has cannot be tried out here, and is no fault (trap V26). */
const FOREIGN = /no such (function|collation)|unknown function/

function tryOut(writer: Sqlite, table: SourceTable): string | undefined {
  const refusal = compileErrorOf(writer, table)
  if (refusal !== undefined)
    return FOREIGN.test(refusal) ? undefined : `${table.name}: writes fail (${refusal})`
  try {
    canary(writer, table, undefined)
    return undefined
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return error.message.replace('; nothing was installed', '')
  }
}

/** Room on the disks of these folders; `neededBytes` is what slipway may write there. */
export async function readDisks(
  folders: readonly { readonly path: string; readonly neededBytes: number }[],
): Promise<DiskFacts[]> {
  return await Promise.all(
    folders.map(async ({ path, neededBytes }) => {
      const { bavail, bsize } = await statfs(path)
      return { path, freeBytes: bavail * bsize, neededBytes }
    }),
  )
}

/**
 * Rows that break a foreign key, by key; keys that none breaks are left out, and so are those whose parent is not
 * there or needs a collation of the application. Children are looked up in windows, each a short read.
 */
export async function countOrphans(
  path: string,
  tables: readonly SourceTable[],
  gate: Pick<ReaderGate, 'pass'>,
  signal: AbortSignal,
): Promise<OrphanFacts[]> {
  const reader = openReader(path)
  const found: OrphanFacts[] = []
  try {
    const there = new Set(
      reader.prepare(`SELECT lower(name) FROM sqlite_schema WHERE type = 'table'`).pluck().all() as string[],
    )
    for (const table of tables) {
      for (const key of table.foreignKeys) {
        if (!there.has(key.parent.toLowerCase())) continue
        const rows = await orphansOf(reader, table, key, gate, signal)
        if (rows > 0) found.push({ key: `${table.name} (${key.columns.join(', ')})`, rows })
      }
    }
    return found
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    reader.close()
  }
}

async function orphansOf(
  reader: Sqlite,
  table: SourceTable,
  key: SourceForeignKey,
  gate: Pick<ReaderGate, 'pass'>,
  signal: AbortSignal,
): Promise<number> {
  // The parent's column stands left: its collation is the one that a foreign key compares with.
  const match = key.parentColumns.map((name, index) => `p.${quote(name)} = c.k${index}`).join(' AND ')
  const columns = key.columns.map((name, index) => `${quote(name)} AS k${index}`).join(', ')
  const whole = key.columns.map((_, index) => `c.k${index} IS NOT NULL`).join(' AND ')
  const orphan = `${whole} AND NOT EXISTS (SELECT 1 FROM ${sourceTable(key.parent)} p WHERE ${match})`
  const child = sourceTable(table.name)
  try {
    if (table.rowid === undefined) {
      await gate.pass(signal)
      const all = reader.prepare(`SELECT count(*) FROM (SELECT ${columns} FROM ${child}) c WHERE ${orphan}`)
      return Number(all.pluck().get())
    }
    const rowid = quote(table.rowid)
    const window = reader
      .prepare(
        `SELECT max(r), count(*) FILTER (WHERE ${orphan}) FROM
           (SELECT ${rowid} AS r, ${columns} FROM ${child} WHERE ${rowid} > ? ORDER BY ${rowid} LIMIT ${WINDOW}) c`,
      )
      .raw()
    let rows = 0
    for (let after: bigint | null = -(2n ** 63n); after !== null; ) {
      await gate.pass(signal)
      await setImmediate()
      const [last, orphans] = window.get(after) as [bigint | null, bigint]
      rows += Number(orphans)
      after = last
    }
    return rows
  } catch (error) {
    if (isSqliteError(error) && FOREIGN.test((error as Error).message)) return 0
    throw error
  }
}
