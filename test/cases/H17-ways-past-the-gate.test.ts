import { expect, test } from 'vitest'
import { targetDrift, targetFingerprint } from '../../src/postgres/fingerprint.ts'
import { GateRig, refusal, spec } from '../support/gate.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'

// Every way to change rows of a moved table other than a plain INSERT, UPDATE or DELETE: refused after a rollback just
// as before a switchover, or seen as drift.

const SCHEMA = `
  CREATE TABLE p (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
  CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
  CREATE TABLE parent (id bigint PRIMARY KEY);
  CREATE TABLE t (id bigint PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one')`
const TABLES = [spec('p'), spec('t')]

const WAYS = [
  'TRUNCATE t',
  'TRUNCATE p',
  'TRUNCATE p1',
  'TRUNCATE parent, t',
  'INSERT INTO p1 VALUES (1)',
  `COPY t FROM PROGRAM 'printf "9\\tx\\n"'`,
  `SET session_replication_role = replica; INSERT INTO t VALUES (9)`,
  `SET session_replication_role = replica; TRUNCATE p1`,
  `SET slipway.pass = ''; DELETE FROM t`,
  `DO $$ BEGIN PERFORM set_config('slipway.pass', 'guess', true); DELETE FROM public.t; END $$`,
  `MERGE INTO t USING (SELECT 9 AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (9, 'x')`,
  `BEGIN; INSERT INTO t VALUES (9); PREPARE TRANSACTION 'late'`,
]

test('every way is refused with 25006, whoever led before', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({ url: database.url, tables: TABLES, schema: SCHEMA })
  const refusals = async () => {
    const seen: [string, string | undefined][] = []
    for (const sql of WAYS) {
      const client = await database.connect()
      seen.push([sql, await refusal(client, sql)])
      await client.end()
    }
    return seen.filter(([, code]) => code !== '25006')
  }
  expect(await refusals()).toEqual([])
  await rig.pass('switchover')
  await rig.pass('rollback')
  expect(await refusals()).toEqual([])
  const { rows } = await rig.connection('look').use((client) => client.query('SELECT id::int FROM t'))
  expect(rows).toEqual([{ id: 1 }])
})

test('rows that come in by DDL are drift', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({ url: database.url, tables: TABLES, schema: SCHEMA })
  await rig.pass('switchover')
  const admin = await database.connect()
  const { fingerprint } = await rig.state()
  for (const [sql, what] of [
    ['ALTER TABLE t ALTER COLUMN a TYPE text USING upper(a)', /column a .* rewritten/],
    [
      `CREATE TABLE p2 AS SELECT 12::bigint AS id, 'x' AS a; ALTER TABLE p2 ALTER COLUMN id SET NOT NULL;
       ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)`,
      /partition public\.p2 .* new/,
    ],
  ] as const) {
    await admin.query(sql)
    const drift = targetDrift(fingerprint, await targetFingerprint(admin, TABLES), TABLES)
    expect(drift.map((one) => one.what).join('\n'), sql).toMatch(what)
  }
})

test('a prepared transaction is a writer in flight, and is named', async () => {
  await using server = await startOwnServer()
  const setup = await server.connect()
  await setup.query('ALTER SYSTEM SET max_prepared_transactions = 5')
  await server.stop()
  await server.start()
  await using rig = await GateRig.create({ url: server.url, tables: TABLES, schema: SCHEMA })
  await rig.pass('switchover')
  const app = await server.connect()
  await app.query(`BEGIN; INSERT INTO t VALUES (9, 'prepared'); PREPARE TRANSACTION 'the import'`)
  const notes = await rig.gate.begin('rollback')
  await expect(rig.gate.open(notes, 'rollback', 500, new AbortController().signal)).rejects.toMatchObject({
    code: 'writers_in_flight',
    message: expect.stringMatching(/prepared transaction "the import"/),
    remedy: expect.stringMatching(/ROLLBACK PREPARED 'the import'/),
  })
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
  await app.query(`COMMIT PREPARED 'the import'`)
  await rig.pass('rollback')
  expect(await refusal(app, 'DELETE FROM t')).toBe('25006')
  expect((await app.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 2 }])
})
