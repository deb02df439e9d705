/** The PostgreSQL side of a writer, in one isolation level. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { EPOCH_AT, type Statement, type Write } from './operations.ts'
import type { Hand, Outcome } from './outcome.ts'

export const ISOLATIONS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const
export type Isolation = (typeof ISOLATIONS)[number]

const CONNECT_MS = 5000
/** A silent server: given up on, as an application's driver would. */
const ANSWER_MS = 15_000

/** Class 08, shutting down, starting up, too many sessions. */
const SERVER_GONE = /^(08|57P0|53300|25P03|25P04)/

export class PostgresHand implements Hand {
  readonly #url: string
  readonly #isolation: Isolation
  #client: pg.Client | undefined

  constructor(url: string, isolation: Isolation) {
    this.#url = url
    this.#isolation = isolation
  }

  async write(write: Write): Promise<Outcome> {
    let committing = false
    try {
      const client = await this.#open()
      await client.query(`BEGIN ISOLATION LEVEL ${this.#isolation}`)
      const statements = write.statements('postgres')
      let epoch = Number.NaN
      for (const [index, statement] of statements.entries()) {
        const value = await ask(client, statement)
        if (index === EPOCH_AT) epoch = value
        if (statement.expected !== undefined && value !== statement.expected) {
          await client.query('ROLLBACK')
          return { kind: 'wrong', message: `${statement.sql} gave ${value}, not ${statement.expected}` }
        }
      }
      committing = true
      const { command } = await client.query('COMMIT')
      if (command !== 'COMMIT') return { kind: 'wrong', message: `COMMIT was answered with ${command}` }
      return { kind: 'acknowledged', epoch }
    } catch (error) {
      return await this.#outcome(write, error as pg.DatabaseError, committing)
    }
  }

  async #outcome(write: Write, error: pg.DatabaseError, committing: boolean): Promise<Outcome> {
    const message = `${error.code ?? ''} ${error.message}${committing ? ' (at COMMIT)' : ''}`
    if (!isSqlstate(error.code) || SERVER_GONE.test(error.code)) {
      this.#drop()
      return { kind: 'unreachable', message, doubt: committing }
    }
    try {
      await this.#client?.query('ROLLBACK')
    } catch {
      this.#drop()
    }
    if (error.code === '25006') {
      return error.message.includes('slipway') ? { kind: 'fenced', message } : { kind: 'wrong', message }
    }
    if (error.code === '40001' || error.code === '40P01') return { kind: 'again', message }
    if (error.code === '23505' && error.table === 'ledger') return await this.#there(write)
    return { kind: 'wrong', message }
  }

  async #there(write: Write): Promise<Outcome> {
    try {
      const client = await this.#open()
      const { rows } = await client.query('SELECT epoch, engine FROM ledger WHERE writer = $1 AND n = $2', [
        write.writer,
        write.n,
      ])
      // Gone again: who wrote it was rolled back after we had met it.
      if (rows[0] === undefined) return { kind: 'again', message: 'the entry that was met is gone' }
      return { kind: 'there', epoch: Number(rows[0].epoch), engine: rows[0].engine }
    } catch (error) {
      this.#drop()
      return { kind: 'unreachable', message: (error as Error).message, doubt: true }
    }
  }

  async #open(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'ledger writer',
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: ANSWER_MS,
    })
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined
    })
    try {
      await client.connect()
    } catch (error) {
      destroy(client)
      throw error
    }
    this.#client = client
    return client
  }

  #drop(): void {
    if (this.#client !== undefined) destroy(this.#client)
    this.#client = undefined
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) await Promise.race([client.end(), sleep(1000)])
  }
}

/** A number from the first column of the first row. */
async function ask(client: pg.Client, { sql, parameters }: Statement): Promise<number> {
  let index = 0
  const text = sql.replaceAll('?', () => `$${++index}`)
  const { rows } = await client.query<unknown[]>({ text, values: [...parameters], rowMode: 'array' })
  return Number(rows[0]?.[0])
}

/** Without a word to the server: a session that may be stuck is not asked to end. */
function destroy(client: pg.Client): void {
  ;(client as unknown as { connection?: { stream: { destroy(): void } } }).connection?.stream.destroy()
}

function isSqlstate(code: string | undefined): code is string {
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code)
}
