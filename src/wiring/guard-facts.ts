/** Measures what the guards judge: each fact by itself, so that one that cannot be measured hides no other. */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Passage } from '../core/authority.ts'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import {
  type BackupFacts,
  type DiskFacts,
  type GuardFacts,
  isUnmeasured,
  type Measured,
  type PaceFacts,
  type RehearsalFinding,
  type VerifyFacts,
} from '../core/guard-facts.ts'
import type { Authority, Phase, RunState, VerifyReport } from '../core/operator.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { SwitchRun } from '../core/switch-run.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from '../postgres/connection.ts'
import { probeWriters, readTargetGuardFacts } from '../postgres/guard-facts.ts'
import { isAbort, within } from '../runtime/service.ts'
import { countOrphans, readDisks, readSourceGuardFacts } from '../sqlite/guard-facts.ts'
import type { ReaderGate } from '../sqlite/reader-gate.ts'
import { orphansOf } from '../switchover/guards.ts'

/** For one fact; a rehearsal and the look for orphans read more. */
const PATIENCE_MS = 10_000
const LONG_PATIENCE_MS = 60_000
/** Room that is wanted beside what the write-ahead log may take. */
const MARGIN_BYTES = 64 * 1024 * 1024

type Ask<T> = () => Promise<T> | T

export interface FactDeps {
  readonly config: Config
  readonly passage: Passage
  /** ms since 1970. */
  readonly askedAt: number
  readonly signal: AbortSignal
  /** The replicator of this moment, and the control row. */
  readonly phase: Phase
  readonly authority: Authority
  readonly state: RunState
  readonly reasons: readonly string[]
  readonly id: number
  readonly holder: string
  readonly tables: readonly TableSpec[]
  readonly backup: { readonly path: string; readonly bytes: number; readonly at: string } | null
  /** The moved tables of SQLite as they are now. */
  readonly sources: Ask<readonly SourceTable[]>
  readonly gate: Pick<ReaderGate, 'pass'>
  readonly connection: Connection
  /** As `/lag` tells it; throws where it cannot be told. */
  readonly lagSeconds: Ask<number>
  /** Rows set aside that block: of PostgreSQL for a switchover, of SQLite for a rollback. */
  readonly quarantine: Ask<readonly { readonly table: string; readonly rows: number }[]>
  /** Dirty tables, fingerprints that differ, a changelog that does not continue: one sentence each. */
  readonly drift: Ask<readonly string[]>
  /** `control.unsafe`. */
  readonly unsafe: Ask<ReadonlyMap<string, string>>
  /** What is wrong with the capture of PostgreSQL; asked for a rollback alone. */
  readonly reverseCapture: Ask<readonly string[]>
  /** The last comparison in this direction; null: none has to be there. */
  readonly verify: Ask<VerifyReport | null>
  /** GRANTs that the way back needs and that are missing. */
  readonly rights: Ask<readonly string[]>
  readonly parity: Ask<readonly string[]>
  /** Rows of every shape through PostgreSQL and back, thrown away: what did not come back. */
  readonly rehearsal: Ask<readonly RehearsalFinding[]>
  /** The last switchover that was done; its guards tell which foreign keys were broken before. */
  readonly lastSwitchover: SwitchRun | null
  readonly pace: PaceFacts
  /** Why the `before_*` hook refused; null where it was not asked yet. */
  readonly hook: string | null
}

/** Everything that `guardsOf` judges. Throws an AbortError alone. */
export async function gatherFacts(deps: FactDeps): Promise<GuardFacts> {
  const { config, passage, id, holder, connection, tables, signal } = deps
  const forward = passage === 'switchover'
  const ask = <T>(question: Ask<T>, ms = PATIENCE_MS): Promise<Measured<T>> => measure(signal, ms, question)
  const { source, writersMs, reverseCapture, verify, ...facts } = await together({
    lagSeconds: ask(deps.lagSeconds),
    quarantine: ask(deps.quarantine),
    drift: ask(deps.drift),
    unsafe: forward ? new Map<string, string>() : ask(deps.unsafe),
    verify: ask(deps.verify),
    backup: ask(() => backupFacts(deps.backup)),
    disks: ask(() => disksOf(config)),
    rights: forward ? ask(deps.rights) : [],
    parity: forward ? ask(deps.parity) : [],
    rehearsal: forward ? ask(deps.rehearsal, LONG_PATIENCE_MS) : [],
    target: ask(() =>
      readTargetGuardFacts(connection, { migration: config.migrationName, id, holder, tables, signal }),
    ),
    foreignKeys: ask(
      async () => await countOrphans(config.sqlitePath, await deps.sources(), deps.gate, signal),
      LONG_PATIENCE_MS,
    ),
    source: forward
      ? ask(async () => {
          const probe = { path: config.sqlitePath, waitMs: config.maxPauseMs, signal }
          return await readSourceGuardFacts({ ...probe, tables: await deps.sources() })
        })
      : undefined,
    reverseCapture: forward ? [] : ask(deps.reverseCapture),
    writersMs: forward ? 0 : ask(() => probeWriters(connection, id, config.maxPauseMs, signal)),
  })
  return {
    ...facts,
    passage,
    now: Date.now(),
    askedAt: deps.askedAt,
    phase: deps.phase,
    authority: deps.authority,
    state: deps.state,
    reasons: deps.reasons,
    tables: tables.map((table) => table.name),
    capture: source === undefined ? reverseCapture : ofMeasured(source, (found) => found.capture),
    lockMs: source === undefined ? writersMs : ofMeasured(source, (found) => found.lockMs),
    verify: ofMeasured(verify, (report) => (report === null ? null : verifyFacts(report))),
    retentionSeconds: config.changelogRetentionSeconds,
    foreignKeysBefore: deps.lastSwitchover === null ? null : orphansOf(deps.lastSwitchover),
    hook: deps.hook,
    pace: deps.pace,
  }
}

async function measure<T>(signal: AbortSignal, ms: number, question: Ask<T>): Promise<Measured<T>> {
  signal.throwIfAborted()
  try {
    const late = (): Error =>
      new Failure({ code: 'guard_timeout', message: `there was no answer within ${ms / 1000} s` })
    return await within(ms, Promise.resolve().then(question), late)
  } catch (error) {
    if (signal.aborted && isAbort(error)) throw error
    return { unmeasured: messageOf(error) }
  }
}

function ofMeasured<T, U>(fact: Measured<T>, pick: (fact: T) => U): Measured<U> {
  return isUnmeasured(fact) ? fact : pick(fact as T)
}

/** Promise.all by name. */
async function together<T extends Readonly<Record<string, unknown>>>(
  work: T,
): Promise<{ [K in keyof T]: Awaited<T[K]> }> {
  const entries = await Promise.all(Object.entries(work).map(async ([name, value]) => [name, await value]))
  return Object.fromEntries(entries)
}

function verifyFacts(report: VerifyReport): VerifyFacts {
  return {
    state: report.state,
    equal: report.equal,
    startedAt: report.started_at,
    finishedAt: report.finished_at,
    tables: report.tables.filter((table) => table.state === 'done').map((table) => table.table),
  }
}

async function backupFacts(backup: FactDeps['backup']): Promise<BackupFacts | null> {
  if (backup === null) return null
  const { path, at, bytes: bytesNoted } = backup
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  return { path, at, exists: found?.isFile() === true, bytes: found?.size ?? 0, bytesNoted }
}

/** SQLite's own folder may have to take the log; STATE_DIR takes what is spooled. */
async function disksOf({ sqlitePath, stateDir, maxWalMb }: Config): Promise<DiskFacts[]> {
  return await readDisks([
    { path: dirname(sqlitePath), neededBytes: MARGIN_BYTES + 2 * maxWalMb * 1024 * 1024 },
    { path: stateDir, neededBytes: MARGIN_BYTES },
  ])
}
