import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type {
  ChangesReport,
  LagReport,
  Operator,
  OperatorEvent,
  QuarantineReport,
  RetryReport,
  StatusReport,
  VerifyReport,
  VerifyRequest,
} from '../core/operator.ts'
import type { SourceLag } from '../core/ports.ts'
import { seqToJson } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import type { Replicator } from '../replication/replicator.ts'
import { probePending } from '../sqlite/head.ts'
import { readWal } from '../sqlite/wal.ts'
import type { Verifier } from '../verify/verifier.ts'
import { version } from '../version.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { forgetPause, rememberPause } from './pause-file.ts'
import type { Records } from './records.ts'

const LAG_EVERY_MS = 1_000
/** A server that owes an answer for longer is said to be silent. */
const SILENT_MS = 3_000

interface OperatorDeps {
  readonly config: Config
  readonly replicator: Replicator
  readonly verifier: Verifier
  readonly records: Records
  readonly observer: Pick<Observer, 'step'>
  readonly facts: () => ForwardFacts | undefined
  readonly target: () => { readonly server: string; readonly holder: string } | undefined
}

/** What people see of the running daemon; also the source of its events. */
export class DaemonOperator implements Operator {
  readonly #deps: OperatorDeps
  readonly #listeners = new Set<(event: OperatorEvent) => void>()
  #timer: NodeJS.Timeout | undefined
  #verifyTold = ''

  constructor(deps: OperatorDeps) {
    this.#deps = deps
  }

  lag(): LagReport {
    const { config, replicator, facts } = this.#deps
    const view = replicator.view
    const stream = view.stream
    const applied = view.lastApplied
    const control = facts()?.control
    const now = new Date()
    // Where the source cannot be asked just now, the loop meets the same fault and reports it.
    const lag =
      applied === undefined
        ? undefined
        : safely<SourceLag | undefined>(
            () =>
              stream?.source.lag(applied) ?? {
                ...probePending(config.sqlitePath, applied),
                continuous: false,
              },
            undefined,
          )
    const beforeSnapshot = view.phase === 'new' || view.phase === 'snapshotting'
    return {
      migration: config.migrationName,
      phase: view.isHolder || control === undefined ? view.phase : control.phase,
      authority: control?.authority ?? 'sqlite',
      direction: 'forward',
      state: view.state,
      reasons: view.reasons,
      head: lag === undefined ? null : seqToJson(lag.head),
      applied: applied === undefined ? null : seqToJson(applied.seq),
      pending_changes: lag?.pending ?? 0,
      lag_seconds:
        beforeSnapshot || lag === undefined
          ? null
          : lag.oldestAt === undefined
            ? 0
            : Math.max(0, (now.getTime() - lag.oldestAt) / 1000),
      caught_up:
        view.state === 'running' &&
        view.phase === 'replicating' &&
        view.loop.applied !== undefined &&
        stream?.target.connected === true &&
        lag?.continuous === true &&
        lag.pending === 0 &&
        lag.head === applied?.seq,
      quarantined: view.loop.quarantined,
      measured_at: now.toISOString(),
    }
  }

  status(): StatusReport {
    const { config, replicator } = this.#deps
    const view = replicator.view
    const facts = this.#deps.facts()
    const target = this.#deps.target()
    const control = facts?.control
    const gate = facts?.gateWaiting()
    const silent = facts?.silentSince()
    const error = view.lastError
    const backup = facts?.backup ?? control?.backup ?? null
    const rows = view.tables.reduce((sum, table) => sum + table.rows_copied, 0)
    const verify = this.verification()
    return {
      ...this.lag(),
      version: version(),
      epoch: control?.epoch ?? 0,
      source: {
        path: config.sqlitePath,
        journal_mode: facts?.source?.journalMode ?? '',
        wal_bytes: readWal(config.sqlitePath).fileBytes,
        changelog_rows: safely(() => facts?.changelogRows() ?? 0, 0),
      },
      target: {
        server: target?.server ?? '',
        schema: config.postgresSchema,
        server_version: facts?.targetVersion ?? '',
      },
      holder: { id: view.isHolder ? (target?.holder ?? '') : (control?.holder ?? ''), mine: view.isHolder },
      tables: view.tables,
      fences: [
        { engine: 'sqlite', closed: false, reasons: [] },
        { engine: 'postgres', closed: true, reasons: ['SQLite has the authority'] },
      ],
      waits: [
        ...view.waits.map((wait) => ({
          what: wait.what,
          since: wait.since.toISOString(),
          until: wait.until?.toISOString() ?? null,
        })),
        ...(silent === undefined || Date.now() - silent < SILENT_MS
          ? []
          : [{ what: 'an answer of PostgreSQL', since: new Date(silent).toISOString(), until: null }]),
        ...(gate === undefined
          ? []
          : [
              {
                what: 'the write-ahead log to be reset',
                since: gate.since.toISOString(),
                until: gate.until.toISOString(),
              },
            ]),
      ],
      warnings: facts?.warnings ?? [],
      last_error:
        error === undefined
          ? null
          : {
              code: error.error instanceof Failure ? error.error.code : 'defect',
              message: messageOf(error.error),
              remedy: error.error instanceof Failure ? (error.error.remedy ?? null) : null,
              at: error.at.toISOString(),
            },
      backup: backup === null ? null : { path: backup.path, bytes: backup.bytes, at: backup.at },
      snapshot:
        control?.copyStartedAt == null
          ? null
          : { rows, started_at: control.copyStartedAt, finished_at: control.copyFinishedAt },
      quarantined_tables: this.#deps.records.tables(view.loop.quarantined),
      verify: verify.state === 'none' ? null : verify,
      dirty: [...(view.stream?.dirty ?? control?.dirty ?? [])].map(([table, reason]) => ({ table, reason })),
    }
  }

  async pauseReplication(reason: string): Promise<void> {
    const { replicator, config, observer } = this.#deps
    replicator.pause.add(reason)
    rememberPause(config.stateDir, replicator.pause.reasons)
    observer.step(`replication is paused: ${reason}`)
    await this.#deps.replicator.quiet()
  }

  async resumeReplication(): Promise<void> {
    const { replicator, config, observer } = this.#deps
    replicator.pause.clear()
    forgetPause(config.stateDir)
    observer.step('replication goes on')
  }

  async quarantine(limit: number): Promise<QuarantineReport> {
    return await this.#deps.records.quarantine(limit)
  }

  async retryQuarantine(): Promise<RetryReport> {
    this.#tables()
    return await this.#deps.replicator.retries.ask()
  }

  async startVerify(request: VerifyRequest): Promise<VerifyReport> {
    return await this.#deps.verifier.ask(this.#tables(), request)
  }

  verification(): VerifyReport {
    return this.#deps.verifier.report
  }

  /** What is moved; refused before there is anything to look at. */
  #tables(): readonly TableSpec[] {
    const { isHolder, phase, reasons, state } = this.#deps.replicator.view
    const tables = this.#deps.facts()?.control?.tables ?? []
    if (isHolder && (phase === 'catching_up' || phase === 'replicating')) {
      if (state === 'running') return tables
      throw new Failure({
        code: `replication_${state}`,
        status: 409,
        exit: 1,
        message: `replication is ${state}, and this is done with the changes: ${reasons.join('; ')}`,
        remedy: state === 'paused' ? 'slipway replication resume' : 'See: slipway status',
      })
    }
    throw new Failure({
      code: 'not_replicating',
      status: 409,
      exit: 1,
      message: `nothing is replicated now (phase ${phase}${reasons.length > 0 ? `; ${reasons.join('; ')}` : ''})`,
      remedy: 'Wait until slipway status says catching_up or replicating, then ask again.',
    })
  }

  async changes(after: string, limit: number): Promise<ChangesReport> {
    return await this.#deps.records.changes(after, limit)
  }

  ready(): { ok: boolean; reasons: readonly string[] } {
    const view = this.#deps.replicator.view
    if (view.state === 'blocked') return { ok: false, reasons: view.reasons }
    if (!view.isHolder) return { ok: false, reasons: view.reasons.length > 0 ? view.reasons : ['starting'] }
    return { ok: true, reasons: [] }
  }

  subscribe(listener: (event: OperatorEvent) => void): () => void {
    this.#listeners.add(listener)
    this.#timer ??= setInterval(() => this.#tell(), LAG_EVERY_MS)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  /** Each second: the lag, and verify while it runs and once when it has ended. */
  #tell(): void {
    this.#emit({ type: 'lag', lag: this.lag() })
    const verify = this.verification()
    const told = `${verify.id} ${verify.state}`
    const ended = verify.state !== 'none' && told !== this.#verifyTold
    if (verify.state === 'running' || ended) this.#emit({ type: 'verify', verify })
    this.#verifyTold = told
  }

  #emit(event: OperatorEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  /** The observer that turns what the work tells into events. */
  readonly events: Pick<Observer, 'phase' | 'copied'> = {
    phase: (phase, previous) => this.#emit({ type: 'phase', phase, previous }),
    copied: () => this.#emit({ type: 'progress', tables: this.#deps.replicator.view.tables }),
  }
}

function safely<T>(ask: () => T, otherwise: T): T {
  try {
    return ask()
  } catch {
    return otherwise
  }
}
