/** Asks both engines, as an application would, whether they take a write. What it writes, it takes back. */
import pg from 'pg'
import { SqliteHand } from './sqlite-hand.ts'

export type Answer = 'open' | 'closed' | 'busy' | 'down'

export interface Probed {
  readonly sqlite: Answer
  readonly postgres: Answer
  /** What they said where they are neither open nor closed by a fence. */
  readonly detail: string
}

const PROBE = { sql: `INSERT INTO probes (note) VALUES ('probe')`, parameters: [] }

export class Prober implements AsyncDisposable {
  readonly #url: string
  readonly #hand: SqliteHand
  #client: pg.Client | undefined

  constructor(sqlitePath: string, postgresUrl: string) {
    this.#url = postgresUrl
    // Below the pause of a switchover, so that a probe says what is, and does not wait until it is over.
    this.#hand = new SqliteHand(sqlitePath, 200)
  }

  /**
   * PostgreSQL is asked while a transaction of ours that has written to SQLite is open: where it takes the write too,
   * both do at the same moment, whatever is going on.
   */
  async ask(): Promise<Probed> {
    const here = await this.#hand.ask({ statements: [PROBE], end: 'keep' })
    const sqlite: Answer = here.ok
      ? 'open'
      : here.message.includes('slipway')
        ? 'closed'
        : /^SQLITE_BUSY/.test(here.name)
          ? 'busy'
          : 'down'
    const [postgres, said] = await this.#postgres()
    if (here.ok) await this.#hand.ask({ statements: [], end: 'rollback' })
    return { sqlite, postgres, detail: [here.ok ? '' : here.message, said].join(' | ') }
  }

  async #postgres(): Promise<[answer: Answer, said: string]> {
    try {
      this.#client ??= await this.#connect()
      await this.#client.query(`BEGIN; SET LOCAL statement_timeout = 400; SET LOCAL lock_timeout = 400`)
      await this.#client.query(PROBE.sql)
      await this.#client.query('ROLLBACK')
      return ['open', '']
    } catch (error) {
      const { code, message } = error as pg.DatabaseError
      const told = `${code ?? ''} ${message}`
      if (code === '25006' || code === '55P03' || code === '57014') {
        try {
          await this.#client?.query('ROLLBACK')
          return [code === '25006' && message.includes('slipway') ? 'closed' : 'busy', told]
        } catch {
          // Lost after all.
        }
      }
      this.#drop()
      return ['down', told]
    }
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: 1000,
      query_timeout: 1000,
      application_name: 'probe',
    })
    client.on('error', () => this.#drop())
    await client.connect()
    return client
  }

  #drop(): void {
    const client = this.#client
    this.#client = undefined
    client?.end().catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#drop()
    await this.#hand.close()
  }
}
