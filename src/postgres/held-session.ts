import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { type Connection, targetFailure } from './connection.ts'

/**
 * A session that stays taken from one call to the next, with an end to each wait: a server that does not answer is cut
 * off. What ran then may still happen there, later.
 */
export class HeldSession implements AsyncDisposable {
  readonly #connection: Connection
  readonly #client: pg.Client
  readonly #held: Promise<void>
  readonly #done: PromiseWithResolvers<void>
  /** A later session of the same connection is not ours. */
  readonly #generation: number
  #over = false

  private constructor(
    connection: Connection,
    client: pg.Client,
    held: Promise<void>,
    done: PromiseWithResolvers<void>,
  ) {
    this.#connection = connection
    this.#client = client
    this.#held = held
    this.#done = done
    this.#generation = connection.generation
  }

  /** Waits `ms` for the session at most; opens it where it is not open. */
  static async take(connection: Connection, ms: number, signal?: AbortSignal): Promise<HeldSession> {
    const ready = Promise.withResolvers<pg.Client>()
    const done = Promise.withResolvers<void>()
    const held = connection.use(async (client) => {
      ready.resolve(client)
      await done.promise
    })
    held.catch(ready.reject)
    const client = await bounded(connection, ms, signal, () => ready.promise).catch((error: unknown) => {
      // It may open yet, and nobody would use it.
      done.resolve()
      throw error
    })
    return new HeldSession(connection, client, held, done)
  }

  /** False once the session is known to be gone. */
  get alive(): boolean {
    return !this.#over && this.#connection.connected && this.#connection.generation === this.#generation
  }

  /** Runs `work`, and cuts the session where it takes longer than `ms` or the signal aborts. Throws Failures. */
  async run<T>(
    ms: number,
    work: (client: pg.Client) => Promise<T>,
    signal: AbortSignal | undefined = undefined,
  ): Promise<T> {
    if (!this.alive) throw lost(this.#connection)
    try {
      return await bounded(this.#connection, ms, signal, () => work(this.#client))
    } catch (error) {
      const failure = targetFailure(error, this.#connection.server)
      if (failure.code === 'target_unreachable') this.cut()
      throw failure
    }
  }

  /** Gives the session back; a transaction that is open in it is rolled back. May be called again. */
  async release(): Promise<void> {
    // Nobody has to wait for what changes nothing.
    if (this.alive && this.#client.getTransactionStatus() !== 'I')
      await this.run(ROLLBACK_MS, (client) => client.query('ROLLBACK')).catch(() => undefined)
    this.#over = true
    this.#done.resolve()
    await this.#held.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  /** Ends it at once, whatever runs in it. */
  cut(): void {
    if (this.alive) this.#connection.cut()
    this.#over = true
    this.#done.resolve()
  }
}

const ROLLBACK_MS = 1_000

function lost(connection: Connection): Failure {
  return new Failure({
    code: 'target_unreachable',
    policy: 'transient',
    message: `PostgreSQL (${connection.server}): the session was lost`,
    remedy: 'Check that the server runs; slipway tries again.',
  })
}

async function bounded<T>(
  connection: Connection,
  ms: number,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const ended = Promise.withResolvers<never>()
  const end = (reason: string): void => {
    ended.reject(
      new Failure({
        code: 'target_unreachable',
        policy: 'transient',
        message: `PostgreSQL (${connection.server}) ${reason}`,
        remedy: 'Check that the server runs and is not overloaded; slipway tries again.',
      }),
    )
    connection.cut()
  }
  const timer = setTimeout(() => end(`gave no answer within ${Math.round(ms)} ms`), Math.max(1, ms))
  const aborted = (): void => end('was not waited for any longer')
  if (signal?.aborted === true) aborted()
  signal?.addEventListener('abort', aborted, { once: true })
  try {
    return await Promise.race([ended.promise, work()])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', aborted)
    // Where nobody waits for it any more.
    ended.promise.catch(() => undefined)
  }
}
