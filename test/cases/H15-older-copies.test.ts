import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Prober } from '../faults/probe.ts'
import { createLedger } from '../faults/schema.ts'
import { type Daemon, Process, Slipway, type Status, until, Workspace } from '../support/daemon.ts'
import { execute, replaceFiles } from '../support/foreign.ts'
import { type OwnServer, startOwnServer } from '../support/postgres.ts'

// A file or a server that was put back to an older copy says that somebody leads who does not any more. It is told,
// what was put back is closed, and a person decides: nothing is settled onto it, and nothing is opened.

class Place implements AsyncDisposable {
  readonly workspace = new Workspace()
  readonly path = this.workspace.file('app.db')
  server!: OwnServer
  slipway!: Slipway
  prober!: Prober

  static async create(): Promise<Place> {
    const place = new Place()
    await createLedger(place.path)
    place.server = await startOwnServer()
    place.slipway = await Slipway.create({
      directory: place.workspace.path,
      sqlitePath: place.path,
      postgresUrl: place.server.url,
    })
    place.prober = new Prober(place.path, place.server.url)
    return place
  }

  /** Python's sqlite3.Connection.backup: what a backup script of the application does. */
  async backup(): Promise<string> {
    const to = this.workspace.file('copy.db')
    const script = 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))'
    const { code, stderr } = await new Process('python3', ['-c', script, this.path, to]).end(20_000)
    expect(code, stderr).toBe(0)
    return to
  }

  async putBack(copy: string): Promise<void> {
    await this.prober[Symbol.asyncDispose]()
    replaceFiles(copy, this.path)
    await execute(this.path, ['PRAGMA journal_mode = WAL'])
    this.prober = new Prober(this.path, this.server.url)
  }

  async change(daemon: Daemon, passage: 'switchover' | 'rollback'): Promise<void> {
    await daemon.when('ready', (lag) => lag.caught_up, 30_000)
    expect(await daemon.post(`/${passage}`, {})).toMatchObject({ status: 200 })
    await daemon.caughtUp()
  }

  async note(client: 'sqlite' | 'postgres', text: string): Promise<void> {
    const sql = `INSERT INTO probes (note) VALUES ('${text}')`
    if (client === 'sqlite') {
      await execute(this.path, [sql])
      return
    }
    const session = await this.server.connect()
    await session.query(sql)
    await session.end()
  }

  /** The daemon has told that a person is needed, and why. */
  async divided(daemon: Daemon, why: RegExp): Promise<Status> {
    let last: Status | undefined
    return await until(
      async () => {
        last = await daemon.status()
        const error = last?.last_error
        return error?.code === 'divided' && why.test(error.message) && /recover/.test(error.remedy ?? '')
          ? last
          : undefined
      },
      { ms: 30_000, describe: () => `not told: ${JSON.stringify(last)}\n${daemon.process.tail()}` },
    )
  }

  async seen(): Promise<readonly [sqlite: string, postgres: string]> {
    const { sqlite, postgres } = await this.prober.ask()
    return [sqlite, postgres]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.prober[Symbol.asyncDispose]()
    await this.slipway.killAll()
    await this.server.destroy()
    this.workspace[Symbol.dispose]()
  }
}

test.for(['while the daemon is down', 'under the living daemon'] as const)(
  'a file copied while PostgreSQL led, put back after the rollback %s',
  { timeout: 90_000 },
  async (when) => {
    await using place = await Place.create()
    let daemon = await place.slipway.start()
    await place.change(daemon, 'switchover')
    const copy = await place.backup()
    await place.note('postgres', 'after the copy')
    await place.change(daemon, 'rollback')
    await place.note('sqlite', 'after the rollback')
    await daemon.caughtUp()
    if (when === 'while the daemon is down') await daemon.stop()
    await place.putBack(copy)
    if (when === 'while the daemon is down') daemon = place.slipway.launch()
    await place.divided(daemon, /file was put back/)
    await sleep(1_000)
    expect(await place.seen()).toEqual(['closed', 'closed'])
    // What PostgreSQL has of it is still there for whoever decides.
    const session = await place.server.connect()
    const { rows } = await session.query('SELECT note FROM probes ORDER BY note')
    expect(rows.map(({ note }) => note)).toEqual(['after the copy', 'after the rollback', 'never taken back'])
    await session.end()
  },
)

test('the same, put back between the decision of the rollback and its end', { timeout: 90_000 }, async () => {
  await using place = await Place.create()
  const first = await place.slipway.start()
  await place.change(first, 'switchover')
  const copy = await place.backup()
  await place.note('postgres', 'after the copy')
  await first.caughtUp()
  await first.stop()
  const daemon = place.slipway.launch([], { SLIPWAY_CRASH_AT: 'rollback.after_decide' })
  await daemon.when('ready', (lag) => lag.caught_up, 30_000)
  await expect(daemon.post('/rollback', {})).rejects.toThrow()
  await daemon.process.end(10_000)
  await place.putBack(copy)
  const next = place.slipway.launch()
  await until(
    async () =>
      (await next.status())?.waits.some(({ what }) => /file was put back to an older copy/.test(what)),
    { ms: 20_000, describe: () => `not told\n${next.process.tail()}` },
  )
  // However often it is tried.
  await sleep(5_000)
  expect(await place.seen()).toEqual(['closed', 'closed'])
  expect(await next.get('/switchover')).toMatchObject({ state: 'running', passage: 'rollback' })
})

test.for(['while the daemon is down', 'under the living daemon'] as const)(
  'a file copied before the switchover, put back while PostgreSQL leads %s: it is closed, PostgreSQL goes on',
  { timeout: 90_000 },
  async (when) => {
    await using place = await Place.create()
    let daemon = await place.slipway.start()
    await daemon.caughtUp()
    const copy = await place.backup()
    await place.change(daemon, 'switchover')
    await place.note('postgres', 'led')
    await daemon.caughtUp()
    if (when === 'while the daemon is down') await daemon.stop()
    await place.putBack(copy)
    if (when === 'while the daemon is down') daemon = place.slipway.launch()
    await place.divided(daemon, /file was put back/)
    await until(async () => (await place.seen())[0] === 'closed', {
      ms: 10_000,
      describe: () => `SQLite is open\n${daemon.process.tail()}`,
    })
    expect(await place.seen()).toEqual(['closed', 'open'])
  },
)

test('a server put back to before the switchover: both sides are closed', { timeout: 90_000 }, async () => {
  await using place = await Place.create()
  const daemon = await place.slipway.start()
  await daemon.caughtUp()
  await place.server.stop('fast')
  const copy = await place.server.saveData()
  await place.server.start()
  await place.change(daemon, 'switchover')
  await place.note('postgres', 'forgotten by the server')
  await daemon.caughtUp()
  await place.server.stop('immediate')
  await place.server.restoreData(copy)
  await place.server.start()
  const status = await place.divided(daemon, /server was put back/)
  expect(status.state).toBe('blocked')
  await sleep(1_000)
  expect(await place.seen()).toEqual(['closed', 'closed'])
  // SQLite has what the server has forgotten.
  const [found] = await execute(place.path, ['SELECT note FROM probes'])
  expect(found?.rows).toContainEqual(['forgotten by the server'])
})
