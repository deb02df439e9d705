import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
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
import type { SwitchRequest, SwitchRun } from '../core/switch-run.ts'
import type { TableSpec } from '../core/table.ts'
import type { Replicator } from '../replication/replicator.ts'
import type { Verifier } from '../verify/verifier.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { measureLag } from './lag.ts'
import { forgetPause, rememberPause } from './pause-file.ts'
import type { Records } from './records.ts'
import { statusOf } from './status.ts'
import type { SwitchDesk } from './switch-desk.ts'

const LAG_EVERY_MS = 1_000

interface OperatorDeps {
  readonly config: Config
  readonly replicator: Replicator
  readonly verifier: Verifier
  readonly records: Records
  readonly desk: SwitchDesk
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

  async lag(): Promise<LagReport> {
    const { config, replicator, facts, desk } = this.#deps
    const lag = await measureLag(config, replicator, facts())
    const { phase, authority } = desk.lookout.lead(lag)
    return { ...lag, phase, authority }
  }

  async status(): Promise<StatusReport> {
    const { config, replicator, records, desk } = this.#deps
    return statusOf({
      config,
      view: replicator.view,
      facts: this.#deps.facts(),
      target: this.#deps.target(),
      records,
      desk,
      verify: this.verification(),
      lag: await this.lag(),
    })
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
    this.#moving('both')
    return await this.#deps.replicator.retries.ask()
  }

  async startVerify(request: VerifyRequest): Promise<VerifyReport> {
    return await this.#deps.verifier.ask(this.#moving('forward'), request)
  }

  verification(): VerifyReport {
    return this.#deps.verifier.report
  }

  /** What is moved; refused before there is anything to look at, and where it is not done in this direction. */
  #moving(directions: 'forward' | 'both'): readonly TableSpec[] {
    const { isHolder, phase, reasons, state } = this.#deps.replicator.view
    const tables = this.#deps.facts()?.control?.tables ?? []
    if (phase === 'switched_over' && directions === 'forward') {
      throw new Failure({
        code: 'postgres_leads',
        status: 409,
        exit: 1,
        message:
          'PostgreSQL leads: verify compares what SQLite has with what PostgreSQL has got of it, which is not the way that changes go now',
        remedy:
          'slipway status says whether a rollback brings everything back; after one, slipway verify compares again.',
      })
    }
    if (isHolder && (phase === 'catching_up' || phase === 'replicating' || phase === 'switched_over')) {
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

  async switchAuthority(request: SwitchRequest): Promise<SwitchRun> {
    return await this.#deps.desk.run(request)
  }

  switchRun(): SwitchRun {
    return this.#deps.desk.current
  }

  async finalize(confirm: string): Promise<void> {
    await this.#deps.desk.finalize(confirm)
  }

  async pauseWrites(reason: string, seconds: number): Promise<void> {
    await this.#deps.desk.pauseWrites(reason, seconds)
  }

  async resumeWrites(): Promise<void> {
    await this.#deps.desk.resumeWrites()
  }

  async report(): Promise<string> {
    return await this.#deps.desk.report(await this.status())
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
    this.#timer ??= setInterval(() => void this.#tell(), LAG_EVERY_MS)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  /** Each second: the lag, and verify while it runs and once when it has ended. */
  async #tell(): Promise<void> {
    this.#emit({ type: 'lag', lag: await this.lag() })
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
  readonly events: Pick<Observer, 'phase' | 'copied'> & { switched(run: SwitchRun): void } = {
    switched: (run) => this.#emit({ type: 'switch', run }),
    phase: (phase, previous) => this.#emit({ type: 'phase', phase, previous }),
    copied: () => this.#emit({ type: 'progress', tables: this.#deps.replicator.view.tables }),
  }
}
