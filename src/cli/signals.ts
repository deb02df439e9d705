/**
 * The first SIGINT, SIGTERM or SIGHUP asks for an end, a second one forces it, and so does a deadline. Written
 * here since close-with-grace ends with 0 or 1 only and takes over SIGSEGV as well.
 */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** npm forwards the Ctrl-C that the terminal has already sent to its child: both are one wish. */
const ONE_WISH_MS = 1000

export interface InterruptionOptions {
  /** Told at the first signal. */
  readonly onFirst: (signal: NodeJS.Signals) => void
  readonly deadlineMs: number
  /** Ends the process; the code says why. */
  readonly exit?: (code: number) => void
  readonly process?: Pick<NodeJS.EventEmitter, 'on' | 'off'>
  readonly now?: () => number
}

export class Interruption implements Disposable {
  readonly #abort = new AbortController()
  readonly #options: Required<InterruptionOptions>
  #firstAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: InterruptionOptions) {
    this.#options = { exit: (code) => process.exit(code), process, now: () => performance.now(), ...options }
    for (const name of SIGNALS) this.#options.process.on(name, this.#received)
  }

  /** Aborts at the first signal. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Resolves at the first signal. */
  async received(): Promise<void> {
    if (this.signal.aborted) return
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve, { once: true }))
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    for (const name of SIGNALS) this.#options.process.off(name, this.#received)
  }

  readonly #received = (name: NodeJS.Signals) => {
    const { now, exit, onFirst, deadlineMs } = this.#options
    if (this.signal.aborted) {
      if (now() - this.#firstAt >= ONE_WISH_MS) exit(130)
      return
    }
    this.#firstAt = now()
    this.#timer = setTimeout(() => exit(130), deadlineMs)
    this.#timer.unref()
    onFirst(name)
    this.#abort.abort()
  }
}
