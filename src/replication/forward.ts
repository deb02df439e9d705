import type { Phase } from '../core/operator.ts'
import type { Batch, Companion, ReadExtras, Stream } from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import type { Flow, FlowApplied, FlowRead } from './loop.ts'
import type { Retries } from './retries.ts'

/** The target's gate is looked at this often. */
const BREACH_MS = 20_000

interface ForwardDeps {
  readonly stream: Stream
  readonly companion: Companion
  readonly retries: Retries
  readonly phase: () => Phase
  readonly enter: (phase: Phase) => Promise<void>
}

/** SQLite leads: the changelog's keys, rows read late, into PostgreSQL. */
export class ForwardFlow implements Flow<Checkpoint, Batch> {
  readonly direction = 'forward'
  readonly #deps: ForwardDeps
  #newest: Seq | undefined
  #guardedAt = Date.now()

  constructor(deps: ForwardDeps) {
    this.#deps = deps
  }

  get connected(): boolean {
    return this.#deps.stream.target.connected
  }

  async where(): Promise<{ at: Checkpoint; quarantined: number }> {
    const { target } = this.#deps.stream
    return { at: await target.checkpoint(), quarantined: await target.asideCount() }
  }

  /** The end of the catch-up, and a look at the gate now and then. */
  async attend(at: Checkpoint): Promise<string | undefined> {
    const { stream, companion, enter, phase } = this.#deps
    this.#newest ??= await stream.newest()
    if (phase() === 'catching_up' && at.seq >= this.#newest) {
      if (stream.dirty.size === 0) {
        await stream.copyTarget.settle()
        await enter('replicating')
      } else if (await companion.mend(stream)) await stream.clean()
    }
    if (Date.now() - this.#guardedAt < BREACH_MS) return undefined
    this.#guardedAt = Date.now()
    return await stream.breach()
  }

  async read(from: Checkpoint, signal: AbortSignal, bare: boolean): Promise<FlowRead<Batch>> {
    const { stream, companion, retries } = this.#deps
    const extras: ReadExtras = bare
      ? { urgent: true }
      : { also: await retries.next(stream.target), ...(await companion.next(stream)) }
    const result = await stream.source.read(from, signal, extras)
    if (result.kind === 'drift' || result.kind === 'discontinuous')
      return { kind: 'anew', reason: result.reason }
    return result.kind === 'empty' ? { kind: 'empty' } : result
  }

  async apply(batch: Batch): Promise<FlowApplied> {
    const { stream, companion, retries } = this.#deps
    const applied = await stream.target.apply(batch)
    retries.took(applied)
    if (batch.ride !== undefined) await companion.took(batch, stream)
    return applied
  }

  acknowledge(at: Checkpoint): void {
    this.#deps.stream.source.acknowledge(at)
  }

  async wake(ms: number, signal: AbortSignal): Promise<void> {
    await this.#deps.stream.source.wake(ms, signal)
  }
}
