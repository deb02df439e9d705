import { Failure } from '../core/errors.ts'
import type {
  ReverseBatch,
  ReversePosition,
  ReverseReadResult,
  ReverseStream,
  SourceDrift,
} from '../core/reverse.ts'
import type { Flow, FlowApplied, FlowRead } from './loop.ts'
import type { Retries } from './retries.ts'

/** PostgreSQL leads: what its snapshots differ in, into SQLite behind its fence. */
export class ReverseFlow implements Flow<ReversePosition, ReverseBatch> {
  readonly direction = 'reverse'
  readonly #stream: ReverseStream
  readonly #retries: Retries
  /** Everything is compared with the next batch. */
  #whole: boolean
  /** What somebody did to SQLite's schema, as it was last told. */
  #drift: SourceDrift | undefined
  /** Met by a drain, and not dealt with yet. */
  #found: ReverseReadResult | undefined

  constructor(stream: ReverseStream, retries: Retries) {
    this.#stream = stream
    this.#retries = retries
    this.#whole = stream.doubt !== undefined
  }

  get connected(): boolean {
    return this.#stream.source.connected
  }

  async where(): Promise<{ at: ReversePosition; quarantined: number }> {
    const { target } = this.#stream
    return { at: target.position(), quarantined: target.aside(0).total }
  }

  /** Told at once, whether or not a change is to be brought back. */
  async attend(): Promise<undefined> {
    const { target, tables, told, unsafe } = this.#stream
    const drift = target.drift(tables)
    if (drift?.version === this.#drift?.version) return
    this.#drift = drift
    if (drift === undefined) return
    if (drift.harmless) {
      this.#whole = true
      told(`${drift.reason}, and the tables are as they were: everything is compared`)
    } else {
      // Before anything is told: until then both sides may be open.
      await target.shut(tables)
      await unsafe('source_drift', drift.reason)
    }
  }

  async read(from: ReversePosition, signal: AbortSignal, bare: boolean): Promise<FlowRead<ReverseBatch>> {
    const { source, target, images, tables } = this.#stream
    const also = bare ? [] : await this.#retries.next(target)
    const whole = this.#whole ? tables.map((table) => table.name) : undefined
    const watched = bare ? undefined : () => target.quarantined()
    const result = this.#found ?? (await source.read(from, images, signal, { also, whole, watched }))
    this.#found = undefined
    // PostgreSQL's control row is locked by a decision meanwhile, and nothing can be noted there.
    if (bare && (this.#whole || (result.kind !== 'batch' && result.kind !== 'empty'))) {
      if (result.kind === 'drift' || result.kind === 'forgotten') this.#found = result
      throw new Failure({
        code: 'target_drift',
        exit: 1,
        message: `everything has to be compared first: ${'reason' in result ? result.reason : 'a schema was changed'}`,
        remedy: 'Try again in a moment. See: slipway status',
      })
    }
    if (result.kind === 'forgotten') {
      // Said loudly: PostgreSQL accepted these writes, and it has lost them.
      await this.#stream.unsafe('target_forgot', result.reason)
      this.#whole = true
      return await this.read(from, signal, bare)
    }
    if (result.kind === 'drift') {
      if (result.fatal) {
        await this.#stream.unsafe('drift', result.reason)
        // Once it is taken back: what was rewritten meanwhile fired no trigger.
        await this.#stream.unsafe(
          'whole',
          'every table is compared, since the tables on PostgreSQL were changed',
        )
        throw new Failure({
          code: 'target_drift',
          message: `the tables on PostgreSQL are not those that were switched to: ${result.reason}`,
          remedy: 'Take the change of the schema back, or give the way back up: slipway finalize',
        })
      }
      if (result.reason !== '') this.#stream.told(result.reason)
      if (result.altered) await this.#stream.unsafe('schema', result.reason)
      else await this.#stream.safe(['schema'])
      return await this.read(from, signal, bare)
    }
    return result
  }

  async apply(batch: ReverseBatch): Promise<FlowApplied> {
    const { target, safe } = this.#stream
    const applied = await target.apply(batch, this.#whole ? this.#drift : undefined)
    this.#retries.took({ retry: [], quarantined: applied.quarantined })
    if (this.#whole) {
      this.#whole = false
      await safe(['recovered', 'source_drift', 'whole', 'drift'])
    }
    return applied
  }

  async acknowledge(at: ReversePosition): Promise<void> {
    await this.#stream.source.acknowledge(at)
  }

  async wake(ms: number, signal: AbortSignal): Promise<void> {
    await this.#stream.source.wake(ms, signal)
  }
}
