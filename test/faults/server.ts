/** A PostgreSQL of its own for a run, which can crash, freeze and come back. Outside of vitest too. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { type EmbeddedServer, openEmbedded } from '../../src/postgres/embedded.ts'
import { serverDirectory } from '../support/postgres-server.ts'

export class FaultServer implements AsyncDisposable {
  readonly #dir: string
  #server: EmbeddedServer
  #frozen: number[] = []
  #running = true

  private constructor(dir: string, server: EmbeddedServer) {
    this.#dir = dir
    this.#server = server
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<FaultServer> {
    const dir = await serverDirectory()
    const server = await openEmbedded({ dir, database: 'app', onLog: () => undefined })
    const started = new FaultServer(dir, server)
    // Processes are killed here, never the machine: what the kernel has is safe.
    for (const [name, value] of Object.entries({ fsync: 'off', ...settings })) {
      await started.query(`ALTER SYSTEM SET ${name} = '${value}'`)
    }
    await started.query('SELECT pg_reload_conf()')
    return started
  }

  /** Of a superuser, without any proxy. */
  get url(): string {
    return this.#server.url
  }

  get port(): number {
    return this.#server.port
  }

  get running(): boolean {
    return this.#running
  }

  /** `-m immediate`: every session ends at once, and the next start recovers. */
  async crash(): Promise<void> {
    if (!this.#running) return
    this.thaw()
    this.#running = false
    await this.#server.stop('immediate')
  }

  async start(): Promise<void> {
    if (this.#running) return
    const { port } = this.#server
    this.#server = await openEmbedded({ dir: this.#dir, database: 'app', onLog: () => undefined })
    if (this.#server.port !== port) throw new Error(`port ${port} was taken while the server was down`)
    this.#running = true
  }

  /** SIGSTOP to the server and all of its processes. */
  async freeze(): Promise<void> {
    const postmaster = await this.#pid()
    if (postmaster === undefined || this.#frozen.length > 0) return
    process.kill(postmaster, 'SIGSTOP')
    this.#frozen = [...(await childrenOf(postmaster)), postmaster]
    for (const pid of this.#frozen) signal(pid, 'SIGSTOP')
  }

  thaw(): void {
    for (const pid of this.#frozen) signal(pid, 'SIGCONT')
    this.#frozen = []
  }

  /** One statement in a session of its own; throws where the server does not answer within `ms`. */
  async query(sql: string, ms = 10_000): Promise<pg.QueryResult> {
    const client = await this.connect(ms)
    try {
      return await client.query(sql)
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async connect(ms = 10_000): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.url,
      connectionTimeoutMillis: ms,
      query_timeout: ms,
      application_name: 'checker',
    })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }

  async #pid(): Promise<number | undefined> {
    const text = await readFile(join(this.#server.dataDir, 'postmaster.pid'), 'utf8').catch(() => '')
    const pid = Number(text.split('\n')[0])
    return pid > 0 ? pid : undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.thaw()
    if (this.#running) await this.#server.stop('immediate')
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

async function childrenOf(parent: number): Promise<number[]> {
  const children: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    // The name of the program stands in parentheses and may hold anything.
    const [, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(ppid) === parent) children.push(Number(name))
  }
  return children
}

/** A process that has ended meanwhile needs none. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone.
  }
}

/** True where the process is stopped by SIGSTOP. */
export async function isStopped(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
}
