import { expect, test } from 'vitest'
import { resetHistory } from '../../src/postgres/history.ts'
import { MIGRATION, spec, TargetSide } from '../history/target-side.ts'
import { until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// TRUNCATE is not subject to MVCC: a reader with an older snapshot finds the table empty, and keys read late would
// become deletes. While SQLite leads, nobody but slipway may truncate; and who reads PostgreSQL's tables together
// with what was noted of them locks them before the snapshot is taken.

test('while SQLite leads, TRUNCATE is refused, by any way', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      'CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id))',
      'CREATE TABLE parted (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (1, 'one')`,
      'INSERT INTO child VALUES (1, 1)',
      `INSERT INTO parted VALUES (1, 'low'), (100, 'high')`,
    ],
    target: `CREATE TABLE parted (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
      CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (50);
      CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (50) TO (MAXVALUE)`,
  })
  const attempts = [
    'TRUNCATE t',
    'TRUNCATE ONLY t RESTART IDENTITY',
    'TRUNCATE t CASCADE',
    'TRUNCATE child, t',
    'TRUNCATE parted',
    // A partition fires its own triggers only.
    'TRUNCATE parted_high',
    'SET session_replication_role = replica; TRUNCATE t',
    'SET session_replication_role = replica; TRUNCATE parted_low',
    'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; TRUNCATE t; COMMIT',
  ]
  for (const sql of attempts) {
    // As the owner, who is a superuser as well: no right is missing.
    const client = await scenario.database.connect()
    await expect(client.query(sql), sql).rejects.toMatchObject({ code: '25006' })
    await client.end()
  }
  await scenario.equalAtLagZero()
  await scenario.write([`INSERT INTO parted VALUES (2, 'new'), (200, 'new')`, `UPDATE t SET a = 'two'`])
  await scenario.equalAtLagZero()
})

test('a past state is not built from a table that is emptied meanwhile', async () => {
  const table = spec('t', { id: 'bigint', a: 'text' })
  await using side = await TargetSide.create('CREATE TABLE t (id bigint PRIMARY KEY, a text)', [table])
  await side.apply([{ table, rows: ['1\tone', '2\ttwo'] }])
  // As a new copy does it, in one transaction.
  const copier = await side.database.connect()
  await copier.query('BEGIN; TRUNCATE t')
  await copier.query(`UPDATE slipway.control SET phase = 'snapshotting'`)
  await resetHistory(copier, MIGRATION)
  const replay = side.rebuild('latest', 'past').then(
    () => 'rebuilt',
    (error: { code: string }) => error.code,
  )
  const watcher = await side.database.connect()
  await until(
    async () =>
      (
        await watcher.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
      ).rows.length > 0,
    { ms: 10_000, describe: () => 'the replay does not wait' },
  )
  await copier.query('COMMIT')
  expect(await replay).toBe('replay_too_early')
})
