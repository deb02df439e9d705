import type { Passage, Standing } from '../core/authority.ts'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { StatusReport } from '../core/operator.ts'
import { NO_RUN, type SwitchRequest, type SwitchRun } from '../core/switch-run.ts'
import type { SwitchRuns } from '../postgres/switch-store.ts'
import type { Replicator } from '../replication/replicator.ts'
import { sleep } from '../runtime/retry.ts'
import type { SqliteFence } from '../sqlite/fence.ts'
import { Coordinator, type Preparation } from '../switchover/coordinator.ts'
import { checkOverrides, guardsOf, predictPause, refusalOf } from '../switchover/guards.ts'
import { writeAuthority } from './authority-file.ts'
import { noStream } from './conduct.ts'
import type { ConductFactory } from './conduct-factory.ts'
import { checkConfirmation } from './finalize.ts'
import type { ForwardFacts } from './forward-facts.ts'
import type { GuardDesk } from './guard-desk.ts'
import type { Hooks } from './hooks.ts'
import { Lookout } from './lookout.ts'
import { displacedNow, starting, undone } from './switch-failures.ts'

/** What exists once the target is open. */
export interface SwitchParts {
  readonly conducts: ConductFactory
  readonly fence: SqliteFence
  readonly guards: GuardDesk
  readonly runs: SwitchRuns
  /** Reads the control row anew, for what `/status` tells. */
  readonly refresh: () => Promise<void>
  /** Closes and opens the engine that leads. */
  readonly pause: (reason: string, until: Date) => Promise<void>
  readonly resume: () => Promise<void>
  readonly finalize: () => Promise<void>
  /** Tells PostgreSQL that SQLite has settled a rollback. */
  readonly settled: () => Promise<void>
  readonly report: (status: StatusReport, runs: readonly SwitchRun[]) => Promise<string>
  /** PostgreSQL does not answer: SQLite alone, by a person's word. */
  readonly force: () => Promise<number>
}

interface SwitchDeskDeps {
  readonly config: Config
  readonly replicator: Replicator
  readonly observer: Observer
  readonly hooks: Hooks
  readonly facts: () => ForwardFacts | undefined
  readonly parts: () => SwitchParts | undefined
  /** Of every change of the current run. */
  readonly changed: (run: SwitchRun) => void
}

/** For the stream of the direction that led to be opened. */
const STREAM_MS = 10_000
const LOOK_MS = 10

/** Runs that `report` tells of. */
const REPORTED = 100

/** Where changes of authority are asked for: one at a time, each told, kept, and followed by whoever follows. */
export class SwitchDesk {
  readonly #deps: SwitchDeskDeps
  readonly #coordinator: Coordinator
  readonly lookout: Lookout
  #last: SwitchRun = NO_RUN

  constructor(deps: SwitchDeskDeps) {
    this.#deps = deps
    this.#coordinator = new Coordinator({ onChange: deps.changed, observer: deps.observer })
    this.lookout = new Lookout({
      facts: deps.facts,
      fence: () => deps.parts()?.fence,
      run: () => this.current,
      waiting: () => this.waiting,
    })
  }

  /** The current or last run, of an earlier process too. */
  get current(): SwitchRun {
    const { current } = this.#coordinator
    return current.state === 'none' || this.#last.forced ? this.#last : current
  }

  get busy(): boolean {
    return this.#coordinator.busy
  }

  get waiting(): Coordinator['waiting'] {
    return this.#coordinator.waiting
  }

  /** Reads the last run, once the target is open. */
  async load(): Promise<void> {
    const [last] = await this.#parts().runs.load(1)
    if (last !== undefined) this.#last = last
  }

  /** Ours waits for replication to come near the head: the stream may be opened, and has to be. */
  get needsStream(): boolean {
    return this.#coordinator.needsStream
  }

  /** Resolves when no change of authority is under way that a stream would be in the way of. */
  async idle(signal: AbortSignal): Promise<void> {
    const coordinator = this.#coordinator
    // One that is still being prepared waits for the stream itself.
    while (coordinator.changing && !coordinator.needsStream && !signal.aborted) await sleep(5, signal)
  }

  async stop(): Promise<void> {
    await this.#coordinator.stop()
  }

  async run(request: SwitchRequest): Promise<SwitchRun> {
    checkOverrides(request.override)
    const parts = this.#parts()
    const answers = await parts.refresh().then(
      () => true,
      () => false,
    )
    if (request.force && !answers) return await this.#force(parts, request)
    this.#refuseWrongPhase(request.passage)
    const epoch = this.#control().epoch
    const { passage } = request
    let conductAttempt = 0
    let run: SwitchRun
    try {
      run = await this.#coordinator.start({
        passage,
        epoch,
        waitMs: request.wait_seconds * 1000,
        maxPauseMs: request.max_pause_ms ?? this.#deps.config.maxPauseMs,
        preparations: this.#preparations(request, parts),
        dryRun: request.dry_run,
        open: async () => {
          const resting = await this.#deps.hooks.rest()
          const conduct = parts.conducts.begin(passage, {
            maxPauseMs: request.max_pause_ms ?? this.#deps.config.maxPauseMs,
            begun: ({ attempt }) => {
              conductAttempt = attempt
            },
            ended: () => resting[Symbol.dispose](),
          })
          return conduct
        },
        attempt: () => conductAttempt,
        after: async (ended) => await this.#after(parts, ended),
      })
    } catch (error) {
      if (this.current.state === 'refused') await this.#keep(parts, this.current)
      throw error
    }
    if (run.state === 'done' || run.state === 'dry_run') return run
    if (run.state === 'undone') throw undone(run)
    throw new Failure({
      code: `switch_${run.state}`,
      status: 409,
      exit: 1,
      message: run.reason ?? `the ${passage} did not come to its end here`,
      remedy: run.remedy ?? 'See: slipway status',
      facts: { run },
    })
  }

  /** What a crash left is undone or finished. */
  async recover(standing: Standing, signal: AbortSignal): Promise<void> {
    const parts = this.#parts()
    await parts.refresh()
    signal.throwIfAborted()
    this.#deps.observer.warn(
      `a ${'passage' in standing ? standing.passage : 'change of authority'} was interrupted: it is ${standing.kind === 'decided' ? 'finished' : 'undone'}`,
    )
    const control = this.#control()
    const run = await this.#coordinator.recover(standing, {
      epoch: standing.kind === 'decided' ? control.epoch - 1 : control.epoch,
      open: () => {
        if (!('passage' in standing)) throw new Error('nothing was interrupted')
        return parts.conducts.begin(standing.passage, {
          maxPauseMs: this.#deps.config.maxPauseMs,
          begun: () => undefined,
          ended: () => undefined,
        })
      },
      after: async (ended) => await this.#after(parts, ended),
    })
    if (run?.state === 'displaced') throw displacedNow(run)
  }

  async finalize(confirm: string): Promise<void> {
    checkConfirmation(this.#deps.config, confirm)
    const parts = this.#parts()
    await parts.refresh()
    if (this.#control().phase === 'finalized') return
    if (this.#control().phase !== 'switched_over' || this.#coordinator.busy)
      throw this.#wrongPhase('finalize needs phase switched_over')
    await parts.finalize()
    await parts.refresh()
    this.#deps.replicator.turn()
    await this.tellAuthority()
  }

  async pauseWrites(reason: string, seconds: number): Promise<void> {
    const parts = this.#parts()
    await parts.refresh()
    const { phase } = this.#control()
    if (phase === 'new' || phase === 'snapshotting' || phase === 'finalized' || this.#coordinator.busy)
      throw this.#wrongPhase('writes cannot be paused')
    await parts.pause(reason, new Date(Date.now() + seconds * 1000))
    await parts.refresh()
  }

  async resumeWrites(): Promise<void> {
    const parts = this.#parts()
    await parts.refresh()
    await parts.resume()
    await parts.refresh()
  }

  async report(status: StatusReport): Promise<string> {
    const { runs, report } = this.#parts()
    return await report(status, await runs.load(REPORTED))
  }

  /** Who leads, for applications that follow the file; at each start and after each change. */
  async tellAuthority(): Promise<void> {
    const control = this.#deps.facts()?.control
    if (control === undefined || control.phase === 'new') return
    const { authority, epoch, phase, since } = control
    try {
      await writeAuthority(this.#deps.config, { authority, epoch, phase, since })
    } catch (error) {
      this.#deps.observer.warn(messageOf(error))
    }
  }

  #preparations(request: SwitchRequest, parts: SwitchParts): Preparation[] {
    const { passage } = request
    const { config, hooks } = this.#deps
    const guards: Preparation = {
      step: 'guards',
      title: 'Guards',
      work: async (signal, tell) => {
        await this.#streaming(passage, signal)
        await parts.guards.verify(request, signal)
        const facts = await parts.guards.measure(passage, signal)
        const found = guardsOf(facts, request, {
          maxLagSeconds: config.maxLagSeconds,
          verifyMaxAgeSeconds: config.verifyMaxAgeSeconds,
          maxPauseMs: config.maxPauseMs,
        })
        const overrides = found.filter((guard) => guard.overridden === true).map(({ code }) => code)
        tell({ guards: found, overrides, predicted_pause_ms: predictPause(facts) })
        for (const code of overrides) this.#deps.observer.warn(`the guard ${code} is overridden by a person`)
        const refusal = refusalOf(found, passage)
        if (refusal !== undefined && !request.dry_run) throw refusal
        return refusal?.message
      },
    }
    if (request.dry_run || config.hookCommand === undefined) return [guards]
    const hook: Preparation = {
      step: 'before_hook',
      title: `HOOK_COMMAND: before_${passage}`,
      work: async (signal) => {
        const { authority, epoch, phase } = this.#control()
        await hooks.before(passage, { phase, authority, epoch }, signal)
        return undefined
      },
    }
    return [guards, hook]
  }

  /**
   * Just after a change the stream has the other direction yet: nothing could be measured, and a change that began then
   * would wait for a lag that nobody brings to zero. Throws Failure `no_stream` where it does not come.
   */
  async #streaming(passage: Passage, signal: AbortSignal): Promise<void> {
    const direction = passage === 'switchover' ? 'forward' : 'reverse'
    const until = Date.now() + STREAM_MS
    for (;;) {
      const { stream, state, loop } = this.#deps.replicator.view
      // The guards say what is in the way.
      if (state !== 'running' || (stream?.direction === direction && loop.applied !== undefined)) return
      signal.throwIfAborted()
      if (Date.now() > until) throw noStream()
      await sleep(LOOK_MS, signal)
    }
  }

  async #after(parts: SwitchParts, run: SwitchRun): Promise<undefined> {
    const { observer, replicator, hooks } = this.#deps
    const keeping = this.#keep(parts, run)
    if (run.state === 'done' && run.passage === 'rollback') {
      // Where it does not come through, the next stream does it before it begins.
      await parts.settled().catch((error: unknown) => observer.warn(messageOf(error)))
    }
    await parts.refresh()
    const { phase, authority, epoch } = this.#control()
    replicator.entered(phase)
    await this.tellAuthority()
    if (run.state === 'done') hooks.tell(`after_${run.passage}`, { phase, authority, epoch })
    observer.switched(run)
    await keeping
  }

  async #keep(parts: SwitchParts, run: SwitchRun): Promise<void> {
    try {
      await parts.runs.save(run)
    } catch (error) {
      this.#deps.observer.warn(`the run was not kept: ${messageOf(error)}`)
    }
  }

  async #force(parts: SwitchParts, request: SwitchRequest): Promise<SwitchRun> {
    if (request.passage !== 'rollback') throw this.#wrongPhase('only a rollback can be forced')
    const startedAt = new Date().toISOString()
    const epoch = await parts.force()
    const run: SwitchRun = {
      ...NO_RUN,
      state: 'done',
      passage: 'rollback',
      from: 'postgres',
      to: 'sqlite',
      epoch,
      started_at: startedAt,
      finished_at: new Date().toISOString(),
      forced: true,
      reason: 'PostgreSQL did not answer: what it had accepted and SQLite did not have yet is not there',
      remedy:
        'Keep that PostgreSQL stopped. To replicate to it again: slipway recover --authority sqlite --accept-loss',
    }
    this.#last = run
    this.#deps.replicator.entered('catching_up')
    await this.tellAuthority()
    this.#deps.observer.switched(run)
    this.#deps.changed(run)
    return run
  }

  #refuseWrongPhase(passage: Passage): void {
    const { authority, phase } = this.#control()
    const there = passage === 'switchover' ? 'postgres' : 'sqlite'
    if (authority === there) throw this.#wrongPhase(`${there} has the authority already`)
    if (phase === 'new' || phase === 'snapshotting' || phase === 'finalized')
      throw this.#wrongPhase(`a ${passage} is not possible`)
    if ((phase === 'switching_over' || phase === 'rolling_back') && !this.#coordinator.busy)
      throw this.#wrongPhase('a change of authority that was interrupted is ended first')
  }

  #wrongPhase(what: string): Failure {
    return new Failure({
      code: 'wrong_phase',
      status: 409,
      exit: 1,
      message: `${what} (phase ${this.#deps.facts()?.control?.phase ?? 'new'})`,
      remedy: 'See: slipway status',
      facts: { run: this.current },
    })
  }

  #control(): NonNullable<ForwardFacts['control']> {
    const control = this.#deps.facts()?.control
    if (control !== undefined) return control
    throw starting()
  }

  #parts(): SwitchParts {
    const parts = this.#deps.parts()
    if (parts !== undefined) return parts
    throw starting()
  }
}
