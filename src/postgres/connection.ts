import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Failure } from '../core/errors.ts'

/** `host:port/database as user` of a URL: what may be shown. Never the password. */
export function describeServer(url: string): string {
  try {
    const parsed = new URL(url)
    const host = parsed.hostname || parsed.searchParams.get('host') || 'localhost'
    return `${decodeURIComponent(host)}:${parsed.port || '5432'}${parsed.pathname} as ${decodeURIComponent(parsed.username) || 'the default user'}`
  } catch {
    return 'POSTGRES_URL'
  }
}

/** SQLSTATEs and socket errors after which the same work may succeed a moment later. */
const TRANSIENT = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  '40001', // serialization failure
  '57P01', // server shuts down
  '57P02', // crash of another backend
  '57P03', // starting up
  '57P05', // idle in transaction too long
  '53300', // too many connections
  '25P03', // idle in transaction timeout
  '08000',
  '08003',
  '08006',
])

/** Turns what the driver says into a sentence with a remedy, and decides whether trying again makes sense. */
export function targetFailure(error: unknown, server: string): Failure {
  if (error instanceof Failure) return error
  const { code = '', detail } = error as { code?: string; detail?: string }
  const text = (error instanceof Error ? error.message : String(error)) || code
  const lost =
    /Connection terminated|timeout expired|connection error|not queryable|Client was closed|terminating connection|timeout exceeded/i
  const base = { cause: error, message: `PostgreSQL (${server}): ${text}${detail ? ` (${detail})` : ''}` }
  switch (code) {
    case '28P01':
    case '28000':
      return new Failure({
        ...base,
        code: 'target_password',
        remedy: 'Check the user and the password in POSTGRES_URL (and pg_hba.conf on the server).',
      })
    case '3D000':
      return new Failure({
        ...base,
        code: 'target_no_database',
        remedy: 'Create the database, or correct its name in POSTGRES_URL.',
      })
    case 'ENOTFOUND':
      return new Failure({
        ...base,
        code: 'target_unknown_host',
        remedy: 'Correct the host in POSTGRES_URL.',
      })
    case '42501':
      return new Failure({
        ...base,
        code: 'target_rights',
        remedy: 'Grant the right that the message names to the role of POSTGRES_URL.',
      })
    case '40P01':
    case '55P03':
    case '57014':
      return new Failure({
        ...base,
        code: 'target_busy',
        policy: 'transient',
        remedy:
          'Another session holds a lock on a moved table (see pg_stat_activity, pg_blocking_pids); slipway tries again.',
      })
    case '53100':
      return new Failure({
        ...base,
        code: 'target_disk_full',
        policy: 'transient',
        remedy: 'Free space on the server; slipway tries again.',
      })
    case '2BP01':
      return new Failure({
        ...base,
        code: 'target_dependents',
        remedy: 'Drop what depends on the table (a view?) and start again.',
      })
  }
  if (
    TRANSIENT.has(code) ||
    lost.test(text) ||
    (error instanceof AggregateError && error.errors.length > 0)
  ) {
    const first = error instanceof AggregateError ? (error.errors[0] as Error).message : text
    return new Failure({
      ...base,
      message: `PostgreSQL (${server}) cannot be reached or gave up: ${first}`,
      code: 'target_unreachable',
      policy: 'transient',
      remedy: 'Check that the server runs and that host and port in POSTGRES_URL are right.',
    })
  }
  if (/^(22|23)/.test(code)) {
    return new Failure({
      ...base,
      code: 'target_refuses_value',
      remedy:
        'The target has a type or a constraint that the source does not keep: change the one or the other.',
      facts: { sqlstate: code },
    })
  }
  return new Failure({
    ...base,
    code: 'target_failed',
    remedy: 'See the message; after mending it: slipway start',
    facts: { sqlstate: code },
  })
}

/** `sslmode` as PostgreSQL's own tools mean it: `require` encrypts, and does not ask who signed the certificate. */
export function asLibpq(url: string): string {
  if (!/[?&]sslmode=/.test(url) || /[?&]uselibpqcompat=/.test(url)) return url
  return `${url}&uselibpqcompat=true`
}

/** SQLSTATE of what the server refused, also behind a Failure. */
export function sqlstate(error: unknown): string | undefined {
  const cause = error instanceof Failure ? error.cause : error
  return (cause as { code?: string } | undefined)?.code
}

/** Settings under which text means the same whatever the server's or the role's defaults are (trap V18). */
export const SESSION = [
  // A role or a database may have other defaults for its applications.
  `SET default_transaction_read_only = off`,
  `SET default_transaction_isolation = 'read committed'`,
  `SET default_transaction_deferrable = off`,
  `SET statement_timeout = 0`,
  `SET TimeZone = 'UTC'`,
  `SET DateStyle = 'ISO, YMD'`,
  `SET IntervalStyle = 'postgres'`,
  `SET standard_conforming_strings = on`,
  `SET bytea_output = 'hex'`,
  // A role may have less: then float8 loses digits on its way to text.
  `SET extra_float_digits = 1`,
  `SET row_security = off`,
  `SET lock_timeout = '10s'`,
  // A frozen client must not hold its locks for ever.
  `SET idle_in_transaction_session_timeout = '60s'`,
].join('; ')

const CONNECT_TIMEOUT_MS = 10_000

/**
 * One session, opened when it is needed and again after it was lost. Work runs one after the other: a session
 * is a queue. Temporary tables and session locks live in it, so it must not pass a transaction pooler (R7).
 */
export class Connection {
  readonly #url: string
  readonly #name: string
  readonly server: string
  #client: pg.Client | undefined
  /** A session that is still being opened: it can be cut too. */
  #opening: pg.Client | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #closed = false
  /** Raised with each new session: caches of prepared stage tables compare it. */
  generation = 0
  /** Raised with each transaction: what a stage held before is of no use to the next one. */
  transactions = 0

  /** `name` becomes application_name, by which a successor finds the sessions of a frozen holder. */
  constructor(url: string, name: string) {
    this.#url = url
    this.#name = name
    this.server = describeServer(url)
  }

  /** False from the moment at which the session was lost until it is open again. */
  get connected(): boolean {
    return this.#client !== undefined
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Runs `work` with the session to itself. A lost session is dropped and reported as transient. */
  async use<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const run = this.#tail.then(async () => {
      if (this.#closed)
        throw new Failure({ code: 'stopping', message: 'slipway is stopping', policy: 'never' })
      const client = await this.#open()
      try {
        return await work(client)
      } catch (error) {
        const failure = targetFailure(error, this.server)
        if (failure.code === 'target_unreachable') this.#drop()
        throw failure
      }
    })
    this.#tail = run.catch(() => undefined)
    return await run
  }

  /** `work` in a transaction; rolled back when it throws. An unknown COMMIT is a lost session: read, do not guess. */
  async transaction<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return await this.use(async (client) => {
      this.transactions++
      await client.query('BEGIN')
      try {
        const result = await work(client)
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK').catch(() => this.#drop())
        throw error
      }
    })
  }

  async #open(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client
    const client = new pg.Client({
      connectionString: asLibpq(this.#url),
      application_name: this.#name.slice(0, 63),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    })
    // Without a listener an error of an idle session would end the process.
    client.on('error', () => {
      if (this.#client === client) this.#drop()
    })
    this.#opening = client
    try {
      await client.connect()
      await client.query(SESSION)
    } catch (error) {
      client.end().catch(() => undefined)
      throw targetFailure(error, this.server)
    } finally {
      this.#opening = undefined
    }
    this.#client = client
    this.generation++
    return client
  }

  /** Ends the session at once, whatever runs in it: for a server that does not answer any more. */
  cut(): void {
    for (const client of [this.#client, this.#opening]) {
      // What waits for an answer ends with a lost connection, which is tried again.
      ;(client as unknown as { connection?: { stream: { destroy(): void } } })?.connection?.stream.destroy()
    }
    this.#drop()
  }

  #drop(): void {
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) endSoon(client)
  }

  /** Closes after the work in flight; a server that does not answer is left after a second. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.race([this.#tail, sleep(1_000, undefined, { ref: false })])
    const client = this.#client
    this.#client = undefined
    if (client !== undefined)
      await Promise.race([client.end().catch(() => undefined), sleep(1_000, undefined, { ref: false })])
  }
}

function endSoon(client: pg.Client): void {
  client.end().catch(() => undefined)
}
