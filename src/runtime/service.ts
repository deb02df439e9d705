/**
 * Lifecycle, free of any engine. A service starts, stops, and knows nothing of its neighbours; a group starts
 * its services in order and stops them in reverse. Stopping is legal at any time, before a start and during
 * one, is done once however often it is asked for, and ends when everything in flight has ended.
 */
import { Failure } from '../core/errors.ts'

export interface Service {
  /** For people: it stands in the message when a stop takes too long. */
  readonly name: string
  /** Resolves when the service works; background work goes on after that. */
  start(): Promise<void>
  /** Legal before and during `start`, which it must make end. Resolves when nothing is in flight any more. */
  stop(): Promise<void>
}

export interface GroupOptions {
  readonly name: string
  readonly services: readonly Service[]
  /** For the whole stop, not for each service. */
  readonly deadlineMs?: number
}

/** Starts in order, stops in reverse. A start that fails stops what has been started, then rejects. */
export class ServiceGroup implements Service {
  readonly name: string
  readonly #services: readonly Service[]
  readonly #deadlineMs: number
  /** In the order of their start, the one that is starting included. */
  readonly #begun: { readonly service: Service; readonly started: Promise<void> }[] = []
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: GroupOptions) {
    this.name = options.name
    this.#services = options.services
    this.#deadlineMs = options.deadlineMs ?? 10_000
  }

  get stopping(): boolean {
    return this.#stopping !== undefined
  }

  start(): Promise<void> {
    this.#starting ??= this.#startAll()
    return this.#starting
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #startAll(): Promise<void> {
    for (const service of this.#services) {
      if (this.stopping) return
      const started = service.start()
      this.#begun.push({ service, started })
      try {
        await started
      } catch (error) {
        // Asked to stop meanwhile: whoever asked hears of the stop, and the start that ended is no news.
        if (this.stopping) return
        await this.stop().catch(() => {})
        throw error
      }
    }
  }

  async #stopAll(): Promise<void> {
    const errors: unknown[] = []
    let waitingFor: Service | undefined
    const work = async () => {
      for (const { service, started } of this.#begun.toReversed()) {
        waitingFor = service
        await service.stop().catch((error: unknown) => errors.push(error))
        await started.catch(() => {})
      }
    }
    await within(this.#deadlineMs, work(), () => {
      const name = waitingFor?.name ?? this.name
      return new Failure({
        code: 'stop_timeout',
        message: `${name} did not stop within ${this.#deadlineMs / 1000} s`,
        remedy: 'Nothing is lost: what was not committed is done again at the next start.',
        exit: 1,
      })
    })
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1)
      throw new AggregateError(errors, `${this.name}: ${errors.length} services failed to stop`)
  }
}

/** A background loop as a service: `run` works until its signal aborts. */
export class Task implements Service {
  readonly name: string
  readonly #run: (signal: AbortSignal) => Promise<void>
  readonly #abort = new AbortController()
  readonly #ended = Promise.withResolvers<void>()
  #started = false

  constructor(name: string, run: (signal: AbortSignal) => Promise<void>) {
    this.name = name
    this.#run = run
    // A task whose end nobody watches must not bring the process down by itself.
    this.#ended.promise.catch(() => {})
  }

  /** Resolves when the loop has ended, rejects when it ended by an error that is not its own stop. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  async start(): Promise<void> {
    if (this.#started || this.#abort.signal.aborted) return
    this.#started = true
    // Not awaited: starting means that the loop goes on in the background.
    this.#run(this.#abort.signal).then(this.#ended.resolve, (error: unknown) => {
      if (this.#abort.signal.aborted && isAbort(error)) this.#ended.resolve()
      else this.#ended.reject(error)
    })
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    if (!this.#started) this.#ended.resolve()
    // An error of the loop is told by `ended`; the stop itself has succeeded.
    await this.#ended.promise.catch(() => {})
  }
}

/** Waits for `work` for `ms` at most, then rejects with what `late` makes; the work itself goes on. */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

/** True for what an aborted signal makes of a wait; not a failure. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
