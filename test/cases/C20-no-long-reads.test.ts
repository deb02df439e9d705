import type pg from 'pg'
import { expect, test } from 'vitest'
import { type Daemon, until, Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'
import { createSource, Writer } from '../support/writers.ts'

// A read transaction that lasts keeps SQLite's log from being begun anew, and it grows without bound. So none lasts:
// the copy's and the tail's reads end before anything is sent. While PostgreSQL keeps them waiting, the application's
// checkpoint gets all of the log. (How far the log grows under load: test/wal.test.ts.)

/** Waits until a session of slipway waits for a lock. */
async function stuck(client: pg.Client, daemon: Daemon): Promise<void> {
  await until(
    async () => {
      const { rows } = await client.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
         AND application_name LIKE 'slipway %'`,
      )
      return rows.length > 0
    },
    { ms: 20_000, describe: () => `slipway does not wait\n${daemon.process.tail()}` },
  )
}

/** What the application's own checkpoint says: `[busy, frames in the log, frames moved]`. */
async function checkpoint(path: string): Promise<unknown> {
  const [outcome] = await execute(path, ['PRAGMA wal_checkpoint(TRUNCATE)'])
  return outcome?.rows[0]
}

test('the tail waits for PostgreSQL outside a read', { timeout: 60_000 }, async () => {
  using files = new Workspace()
  const path = files.file('app.db')
  await createSource(path, { fill: 500 })
  await using scenario = await Scenario.replicating({ adopt: path })
  const blocker = await scenario.database.connect()
  await blocker.query('BEGIN; LOCK TABLE items, accounts, events IN ACCESS EXCLUSIVE MODE')
  await new Writer({ path, seed: 'tail', ops: 500 }).done()
  await stuck(blocker, scenario.daemon)
  expect(await checkpoint(path)).toEqual([0, 0, 0])
  // And again, with what came since.
  await new Writer({ path, seed: 'more', ops: 100 }).done()
  expect(await checkpoint(path)).toEqual([0, 0, 0])
  await blocker.query('COMMIT')
  await scenario.equalAtLagZero()
})

test('so does the copy', { timeout: 60_000 }, async () => {
  using files = new Workspace()
  const path = files.file('app.db')
  await createSource(path, { fill: 30_000 })
  await using scenario = await Scenario.prepare({ adopt: path, env: { CHUNK_ROWS: '50' } })
  const daemon = await scenario.start()
  const blocker = await scenario.database.connect()
  await until(
    async () => (await daemon.status())?.tables.some((t) => t.table === 'items' && t.rows_copied > 0),
    { ms: 20_000, every: 5, describe: () => `no copy\n${daemon.process.tail()}` },
  )
  await blocker.query('BEGIN; LOCK TABLE slipway.copy_part IN ACCESS EXCLUSIVE MODE')
  await stuck(blocker, daemon)
  const copied = (await daemon.status())?.tables.find(({ table }) => table === 'items')?.rows_copied ?? 0
  expect(copied).toBeLessThan(30_000)
  await new Writer({ path, seed: 'copy', ops: 300 }).done()
  expect(await checkpoint(path)).toEqual([0, 0, 0])
  await blocker.query('COMMIT')
  await scenario.equalAtLagZero(40_000)
})
