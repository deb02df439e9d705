import { expect, test } from 'vitest'
import { spec } from '../history/target-side.ts'
import { ReverseSide } from '../postgres/reverse-side.ts'
import { until } from '../support/daemon.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'

// Capture on PostgreSQL runs in the application's transactions: whatever its role may do, however its session is set,
// and also where transactions are prepared, which a NOTIFY would make impossible.

const T = spec('t', { id: 'bigint', a: 'text' })

test('an application without rights on our schema writes, and makes partitions', async () => {
  const parted = spec('parted', { id: 'bigint', a: 'text' })
  await using database = await createDatabase()
  const [owner, writer] = [(await database.createRole()).name, (await database.createRole()).name]
  await using side = await ReverseSide.create({
    source:
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE parted (id INTEGER PRIMARY KEY, a TEXT)',
    target: `CREATE TABLE t (id bigint PRIMARY KEY, a text);
      CREATE TABLE parted (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
      CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (50);
      GRANT CREATE ON SCHEMA public TO ${owner};
      ALTER TABLE parted OWNER TO ${owner}; ALTER TABLE parted_low OWNER TO ${owner};
      GRANT ALL ON t TO ${writer}`,
    tables: [T, parted],
    url: database.url,
  })
  const client = await side.connect()
  await client.query(`SET ROLE ${writer}`)
  await client.query(
    `INSERT INTO t VALUES (1, 'one'); UPDATE t SET a = 'uno'; DELETE FROM t; INSERT INTO t VALUES (2, 'two')`,
  )
  await expect(client.query('SELECT * FROM slipway.changelog')).rejects.toMatchObject({ code: '42501' })
  await client.query(`RESET ROLE; SET ROLE ${owner}`)
  await client.query(`CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (50) TO (100)`)
  await client.query(
    `INSERT INTO parted VALUES (1, 'low'), (60, 'high'); INSERT INTO parted_high VALUES (61, 'direct')`,
  )
  expect(await side.read()).toMatchObject({
    kind: 'drift',
    fatal: false,
    reason: expect.stringContaining('partition'),
  })
  await side.follow()
  expect(side.rows('SELECT * FROM t')).toEqual([[2n, 'two']])
  expect(side.rows('SELECT id FROM parted ORDER BY id').flat()).toEqual([1n, 60n, 61n])
  // The new partition is emptied by itself as well.
  await client.query('TRUNCATE parted_high')
  await side.follow()
  expect(side.rows('SELECT id FROM parted').flat()).toEqual([1n])
})

test('keys do not depend on the settings of the application', async () => {
  const kinds: [name: string, type: string, declared: string, values: string[]][] = [
    [
      'floats',
      'double precision',
      'REAL',
      ['0.1', '5e-324', '1.7976931348623157e308', '0.30000000000000004'],
    ],
    ['bytes', 'bytea', 'BLOB', [`'\\x00ff'`, `'\\x'`]],
    ['days', 'date', 'TEXT', [`'2024-02-01'`, `'0001-01-01'`]],
    ['texts', 'text', 'TEXT', [`'a"b\\c'`, `'é 🚀'`, `'A'`]],
    ['decimals', 'numeric', 'BLOB', ['1', '2.50', '12345678901234567']],
    ['uuids', 'uuid', 'TEXT', [`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`]],
    ['flags', 'boolean', 'INTEGER', ['true', 'false']],
  ]
  await using side = await ReverseSide.create({
    source: kinds
      .map(([name, , declared]) => `CREATE TABLE ${name} (k ${declared} PRIMARY KEY, v TEXT)`)
      .join(';'),
    target: kinds.map(([name, type]) => `CREATE TABLE ${name} (k ${type} PRIMARY KEY, v text)`).join(';'),
    tables: kinds.map(([name, type]) => spec(name, { k: type, v: 'text' })),
  })
  const client = await side.connect()
  await client.query(
    `SET DateStyle = 'German'; SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -15; SET bytea_output = 'escape';
     SET IntervalStyle = 'iso_8601'; SET lc_numeric = 'C'; SET search_path = ''; SET standard_conforming_strings = on`,
  )
  for (const [name, type, , values] of kinds)
    for (const value of values)
      await client.query(`INSERT INTO public.${name} VALUES (${value}::${type}, 'new')`)
  await side.follow()
  for (const [name, , , values] of kinds)
    expect(side.rows(`SELECT v FROM ${name}`), name).toEqual(values.map(() => ['new']))
  for (const [name] of kinds) await client.query(`UPDATE public.${name} SET v = 'changed'`)
  const { patches } = await side.follow()
  for (const [name, , , values] of kinds)
    expect(
      patches[name]?.map(({ isNew, values: cells }) => [isNew, cells]),
      name,
    ).toEqual(values.map(() => [false, [[1, 'changed']]]))
  for (const [name] of kinds) await client.query(`DELETE FROM public.${name}`)
  await side.follow()
  for (const [name] of kinds) expect(side.rows(`SELECT v FROM ${name}`), name).toEqual([])
})

test('transactions can be prepared while the reader waits to be woken', { timeout: 60_000 }, async () => {
  await using server = await startOwnServer()
  const admin = await server.connect()
  await admin.query('ALTER SYSTEM SET max_prepared_transactions = 5')
  await admin.end()
  await server.stop()
  await server.start()
  await using side = await ReverseSide.create({
    source: 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
    target: 'CREATE TABLE t (id bigint PRIMARY KEY, a text)',
    tables: [T],
    url: server.url,
  })
  const stop = new AbortController()
  const waiting = side.reader.wake(60_000, stop.signal)
  await until(
    async () =>
      (await side.sql<{ v: string }>(`SELECT last_value AS v FROM slipway.bell_${side.id}`))[0]?.v === '2',
    { ms: 10_000, describe: () => 'nobody listens' },
  )
  await side.sql(`BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION 'later'`)
  await side.sql(`INSERT INTO t VALUES (2, 'now')`)
  await side.follow()
  expect(side.rows('SELECT id FROM t').flat()).toEqual([2n])
  await side.sql(`COMMIT PREPARED 'later'`)
  await side.follow()
  expect(side.rows('SELECT id FROM t ORDER BY id').flat()).toEqual([1n, 2n])
  stop.abort()
  await waiting
})
