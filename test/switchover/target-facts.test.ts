import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TargetGuardFacts } from '../../src/core/guard-facts.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import { probeWriters, readTargetGuardFacts } from '../../src/postgres/guard-facts.ts'
import { migrateOwnSchema } from '../../src/postgres/migrate.ts'
import { until } from '../support/daemon.ts'
import { createDatabase, startOwnServer, type TestDatabase } from '../support/postgres.ts'

const HOLDER = 'holder-1'
let database: TestDatabase
let connection: Connection
let id: number

async function setUp(url: string): Promise<{ connection: Connection; id: number }> {
  const connection = new Connection(url, sessionName(HOLDER, 'control'))
  await migrateOwnSchema(connection, url)
  const control = new Control(connection, 'app', HOLDER)
  await control.create('/data/app.db', 'public')
  await connection.use((client) =>
    client.query(`
      CREATE TABLE articles (id int PRIMARY KEY, title text) PARTITION BY RANGE (id);
      CREATE TABLE articles_1 PARTITION OF articles FOR VALUES FROM (0) TO (1000000);
      CREATE TABLE dlq (id int PRIMARY KEY, body text);
      CREATE TABLE other (id int);
      INSERT INTO articles SELECT n, 'title' FROM generate_series(1, 5000) n;
      INSERT INTO dlq SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n`),
  )
  return { connection, id: (await control.read())?.id as number }
}

beforeAll(async () => {
  database = await createDatabase()
  const made = await setUp(database.url)
  connection = made.connection
  id = made.id
})
afterAll(async () => {
  await connection.close()
  await database.drop()
})

const TABLES = ['articles', 'dlq'].map((name): TableSpec => {
  const column = { name: 'id', target: 'id', type: 'integer' }
  const key = { kind: 'primary' as const, columns: [column] }
  return { name, schema: 'public', target: name, key, columns: [], rowid: 'id', owned: false }
})

async function facts(through = connection): Promise<TargetGuardFacts> {
  const { signal } = new AbortController()
  return await readTargetGuardFacts(through, { migration: 'app', id, holder: HOLDER, tables: TABLES, signal })
}

test('nobody is in the way', async () => {
  expect(await facts()).toEqual({
    transactions: [],
    prepared: [],
    unlogged: [],
    roundTripMs: expect.any(Number),
    dormant: 0,
  })
})

describe('transactions of others', () => {
  const seen: [what: string, sql: string, why: string, tables: string[]][] = [
    ['a lock on a table', 'LOCK TABLE dlq IN SHARE MODE', 'holds a lock', ['public.dlq']],
    [
      'a lock on a partition',
      'LOCK TABLE articles_1 IN EXCLUSIVE MODE',
      'holds a lock',
      ['public.articles_1'],
    ],
    ['rows written past the gate', `UPDATE dlq SET body = 'y' WHERE id = 1`, 'holds a lock', ['public.dlq']],
    [
      'a writer in flight',
      `SELECT pg_advisory_xact_lock_shared(7514, $id); LOCK TABLE dlq IN ROW EXCLUSIVE MODE`,
      'writes through the gate',
      ['public.dlq'],
    ],
  ]
  test.for(seen)('%s is seen', async ([, sql, why, tables]) => {
    const client = await database.connect()
    await client.query(`SET application_name = 'the bot'; BEGIN; ${sql.replace('$id', String(id))}`)
    const { transactions } = await facts()
    expect(transactions).toEqual([
      {
        who: expect.stringMatching(/^the bot as \w+ \(pid \d+\)$/),
        state: 'idle in transaction',
        seconds: expect.any(Number),
        why,
        tables,
      },
    ])
    await client.end()
  })

  const unseen: [what: string, sql: string][] = [
    ['a reader', 'SELECT * FROM articles, dlq LIMIT 1'],
    ['rows locked against others', 'SELECT * FROM dlq FOR UPDATE'],
    ['another table', 'LOCK TABLE other'],
    ['the gate of another migration', 'SELECT pg_advisory_xact_lock_shared(7514, 99)'],
    ['another kind of lock', 'SELECT pg_advisory_xact_lock_shared(7514)'],
    ['our own session', `SET LOCAL application_name = 'slipway ${HOLDER} apply'; LOCK TABLE dlq`],
  ]
  test.for(unseen)('%s is in nobody’s way', async ([, sql]) => {
    const client = await database.connect()
    await client.query(`BEGIN; ${sql}`)
    expect((await facts()).transactions).toEqual([])
    await client.end()
  })

  test('a VACUUM, and not an autovacuum that gives way', async () => {
    const client = await database.connect()
    await client.query('SET vacuum_cost_limit = 1; SET vacuum_cost_delay = 100')
    const vacuum = client.query('VACUUM (FREEZE) dlq').catch(() => undefined)
    const found = await until(async () => (await facts()).transactions[0], {
      ms: 20_000,
      every: 20,
      describe: () => 'no VACUUM is seen',
    })
    expect(found).toMatchObject({ state: 'active', why: 'is a VACUUM' })
    expect(found.tables).toContain('public.dlq')
    expect(JSON.stringify(found)).not.toContain('FREEZE')
    const admin = await database.connect()
    await admin.query('SELECT pg_cancel_backend($1)', [/pid (\d+)/.exec(found.who)?.[1]])
    await vacuum
  })

  test('of another role, whose age nobody may see: those that stay', async () => {
    const role = await database.createRole()
    const client = await database.connect()
    await client.query(`GRANT USAGE ON SCHEMA slipway TO ${role.name}`)
    await client.query(`GRANT SELECT ON ALL TABLES IN SCHEMA slipway TO ${role.name}`)
    const through = new Connection(role.url, sessionName(HOLDER, 'low'))
    await client.query('BEGIN; LOCK TABLE dlq IN SHARE MODE')
    const { transactions } = await facts(through)
    expect(transactions).toMatchObject([{ state: 'hidden', seconds: null, why: 'holds a lock' }])
    await client.query('COMMIT')
    expect((await facts(through)).transactions).toEqual([])
    await through.close()
    await client.query(`DROP OWNED BY ${role.name}`)
  })
})

test('tables that a crash would empty, and what is asleep', async () => {
  const client = await database.connect()
  await client.query(`
    ALTER TABLE dlq SET UNLOGGED;
    INSERT INTO slipway.dormant VALUES ('app', '"public"."dlq"', 'trigger', 't', 'SELECT 1')`)
  expect(await facts()).toMatchObject({ unlogged: ['public.dlq'], dormant: 1 })
  await client.query(`UPDATE slipway.control SET awake = true; ALTER TABLE dlq SET LOGGED`)
  expect(await facts()).toMatchObject({ unlogged: [], dormant: 0 })
  await client.query(`DELETE FROM slipway.dormant; UPDATE slipway.control SET awake = false`)
})

test('writers in flight are waited for, and those that come later are not', async () => {
  const { signal } = new AbortController()
  const writer = await database.connect()
  const later = await database.connect()
  await writer.query(`BEGIN; SELECT pg_advisory_xact_lock_shared(7514, ${id})`)
  let ended = false
  const probe = probeWriters(connection, id, 30_000, signal).finally(() => {
    ended = true
  })
  // A session is a queue: behind this the probe has looked once.
  await connection.use((client) => client.query('SELECT 1'))
  await later.query(`BEGIN; SELECT pg_advisory_xact_lock_shared(7514, ${id})`)
  expect(ended).toBe(false)
  await writer.query('COMMIT')
  expect(await probe).toBeLessThan(30_000)
  // The later one is still there: it is given up when the time is over.
  expect(await probeWriters(connection, id, 50, signal)).toBeGreaterThanOrEqual(50)
  await later.query('COMMIT')
})

test('prepared transactions of this database', async () => {
  await using server = await startOwnServer()
  const admin = await server.connect()
  await admin.query('ALTER SYSTEM SET max_prepared_transactions = 5')
  await admin.end()
  await server.stop('fast')
  await server.start()
  const made = await setUp(server.url)
  const client = await server.connect()
  await client.query(`BEGIN; UPDATE dlq SET body = 'y' WHERE id = 1; PREPARE TRANSACTION 'order 7'`)
  const found = await facts(made.connection)
  expect(found).toMatchObject({ prepared: ['order 7'], transactions: [] })
  await client.query(`ROLLBACK PREPARED 'order 7'`)
  expect((await facts(made.connection)).prepared).toEqual([])
  await made.connection.close()
})
