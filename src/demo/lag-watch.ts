/** Asks a daemon for its lag all the time, as a monitoring system would, and keeps what it said. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LagReport } from '../core/operator.ts'

const EVERY_MS = 100
const ANSWER_WITHIN_MS = 2_000

export class LagWatch implements Disposable {
  readonly #url: string
  readonly #end = new AbortController()
  readonly #samples: number[] = []
  #latest: LagReport | undefined

  /** Begins at once. */
  constructor(controlUrl: string) {
    this.#url = `${controlUrl}/lag`
    void this.#watch()
  }

  [Symbol.dispose](): void {
    this.#end.abort()
  }

  /** The last answer; undefined while the daemon does not answer. */
  get latest(): LagReport | undefined {
    return this.#latest
  }

  /** Seconds, of all answers while replicating. */
  get median(): number | undefined {
    return this.#samples.toSorted((a, b) => a - b)[Math.floor(this.#samples.length / 2)]
  }

  get highest(): number | undefined {
    return this.#samples.length === 0 ? undefined : Math.max(...this.#samples)
  }

  /**
   * A check for "everything written by now is in PostgreSQL". Under steady writes a daemon that is never more
   * than milliseconds behind is never without a pending change either: so it is the position that counts.
   */
  fromNow(): () => boolean {
    const since = Date.now()
    let goal: bigint | undefined
    return () => {
      const lag = this.#latest
      if (lag?.phase !== 'replicating' || lag.head === null || lag.applied === null) return false
      if (Date.parse(lag.measured_at) < since) return false
      goal ??= BigInt(lag.head)
      return BigInt(lag.applied) >= goal
    }
  }

  async #watch(): Promise<void> {
    while (!this.#end.signal.aborted) {
      this.#latest = await this.#ask()
      if (this.#latest?.phase === 'replicating' && this.#latest.lag_seconds !== null) {
        this.#samples.push(this.#latest.lag_seconds)
      }
      await sleep(EVERY_MS, undefined, { signal: this.#end.signal }).catch(() => {})
    }
  }

  async #ask(): Promise<LagReport | undefined> {
    try {
      const signal = AbortSignal.any([this.#end.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)])
      const answer = await fetch(this.#url, { signal })
      return answer.ok ? ((await answer.json()) as LagReport) : undefined
    } catch {
      return undefined
    }
  }
}
