import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Finding } from '../../src/core/finding.ts'
import { constraintParity, type ParityTable } from '../../src/core/parity.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { introspectTarget } from '../../src/postgres/introspect.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { openReader } from '../../src/sqlite/open.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { applicationWrites, WayBack } from '../support/reverse.ts'
import { type ColumnText, spec } from '../support/reverse-batch.ts'

// Trap H19: rows that PostgreSQL takes and SQLite would refuse, seen before the switchover.

let database: TestDatabase
let connection: Connection
beforeAll(async () => {
  database = await createDatabase()
  connection = new Connection(database.url, 'test')
})
afterAll(async () => {
  await connection.close()
  await database.drop()
})

interface Case {
  readonly sqlite: readonly string[]
  readonly postgres: string
  readonly columns: readonly ColumnText[]
  readonly key?: readonly string[]
  readonly owned?: boolean
}

/** Findings for a table `t`. */
async function findings({ sqlite, postgres, columns, key, owned = false }: Case): Promise<Finding[]> {
  using back = new WayBack([])
  applicationWrites(back.path, ...sqlite)
  await connection.use((client) => client.query(`DROP TABLE IF EXISTS t; ${postgres}`))
  const reader = openReader(back.path)
  try {
    const [source] = introspect(reader, ['t'], []).tables
    const [target] = await introspectTarget(connection, 'public')
    const names = reader.prepare('SELECT lower(name) FROM pragma_function_list').pluck().all() as string[]
    const table = { ...spec('t', columns, key === undefined ? {} : { key }), owned }
    return constraintParity([{ source, spec: table, target } as ParityTable], new Set(names))
  } finally {
    reader.close()
  }
}

const told = (list: readonly Finding[]): string[] =>
  list.map(({ code, severity, column = '' }) => `${severity} ${code} ${column}`.trim()).sort()

test('nothing to say where PostgreSQL is as strict', async () => {
  const found = await findings({
    sqlite: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL COLLATE NOCASE, b TEXT UNIQUE, c INTEGER CHECK (c > 0 AND length(b) < 5), f REAL,
         UNIQUE (a, b), UNIQUE (c COLLATE NOCASE))`,
      `CREATE UNIQUE INDEX p ON t (b) WHERE c > 1`,
      'CREATE INDEX plain ON t (coalesce(a, b))',
    ],
    postgres: `CREATE TABLE t (id bigint PRIMARY KEY, a text NOT NULL, b text UNIQUE, c integer UNIQUE CHECK (c > 0 AND length(b) < 5), f integer);
      CREATE UNIQUE INDEX ON t (b) WHERE c > 1`,
    columns: ['id bigint', 'a text', 'b text', 'c integer', 'f integer'],
  })
  expect(found).toEqual([])
})

test('uniques that are looser, or not there', async () => {
  const found = await findings({
    sqlite: [
      `CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, a TEXT COLLATE RTRIM UNIQUE, b TEXT COLLATE NOCASE UNIQUE, c TEXT COLLATE NOCASE UNIQUE, d TEXT, UNIQUE (a, d))`,
      'CREATE UNIQUE INDEX e ON t (lower(d))',
    ],
    postgres: `CREATE TABLE t (k text PRIMARY KEY, a text UNIQUE, b text, c text, d text); CREATE UNIQUE INDEX ON t (lower(b))`,
    columns: ['k text', 'a text', 'b text', 'c text', 'd text'],
  })
  expect(told(found)).toEqual([
    'warns way_back_unique',
    'warns way_back_unique a',
    'warns way_back_unique c',
    'warns way_back_unique k',
  ])
  expect(found.find(({ column }) => column === 'k')?.message).toMatch(/by NOCASE/)
})

test('CHECKs and NOT NULL that PostgreSQL does not have', async () => {
  const sqlite = [
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL CHECK (a > 0), b TEXT CHECK (b GLOB '[a-c]*'), CHECK (a < 10 OR b IS NULL))`,
  ]
  const columns = ['id bigint', 'a integer', 'b text']
  const postgres = 'CREATE TABLE t (id bigint PRIMARY KEY, a integer CHECK (a >= 1), b text)'
  expect(told(await findings({ sqlite, postgres, columns }))).toEqual([
    'warns way_back_check',
    'warns way_back_check b',
    'warns way_back_not_null a',
  ])
  // In a table of ours those that can be translated wake up with the switchover.
  const own = await findings({ sqlite, postgres, columns, owned: true })
  expect(told(own).filter((line) => line.includes('check')).length).toBeLessThan(2)
})

test('types that hold more', async () => {
  const found = await findings({
    sqlite: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, f REAL, n NUMERIC, m TEXT, j REAL, at TEXT, ch TEXT, i INTEGER, x TEXT, l NUMERIC)`,
    ],
    postgres: 'CREATE TABLE t (id bigint PRIMARY KEY)',
    columns: [
      'id bigint',
      'f double precision',
      'n numeric',
      'm numeric',
      ['j', { type: 'timestamp without time zone', codec: 'julian' }],
      'at timestamp without time zone',
      'ch character(3)',
      'i text',
      'x integer',
      ['l', { type: 'mood', labels: ['a'] }],
    ],
  })
  expect(told(found)).toEqual([
    'info way_back_range at',
    'info way_back_range f',
    'info way_back_range m',
    'warns way_back_affinity i',
    'warns way_back_affinity x',
    'warns way_back_range ch',
    'warns way_back_range j',
    'warns way_back_range n',
  ])
})

test("the application's own functions and collations block", async () => {
  const columns = ['id bigint', 'a text']
  const postgres = 'CREATE TABLE t (id bigint PRIMARY KEY, a text)'
  const blocking = async (...sqlite: string[]): Promise<string[]> =>
    told(await findings({ sqlite, postgres, columns })).filter((line) => line.startsWith('blocks'))
  const plain = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)'
  expect(await blocking(plain, 'CREATE INDEX i ON t (shout(a))')).toEqual(['blocks way_back_function'])
  expect(await blocking(plain, 'CREATE INDEX i ON t (a) WHERE "shout" (a) > 1')).toEqual([
    'blocks way_back_function',
  ])
  expect(
    await blocking('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT CHECK (shout(a) IS NOT NULL))'),
  ).toEqual(['blocks way_back_function'])
  expect(await blocking(plain, 'CREATE INDEX i ON t (a COLLATE own)')).toEqual(['blocks way_back_collation'])
  expect(
    await blocking(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE own CHECK (a <> 'x'))`),
  ).toEqual(['blocks way_back_collation'])
  // Nothing of it has to be evaluated here.
  expect(await blocking('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE own)')).toEqual([])
  expect(
    await blocking(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT CHECK (a IN ('shout(x)') OR NOT (a LIKE '%')))`,
    ),
  ).toEqual([])
})
