import { Failure } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Checkpoint } from '../core/position.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { Pause } from './pause.ts'

/** A position in its direction. */
export type Place = Checkpoint | ReversePosition

/** What a direction tells of a batch that it has applied. */
export interface FlowApplied {
  /** Rows that are set aside now, in all. */
  readonly quarantined: number
  readonly perTable: readonly {
    readonly table: string
    readonly upserted: number
    readonly deleted: number
  }[]
}

export type FlowRead<B> =
  | { readonly kind: 'batch'; readonly batch: B }
  | { readonly kind: 'empty' }
  /** The stream has to be made ready again. */
  | { readonly kind: 'anew'; readonly reason: string }

/** One direction as the loop sees it. */
export interface Flow<P extends Place, B extends FlowBatch<P>> {
  readonly direction: 'forward' | 'reverse'
  /** False while a session is lost that keeps the position: what was applied may have been forgotten meanwhile. */
  readonly connected: boolean
  /** Asked of the database each time, never of memory. */
  where(): Promise<{ readonly at: P; readonly quarantined: number }>
  /** Between two batches; a reason to start anew, or undefined. */
  attend(at: P): Promise<string | undefined>
  /** `bare`: the changes and nothing that rides along, so that an end is reached. */
  read(from: P, signal: AbortSignal, bare: boolean): Promise<FlowRead<B>>
  apply(batch: B): Promise<FlowApplied>
  /** Everything up to here is applied. */
  acknowledge(at: P): Promise<void> | void
  /** Resolves at the next sign of a change, after `ms` at the latest, or at once when the signal aborts. */
  wake(ms: number, signal: AbortSignal): Promise<void>
}

export type FlowBatch<P> = { readonly to: P; readonly changes: number } & (Disposable | AsyncDisposable)

/** Why the loop ended by itself: the caller prepares the stream again. */
export type LoopEnd = { readonly kind: 'anew'; readonly reason: string } | { readonly kind: 'stopped' }

/** While nothing happens the position is asked for again this often: it may have been put back. */
const CONFIRM_MS = 2_000

export interface LoopState {
  /** Last position that the target confirmed. */
  applied: Place | undefined
  /** True while a batch is between its read and its commit. */
  busy: boolean
  /** Rows that are set aside. */
  quarantined: number
  /** From the read of the last batch to its commit. */
  batchSeconds: number
  /** How many changes that one had. */
  batchChanges: number
}

interface LoopDeps {
  readonly state: LoopState
  /** By people, with reasons. */
  readonly pause: Pause
  /** By a change of authority, which drains by itself. */
  readonly hold: Pause
  readonly observer: Observer
  readonly pollMs: number
  readonly onProgress: () => void
}

/** What the replicator needs of a loop, whatever its direction. */
export interface Loop {
  run(signal: AbortSignal): Promise<LoopEnd>
  /** While the loop is held, and nobody waits for it yet: one step with all that belongs to it. */
  look(signal: AbortSignal): Promise<void>
  /** While the loop is held: applies all there is; returns the number of changes. */
  drain(signal: AbortSignal): Promise<number>
}

/**
 * The one apply loop, for both directions: read the difference, apply it, remember where the target says it stands. It
 * keeps no state that the target does not have too.
 */
export class ApplyLoop<P extends Place, B extends FlowBatch<P>> implements Loop {
  readonly #flow: Flow<P, B>
  readonly #deps: LoopDeps
  #at: P | undefined
  #confirmedAt = 0

  constructor(flow: Flow<P, B>, deps: LoopDeps) {
    this.#flow = flow
    this.#deps = deps
  }

  async run(signal: AbortSignal): Promise<LoopEnd> {
    const { pause, hold, pollMs, onProgress } = this.#deps
    await this.#confirm()
    while (!signal.aborted) {
      const held = hold.active ? hold : pause.active ? pause : undefined
      if (held !== undefined) {
        onProgress()
        await Promise.race([hold.change(signal), pause.change(signal)])
        continue
      }
      const step = await this.#step(signal, false)
      if (step.kind === 'anew') return step
      onProgress()
      // Pruning takes a lock, which a change of authority may have by now.
      if (hold.active) continue
      await this.#flow.acknowledge(this.#at as P)
      if (step.kind === 'empty') await this.#flow.wake(pollMs, signal)
    }
    return { kind: 'stopped' }
  }

  async look(signal: AbortSignal): Promise<void> {
    const step = await this.#step(signal, false)
    if (step.kind === 'anew') throw drifted(step.reason)
  }

  async drain(signal: AbortSignal): Promise<number> {
    for (let changes = 0; ; ) {
      signal.throwIfAborted()
      const step = await this.#step(signal, true)
      if (step.kind === 'anew') throw drifted(step.reason)
      if (step.kind === 'empty') return changes
      changes += step.changes
    }
  }

  async #confirm(): Promise<void> {
    const { state } = this.#deps
    const { at, quarantined } = await this.#flow.where()
    this.#at = at
    state.applied = at
    state.quarantined = quarantined
    this.#confirmedAt = Date.now()
  }

  async #step(
    signal: AbortSignal,
    bare: boolean,
  ): Promise<{ kind: 'empty' } | { kind: 'applied'; changes: number } | { kind: 'anew'; reason: string }> {
    const { state, observer } = this.#deps
    const flow = this.#flow
    // From the first word to either side: whoever waits for quiet is about to read by itself.
    state.busy = true
    try {
      if (this.#at === undefined || !flow.connected || Date.now() - this.#confirmedAt > CONFIRM_MS)
        await this.#confirm()
      const from = this.#at as P
      const reason = await flow.attend(from)
      if (reason !== undefined) return { kind: 'anew', reason }
      const startedAt = performance.now()
      const read = await flow.read(from, signal, bare)
      if (read.kind !== 'batch') return read
      await using batch = read.batch
      const applied = await flow.apply(batch)
      this.#at = batch.to
      state.applied = batch.to
      state.quarantined = applied.quarantined
      this.#confirmedAt = Date.now()
      state.batchSeconds = (performance.now() - startedAt) / 1000
      state.batchChanges = batch.changes
      observer.applied({
        direction: flow.direction,
        seconds: state.batchSeconds,
        changes: batch.changes,
        perTable: applied.perTable,
      })
      return { kind: 'applied', changes: batch.changes }
    } finally {
      state.busy = false
    }
  }
}

function drifted(reason: string): Failure {
  return new Failure({ code: 'drift', exit: 1, message: reason, remedy: 'See: slipway status' })
}
