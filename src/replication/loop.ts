import type { Observer } from '../core/observer.ts'
import type { Phase } from '../core/operator.ts'
import type { Companion, ReadExtras, Stream } from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import type { Pause } from './pause.ts'
import type { Retries } from './retries.ts'

/** Why the loop ended by itself: the caller prepares the stream again. */
export type LoopEnd = { readonly kind: 'anew'; readonly reason: string } | { readonly kind: 'stopped' }

/** While nothing happens the position is read from the target again this often: it may have been put back. */
const CONFIRM_MS = 2_000
/** The target's gate is looked at this often. */
const BREACH_MS = 20_000

interface LoopState {
  /** Last position that the target confirmed. */
  applied: Checkpoint | undefined
  /** True while a batch is between its read and its commit. */
  busy: boolean
  phase: Phase
  /** Rows that are set aside. */
  quarantined: number
}

/**
 * The one apply loop: read the difference, apply it, remember where the target says it stands. It keeps no
 * state that the target does not have too.
 */
export async function applyLoop(deps: {
  readonly stream: Stream
  readonly state: LoopState
  readonly pause: Pause
  readonly companion: Companion
  readonly retries: Retries
  readonly observer: Observer
  readonly pollMs: number
  readonly enter: (phase: Phase) => Promise<void>
  readonly onProgress: () => void
  readonly signal: AbortSignal
}): Promise<LoopEnd> {
  const { stream, state, pause, companion, retries, observer, signal } = deps
  const newest: Seq = await stream.newest()
  let confirmedAt = 0
  let guardedAt = Date.now()
  const confirm = async (): Promise<void> => {
    state.applied = await stream.target.checkpoint()
    state.quarantined = await stream.target.asideCount()
    confirmedAt = Date.now()
  }
  await confirm()
  while (!signal.aborted) {
    if (pause.active) {
      await pause.change(signal)
      continue
    }
    if (!stream.target.connected || Date.now() - confirmedAt > CONFIRM_MS) await confirm()
    const from = state.applied as Checkpoint
    if (state.phase === 'catching_up' && from.seq >= newest) {
      if (stream.dirty.size === 0) {
        await stream.copyTarget.settle()
        // Children may have followed their parents, and repairs set rows aside.
        state.quarantined = await stream.target.asideCount()
        await deps.enter('replicating')
      } else if (await companion.mend(stream)) await stream.clean()
    }
    if (Date.now() - guardedAt > BREACH_MS) {
      const breach = await stream.breach()
      if (breach !== undefined) return { kind: 'anew', reason: breach }
      guardedAt = Date.now()
    }
    const startedAt = performance.now()
    const also = await retries.next(stream.target)
    const extras: ReadExtras = { also, ...(await companion.next(stream)) }
    const result = await stream.source.read(from, signal, extras)
    if (result.kind === 'drift' || result.kind === 'discontinuous')
      return { kind: 'anew', reason: result.reason }
    if (result.kind === 'empty') {
      deps.onProgress()
      stream.source.acknowledge(from)
      await stream.source.wake(deps.pollMs, signal)
      continue
    }
    using batch = result.batch
    state.busy = true
    try {
      const applied = await stream.target.apply(batch)
      state.applied = batch.to
      state.quarantined = applied.quarantined
      confirmedAt = Date.now()
      retries.took(applied)
      if (batch.ride !== undefined) await companion.took(batch, stream)
      observer.applied({
        direction: 'forward',
        seconds: (performance.now() - startedAt) / 1000,
        changes: batch.changes,
        perTable: applied.perTable,
      })
    } finally {
      state.busy = false
    }
    deps.onProgress()
    stream.source.acknowledge(batch.to)
  }
  return { kind: 'stopped' }
}

export type { LoopState }
