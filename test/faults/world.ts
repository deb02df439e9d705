/** Everything that a run needs: engines, proxies, daemon, writers, and the hands that disturb them. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Daemon, type Environment, Slipway, until } from '../support/daemon.ts'
import { now } from './clock.ts'
import { Prober } from './probe.ts'
import { PostgresProxy } from './proxy.ts'
import { untouched } from './read-history.ts'
import { createLedger } from './schema.ts'
import { FaultServer } from './server.ts'
import { SmallDisk } from './small-disk.ts'
import { Writers } from './writers.ts'

export interface WorldOptions {
  /** Made by the caller, and taken away by it. */
  readonly directory: string
  readonly seed: number
  readonly writers: number
  /** Writes a second of all writers together. */
  readonly rate: number
  /** Megabytes of a small disk for the source and its state; undefined: ordinary folders. */
  readonly diskMegabytes?: number
  readonly env?: Environment
  /** Of PostgreSQL. */
  readonly settings?: Readonly<Record<string, string>>
  readonly say: (line: string) => void
}

/** A time in which something was disturbed, by clock.ts. */
export interface Window {
  readonly kind: string
  readonly from: number
  to: number
}

export class World implements AsyncDisposable {
  readonly directory: string
  readonly sqlitePath: string
  readonly server: FaultServer
  readonly toDaemon: PostgresProxy
  readonly toWriters: PostgresProxy
  readonly slipway: Slipway
  readonly prober: Prober
  readonly disks: { readonly state: SmallDisk | undefined; readonly source: SmallDisk | undefined }
  readonly windows: Window[] = []
  /** How the cells that nobody writes were at the beginning. */
  readonly cells: readonly string[]
  readonly #began = now()
  readonly #say: (line: string) => void
  readonly #daemons: Daemon[] = []
  #daemon: Daemon | undefined
  #writers: Writers | undefined
  readonly #options: WorldOptions

  private constructor(
    options: WorldOptions,
    parts: Pick<World, 'server' | 'toDaemon' | 'toWriters' | 'slipway' | 'disks' | 'sqlitePath'>,
  ) {
    this.#options = options
    this.#say = options.say
    this.directory = options.directory
    this.sqlitePath = parts.sqlitePath
    this.server = parts.server
    this.toDaemon = parts.toDaemon
    this.toWriters = parts.toWriters
    this.slipway = parts.slipway
    this.disks = parts.disks
    this.prober = new Prober(parts.sqlitePath, parts.server.url)
    this.cells = untouched(parts.sqlitePath)
  }

  /** Replicating, verified, and nobody writes yet. */
  static async create(options: WorldOptions): Promise<World> {
    const { directory, diskMegabytes, say } = options
    const place = (name: string): string => {
      const path = join(directory, name)
      mkdirSync(path, { recursive: true })
      return path
    }
    const source = place('source')
    const state = place('state')
    const disks =
      diskMegabytes === undefined
        ? { state: undefined, source: undefined }
        : {
            state: await SmallDisk.mount(state, 96, say),
            source: await SmallDisk.mount(source, diskMegabytes, say),
          }
    const sqlitePath = join(source, 'app.db')
    await createLedger(sqlitePath)
    const server = await FaultServer.start(options.settings)
    const toDaemon = await PostgresProxy.open(server.port)
    const toWriters = await PostgresProxy.open(server.port)
    const slipway = await Slipway.create({
      directory,
      sqlitePath,
      postgresUrl: toDaemon.url(server.url),
      env: {
        STATE_DIR: state,
        BACKUP_DIR: place('backups'),
        // The source lies on a small disk, of which a guard wants a part to be free.
        CHANGELOG_RETENTION_SECONDS: '120',
        MAX_WAL_MB: '16',
        ...options.env,
      },
    })
    const world = new World(options, { server, toDaemon, toWriters, slipway, disks, sqlitePath })
    try {
      await world.launch().answering()
      await world.daemon.caughtUp()
      await world.verify()
      return world
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The one that is asked for changes. */
  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon was started')
    return this.#daemon
  }

  get writers(): Writers {
    if (this.#writers === undefined) throw new Error('no writers were started')
    return this.#writers
  }

  get writing(): boolean {
    return this.#writers !== undefined
  }

  /** Starts the daemon and does not wait. */
  launch(env: Environment = {}): Daemon {
    this.adopt(this.slipway.launch([], env))
    return this.daemon
  }

  /** Another one takes the place of the one that is asked. */
  adopt(daemon: Daemon): void {
    if (!this.#daemons.includes(daemon)) this.#daemons.push(daemon)
    this.#daemon = daemon
  }

  async startWriters(): Promise<void> {
    const directory = join(this.directory, 'acknowledged')
    mkdirSync(directory, { recursive: true })
    this.#writers = await Writers.start({
      count: this.#options.writers,
      seed: this.#options.seed,
      rate: this.#options.rate,
      sqlitePath: this.sqlitePath,
      postgresUrl: this.toWriters.url(this.server.url),
      directory,
    })
  }

  /** A fresh verify, as the guards want one. Throws where the engines are not equal. */
  async verify(): Promise<void> {
    const asked = await this.daemon.post('/verify', {})
    if (asked.status !== 202) throw new Error(`verify: ${asked.status} ${JSON.stringify(asked.body)}`)
    const report = await until(
      async () => {
        const now = await this.daemon.get<{ state: string; equal: boolean | null }>('/verify')
        return now !== undefined && now.state !== 'running' ? now : undefined
      },
      { ms: 60_000, describe: () => `verify does not end\n${this.daemon.process.tail()}` },
    )
    if (report.equal !== true) throw new Error(`verify: ${JSON.stringify(report)}`)
  }

  /** Notes that something is disturbed until the returned function is called. */
  disturb(kind: string): () => void {
    const window: Window = { kind, from: now(), to: Number.POSITIVE_INFINITY }
    this.windows.push(window)
    return () => {
      window.to = now()
    }
  }

  /** True where one of these was going on at that moment or `slackMs` before. */
  disturbed(at: number, kinds: readonly string[], slackMs: number): boolean {
    return this.windows.some(({ kind, from, to }) => kinds.includes(kind) && from <= at && at <= to + slackMs)
  }

  say(line: string): void {
    const text = `${((now() - this.#began) / 1000).toFixed(2).padStart(8)}  ${line}`
    appendFileSync(join(this.directory, 'run.log'), `${text}\n`)
    this.#say(text)
  }

  /** How often a daemon copied everything anew, by its own log: that heals everything, and hides what was lost. */
  copiesAnew(): number {
    const logs = this.#daemons.map(({ process }) => process.stderr).join('')
    return logs.match(/copying anew|copied anew|full difference/g)?.length ?? 0
  }

  /** Logs of every daemon that lived. */
  keepLogs(): void {
    for (const [index, { process }] of this.#daemons.entries()) {
      writeFileSync(join(this.directory, `daemon-${index + 1}.log`), `${process.stdout}\n${process.stderr}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keepLogs()
    this.toDaemon.heal()
    this.toWriters.heal()
    this.server.thaw()
    for (const { process } of this.#daemons) {
      if (!process.alive) continue
      process.signal('SIGCONT')
      await process.kill()
    }
    await this.#writers?.kill()
    await this.prober[Symbol.asyncDispose]()
    await this.toDaemon.close()
    await this.toWriters.close()
    await this.server[Symbol.asyncDispose]()
    await this.disks.state?.[Symbol.asyncDispose]()
    await this.disks.source?.[Symbol.asyncDispose]()
  }
}
