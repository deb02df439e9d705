/**
 * The source's WAL stays under MAX_WAL_MB + 32 MB whatever the target does (invariant 8, traps C20 and H14).
 * `SLIPWAY_TEST_FULL=1` keeps PostgreSQL down for a minute.
 */
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, Workspace } from './support/daemon.ts'
import { createDatabase, startOwnServer } from './support/postgres.ts'
import { createSource, startWriters, stopWriters } from './support/writers.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
const DOWN = FULL ? 60_000 : 8000
/** Small, so that a reader that pins the log shows within seconds. */
const MAX_WAL_MB = 8
const BOUND = (MAX_WAL_MB + 32) * 1024 * 1024

/** Watches the size of the -wal file. */
class WalWatch {
  max = 0
  #stopped = false
  readonly #path: string
  readonly #done: Promise<void>

  constructor(sqlitePath: string) {
    this.#path = `${sqlitePath}-wal`
    this.#done = this.#watch()
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      this.max = Math.max(this.max, statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0)
      await sleep(20)
    }
  }

  async stop(): Promise<number> {
    this.#stopped = true
    await this.#done
    return this.max
  }
}

test(`PostgreSQL down for ${DOWN / 1000} s under load`, { timeout: FULL ? 300_000 : 120_000 }, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: 5000 })
  await using server = await startOwnServer()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: server.url,
    env: { MAX_WAL_MB: String(MAX_WAL_MB) },
  })
  const daemon = await slipway.start()
  await daemon.caughtUp()
  const watch = new WalWatch(sqlitePath)
  // A log that is pinned passes the bound within seconds at this rate.
  const writers = await startWriters(2, { path: sqlitePath, rate: 400, seed: 'wal' })
  await sleep(1000)
  await server.stop('immediate')
  await sleep(DOWN)
  await server.start()
  await sleep(1000)
  const report = await stopWriters(writers)
  await daemon.caughtUp(FULL ? 180_000 : 60_000)
  expect(await watch.stop()).toBeLessThan(BOUND)
  expect(report.unexpected).toEqual([])
  // Each commit writes three pages of 4 KiB at least: more than the bound went through the log.
  expect(report.acked * 3 * 4096).toBeGreaterThan(BOUND)
  expect(slipway.copiesAnew()).toBe(0)
  await expectEqual({ sqlitePath, postgresUrl: server.url })
})

test('a busy snapshot under load', { timeout: 120_000 }, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: FULL ? 1_000_000 : 100_000 })
  await using database = await createDatabase()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: database.url,
    env: { MAX_WAL_MB: String(MAX_WAL_MB), SNAPSHOT_WORKERS: '2' },
  })
  const watch = new WalWatch(sqlitePath)
  const writers = await startWriters(2, { path: sqlitePath, rate: 400, seed: 'busy' })
  const daemon = await slipway.start()
  await daemon.when('replicating', (lag) => lag.phase === 'replicating', 90_000)
  await sleep(FULL ? 30_000 : 6000)
  const report = await stopWriters(writers)
  await daemon.caughtUp()
  expect(await watch.stop()).toBeLessThan(BOUND)
  expect(report.unexpected).toEqual([])
  expect(report.acked * 3 * 4096).toBeGreaterThan(BOUND)
  expect(slipway.copiesAnew()).toBe(0)
  await expectEqual({ sqlitePath, postgresUrl: database.url })
})
