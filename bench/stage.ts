/** A server and a folder for one run; databases and files are made for each repetition and dropped after it. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { DEMO_ROWS, makeNewsroom } from '../src/demo/newsroom.ts'
import { openEmbedded } from '../src/postgres/embedded.ts'

export interface Sizes {
  /** Articles in the source. */
  readonly rows: number
  /** Changes to be applied. */
  readonly changes: number
  readonly repeat: number
}

export class Stage implements AsyncDisposable {
  readonly dir: string
  readonly #serverUrl: string
  readonly #stop: () => Promise<void>
  #made = 0

  private constructor(dir: string, serverUrl: string, stop: () => Promise<void>) {
    this.dir = dir
    this.#serverUrl = serverUrl
    this.#stop = stop
  }

  static async open(tell: (line: string) => void): Promise<Stage> {
    const dir = await mkdtemp(join(tmpdir(), 'slipway-bench-'))
    // PostgreSQL may run under another account than ours.
    await chmod(dir, 0o755)
    const given = process.env.BENCH_POSTGRES_URL
    if (given !== undefined && given !== '') return new Stage(dir, given, async () => {})
    const server = await openEmbedded({ dir: join(dir, 'postgres'), database: 'bench', onLog: tell })
    return new Stage(dir, server.url, () => server.stop())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 })
  }

  async serverVersion(): Promise<string> {
    return await this.#administer(async (client) => {
      const { rows } = await client.query('SHOW server_version')
      return rows[0].server_version
    })
  }

  /** A new database, and a checkpoint before it is used. */
  async createDatabase(): Promise<string> {
    const name = `slipway_bench_${process.pid}_${++this.#made}`
    await this.#administer(async (client) => {
      await client.query(`CREATE DATABASE ${name}`)
      await client.query('CHECKPOINT')
    })
    const url = new URL(this.#serverUrl)
    url.pathname = `/${name}`
    return url.href
  }

  async dropDatabase(url: string): Promise<void> {
    const name = new URL(url).pathname.slice(1)
    await this.#administer((client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`))
  }

  /** A newsroom file with that many articles. */
  async newsroom(name: string, articles: number): Promise<string> {
    const path = join(this.dir, name)
    await makeNewsroom({ path, seed: 1, rows: { ...DEMO_ROWS, articles } })
    return path
  }

  async #administer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return await connected(this.#serverUrl, work)
  }
}

/** Runs `work` with a client of its own. */
export async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Seconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1_000
}
