/** Slipway as its users run it: the command line as processes, and the API. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { LagReport, VerifyReport } from '../src/core/operator.ts'
import { type Child, Children } from '../src/demo/processes.ts'

const BIN = fileURLToPath(new URL('../src/cli/bin.js', import.meta.url))
const PATIENCE_MS = 600_000

export interface Migration {
  readonly dir: string
  readonly sqlitePath: string
  readonly postgresUrl: string
}

export class Slipway implements AsyncDisposable {
  readonly #migration: Migration
  readonly #port: number
  readonly #children = new Children()
  #daemon: Child | undefined

  private constructor(migration: Migration, port: number) {
    this.#migration = migration
    this.#port = port
  }

  static async create(migration: Migration): Promise<Slipway> {
    return new Slipway(migration, await freePort())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#children[Symbol.asyncDispose]()
  }

  /** The articles alone, without a backup. Resolves with the most memory that it has held, in MB. */
  async snapshot(): Promise<number> {
    const child = this.#run('snapshot', '--enable-wal', '--no-backup')
    let peak = 0
    while (child.running) {
      peak = Math.max(peak, await residentPeak(child))
      await Promise.race([child.ended, sleep(100)])
    }
    const end = await child.ended
    if (end !== 0) throw await child.failure(`ended with ${end}`)
    return peak
  }

  async start(): Promise<void> {
    this.#daemon = this.#run('start')
    await this.applied()
  }

  async pause(): Promise<void> {
    await this.#post('/replication/pause', { reason: 'bench' })
  }

  async resume(): Promise<void> {
    await this.#post('/replication/resume')
  }

  /** Resolves when everything that the source's changelog holds now is in the target. */
  async applied(): Promise<void> {
    const until = Date.now() + PATIENCE_MS
    let goal: bigint | undefined
    for (;;) {
      const lag = await this.#lag()
      if (lag?.phase === 'replicating' && lag.head !== null && lag.applied !== null) {
        goal ??= BigInt(lag.head)
        if (BigInt(lag.applied) >= goal) return
      }
      await this.#daemon?.assertRunning()
      if (Date.now() > until) throw new Error(`not applied in time: ${JSON.stringify(lag)}`)
      await sleep(10)
    }
  }

  /** Compares everything, and resolves with what was found. */
  async verify(): Promise<VerifyReport> {
    await this.#post('/verify')
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(10)) {
      await this.#daemon?.assertRunning()
      const answer = await fetch(`http://127.0.0.1:${this.#port}/verify`)
      const report = (await answer.json()) as VerifyReport
      if (report.state === 'done' || report.state === 'failed') return report
    }
    throw new Error('verify did not end in time')
  }

  /** The most memory that the daemon has held since its start, in MB. */
  async peak(): Promise<number> {
    return this.#daemon === undefined ? 0 : await residentPeak(this.#daemon)
  }

  async #lag(): Promise<LagReport | undefined> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/lag`).catch(() => undefined)
    return answer?.ok ? ((await answer.json()) as LagReport) : undefined
  }

  async #post(path: string, body: object = {}): Promise<void> {
    const token = (await readFile(join(this.#stateDir, 'token'), 'utf8')).trim()
    const answer = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
  }

  get #stateDir(): string {
    return join(this.#migration.dir, `state-${this.#port}`)
  }

  #run(...args: readonly string[]): Child {
    const { dir, sqlitePath, postgresUrl } = this.#migration
    return this.#children.start({
      name: `slipway ${args.join(' ')}`,
      script: BIN,
      args,
      cwd: dir,
      logFile: join(dir, `slipway-${this.#port}.log`),
      env: {
        SQLITE_PATH: sqlitePath,
        POSTGRES_URL: postgresUrl,
        STATE_DIR: this.#stateDir,
        CONTROL_PORT: String(this.#port),
        TABLES: 'articles',
        LOG_FORMAT: 'json',
      },
    })
  }
}

/** Linux only: 0 elsewhere, and once the process has ended. */
async function residentPeak({ pid }: Child): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
