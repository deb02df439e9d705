import type pg from 'pg'
import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { GateRig, refusal, spec } from '../support/gate.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'

// VACUUM, autovacuum, readers and index builds hold table locks for long. A rollback needs none; a switchover gives up
// in time where constraints have to come back, and the application is never the victim of a deadlock.

const SIGNAL = new AbortController().signal
const TABLES = [spec('t'), spec('big')]
const SCHEMA = `
  CREATE TABLE t (id bigint PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one');
  CREATE TABLE big (id bigint PRIMARY KEY, a text);
  ALTER TABLE big ADD CONSTRAINT self FOREIGN KEY (id) REFERENCES t (id)`
const FILL = `INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(2, 3000) g;
  INSERT INTO big SELECT g, repeat('x', 500) FROM generate_series(1, 3000) g`

const VACUUMS = 'SELECT 1 FROM pg_stat_progress_vacuum WHERE datname = current_database()'

/** A VACUUM that takes long. Returns once it is at work; ended by its pid. */
async function slowVacuum(
  worker: pg.Client,
  admin: pg.Client,
): Promise<{ pid: number; ended: Promise<unknown> }> {
  const pid = (await worker.query('SELECT pg_backend_pid() AS pid')).rows[0].pid as number
  await worker.query('SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1')
  const ended = worker.query('VACUUM (FREEZE) big').catch(() => undefined)
  await until(
    async () =>
      (await admin.query('SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = $1', [pid])).rows.length > 0,
    { ms: 10_000, describe: () => 'VACUUM does not begin' },
  )
  return { pid, ended }
}

test('VACUUM of a large table with foreign keys', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({ url: database.url, tables: TABLES, schema: `${SCHEMA}; ${FILL}` })
  const [worker, admin] = [await database.connect(), await database.connect()]
  // It begins between prepare and the decision.
  const notes = await rig.gate.begin('switchover')
  await rig.gate.prepare()
  const vacuum = await slowVacuum(worker, admin)
  {
    await using decision = await rig.gate.open(notes, 'switchover', 800, SIGNAL)
    await expect(decision.propose(new Map())).rejects.toMatchObject({
      code: 'target_busy',
      message: expect.stringMatching(new RegExp(`pid ${vacuum.pid} `)),
    })
  }
  // VACUUM was not ended by that.
  expect((await admin.query(VACUUMS)).rows).toHaveLength(1)
  expect(await rig.gate.undo('switchover', 1)).toBe('undone')
  // The next attempt is told before anybody waits.
  await rig.gate.begin('switchover')
  await expect(rig.gate.prepare()).rejects.toMatchObject({ code: 'target_busy' })
  expect(await rig.gate.undo('switchover', 1)).toBe('undone')
  await admin.query('SELECT pg_cancel_backend($1)', [vacuum.pid])
  await vacuum.ended
  await rig.pass('switchover')

  // A rollback does not wait for it.
  const second = await slowVacuum(worker, admin)
  await rig.pass('rollback', 800)
  expect((await rig.state()).authority).toBe('sqlite')
  expect((await admin.query(VACUUMS)).rows).toHaveLength(1)
  await admin.query('SELECT pg_cancel_backend($1)', [second.pid])
  await second.ended
}, 60_000)

test('an autovacuum makes room before the pause', async () => {
  await using server = await startOwnServer()
  const admin = await server.connect()
  await admin.query(`ALTER SYSTEM SET autovacuum_naptime = '1s'`)
  await admin.query('SELECT pg_reload_conf()')
  await using rig = await GateRig.create({ url: server.url, tables: TABLES, schema: SCHEMA })
  await admin.query(`ALTER TABLE big SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
    autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_threshold = 1000000000)`)
  // As the application would, while the gate lets it.
  await rig.pass('switchover')
  await admin.query(`${FILL}; UPDATE big SET a = a || 'y'`)
  await rig.pass('rollback')
  await rig.gate.sleepAgain()
  await until(async () => (await admin.query(VACUUMS)).rows.length > 0, {
    ms: 30_000,
    describe: () => 'autovacuum does not come',
  })
  const notes = await rig.gate.begin('switchover')
  await rig.gate.prepare()
  await using decision = await rig.gate.open(notes, 'switchover', 2_000, SIGNAL)
  await decision.propose(new Map())
  await decision.commit()
  expect((await rig.state()).authority).toBe('postgres')
}, 90_000)

test('a reader that holds its tables for long, and an index that is being built', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({ url: database.url, tables: TABLES, schema: SCHEMA })
  const [reader, builder, other] = [
    await database.connect(),
    await database.connect(),
    await database.connect(),
  ]
  // Foreign keys come back beside readers.
  await reader.query('BEGIN; SELECT * FROM t, big')
  await rig.pass('switchover')
  await rig.pass('rollback')
  // Put to sleep again they are dropped, which waits for the reader and does not stop others for long.
  const asleep = rig.gate.sleepAgain()
  expect(await refusal(other, 'SELECT * FROM t')).toBeUndefined()
  await reader.query('COMMIT')
  await asleep
  await builder.query('BEGIN; LOCK TABLE t IN SHARE MODE')
  const notes = await rig.gate.begin('switchover')
  await expect(rig.gate.prepare()).rejects.toMatchObject({ code: 'target_busy' })
  await builder.query('COMMIT')
  await rig.gate.prepare()
  await using decision = await rig.gate.open(notes, 'switchover', 2_000, SIGNAL)
  await decision.propose(new Map())
  await decision.commit()
  expect(await rig.state()).toMatchObject({ authority: 'postgres', awake: true })
}, 60_000)
