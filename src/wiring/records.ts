import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { ChangesReport, QuarantineReport } from '../core/operator.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { pruneHistory, readChanges } from '../postgres/history.ts'
import { quarantineCounts, readQuarantine } from '../postgres/quarantine.ts'
import { asideTables, readAsideReport } from './aside-report.ts'
import type { TargetSession } from './session.ts'

/** The event history is pruned this often. */
const PRUNE_MS = 300_000

/** What slipway keeps on the target for people: rows set aside, and the event history. */
export class Records {
  readonly #config: Config
  readonly #target: () => TargetSession | undefined
  readonly #control: () => Pick<ControlState, 'authority' | 'tables'> | undefined
  #tables: readonly { readonly table: string; readonly rows: number }[] = []
  #total = 0
  #asking = false
  #prunedAt = Date.now()

  constructor(
    config: Config,
    target: () => TargetSession | undefined,
    control: () => Pick<ControlState, 'authority' | 'tables'> | undefined,
  ) {
    this.#config = config
    this.#target = target
    this.#control = control
  }

  /** Rows set aside per table as they were when that was last asked: never waits. */
  tables(total: number): readonly { readonly table: string; readonly rows: number }[] {
    if (this.#reverse) return total === 0 ? [] : asideTables(this.#config.sqlitePath)
    if (total !== this.#total && !this.#asking) void this.#refresh(total)
    return this.#tables
  }

  /** While PostgreSQL leads, the rows are kept in SQLite, which does not take them. */
  get #reverse(): boolean {
    return this.#control()?.authority === 'postgres'
  }

  async #refresh(total: number): Promise<void> {
    this.#asking = true
    try {
      this.#tables = await quarantineCounts(this.#session().connection, this.#config.migrationName)
      this.#total = total
    } catch {
      // A server that does not answer now is asked again.
    } finally {
      this.#asking = false
    }
  }

  async quarantine(limit: number): Promise<QuarantineReport> {
    if (this.#reverse) return readAsideReport(this.#config.sqlitePath, this.#control()?.tables ?? [], limit)
    return await readQuarantine(this.#session().connection, this.#config.migrationName, limit)
  }

  async changes(after: string, limit: number): Promise<ChangesReport> {
    const { migrationName, history } = this.#config
    return await readChanges(this.#session().connection, migrationName, after, limit, history)
  }

  /** Old entries go, also where the history has been switched off meanwhile. */
  async prune(signal: AbortSignal): Promise<void> {
    const target = this.#target()
    if (target === undefined || Date.now() - this.#prunedAt < PRUNE_MS) return
    this.#prunedAt = Date.now()
    const { migrationName, historyRetentionSeconds } = this.#config
    await pruneHistory(target.connection, migrationName, historyRetentionSeconds, signal).catch(() => 0)
  }

  #session(): TargetSession {
    const target = this.#target()
    if (target !== undefined) return target
    throw new Failure({
      code: 'starting',
      status: 503,
      message: 'the daemon is starting: the target is not connected yet',
      remedy: 'Ask again in a moment.',
    })
  }
}
