import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ColumnSpec, TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { compareSamples, takeSamples } from '../../src/postgres/reverse-rehearsal.ts'
import { ScratchSource } from '../../src/sqlite/reverse-rehearsal.ts'
import { rehearseWayBack } from '../../src/wiring/reverse-rehearsal.ts'
import { execute } from '../support/foreign.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { applicationWrites, WayBack } from '../support/reverse.ts'
import { type ColumnText, spec } from '../support/reverse-batch.ts'

// What PostgreSQL holds goes into SQLite and comes back as it was, type by type; what cannot is told by its column.

let database: TestDatabase
let connection: Connection
/** Keys whose affinity decides nothing. */
const NO_AFFINITIES = new Map<string, never>()
const signal = new AbortController().signal
beforeAll(async () => {
  database = await createDatabase()
  connection = new Connection(database.url, 'test')
  await connection.use((client) =>
    client.query(
      `CREATE TYPE mood AS ENUM ('sad', 'it''s'); CREATE DOMAIN short AS text CHECK (length(VALUE) < 5)`,
    ),
  )
})
afterAll(async () => {
  await connection.close()
  await database.drop()
})

type Rule = Omit<ColumnSpec, 'name' | 'target' | 'notNull'>
const T = 'timestamp without time zone'
const TZ = 'timestamp with time zone'
const STAMPS = [
  '2024-02-29 23:59:59',
  '0001-01-01 00:00:00',
  '2024-02-29 12:30:00.123456',
  '9999-12-31 23:59:59.999',
]

/** Declared in SQLite, the rule, values of PostgreSQL. */
const COLUMNS: readonly (readonly [declared: string, rule: Rule, values: readonly string[]])[] = [
  ['INTEGER', { type: 'smallint' }, ['-32768', '0']],
  ['INTEGER', { type: 'integer' }, ['2147483647']],
  ['INTEGER', { type: 'bigint' }, ['9223372036854775807', '-9223372036854775808', '9007199254740993']],
  ['BOOLEAN', { type: 'boolean' }, ['t', 'f']],
  ['TEXT', { type: 'boolean', codec: 'words', format: 'yes/no' }, ['t', 'f']],
  ['REAL', { type: 'double precision' }, ['0.1', '1', '-5e-324', '1.7976931348623157e308', 'Infinity']],
  ['', { type: 'double precision' }, ['-0', '1e20']],
  ['REAL', { type: 'real' }, ['0.5', '3.4028235e38']],
  ['DECIMAL(10,2)', { type: 'numeric(10,2)' }, ['1.10', '99999999.99', '-5.00']],
  ['', { type: 'numeric' }, ['12345678901234567890.123456789', '0.1', '9007199254740993', '7']],
  ['TEXT', { type: 'numeric' }, ['1.10', '12345678901234567890.123456789']],
  ['TEXT', { type: 'text' }, ['', 'now', 'a\tb\\', '\\N', '\u{10ffff}é', '007']],
  ['VARCHAR(5)', { type: 'character varying(5)' }, ['abcde', '🚀🚀🚀']],
  ['CHAR(3)', { type: 'character(3)', codec: 'text' }, ['abc', 'a', '']],
  ['BLOB', { type: 'bytea' }, ['\\x', '\\x00ff']],
  ['TEXT', { type: 'bytea', codec: 'hex', format: 'upper' }, ['\\x00ff']],
  ['DATE', { type: 'date' }, ['2024-02-29', '0001-01-01']],
  ['INTEGER', { type: 'date', codec: 'epoch_s' }, ['2024-02-29', '1969-12-31']],
  ['REAL', { type: 'date', codec: 'julian' }, ['2024-02-29']],
  ['TIME', { type: 'time without time zone' }, ['23:59:59', '12:30:00.5']],
  ['TIMESTAMP', { type: T }, STAMPS],
  ['TEXT', { type: T, format: 'YYYY-MM-DDTHH:MM:SS.SSS' }, STAMPS],
  ['INTEGER', { type: T, codec: 'epoch_ms' }, ['2024-02-29 23:59:59.123', '1969-12-31 23:59:59.5']],
  ['', { type: T, codec: 'epoch_s' }, ['2024-02-29 23:59:59', '2024-02-29 23:59:59.123456']],
  ['REAL', { type: T, codec: 'julian' }, ['2024-02-29 23:59:59.123']],
  ['TEXT', { type: TZ, format: 'YYYY-MM-DDTHH:MM:SS.SSSZ' }, STAMPS.map((s) => `${s}+00`)],
  [
    'TEXT',
    { type: TZ, format: 'YYYY-MM-DD HH:MM:SS+HH:MM', zone: 'Europe/Moscow' },
    ['2014-10-26 01:30:00+04', '2024-02-29 12:00:00.123456+00'],
  ],
  [
    'DATETIME',
    { type: TZ, format: 'YYYY-MM-DD HH:MM:SS', zone: 'America/New_York' },
    ['2024-11-03 05:30:00+00', '2024-03-10 07:00:00+00'],
  ],
  ['INTEGER', { type: TZ, codec: 'epoch_s' }, ['2024-02-29 23:59:59+00']],
  ['TEXT', { type: 'uuid', format: 'upper' }, ['0f8fad5b-d9cb-469f-a165-70867728950e']],
  ['TEXT', { type: 'uuid', codec: 'hex' }, ['0f8fad5b-d9cb-469f-a165-70867728950e']],
  ['BLOB', { type: 'uuid', codec: 'bytes' }, ['0f8fad5b-d9cb-469f-a165-70867728950e']],
  ['TEXT', { type: 'json' }, ['{"b": 1,  "a": [1.50, 1e400]}', '"\\u0000"']],
  ['JSON', { type: 'jsonb' }, ['{"b": 1, "a": {"z": null}}', '[]', 'true']],
  ['TEXT', { type: 'jsonb' }, ['1e400', '[1.50]']],
  ['TEXT', { type: 'mood', labels: ['sad', "it's"] }, ['sad', "it's"]],
  ['TEXT', { type: 'short' }, ['abcd', '']],
  ['TEXT', { type: 'text[]' }, ['{}', '{a,NULL,"NULL"}', '[0:1]={a,b}']],
  ['TEXT', { type: 'integer[]', codec: 'json_array' }, ['{}', '{1,NULL}', '{{1},{2}}']],
  ['TEXT', { type: 'interval' }, ['1 day 02:03:04', '-5 years']],
  ['TEXT', { type: 'inet' }, ['10.0.0.1', '::1/64']],
]

/** A transaction of which none_there stays. */
async function rolledBack(work: (client: pg.Client) => Promise<void>): Promise<void> {
  await connection.use(async (client) => {
    await client.query('BEGIN')
    try {
      await work(client)
    } finally {
      await client.query('ROLLBACK')
    }
  })
}

/** A table in both engines, filled in PostgreSQL. */
async function inBoth(
  name: string,
  columns: readonly (readonly [declared: string, rule: Rule, values: readonly string[]])[],
): Promise<{ table: TableSpec; sql: string }> {
  const list: ColumnText[] = ['id bigint', ...columns.map(([, rule], i): ColumnText => [`c${i}`, rule])]
  const table = spec(name, list)
  await connection.use(async (client) => {
    const types = columns.map(([, { type }], i) => `c${i} ${type}`)
    await client.query(`CREATE TABLE ${name} (id bigint PRIMARY KEY, ${types.join(', ')})`)
    const most = Math.max(...columns.map(([, , values]) => values.length))
    for (let n = 0; n <= most; n++) {
      const values = columns.map(([, , values]) => values[n] ?? null)
      const marks = columns.map(([, { type }], i) => `$${i + 2}::text::${type}`)
      await client.query(`INSERT INTO ${name} VALUES ($1, ${marks.join(', ')})`, [n + 1, ...values])
    }
  })
  const declared = columns.map(([type], i) => `c${i} ${type}`)
  return { table, sql: `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, ${declared.join(', ')})` }
}

describe.each(COLUMNS.map((column) => [`${JSON.stringify(column[1])} in "${column[0]}"`, column] as const))(
  '%s',
  (_name, column) => {
    const name = `t${COLUMNS.indexOf(column)}`

    test('comes back', async () => {
      const { table, sql } = await inBoth(name, [column])
      using back = new WayBack([sql])
      expect(await rehearseWayBack({ connection, path: back.path, tables: [table], signal })).toEqual([])
      // The same through the writer itself, and compared out of the file.
      await rolledBack(async (client) => {
        const samples = await takeSamples(client, table, NO_AFFINITIES)
        expect(samples.length).toBe(column[2].length + 1)
        await back.apply({ table, patches: samples.map(({ patch }) => patch) })
        expect(back.writer.aside(9).entries).toEqual([])
        using scratch = new ScratchSource(back.path)
        const { lines } = scratch.rehearse(table, samples)
        expect(lines.length).toBe(samples.length)
        expect(await compareSamples(client, table, lines)).toEqual([])
      })
    })
  },
)

test('what cannot come back is told by table, column and key', async () => {
  const { table, sql } = await inBoth('lost', [
    ['REAL', { type: 'double precision' }, ['1', 'NaN']],
    [
      'REAL',
      { type: T, codec: 'julian' },
      ['2024-02-29 12:00:00', '2024-02-29 12:00:00', '2024-02-29 12:00:00.123456'],
    ],
    ['TEXT', { type: T }, ['2024-02-29', '2024-02-29', '2024-02-29', 'infinity']],
    ['NUMERIC', { type: 'text' }, ['x', 'x', 'x', 'x', '007']],
    ['TEXT NOT NULL', { type: 'text' }, ['x', 'x', 'x', 'x', 'x', 'x']],
    ['INTEGER CHECK (c5 < 10)', { type: 'integer' }, ['1', '1', '1', '1', '1', '10']],
  ])
  using back = new WayBack([sql])
  const found = await rehearseWayBack({ connection, path: back.path, tables: [table], signal })
  const told = found.map(({ table, column, key }) => `${table} ${column} ${key}`).sort()
  expect(told).toEqual([
    'lost  id=6',
    'lost c0 id=2',
    'lost c1 id=3',
    'lost c2 id=4',
    'lost c3 id=5',
    'lost c4 id=7',
  ])
  expect(found.find(({ column }) => column === 'c0')?.reason).toMatch(/NaN/)
})

test('a table that only the application can write is told as such', async () => {
  const { table, sql } = await inBoth('foreign_function', [['TEXT', { type: 'text' }, ['x']]])
  using back = new WayBack([])
  applicationWrites(back.path, sql, 'CREATE INDEX loud ON foreign_function (shout(c0))')
  const found = await rehearseWayBack({ connection, path: back.path, tables: [table], signal })
  expect(found).toMatchObject([
    { table: 'foreign_function', column: '', key: '', reason: expect.stringMatching(/shout/) },
  ])
})

test('a definition that SQLite would not take any more is none in the way', async () => {
  const table = spec('quoted', ['id bigint', 'a text'])
  await connection.use((client) =>
    client.query(`CREATE TABLE quoted (id bigint PRIMARY KEY, a text); INSERT INTO quoted VALUES (1, 'x')`),
  )
  using back = new WayBack([])
  await execute(back.path, [
    `CREATE TABLE quoted (id INTEGER PRIMARY KEY, a TEXT DEFAULT "word" CHECK (a <> "y"))`,
  ])
  expect(await rehearseWayBack({ connection, path: back.path, tables: [table], signal })).toEqual([])
})

test('a table without a key, keys of several kinds, an empty table', async () => {
  await connection.use((client) =>
    client.query(
      `CREATE TABLE keyless (_slipway_rowid bigint PRIMARY KEY, a text); INSERT INTO keyless VALUES (7, 'x');
       CREATE TABLE pair (k text, j bigint, n integer, PRIMARY KEY (k, j)); INSERT INTO pair VALUES ('a"\\é', 1, 1), ('', -1, NULL);
       CREATE TABLE none_there (id bigint PRIMARY KEY)`,
    ),
  )
  const keyless = spec('keyless', ['a text'], { kind: 'rowid', key: ['rowid'] })
  const pair = spec('pair', ['k text', 'j bigint', 'n integer'], { key: ['k', 'j'], rowid: undefined })
  const none_there = spec('none_there', ['id bigint'])
  using back = new WayBack([
    'CREATE TABLE keyless (a TEXT)',
    'CREATE TABLE pair (k TEXT, j INTEGER, n INTEGER, PRIMARY KEY (k, j)) WITHOUT ROWID',
    'CREATE TABLE none_there (id INTEGER PRIMARY KEY)',
  ])
  const tables = [keyless, pair, none_there]
  expect(await rehearseWayBack({ connection, path: back.path, tables, signal })).toEqual([])
})

test('rows of every shape are found among many', async () => {
  await connection.use((client) =>
    client.query(
      `CREATE TABLE many (id bigint PRIMARY KEY, a text, b timestamp, c jsonb);
       INSERT INTO many SELECT i, repeat('x', i % 7), '2024-01-01', '{}' FROM generate_series(1, 5000) i;
       UPDATE many SET a = NULL, b = '2024-01-01 00:00:00.5' WHERE id = 4990;
       UPDATE many SET a = repeat(md5('x'), 100000), c = NULL WHERE id = 12; ANALYZE many`,
    ),
  )
  const table = spec('many', ['id bigint', 'a text', 'b timestamp without time zone', 'c jsonb'])
  await rolledBack(async (client) => {
    const keys = (await takeSamples(client, table, NO_AFFINITIES)).map(({ patch }) => patch.key)
    expect(keys).toEqual(expect.arrayContaining(['["i1"]', '["i4990"]', '["i12"]']))
    expect(keys.length).toBeLessThanOrEqual(20)
  })
})
