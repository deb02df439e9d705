/**
 * The one retry loop: exponential back-off with jitter, a cap and a reset. Time and chance are injected, so
 * that tests run without waiting.
 */
import { type Policy, policyOf } from '../core/errors.ts'

export interface RetryOptions {
  /** First wait. */
  readonly minMs?: number
  /** Cap of a wait. */
  readonly maxMs?: number
  readonly factor?: number
  /** Share of a wait that chance takes away: 0.5 makes 1000 ms into 500–1000, so that many do not return at once. */
  readonly jitter?: number
  /** In [0, 1). */
  readonly random?: () => number
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** Only `transient` is tried again; anything else is thrown. */
  readonly policyOf?: (error: unknown) => Policy
  /** Told before each wait. */
  readonly onRetry?: (error: unknown, waitMs: number, attempt: number) => void
}

export class Retry {
  readonly #options: Required<RetryOptions>
  #failures = 0

  constructor(options: RetryOptions = {}) {
    this.#options = {
      minMs: 200,
      maxMs: 15_000,
      factor: 2,
      jitter: 0.5,
      random: Math.random,
      sleep,
      policyOf,
      onRetry: () => {},
      ...options,
    }
  }

  /** Failures in a row since the last success. */
  get failures(): number {
    return this.#failures
  }

  /** Something worked: the next wait is the first one again. */
  reset(): void {
    this.#failures = 0
  }

  /** Counts a failure and says how long to wait before the next try. */
  next(): number {
    const { minMs, maxMs, factor, jitter, random } = this.#options
    // The exponent is bounded: 2 ** 2000 is Infinity, and Infinity times a jitter of zero is NaN.
    const full = Math.min(maxMs, minMs * factor ** Math.min(this.#failures, 60))
    this.#failures += 1
    return Math.round(full * (1 - jitter * random()))
  }

  /** Counts a failure and waits; returns at once when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    await this.#options.sleep(this.next(), signal)
  }

  /**
   * Tries `work` until it succeeds, waiting after each transient failure. Throws any other failure as it is,
   * and the signal's reason once that has aborted. A success resets the back-off.
   */
  async run<T>(work: (attempt: number) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted()
      try {
        const result = await work(this.#failures + 1)
        this.reset()
        return result
      } catch (error) {
        signal.throwIfAborted()
        if (this.#options.policyOf(error) !== 'transient') throw error
        const waitMs = this.next()
        this.#options.onRetry(error, waitMs, this.#failures)
        await this.#options.sleep(waitMs, signal)
      }
    }
  }
}

/** Resolves after `ms`, or at once when the signal aborts; never rejects, so that a loop ends by its own condition. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
