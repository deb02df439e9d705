import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compareDatabases, type TableComparison } from '../../src/demo/compare.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const SQLITE = `
  CREATE TABLE kinds (id INTEGER PRIMARY KEY, flag, big INTEGER, price NUMERIC, ratio REAL, at TEXT, doc TEXT,
    bytes BLOB, words TEXT, made TEXT GENERATED ALWAYS AS (words || '!') VIRTUAL);
  CREATE TABLE pairs (b TEXT, a INTEGER, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
  CREATE TABLE links (link TEXT COLLATE NOCASE PRIMARY KEY, note TEXT);
  CREATE TABLE loose (note TEXT);
  CREATE TABLE _slipway_changelog (seq INTEGER PRIMARY KEY);
  CREATE TABLE knex_migrations (id INTEGER PRIMARY KEY);
  CREATE VIRTUAL TABLE found USING fts5(words);
  INSERT INTO loose VALUES ('one'), ('two'), ('two')`

const POSTGRES = `
  CREATE TABLE kinds (id bigint PRIMARY KEY, flag boolean, big bigint, price numeric(10,2), ratio float8,
    at timestamptz, doc jsonb, bytes bytea, words text);
  CREATE TABLE pairs (b text, a bigint, note text, PRIMARY KEY (a, b));
  CREATE TABLE links (link text PRIMARY KEY, note text);
  CREATE TABLE loose (_slipway_rowid bigint PRIMARY KEY, note text);
  INSERT INTO loose VALUES (1, 'one'), (2, 'two'), (3, 'two')`

const ROWS = 1_200
const LINKS = ['zeta', 'Zeta2', 'alpha', 'Ärger', 'ёж', 'z', 'É', '🚀', 'A', 'a1', '']

let dir: string
let path: string
let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-compare-'))
  path = join(dir, 'app.db')
  database = await createDatabase()
  client = await database.connect()
  await client.query(POSTGRES)
  const db = new Database(path)
  db.exec(SQLITE)
  const kind = db.prepare('INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const pair = db.prepare('INSERT INTO pairs VALUES (?, ?, ?)')
  const link = db.prepare('INSERT INTO links VALUES (?, ?)')
  for (let n = 1; n <= ROWS; n++) {
    const at = new Date(1_760_000_000_000 + n * 977).toISOString()
    const big = 9_007_199_254_740_993n + BigInt(n)
    const doc = `{"n":${big},"text":"ёж \\u00e9"}`
    const some = n % 7 === 0 ? null : `слово ${n}\t\\N 🚀`
    kind.run(n, n % 2, big, n / 4, n / 3, at, doc, Buffer.from([0, n % 256]), some)
    await client.query('INSERT INTO kinds VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)', [
      n,
      n % 2 === 1,
      String(big),
      n / 4,
      n / 3,
      at,
      doc,
      Buffer.from([0, n % 256]),
      some,
    ])
  }
  for (const [i, text] of LINKS.entries()) {
    pair.run(text, i % 3, text)
    link.run(text, text)
    await client.query('INSERT INTO pairs VALUES ($1, $2, $1)', [text, i % 3])
    await client.query('INSERT INTO links VALUES ($1, $1)', [text])
  }
  db.close()
})
afterAll(async () => {
  await database?.drop()
  rmSync(dir, { recursive: true, force: true })
})

async function compared(): Promise<readonly TableComparison[]> {
  return await compareDatabases({ sqlite: path, postgresUrl: database.url, schema: 'public' })
}

/** What one statement on PostgreSQL, undone afterwards, makes the comparison say. */
async function planted(statement: string): Promise<string[]> {
  await client.query('CREATE TABLE kept AS TABLE kinds; CREATE TABLE kept_links AS TABLE links')
  try {
    await client.query(statement)
    const found = (await compared()).flatMap(({ table, differences }) =>
      differences.map(({ key, column }) => [table, key, ...(column ? [column] : [])].join(' ')),
    )
    return found
  } finally {
    await client.query(
      'TRUNCATE kinds, links; INSERT INTO kinds TABLE kept; INSERT INTO links TABLE kept_links',
    )
    await client.query('DROP TABLE kept, kept_links')
  }
}

test('equal databases are equal, bookkeeping and virtual tables apart', async () => {
  const tables = await compared()
  expect(tables.map(({ table, sqliteRows, postgresRows }) => [table, sqliteRows, postgresRows])).toEqual([
    ['kinds', ROWS, ROWS],
    ['links', LINKS.length, LINKS.length],
    ['loose', 3, 3],
    ['pairs', LINKS.length, LINKS.length],
  ])
  expect(tables.flatMap(({ differences }) => differences)).toEqual([])
})

describe('a planted difference is found', () => {
  test.each([
    ['boolean', 'UPDATE kinds SET flag = NOT flag WHERE id = 600', ['kinds 600 flag']],
    ['integer', 'UPDATE kinds SET big = big - 1 WHERE id = 1', ['kinds 1 big']],
    ['numeric', 'UPDATE kinds SET price = price + 0.01 WHERE id = 501', ['kinds 501 price']],
    ['double', 'UPDATE kinds SET ratio = ratio::float4 WHERE id = 4', ['kinds 4 ratio']],
    ['time', "UPDATE kinds SET at = at + interval '1 microsecond' WHERE id = 1200", ['kinds 1200 at']],
    ['zone', "UPDATE kinds SET at = at + interval '3 hours' WHERE id = 2", ['kinds 2 at']],
    [
      'document',
      `UPDATE kinds SET doc = jsonb_set(doc, '{n}', '9007199254740992') WHERE id = 9`,
      ['kinds 9 doc'],
    ],
    ['bytes', "UPDATE kinds SET bytes = bytes || '\\x00' WHERE id = 10", ['kinds 10 bytes']],
    ['text', "UPDATE kinds SET words = replace(words, '\\N', 'N') WHERE id = 11", ['kinds 11 words']],
    ['NULL', 'UPDATE kinds SET words = NULL WHERE id = 12', ['kinds 12 words']],
    ['not NULL', "UPDATE kinds SET words = '' WHERE id = 14", ['kinds 14 words']],
    ['first row gone', 'DELETE FROM kinds WHERE id = 1', ['kinds 1']],
    ['last row gone', 'DELETE FROM kinds WHERE id = 1200', ['kinds 1200']],
    ['rows at a fetch gone', 'DELETE FROM kinds WHERE id IN (500, 501)', ['kinds 500', 'kinds 501']],
    ['a row too many', 'INSERT INTO kinds (id) VALUES (0), (5000)', ['kinds 0', 'kinds 5000']],
    ['another key', 'UPDATE kinds SET id = 7000 WHERE id = 7', ['kinds 7', 'kinds 7000']],
    ['case of a key', "UPDATE links SET link = 'zeta2' WHERE link = 'Zeta2'", ['links Zeta2', 'links zeta2']],
    ['text key', "UPDATE links SET note = 'x' WHERE link = 'ёж'", ['links ёж note']],
    ['an empty table', 'DELETE FROM links', LINKS.map((link) => `links ${link}`)],
  ])('%s', async (_kind, statement, expected) => {
    expect((await planted(statement)).sort()).toEqual([...expected].sort())
  })

  test('all are counted, a few are described', async () => {
    await client.query('CREATE TABLE kept AS TABLE kinds; UPDATE kinds SET flag = NULL')
    const [kinds] = await compareDatabases({
      sqlite: path,
      postgresUrl: database.url,
      schema: 'public',
      tables: ['kinds'],
      describe: 3,
    })
    await client.query('TRUNCATE kinds; INSERT INTO kinds TABLE kept; DROP TABLE kept')
    expect(kinds).toMatchObject({ different: ROWS, sqliteRows: ROWS, postgresRows: ROWS })
    expect(kinds!.differences).toHaveLength(3)
    expect(kinds!.differences[0]).toEqual({ key: '1', column: 'flag', sqlite: '1', postgres: 'NULL' })
  })

  test('a table that is not there is said', async () => {
    await client.query('ALTER TABLE links RENAME TO elsewhere')
    await expect(compared()).rejects.toThrow(/links/)
    await client.query('ALTER TABLE elsewhere RENAME TO links')
  })
})
