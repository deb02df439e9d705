import type pg from 'pg'
import type { Connection } from './connection.ts'
import { bellName, wakeChannel } from './reverse-capture.ts'

/** After a failure the bell is left alone for a while: the poll goes on. */
const RETRY_MS = 5_000

/**
 * Wakes the reader when a transaction has changed something. A session of its own listens, and says in a sequence that
 * somebody waits: as long as batches follow each other, writers need not ring. Where nobody may ring (prepared
 * transactions, a pooler in between) the wait just ends: polling is the truth.
 */
export class ReverseWake {
  readonly #connection: Connection
  readonly #id: number
  #generation = -1
  #retryAt = 0
  #waiting = false
  #rung = false
  #ring: (() => void) | undefined

  constructor(connection: Connection, id: number) {
    this.#connection = connection
    this.#id = id
  }

  /** Resolves at a sign of a change, after `ms` at the latest, or when the signal aborts. `pending`: one last look. */
  async wait(ms: number, signal: AbortSignal, pending: () => Promise<boolean>): Promise<void> {
    if (signal.aborted) return
    const listening = this.#listen(pending)
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        this.#ring = undefined
        this.#rung = false
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
      this.#ring = done
      if (this.#rung) done()
      void listening.then((some) => {
        if (some && this.#ring === done) done()
      })
    })
  }

  /** Batches follow each other: writers need not ring. */
  async quiet(): Promise<void> {
    if (!this.#waiting || !this.#connection.connected) return
    this.#waiting = false
    await this.#say(1).catch(() => undefined)
  }

  /** True where something was logged before the bell was heard. A session that is lost is opened again some time. */
  async #listen(pending: () => Promise<boolean>): Promise<boolean> {
    const heard =
      this.#waiting && this.#connection.connected && this.#generation === this.#connection.generation
    if (heard || Date.now() < this.#retryAt) return false
    try {
      await this.#connection.use(async (client) => {
        if (this.#generation === this.#connection.generation) return
        client.on('notification', () => {
          this.#rung = true
          this.#ring?.()
        })
        await client.query(`LISTEN ${wakeChannel(this.#id)}`)
        this.#generation = this.#connection.generation
      })
      await this.#say(2)
      this.#waiting = true
      return await pending()
    } catch {
      this.#waiting = false
      this.#retryAt = Date.now() + RETRY_MS
      return false
    }
  }

  async #say(value: 1 | 2): Promise<void> {
    await this.#connection.use(
      async (client: pg.Client) =>
        await client.query('SELECT setval($1::regclass, $2)', [bellName(this.#id), value]),
    )
  }
}
