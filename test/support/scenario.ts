/** A small migration on real engines: a SQLite file, a PostgreSQL database of its own, the daemon. */
import { writeFileSync } from 'node:fs'
import type pg from 'pg'
import type { PlanFile } from '../../src/core/plan-file.ts'
import { type Comparison, compare, show } from './compare.ts'
import { type Daemon, type Environment, type Lag, Slipway, until, Workspace } from './daemon.ts'
import { attempt, execute, type ForeignOptions, type Outcome, type Statement } from './foreign.ts'
import { createDatabase, databaseOn, type OwnServer, type TestDatabase } from './postgres.ts'

export interface ScenarioOptions {
  /** The application's schema and first rows. */
  readonly source?: readonly Statement[]
  /** Run before anything else, e.g. `PRAGMA encoding`. */
  readonly first?: readonly Statement[]
  /** A file that is there already, instead of `source`. */
  readonly adopt?: string
  /** Run on PostgreSQL before slipway comes: the application's own migrations. */
  readonly target?: string
  readonly env?: Environment
  /** Of this test alone, since it is stopped or set up in another way; the caller ends it. */
  readonly server?: OwnServer
  /** Tables that are not compared. */
  readonly exclude?: readonly string[]
}

/** Looks at a daemon that stands still, a tenth of a second apart, until it is taken to be waiting for a person. */
const STANDS = 10

/** Everything but the daemon. */
export class Scenario implements AsyncDisposable {
  readonly workspace: Workspace
  readonly path: string
  readonly database: TestDatabase
  readonly slipway: Slipway
  readonly #options: ScenarioOptions
  #daemon: Daemon | undefined
  #mended = false

  private constructor(
    workspace: Workspace,
    database: TestDatabase,
    slipway: Slipway,
    options: ScenarioOptions,
  ) {
    this.workspace = workspace
    this.path = options.adopt ?? workspace.file('app.db')
    this.database = database
    this.slipway = slipway
    this.#options = options
  }

  /** The file in WAL mode, the database, and no daemon yet. */
  static async prepare(options: ScenarioOptions): Promise<Scenario> {
    const workspace = new Workspace()
    const path = options.adopt ?? workspace.file('app.db')
    if (options.source !== undefined) {
      await execute(path, [...(options.first ?? []), 'PRAGMA journal_mode = WAL', ...options.source])
    }
    const database = await (options.server === undefined ? createDatabase() : databaseOn(options.server.url))
    const slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath: path,
      postgresUrl: database.url,
      ...(options.env === undefined ? {} : { env: options.env }),
    })
    const scenario = new Scenario(workspace, database, slipway, options)
    if (options.target !== undefined) await scenario.postgres(options.target)
    return scenario
  }

  /** The same, and the daemon replicating. */
  static async replicating(options: ScenarioOptions): Promise<Scenario> {
    const scenario = await Scenario.prepare(options)
    try {
      await scenario.start()
      await scenario.daemon.caughtUp(20_000)
      return scenario
    } catch (error) {
      await scenario[Symbol.asyncDispose]()
      throw error
    }
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('the daemon has not been started')
    return this.#daemon
  }

  async start(args: readonly string[] = []): Promise<Daemon> {
    this.#daemon = this.slipway.launch(args)
    await this.#daemon.answering()
    return this.#daemon
  }

  /** Starts the daemon and does not ask whether it answers: it may refuse. */
  launch(): void {
    this.#daemon = this.slipway.launch()
  }

  /** Writes as the application, where nothing may fail. */
  async write(statements: readonly Statement[], options: ForeignOptions = {}): Promise<Outcome[]> {
    return await execute(this.path, statements, options)
  }

  /** Writes as the application; errors are told. */
  async attempt(statements: readonly Statement[], options: ForeignOptions = {}): Promise<Outcome[]> {
    return await attempt(this.path, statements, options)
  }

  async postgres<T extends pg.QueryResultRow>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    const client = await this.database.connect()
    try {
      return (await client.query<T>(sql, parameters)).rows
    } finally {
      await client.end()
    }
  }

  async compare(): Promise<Comparison> {
    return await this.compareWithout([])
  }

  /** Leaves some columns out, `table.column`. */
  async compareWithout(excludeColumns: readonly string[]): Promise<Comparison> {
    return await compare({
      sqlitePath: this.path,
      postgresUrl: this.database.url,
      exclude: this.#options.exclude ?? [],
      excludeColumns,
    })
  }

  /** How many rows each side has, for types whose values are spelled in another way on the other side. */
  async compareRows(table: string): Promise<{ readonly sqlite: unknown; readonly postgres: unknown }> {
    const [sqlite] = await this.write([`SELECT count(*) FROM "${table}"`])
    const [postgres] = await this.postgres<{ n: number }>(`SELECT count(*)::int AS n FROM "${table}"`)
    return { sqlite: sqlite?.rows[0]?.[0], postgres: postgres?.n }
  }

  /** A plan where slipway looks for one. */
  writePlan(tables: PlanFile['tables'], schema = 'public'): void {
    writeFileSync(
      this.workspace.file('slipway.plan.json'),
      JSON.stringify({ version: 1, schema, tables } satisfies PlanFile, null, 2),
    )
  }

  /** Waits for lag zero; equal then, or an error that shows where not. Returns the lag. */
  async equalAtLagZero(ms = 20_000): Promise<Lag> {
    const lag = await this.daemon.caughtUp(ms)
    const result = await this.compare()
    if (!result.equal) {
      throw new Error(
        `lag zero (${JSON.stringify(lag)}), but ${result.total} differences:\n${show(result)}\n${this.daemon.process.tail()}`,
      )
    }
    const anew = this.slipway.copiesAnew()
    if (!this.#mended && anew > 0) {
      throw new Error(`equal, but only after ${anew} new copies\n${this.daemon.process.tail()}`)
    }
    return lag
  }

  /**
   * For what slipway may either mend or refuse: waits until it is caught up and equal, or blocked with a reason,
   * or has ended with an error. Never caught up with a difference: that is an error at once.
   */
  async mendedOrStopped(ms = 20_000): Promise<'equal' | 'stopped'> {
    this.#mended = true
    let last = ''
    let blocked = 0
    return await until(
      async () => {
        if (!this.daemon.process.alive) {
          const result = await this.daemon.process.end(1000)
          if (result.code === 0 || result.code === null)
            throw new Error(`ended with ${result.code}\n${result.stderr}`)
          return 'stopped' as const
        }
        const asked = Date.now()
        const lag = await this.daemon.lag()
        if (lag === undefined || Date.parse(lag.measured_at) < asked) return undefined
        last = JSON.stringify(lag)
        if (lag.caught_up && lag.quarantined === 0) {
          const result = await this.compare()
          if (result.equal) return 'equal' as const
          // Between the two questions it may have noticed; a daemon that still says so is wrong.
          const again = await this.daemon.lag()
          if (again?.caught_up === true && again.quarantined === 0) {
            throw new Error(
              `lag zero (${last}) with differences:\n${show(result)}\n${this.daemon.process.tail()}`,
            )
          }
          return undefined
        }
        if (lag.quarantined > 0) return 'stopped' as const
        // One that is tried again in a moment stands still for no longer than that.
        blocked = lag.state === 'blocked' && lag.reasons.length > 0 ? blocked + 1 : 0
        return blocked > STANDS ? ('stopped' as const) : undefined
      },
      { ms, every: 100, describe: () => `neither equal nor stopped: ${last}\n${this.daemon.process.tail()}` },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.slipway.killAll()
    if (this.#options.server === undefined) await this.database.drop()
    this.workspace[Symbol.dispose]()
  }
}
