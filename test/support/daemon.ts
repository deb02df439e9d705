/**
 * Slipway as its users meet it: the CLI and the daemon as real processes, in a directory and on a port of
 * their own. Nothing of `src` is imported.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const REPOSITORY = resolve(import.meta.dirname, '../..')
export const BIN = join(REPOSITORY, 'src/cli/bin.js')

export interface Lag {
  readonly migration: string
  readonly phase: string
  readonly authority: string
  readonly direction: string
  readonly state: string
  readonly reasons: readonly string[]
  readonly head: number | string | null
  readonly applied: number | string | null
  readonly pending_changes: number
  readonly lag_seconds: number | null
  readonly caught_up: boolean
  readonly quarantined: number
  readonly measured_at: string
}

export interface Status extends Lag {
  readonly warnings: readonly string[]
  readonly last_error: {
    readonly code: string
    readonly message: string
    readonly remedy: string | null
  } | null
  readonly backup: { readonly path: string; readonly bytes: number } | null
  readonly source: {
    readonly wal_bytes: number
    readonly changelog_rows: number
    readonly journal_mode: string
  }
  readonly tables: readonly { readonly table: string; readonly state: string; readonly rows_copied: number }[]
  readonly waits: readonly { readonly what: string }[]
  readonly snapshot: { readonly started_at: string | null } | null
  readonly epoch: number
  readonly fences: readonly {
    readonly engine: string
    readonly closed: boolean
    readonly reasons: readonly string[]
    readonly until: string | null
  }[]
  readonly rollback_safe: { readonly safe: boolean; readonly reasons: readonly string[] } | null
}

export interface Result {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export type Environment = Readonly<Record<string, string | undefined>>

/** A directory below the system's temporary one, taken away when it leaves its scope. */
export class Workspace implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'slipway-work-'))

  file(name: string): string {
    return join(this.path, name)
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until `check` gives something; throws what `describe` says once the deadline has passed. */
export async function until<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly ms: number; readonly every?: number; readonly describe: () => string },
): Promise<T> {
  const deadline = Date.now() + options.ms
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value
    if (Date.now() > deadline) throw new Error(`${options.ms / 1000} s have passed: ${options.describe()}`)
    await sleep(options.every ?? 50)
  }
}

/** Collects what a process prints, and waits for its end. */
export class Process {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly #ended: Promise<Result>

  constructor(command: string, args: readonly string[], options: { cwd?: string; env?: Environment } = {}) {
    this.child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] } as Parameters<
      typeof spawn
    >[2])
    this.child.stdin?.on('error', () => {})
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#ended = new Promise((done, failed) => {
      this.child.on('error', failed)
      this.child.on('close', (code, signal) => {
        done({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
    // A process that cannot be started is reported to whoever waits for its end.
    this.#ended.catch(() => {})
    running.add(this)
    void this.#ended.finally(() => running.delete(this)).catch(() => {})
  }

  get pid(): number {
    return this.child.pid!
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** The end, or an error after `ms` with what was printed so far; then it is killed. */
  async end(ms: number): Promise<Result> {
    const timer = new AbortController()
    const late = sleep(ms, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const)
    const result = await Promise.race([this.#ended, late])
    timer.abort()
    if (result !== 'late') return result
    this.child.kill('SIGKILL')
    throw new Error(`${this.child.spawnargs.join(' ')} did not end within ${ms / 1000} s\n${this.tail()}`)
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** `kill -9`, and the wait for its end. */
  async kill(): Promise<Result> {
    this.child.kill('SIGKILL')
    return await this.end(10_000)
  }

  /** The last lines of both streams. */
  tail(lines = 25): string {
    const last = (text: string): string => text.trimEnd().split('\n').slice(-lines).join('\n')
    return `--- stdout\n${last(this.stdout)}\n--- stderr\n${last(this.stderr)}`
  }
}

const running = new Set<Process>()
process.on('exit', () => {
  for (const one of running) one.child.kill('SIGKILL')
})

/** One migration: its file, its server, its directories and its port. */
export class Slipway {
  readonly directory: string
  readonly port: number
  readonly env: Environment
  readonly #daemons: Daemon[] = []

  private constructor(directory: string, port: number, env: Environment) {
    this.directory = directory
    this.port = port
    this.env = env
  }

  /**
   * `directory` holds state and backups. The environment is the given one and nothing else of ours, so that
   * settings of the caller's shell and a `.env` in the repository have no say.
   */
  static async create(options: {
    readonly directory: string
    readonly sqlitePath?: string
    readonly postgresUrl?: string
    readonly env?: Environment
  }): Promise<Slipway> {
    const port = await freePort()
    return new Slipway(options.directory, port, {
      PATH: process.env.PATH,
      HOME: options.directory,
      NO_COLOR: '1',
      ...(options.sqlitePath === undefined ? {} : { SQLITE_PATH: options.sqlitePath }),
      ...(options.postgresUrl === undefined ? {} : { POSTGRES_URL: options.postgresUrl }),
      STATE_DIR: join(options.directory, '.slipway'),
      CONTROL_PORT: String(port),
      LOG_FORMAT: 'json',
      ...options.env,
    })
  }

  /** Another daemon for the same migration: own port, own state. */
  async twin(directory: string): Promise<Slipway> {
    const port = await freePort()
    const env = {
      ...this.env,
      HOME: directory,
      STATE_DIR: join(directory, '.slipway'),
      CONTROL_PORT: String(port),
    }
    return new Slipway(directory, port, env)
  }

  /** Runs a command to its end. */
  async run(
    args: readonly string[],
    options: { readonly ms?: number; readonly env?: Environment } = {},
  ): Promise<Result> {
    return await this.spawn(args, options.env).end(options.ms ?? 60_000)
  }

  /** The same, and an error unless it ends with 0. */
  async mustRun(
    args: readonly string[],
    options: { readonly ms?: number; readonly env?: Environment } = {},
  ): Promise<Result> {
    const result = await this.run(args, options)
    if (result.code !== 0) {
      throw new Error(
        `slipway ${args.join(' ')} ended with ${result.code}\n${result.stdout}\n${result.stderr}`,
      )
    }
    return result
  }

  /** Starts a command and does not wait for it. */
  spawn(args: readonly string[], env: Environment = {}): Process {
    return new Process(process.execPath, [BIN, ...args], {
      cwd: this.directory,
      env: { ...this.env, ...env },
    })
  }

  /** Starts the daemon and waits until it answers `GET /lag`. */
  async start(options: { readonly args?: readonly string[]; readonly ms?: number } = {}): Promise<Daemon> {
    const daemon = this.launch(options.args)
    await daemon.answering(options.ms)
    return daemon
  }

  /** Starts the daemon and does not wait. */
  launch(args: readonly string[] = [], env: Environment = {}): Daemon {
    const daemon = new Daemon(
      this.spawn(['start', ...args], env),
      `http://127.0.0.1:${this.port}`,
      this.env.STATE_DIR ?? '',
    )
    this.#daemons.push(daemon)
    return daemon
  }

  /**
   * How often its daemons gave up replication and copied everything again, by their own log. A new copy heals
   * everything, so a test of what replication can do must not let it pass.
   */
  copiesAnew(): number {
    const logs = this.#daemons.map((daemon) => daemon.process.stderr).join('')
    return logs.match(/copying anew|copied anew|full difference/g)?.length ?? 0
  }

  /** Kills every daemon that is left. For the end of a test, whatever its outcome. */
  async killAll(): Promise<void> {
    for (const daemon of this.#daemons) {
      if (!daemon.process.alive) continue
      daemon.process.signal('SIGCONT')
      await daemon.process.kill()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killAll()
  }
}

export class Daemon {
  readonly process: Process
  readonly url: string

  readonly stateDir: string

  constructor(started: Process, url: string, stateDir = '') {
    this.process = started
    this.url = url
    this.stateDir = stateDir
  }

  /** An answer of the API, parsed; undefined while it does not answer. */
  async get<T>(path: string): Promise<T | undefined> {
    try {
      const response = await fetch(this.url + path, { signal: AbortSignal.timeout(5000) })
      return response.ok ? ((await response.json()) as T) : undefined
    } catch {
      return undefined
    }
  }

  /** A POST with the daemon's own token. */
  async post(path: string, body: object = {}): Promise<{ readonly status: number; readonly body: unknown }> {
    const token = readFileSync(join(this.stateDir, 'token'), 'utf8').trim()
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(90_000),
    })
    return { status: response.status, body: await response.json() }
  }

  async lag(): Promise<Lag | undefined> {
    return await this.get<Lag>('/lag')
  }

  async status(): Promise<Status | undefined> {
    return await this.get<Status>('/status')
  }

  async answering(ms = 30_000): Promise<Lag> {
    return await until(
      async () => {
        if (!this.process.alive) throw new Error(`the daemon has ended\n${this.process.tail()}`)
        return await this.lag()
      },
      { ms, describe: () => `the daemon does not answer\n${this.process.tail()}` },
    )
  }

  /** Waits for something in `/lag`; an error shows the last `/status` and the log. */
  async when(what: string, check: (lag: Lag) => boolean, ms = 60_000): Promise<Lag> {
    let last: Lag | undefined
    try {
      return await until(
        async () => {
          if (!this.process.alive) throw new Error('the daemon has ended')
          last = (await this.lag()) ?? last
          return last !== undefined && check(last) ? last : undefined
        },
        { ms, describe: () => `no "${what}"` },
      )
    } catch (error) {
      const status = this.process.alive ? await this.status() : undefined
      const shown = JSON.stringify(status ?? last ?? 'no answer', null, 1)
      throw new Error(`${(error as Error).message}\n${shown}\n${this.process.tail()}`)
    }
  }

  /** Lag zero in either direction, measured after this call. Ask once nobody writes any more. */
  async caughtUp(ms = 60_000): Promise<Lag> {
    const asked = Date.now()
    return await this.when(
      'caught up',
      (lag) =>
        lag.phase === (lag.direction === 'reverse' ? 'switched_over' : 'replicating') &&
        lag.caught_up &&
        Date.parse(lag.measured_at) >= asked,
      ms,
    )
  }

  freeze(): void {
    this.process.signal('SIGSTOP')
  }

  thaw(): void {
    this.process.signal('SIGCONT')
  }

  async kill(): Promise<void> {
    await this.process.kill()
  }

  /** SIGTERM, as an init system does it. */
  async stop(ms = 20_000): Promise<Result> {
    this.process.signal('SIGTERM')
    return await this.process.end(ms)
  }
}
