import { Failure, messageOf, policyOf } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Phase, RunState, TableStatus } from '../core/operator.ts'
import { type Anew, anewAfter, type Companion, type Stream, type StreamFactory } from '../core/ports.ts'
import type { ReverseStream } from '../core/reverse.ts'
import { Retry, sleep } from '../runtime/retry.ts'
import { ForwardFlow } from './forward.ts'
import { whileHolding } from './holding.ts'
import { ApplyLoop, type Loop, type LoopState, type Place } from './loop.ts'
import { Pause } from './pause.ts'
import { Retries } from './retries.ts'
import { ReverseFlow } from './reverse.ts'
import { Copier } from './snapshot.ts'

/** What is waited for, since when; `until` where the wait has a bound of its own. */
export interface Wait {
  readonly what: string
  readonly since: Date
  readonly until: Date | undefined
}

export interface ReplicatorView {
  readonly state: RunState
  readonly reasons: readonly string[]
  readonly phase: Phase
  readonly loop: Readonly<LoopState>
  readonly stream: Stream | ReverseStream | undefined
  /** Position last known, also while no stream is open. */
  readonly lastApplied: Place | undefined
  readonly tables: readonly TableStatus[]
  readonly waits: readonly Wait[]
  readonly lastError: { readonly error: unknown; readonly at: Date } | undefined
  readonly isHolder: boolean
}

interface ReplicatorDeps {
  readonly factory: StreamFactory
  readonly observer: Observer
  readonly companion: Companion
  readonly pollMs: number
  /** How long the first connection may fail before the start is given up; asked at each failure. */
  readonly startPatienceMs: () => number
}

const STANDBY_POLL_MS = 1_000
/** A fault that needs a person is looked at again this often: the person may have mended it. */
const BLOCKED_RETRY_MS = 15_000

/**
 * The daemon's work: become the holder, make the stream ready, copy what is missing, replay, and start again
 * from what the databases say after every fault.
 */
export class Replicator {
  readonly #deps: ReplicatorDeps
  readonly pause = new Pause()
  readonly #hold = new Pause()
  #phase: Phase = 'new'
  readonly retries = new Retries()
  readonly #loop: LoopState = {
    applied: undefined,
    busy: false,
    quarantined: 0,
    batchSeconds: 0,
    batchChanges: 0,
  }
  #stream: Stream | ReverseStream | undefined
  #running: Loop | undefined
  /** Ends the stream, so that the next one has the direction of the authority. */
  #turning = new AbortController()
  #copier: Copier | undefined
  #lastApplied: Place | undefined
  #blocked: readonly string[] = []
  #standby: string | undefined
  #waits: readonly Wait[] = []
  #lastError: { error: unknown; at: Date } | undefined
  #isHolder = false
  /** Kept until the copy has begun. */
  #anew: Anew | undefined
  /** The last reason to copy anew, until replication has been reached: the same one twice would go round for ever. */
  #lastAnew: string | undefined
  #everRan = false
  #idle = Promise.withResolvers<void>()

  constructor(deps: ReplicatorDeps) {
    this.#deps = deps
  }

  get view(): ReplicatorView {
    const paused = [...this.pause.reasons, ...(this.#standby === undefined ? [] : [this.#standby])]
    const state = this.#blocked.length > 0 ? 'blocked' : paused.length > 0 ? 'paused' : 'running'
    return {
      state,
      reasons: state === 'blocked' ? this.#blocked : paused,
      phase: this.#phase,
      loop: this.#loop,
      stream: this.#stream,
      lastApplied: this.#loop.applied ?? this.#lastApplied,
      tables: this.#copier?.tables ?? [],
      waits: this.#waits,
      lastError: this.#lastError,
      isHolder: this.#isHolder,
    }
  }

  /** Resolves when no batch is between read and commit. */
  async quiet(): Promise<void> {
    if (this.#loop.busy) await this.#idle.promise
  }

  /** Holds the loop for a change of authority; resolves when no batch is in flight. */
  async standStill(reason: string): Promise<void> {
    this.#hold.add(reason)
    await this.quiet()
  }

  /** The loop goes on where it was held. */
  release(reason: string): void {
    this.#hold.delete(reason)
  }

  /** While the loop is held: applies all there is; returns the number of changes. */
  async drain(signal: AbortSignal): Promise<number> {
    return await this.#live().drain(signal)
  }

  /** While the loop is held, and nobody waits yet: one step, which deals with whatever a drain could not. */
  async look(signal: AbortSignal): Promise<void> {
    await this.#live().look(signal)
  }

  #live(): Loop {
    const running = this.#running
    if (running === undefined) {
      throw new Failure({
        code: 'no_stream',
        policy: 'transient',
        message: `nothing is replicated now: ${this.view.reasons.join('; ') || 'the stream is being made ready'}`,
      })
    }
    return running
  }

  /** Ends the stream; the next one is opened in the direction that the authority asks for. */
  turn(): void {
    this.#turning.abort()
    this.#turning = new AbortController()
  }

  /** Works until the signal aborts; throws only what ends the daemon. */
  async run(signal: AbortSignal): Promise<void> {
    const retry = new Retry({ minMs: 200, maxMs: 10_000 })
    const startedAt = Date.now()
    while (!signal.aborted) {
      try {
        await this.#becomeHolder(signal)
        if (signal.aborted) return
        await this.#serve(signal, () => retry.reset())
        retry.reset()
      } catch (error) {
        if (signal.aborted) return
        const policy = policyOf(error)
        // At the first start a wrong setting should end the process, not hide behind retries.
        const patient = policy === 'transient' && Date.now() - startedAt < this.#deps.startPatienceMs()
        // No setting is wrong: a person has to be told, again and again, and what is closed stays closed meanwhile.
        const divided = error instanceof Failure && error.code === 'divided'
        if (policy === 'never' || (!this.#everRan && !patient && !divided)) throw error
        await this.#recover(error, retry, signal)
      } finally {
        await this.#close()
      }
    }
  }

  async #recover(error: unknown, retry: Retry, signal: AbortSignal): Promise<void> {
    if (error instanceof Failure && error.code === 'displaced') {
      this.#isHolder = false
      this.#deps.observer.warn(messageOf(error))
      return
    }
    const anew = anewAfter(error, this.#stream?.tables ?? [])
    if (anew !== undefined && this.#mayStartAnew(anew)) {
      this.#deps.observer.warn(anew.reason)
      return
    }
    const wait = policyOf(error) === 'transient' ? retry.next() : BLOCKED_RETRY_MS
    this.#lastError = { error, at: new Date() }
    this.#blocked = [messageOf(error)]
    this.#deps.observer.error(error, wait)
    await this.#waitFor('the next attempt', wait, signal)
  }

  async #becomeHolder(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const answer = await this.#deps.factory.acquire()
      if (answer.held) {
        this.#isHolder = true
        this.#standby = undefined
        return
      }
      this.#isHolder = false
      if (this.#standby === undefined) {
        this.#deps.observer.warn(
          `standby: another slipway (${answer.by}) holds this migration; this one waits for it to end`,
        )
      }
      this.#standby = `standby: another slipway (${answer.by}) holds this migration`
      this.#blocked = []
      this.#everRan = true
      await sleep(STANDBY_POLL_MS, signal)
    }
  }

  async #serve(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const turning = this.#turning.signal
    try {
      await whileHolding(
        () => this.#deps.factory.heartbeat(),
        signal,
        (held) => this.#follow(AbortSignal.any([held, turning]), onProgress),
      )
    } catch (error) {
      // What the end of the stream cut off is begun again in the other direction.
      if (!turning.aborted) throw error
    } finally {
      this.#quieten()
    }
  }

  async #follow(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const stream = await this.#deps.factory.open(this.#anew, signal)
    this.#stream = stream
    this.#anew = undefined
    this.#setPhase(stream.phase)
    const deps = {
      state: this.#loop,
      pause: this.pause,
      hold: this.#hold,
      observer: this.#deps.observer,
      pollMs: this.#deps.pollMs,
      onProgress: () => {
        onProgress()
        this.#goOn()
        this.#quieten()
      },
    }
    if (stream.direction === 'reverse') {
      this.#loop.quarantined = stream.target.aside(0).total
      this.#goOn()
      this.#running = new ApplyLoop(new ReverseFlow(stream, this.retries), deps)
    } else {
      this.#loop.quarantined = await stream.target.asideCount()
      await this.#copy(stream, signal)
      const flow = new ForwardFlow({
        stream,
        companion: this.#deps.companion,
        retries: this.retries,
        phase: () => this.#phase,
        enter: async (phase) => {
          await stream.enter(phase)
          this.#setPhase(phase)
        },
      })
      this.#running = new ApplyLoop(flow, deps)
    }
    const end = await this.#running.run(signal)
    if (end.kind === 'anew') {
      if (!this.#mayStartAnew(end)) {
        throw new Failure({
          code: 'copy_repeats',
          message: `starting over did not help: ${end.reason}`,
          remedy:
            'Look for what keeps changing the schema or the file of the source; slipway tries again by itself.',
        })
      }
      this.#deps.observer.warn(
        `${end.reason}: a full difference is needed, every table is verified and repaired`,
      )
    }
  }

  /** What the first copy still lacks. */
  async #copy(stream: Stream, signal: AbortSignal): Promise<void> {
    const copier = new Copier(stream, this.#deps.observer, this.pause)
    this.#copier = copier
    const { parts } = await copier.load()
    this.#goOn()
    if (stream.phase !== 'snapshotting' && parts.every((part) => part.done)) return
    this.#setPhase('snapshotting')
    await this.pause.end(signal)
    await copier.run(signal)
    this.#setPhase('catching_up')
  }

  /** A phase that was stored by a change of authority. */
  entered(phase: Phase): void {
    this.#setPhase(phase)
  }

  /** Nothing is in flight: whoever waited for that goes on. */
  #quieten(): void {
    this.#idle.resolve()
    this.#idle = Promise.withResolvers()
  }

  #mayStartAnew(anew: Anew): boolean {
    if (this.#lastAnew === anew.reason) return false
    this.#lastAnew = anew.reason
    this.#anew = anew
    return true
  }

  #goOn(): void {
    this.#everRan = true
    if (this.#blocked.length > 0) this.#deps.observer.step('going on: what was in the way is gone')
    this.#blocked = []
  }

  async #waitFor(what: string, ms: number, signal: AbortSignal): Promise<void> {
    const since = new Date()
    this.#waits = [{ what, since, until: new Date(since.getTime() + ms) }]
    const woken = new AbortController()
    // A person who says `replication resume` wants it now.
    this.pause.change(AbortSignal.any([signal, woken.signal])).then(
      () => woken.abort(),
      () => undefined,
    )
    await sleep(ms, AbortSignal.any([signal, woken.signal]))
    woken.abort()
    this.#waits = []
  }

  /** The one setter of the phase. */
  #setPhase(phase: Phase): void {
    if (phase === 'replicating') this.#lastAnew = undefined
    if (phase === this.#phase) return
    const previous = this.#phase
    this.#phase = phase
    this.#deps.observer.phase(phase, previous)
  }

  async #close(): Promise<void> {
    const stream = this.#stream
    this.#stream = undefined
    this.#running = undefined
    this.#lastApplied = this.#loop.applied ?? this.#lastApplied
    this.#loop.applied = undefined
    this.#deps.companion.rest()
    await stream?.[Symbol.asyncDispose]()
  }
}
