/** The writers by themselves: SQLite refuses as a fence does, and the way to PostgreSQL loses answers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'
import { createDatabase } from '../support/postgres.ts'
import type { History } from './history.ts'
import { prove } from './prove.ts'
import { PostgresProxy } from './proxy.ts'
import { flat, readHistory } from './read-history.ts'
import { createLedger, TARGET, TOTAL_BALANCE } from './schema.ts'
import { Writers } from './writers.ts'

const NO_SLIPWAY = [
  'CREATE TABLE _slipway_control (name TEXT PRIMARY KEY, value TEXT)',
  `INSERT INTO _slipway_control VALUES ('epoch', '1')`,
]
/** A plain SQLITE_ERROR that carries a text, as the fence of slipway is one. */
const FENCE = [
  `UPDATE _slipway_control SET value = 'slipway: closed' WHERE name = 'path'`,
  `INSERT OR REPLACE INTO _slipway_control VALUES ('path', 'slipway: closed')`,
  `CREATE TRIGGER fence BEFORE INSERT ON journal BEGIN
     SELECT json_extract('{}', value) FROM _slipway_control WHERE name = 'path'; END`,
]

test('on SQLite alone: what was acknowledged is there, in order', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createLedger(sqlitePath)
  await execute(sqlitePath, NO_SLIPWAY)
  const place = { sqlitePath, postgresUrl: 'postgres://127.0.0.1:1/none' }
  const writers = await Writers.start({ ...place, count: 3, seed: 3, rate: 150, directory: workspace.path })
  await sleep(2500)
  await writers.pause()
  const paused = flat(writers.acknowledged()).length
  await sleep(300)
  expect(flat(writers.acknowledged())).toHaveLength(paused)
  writers.resume()
  await sleep(500)
  const reports = await writers.stop()
  const acknowledged = flat(writers.acknowledged())
  expect(acknowledged.length).toBeGreaterThan(paused)
  expect(reports.flatMap((one) => [...one.wrong, ...one.busy, ...one.unreachable])).toEqual([])
  const history = await readHistory('sqlite', place, { acknowledged, doubtful: [] })
  expect(prove(history, { balance: TOTAL_BALANCE }).problems).toEqual([])

  // What the proof has to find, done to the very tables.
  const spoilt = async (sql: string, undo: string): Promise<History> => {
    await execute(sqlitePath, ['PRAGMA foreign_keys = OFF', sql])
    const read = await readHistory('sqlite', place, { acknowledged, doubtful: [] })
    await execute(sqlitePath, ['PRAGMA foreign_keys = OFF', undo])
    return read
  }
  const lost = await spoilt(
    'CREATE TABLE kept AS SELECT * FROM ledger WHERE n = 20 AND writer = 2; ',
    'SELECT 1',
  )
  expect(prove(lost, { balance: TOTAL_BALANCE }).problems).toEqual([])
  await execute(sqlitePath, ['DELETE FROM ledger WHERE n = 20 AND writer = 2'])
  const without = await readHistory('sqlite', place, { acknowledged, doubtful: [] })
  expect(prove(without, { balance: TOTAL_BALANCE }).counts.lost).toBeGreaterThan(0)
  await execute(sqlitePath, ['INSERT INTO ledger SELECT * FROM kept'])
  const doubled = await spoilt(
    'INSERT INTO events SELECT * FROM events WHERE writer = 1 AND n = 7',
    'DELETE FROM events WHERE rowid = (SELECT max(rowid) FROM events)',
  )
  expect(prove(doubled, { balance: TOTAL_BALANCE }).counts.doubled).toBe(1)
  const moved = await spoilt(
    'UPDATE accounts SET balance = balance + 1 WHERE id = 1',
    'UPDATE accounts SET balance = balance - 1 WHERE id = 1',
  )
  expect(prove(moved, { balance: TOTAL_BALANCE }).counts.sum).toBe(1)
})

test('turned away by SQLite, and on PostgreSQL with answers that are lost at COMMIT', {
  timeout: 90_000,
}, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createLedger(sqlitePath)
  await execute(sqlitePath, [...NO_SLIPWAY, ...FENCE])
  await using database = await createDatabase()
  const client = await database.connect()
  await client.query(TARGET)
  await client.query(`CREATE SCHEMA slipway; CREATE TABLE slipway.control (epoch bigint);
    INSERT INTO slipway.control VALUES (2)`)
  await using proxy = await PostgresProxy.open(Number(new URL(database.url).port))
  const writers = await Writers.start({
    count: 3,
    seed: 5,
    rate: 150,
    sqlitePath,
    postgresUrl: proxy.url(database.url),
    directory: workspace.path,
  })
  for (const strike of ['answer_lost', 'late', 'never_sent', 'slow', 'answer_lost', 'late'] as const) {
    await sleep(300)
    proxy.arm(strike, { times: 4, holdMs: 400 })
    await sleep(400)
    if (strike === 'slow') proxy.cut()
  }
  await sleep(800)
  proxy.heal()
  const reports = await writers.stop()
  const sum = (pick: (one: (typeof reports)[number]) => number): number =>
    reports.reduce((total, one) => total + pick(one), 0)
  expect(reports.flatMap((one) => [...one.wrong, ...one.busy])).toEqual([])
  expect(proxy.struck).toBeGreaterThan(12)
  expect(sum((one) => one.fenced)).toBeGreaterThanOrEqual(3)
  expect(sum((one) => one.doubts)).toBeGreaterThan(8)
  // Some of those in doubt had landed, and the writer has found out.
  expect(sum((one) => one.landed)).toBeGreaterThan(4)
  const acknowledged = flat(writers.acknowledged())
  expect(acknowledged.length).toBeGreaterThan(200)
  const place = { sqlitePath, postgresUrl: database.url }
  const history = await readHistory('postgres', place, { acknowledged, doubtful: [] })
  expect(prove(history, { balance: TOTAL_BALANCE }).problems).toEqual([])
})
