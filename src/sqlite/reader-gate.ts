import { setTimeout as sleep } from 'node:timers/promises'
import { readWal } from './wal.ts'

/**
 * A read transaction keeps the write-ahead log from being reset; readers that follow each other closely keep
 * it from ever being reset, and it grows without bound (trap H14: 109 MB against 4 MB). All readers of this
 * process pass here. Above the limit the gate closes until the log has been reset, or has stopped growing, or
 * a bounded time is over: replication must go on even where the application never checkpoints.
 */
export class ReaderGate {
  readonly #path: string
  readonly #limitBytes: number
  readonly #maxWaitMs: number
  #waiting: { since: Date; until: Date } | undefined
  /** Size at which an earlier wait gave up: the log is not ours to shrink, wait again only when it grew on. */
  #gaveUpAt = 0

  constructor(path: string, limitBytes: number, maxWaitMs = 2_000) {
    this.#path = path
    this.#limitBytes = limitBytes
    this.#maxWaitMs = maxWaitMs
  }

  /** What `/status` shows while the gate is closed. */
  get waiting(): { since: Date; until: Date } | undefined {
    return this.#waiting
  }

  async pass(signal: AbortSignal): Promise<void> {
    const first = readWal(this.#path)
    if (first.usedBytes < this.#limitBytes) {
      this.#gaveUpAt = 0
      return
    }
    if (first.usedBytes < this.#gaveUpAt + this.#limitBytes / 4) return
    const since = new Date()
    this.#waiting = { since, until: new Date(since.getTime() + this.#maxWaitMs) }
    try {
      let last = first
      while (!signal.aborted && Date.now() - since.getTime() < this.#maxWaitMs) {
        await sleep(25)
        const now = readWal(this.#path)
        if (now.generation !== first.generation || now.usedBytes < this.#limitBytes) return
        // Nobody writes: the log can neither grow nor be reset, so there is nothing to wait for.
        if (now.usedBytes === last.usedBytes && Date.now() - since.getTime() > 250) break
        last = now
      }
      this.#gaveUpAt = last.usedBytes
    } finally {
      this.#waiting = undefined
    }
  }
}
