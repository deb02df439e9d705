import type { Standing } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Anew, Stream, StreamFactory } from '../core/ports.ts'
import type { ReverseStream } from '../core/reverse.ts'
import type { TargetGate } from '../core/switching.ts'
import { followEpoch } from '../postgres/control-notes.ts'
import type { SqliteFence } from '../sqlite/fence.ts'
import { look } from '../switchover/look.ts'
import type { ForwardFactory } from './forward.ts'
import type { ReverseFactory } from './reverse.ts'
import type { TargetSession } from './session.ts'

/** How long a file or a server that was put back stays closed by itself: until a person has decided. */
const CLOSED_MS = 10 * 365 * 86_400_000

interface StreamsDeps {
  readonly forward: ForwardFactory
  readonly reverse: ReverseFactory
  readonly target: TargetSession
  readonly fence: SqliteFence
  readonly gate: TargetGate
  readonly observer: Observer
  /** Finishes or undoes what a crash left; resolves when one side is open. */
  readonly recover: (standing: Standing, signal: AbortSignal) => Promise<void>
  /** After a rollback, outside any pause: what must not act while SQLite leads goes to sleep, reverse capture goes. */
  readonly asleep: () => Promise<void>
  /** Resolves when no change of authority is under way in this process. */
  readonly idle: (signal: AbortSignal) => Promise<void>
  readonly busy: () => boolean
  /** One is, and it waits for the stream. */
  readonly needsStream: () => boolean
  /** Ends the stream that is open, so that it is opened anew. */
  readonly turn: () => void
  /** Told at each start of a stream: who leads. */
  readonly leads: () => Promise<void>
}

/** Streams in the direction of the authority. What a crash left of a change of authority is settled before. */
export class Streams implements StreamFactory {
  readonly #deps: StreamsDeps
  /** Of the stream that is open. */
  #direction: 'forward' | 'reverse' | undefined
  #looking = false

  constructor(deps: StreamsDeps) {
    this.#deps = deps
  }

  async acquire(): ReturnType<StreamFactory['acquire']> {
    return await this.#deps.forward.acquire()
  }

  async heartbeat(): Promise<boolean> {
    const held = await this.#deps.forward.heartbeat()
    if (held) {
      this.#lookAgain()
      // What a pause of writes that has ended by itself has left.
      await this.#deps.fence.tidy().catch(() => false)
    }
    return held
  }

  /**
   * A coordinator that slept through its replacement may still raise its fence: nobody but the holder, by looking again,
   * finds it. And a file or a server that was put back is found while everything runs.
   */
  #lookAgain(): void {
    const { busy, turn } = this.#deps
    if (this.#direction === undefined || this.#looking || busy()) return
    const direction = this.#direction
    this.#looking = true
    this.#standing()
      .then((standing) => {
        const expected = direction === 'forward' ? 'sqlite' : 'postgres'
        if (standing.kind !== expected && !busy() && this.#direction === direction) turn()
      })
      // The stream meets the same fault, and tells it.
      .catch(() => undefined)
      .finally(() => {
        this.#looking = false
      })
  }

  async open(anew: Anew | undefined, signal: AbortSignal): Promise<Stream | ReverseStream> {
    const { forward, reverse, target, fence, gate, idle, needsStream, recover, leads, asleep } = this.#deps
    this.#direction = undefined
    await idle(signal)
    signal.throwIfAborted()
    let standing = await this.#standing()
    if (standing.kind === 'undecided' && needsStream()) {
      // Our own attempt, which goes on when this stream is near the head: nothing has changed yet.
      standing = standing.passage === 'switchover' ? { kind: 'sqlite', behind: false } : { kind: 'postgres' }
    } else if (standing.kind === 'undecided' || standing.kind === 'decided') {
      await recover(standing, signal)
      standing = await this.#standing()
    }
    if (standing.kind === 'divided') throw await this.#close(standing)
    await leads()
    if (standing.kind === 'postgres') {
      const stream = await reverse.open()
      this.#direction = 'reverse'
      return stream
    }
    if (standing.kind === 'sqlite' && standing.behind)
      await followEpoch(target.connection, target.control, fence.notes().epoch)
    const control = await target.control.read()
    if (control?.phase === 'rolling_back') await gate.settled()
    if (control?.awake === true) await asleep()
    const stream = await forward.open(anew, signal)
    this.#direction = 'forward'
    return stream
  }

  async #standing(): Promise<Standing> {
    const { target, fence } = this.#deps
    await target.control.refresh()
    const { standing } = await look({
      sqlite: () => fence.notes(),
      postgres: async () => {
        const now = await target.control.read()
        if (now === undefined) throw forgotten()
        return now
      },
    })
    return standing
  }

  /** Neither side goes on by itself: what was put back is closed, and a person decides (trap H15). */
  async #close(standing: Standing & { readonly kind: 'divided' }): Promise<Failure> {
    const { fence, gate, observer, target } = this.#deps
    const until = new Date(Date.now() + CLOSED_MS)
    const reason = 'the two sides do not agree on who leads'
    const notes = fence.notes()
    const control = await target.control.read()
    const attempts: Promise<void>[] = []
    // The side with the higher epoch was the last to lead: the other one was put back.
    if (notes.authority === 'sqlite' && !notes.closed && notes.epoch < (control?.epoch ?? 0))
      attempts.push(fence.pause(reason, until))
    if (control?.authority === 'postgres' && control.epoch < notes.epoch)
      attempts.push(gate.pause(reason, until))
    for (const result of await Promise.allSettled(attempts))
      if (result.status === 'rejected') observer.error(result.reason, undefined)
    return new Failure({
      code: 'divided',
      message: standing.reason,
      remedy: standing.remedy,
    })
  }
}

function forgotten(): Failure {
  return new Failure({
    code: 'control_missing',
    policy: 'transient',
    message: 'the server has forgotten this migration: it is set up again',
  })
}
