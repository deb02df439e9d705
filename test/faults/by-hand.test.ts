/**
 * A switchover made by hand, well and badly, under the writers of the checker: what is well passes the proof, and what
 * is bad does not.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'
import { type Proof, prove } from './prove.ts'
import { flat, readHistory } from './read-history.ts'
import { TOTAL_BALANCE } from './schema.ts'
import { oneOpen } from './settle.ts'
import { World } from './world.ts'
import type { WriterReport } from './writer.ts'

async function start(directory: string): Promise<World> {
  const world = await World.create({ directory, seed: 9, writers: 3, rate: 120, say: () => undefined })
  await world.startWriters()
  await sleep(1000)
  return world
}

/** As an application meets a fence: an error that is none of a constraint and carries the word. */
async function fence(world: World): Promise<void> {
  await execute(world.sqlitePath, [
    'BEGIN IMMEDIATE',
    `INSERT OR REPLACE INTO _slipway_control VALUES ('closed', 'slipway: closed'), ('epoch', '2')`,
    ...['journal', 'probes'].map(
      (table) => `CREATE TRIGGER closed_${table} BEFORE INSERT ON ${table} BEGIN
        SELECT json_extract('{}', value) FROM _slipway_control WHERE name = 'closed'; END`,
    ),
    'COMMIT',
  ])
}

/** PostgreSQL leads in epoch 2: ids above those that are taken, what slept is awake, the gate is open. */
async function open(world: World): Promise<void> {
  const client = await world.server.connect()
  const { rows: asleep } = await client.query<{ wake: string }>('SELECT wake FROM slipway.dormant')
  for (const { wake } of asleep) await client.query(wake)
  for (const table of ['journal', 'folders', 'files', 'slots', 'probes']) {
    await client.query(
      `SELECT setval(pg_get_serial_sequence($1, 'id'), (SELECT coalesce(max(id), 0) + 1 FROM ${table}), false)`,
      [table],
    )
  }
  // The table without a key has a hidden one there, which the application does not fill.
  const { rows: hidden } = await client.query<{ next: string }>(
    'SELECT max(_slipway_rowid) + 1 AS next FROM events',
  )
  await client.query(
    `CREATE SEQUENCE by_hand START WITH ${hidden[0]?.next};
     ALTER TABLE events ALTER _slipway_rowid SET DEFAULT nextval('by_hand')`,
  )
  const { rows } = await client.query<{ id: number }>(
    `UPDATE slipway.control SET authority = 'postgres', epoch = 2, phase = 'switched_over' RETURNING id`,
  )
  await client.query(`SELECT setval($1::regclass, 5)`, [`slipway.gate_${rows[0]?.id}`])
  await client.end()
}

async function end(
  world: World,
): Promise<{ readonly proof: Proof; readonly reports: readonly WriterReport[] }> {
  const reports = await world.writers.stop()
  const history = await readHistory(
    'postgres',
    { sqlitePath: world.sqlitePath, postgresUrl: world.server.url },
    {
      acknowledged: flat(world.writers.acknowledged()),
      doubtful: reports.flatMap((one) => one.doubtful),
    },
  )
  return { proof: prove(history, { balance: TOTAL_BALANCE }), reports }
}

test('done well: the writers move, and the proof holds', { timeout: 90_000 }, async () => {
  using workspace = new Workspace()
  await using world = await start(workspace.path)
  expect((await oneOpen(world, 1000)).leader).toBe('sqlite')
  await fence(world)
  await world.daemon.caughtUp()
  await world.daemon.kill()
  await open(world)
  expect((await oneOpen(world, 1000)).leader).toBe('postgres')
  await sleep(1500)
  const { proof, reports } = await end(world)
  expect(proof.problems).toEqual([])
  expect(reports.flatMap((one) => [...one.wrong, ...one.busy, ...one.unreachable])).toEqual([])
  for (const one of reports) {
    expect(one.onPostgres).toBeGreaterThan(10)
    expect(one.fenced).toBeGreaterThan(0)
  }
})

test('opened before it was drained: lost writes are found', { timeout: 90_000 }, async () => {
  using workspace = new Workspace()
  await using world = await start(workspace.path)
  await world.daemon.kill()
  await sleep(300)
  await fence(world)
  await open(world)
  await sleep(1000)
  const { proof } = await end(world)
  expect(proof.counts.lost).toBeGreaterThan(0)
  expect(proof.counts.order).toBeGreaterThan(0)
})

test('opened without a fence: two writers are found at once', { timeout: 90_000 }, async () => {
  using workspace = new Workspace()
  await using world = await start(workspace.path)
  await world.daemon.caughtUp(2000).catch(() => undefined)
  await open(world)
  await expect(oneOpen(world, 1000)).rejects.toThrow('two writers')
})

test('closed on both sides: a stuck fence is found', { timeout: 90_000 }, async () => {
  using workspace = new Workspace()
  await using world = await start(workspace.path)
  await fence(world)
  await expect(oneOpen(world, 1000)).rejects.toThrow('no side takes writes')
})
