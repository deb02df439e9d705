/** Engines that go back in time, and two daemons at once. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { compare, expectEqual, show } from '../support/compare.ts'
import { type Daemon, Slipway, until, Workspace } from '../support/daemon.ts'
import { copyFiles, execute, replaceFiles } from '../support/foreign.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'
import { createSource, startWriters, stopWriters } from '../support/writers.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
/** How old the copies are. */
const AGE = FULL ? 30_000 : 4000
const RATE = 80

test.for(['retention', 'difference'] as const)(
  'PostgreSQL put back to an older copy of its files: caught up by itself (%s)',
  { timeout: 150_000 },
  async (how) => {
    using workspace = new Workspace()
    const sqlitePath = workspace.file('app.db')
    await createSource(sqlitePath, { fill: 1000 })
    await using server = await startOwnServer()
    await using slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath,
      postgresUrl: server.url,
    })
    let daemon = await slipway.start()
    await daemon.caughtUp()
    const writers = await startWriters(2, { path: sqlitePath, rate: RATE, seed: `regress-${how}` })
    await sleep(1500)

    // A copy of the files as they are, taken as a file-level backup of a stopped server.
    await server.stop('fast')
    const copy = await server.saveData()
    await server.start()
    await sleep(AGE)
    await server.stop('immediate')
    const running = how === 'retention'
    if (!running) {
      // What the copy lacks is no longer in the changelog: only its newest row is left.
      await daemon.kill()
      await execute(sqlitePath, [
        'DELETE FROM _slipway_changelog WHERE seq < (SELECT max(seq) FROM _slipway_changelog)',
      ])
    }
    await server.restoreData(copy)
    await server.start()
    if (!running) daemon = slipway.launch()
    await sleep(1000)
    const report = await stopWriters(writers)
    await daemon.answering()
    await daemon.caughtUp()
    expect(report.unexpected).toEqual([])
    expect(report.acked).toBeGreaterThan(RATE)
    await expectEqual({ sqlitePath, postgresUrl: server.url })
    // Without what the changelog has lost it takes a full difference, and that is said; with it, none.
    expect(slipway.copiesAnew() > 0).toBe(!running)
    expect((await daemon.stop()).code).toBe(0)
  },
)

test.for(['while the daemon is down', 'under the living daemon'] as const)(
  'the SQLite file put back to an older copy %s: never lag zero with a difference',
  { timeout: 120_000 },
  async (when) => {
    using workspace = new Workspace()
    const sqlitePath = workspace.file('app.db')
    await createSource(sqlitePath, { fill: 1000 })
    await using database = await createDatabase()
    await using slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath,
      postgresUrl: database.url,
    })
    let daemon = await slipway.start()
    await daemon.caughtUp()
    const writers = await startWriters(2, { path: sqlitePath, rate: RATE, seed: 'old' })
    await sleep(1000)
    await copyFiles(sqlitePath, workspace.file('copy.db'))
    await sleep(AGE)
    await stopWriters(writers)
    await daemon.caughtUp()
    const down = when === 'while the daemon is down'
    if (down) expect((await daemon.stop()).code).toBe(0)

    replaceFiles(workspace.file('copy.db'), sqlitePath)
    // The application goes on: as many changes as were lost, and others. Seq numbers are used again (H5).
    const later = await startWriters(2, { path: sqlitePath, rate: RATE, seed: 'new' })
    if (down) daemon = slipway.launch()
    await sleep(AGE + 1500)
    const report = await stopWriters(later)
    expect(report.unexpected).toEqual([])
    await equalOrStopped(daemon, slipway, sqlitePath, database.url)
  },
)

/** Caught up and equal; or stopped, with a reason; nothing else, and the first never wrongly. */
async function equalOrStopped(
  daemon: Daemon,
  slipway: Slipway,
  sqlitePath: string,
  postgresUrl: string,
): Promise<void> {
  await until(
    async () => {
      if (!daemon.process.alive) {
        const result = await daemon.process.end(1000)
        expect(result.code).not.toBe(0)
        expect(result.stderr + result.stdout).toMatch(
          /restored|replaced|older|copy|another file|changed on disk/i,
        )
        return true
      }
      const asked = Date.now()
      const lag = await daemon.lag()
      if (lag === undefined || Date.parse(lag.measured_at) < asked) return false
      if (lag.caught_up) {
        const result = await compare({ sqlitePath, postgresUrl })
        expect(result.equal, `lag zero with differences:\n${show(result)}\n${daemon.process.tail()}`).toBe(
          true,
        )
        return true
      }
      if (lag.state !== 'blocked') return false
      expect(lag.reasons.join(' ')).not.toBe('')
      const status = await daemon.status()
      expect(status?.last_error?.remedy ?? '').not.toBe('')
      return true
    },
    { ms: 60_000, every: 200, describe: () => `port ${slipway.port}\n${daemon.process.tail()}` },
  )
}

test('two daemons that take over from each other again and again under load: equal', {
  timeout: 120_000,
}, async () => {
  using workspace = new Workspace()
  using other = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: 1000 })
  await using database = await createDatabase()
  await using first = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: database.url,
  })
  await using second = await first.twin(other.path)
  const [a, b] = await Promise.all([first.start(), second.start()])
  const client = await database.connect()
  const writers = await startWriters(3, { path: sqlitePath, rate: RATE, seed: 'hands' })
  for (let round = 0; round < 4; round++) {
    const holder = await holderOf(a, b)
    const standby = holder === a ? b : a
    await sleep(300 + Math.random() * 500)
    // A holder that hangs and is cut off from the server; then it wakes, in the middle of whatever it did.
    holder.freeze()
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name LIKE 'slipway ' || (SELECT holder FROM slipway.holder) || ' %'`,
    )
    await until(async () => await isHolder(standby), {
      ms: 30_000,
      describe: () => `no take-over\n${standby.process.tail()}`,
    })
    holder.thaw()
  }
  await sleep(1000)
  const report = await stopWriters(writers)
  expect(report.unexpected).toEqual([])
  const holder = await holderOf(a, b)
  await holder.caughtUp()
  await expectEqual({ sqlitePath, postgresUrl: database.url })
  expect(first.copiesAnew() + second.copiesAnew()).toBe(0)
})

async function isHolder(daemon: Daemon): Promise<boolean> {
  return (await daemon.get<{ holder?: { mine: boolean } }>('/status'))?.holder?.mine === true
}

/** The one of the two that may write. */
async function holderOf(a: Daemon, b: Daemon): Promise<Daemon> {
  return await until(async () => ((await isHolder(a)) ? a : (await isHolder(b)) ? b : undefined), {
    ms: 30_000,
    describe: () => `no holder\n${a.process.tail()}\n${b.process.tail()}`,
  })
}

test('two daemons at once, one frozen and woken after the other took over: equal', {
  timeout: 150_000,
}, async () => {
  using workspace = new Workspace()
  using other = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: 1000 })
  await using database = await createDatabase()
  await using first = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: database.url,
  })
  await using second = await first.twin(other.path)
  const [a, b] = await Promise.all([first.start(), second.start()])
  const holder = await holderOf(a, b)
  const standby = holder === a ? b : a
  await holder.caughtUp()
  expect(await isHolder(standby)).toBe(false)
  const writers = await startWriters(3, { path: sqlitePath, rate: RATE, seed: 'two' })
  await sleep(1000)

  holder.freeze()
  await until(async () => await isHolder(standby), {
    ms: 60_000,
    describe: () => `the standby does not take over\n${standby.process.tail()}`,
  })
  await standby.when('replicating', (lag) => lag.phase === 'replicating')
  await sleep(500)
  holder.thaw()
  await sleep(2500)
  const report = await stopWriters(writers)
  expect(report.unexpected).toEqual([])
  await standby.caughtUp()
  await expectEqual({ sqlitePath, postgresUrl: database.url })
  // The woken one has noticed: it waits or has ended; it does not call itself the holder.
  expect(await isHolder(holder)).toBe(false)
  await sleep(1500)
  await expectEqual({ sqlitePath, postgresUrl: database.url })
  expect(first.copiesAnew() + second.copiesAnew()).toBe(0)
  expect((await standby.stop()).code).toBe(0)
})
