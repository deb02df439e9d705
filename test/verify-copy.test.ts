/**
 * What proves a copy that was made once, or rehearsed: every value of every table, under whatever names, with and
 * without a key. A corrupted copy is named by key and column.
 */
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import type { Failure } from '../src/core/errors.ts'
import type { TableSpec } from '../src/core/table.ts'
import { Connection } from '../src/postgres/connection.ts'
import { ChunkReader } from '../src/sqlite/chunks.ts'
import { registerFunctions } from '../src/sqlite/functions.ts'
import { ReaderGate } from '../src/sqlite/reader-gate.ts'
import { refuseDifferences, verifyCopy } from '../src/wiring/verify-copy.ts'
import { createDatabase } from './support/postgres.ts'

function spec(
  name: string,
  target: string,
  columns: readonly (readonly [string, string, string])[],
  more: Partial<TableSpec>,
): TableSpec {
  return {
    name,
    schema: 'public',
    target,
    key: { kind: 'primary', columns: [] },
    columns: columns.map(([from, to, type]) => ({ name: from, target: to, type, notNull: false })),
    rowid: 'rowid',
    owned: false,
    ...more,
  }
}

const TABLES: readonly TableSpec[] = [
  spec(
    'Album',
    'album',
    [
      ['AlbumId', 'album_id', 'bigint'],
      ['Title', 'title', 'text'],
      ['Price', 'unit_price', 'double precision'],
    ],
    {
      key: { kind: 'primary', columns: [{ name: 'AlbumId', target: 'album_id', type: 'bigint' }] },
      scansByKey: true,
    },
  ),
  spec(
    'Code',
    'codes',
    [
      ['code', 'the_code', 'text'],
      ['v', 'v', 'bytea'],
    ],
    { key: { kind: 'primary', columns: [{ name: 'code', target: 'the_code', type: 'text' }] } },
  ),
  spec('bag', 'bags', [['a', 'b', 'text']], {
    key: { kind: 'rowid', columns: [{ name: 'rowid', target: '_slipway_rowid', type: 'bigint' }] },
    scansByKey: true,
  }),
]

test('names each row and column that differs, whatever they are called on the other side', async () => {
  const sqlite = new Database(':memory:')
  sqlite.defaultSafeIntegers(true)
  registerFunctions(sqlite)
  sqlite.exec(`
    CREATE TABLE Album (AlbumId INTEGER PRIMARY KEY, Title TEXT, Price REAL);
    CREATE TABLE Code (code TEXT PRIMARY KEY, v BLOB);
    CREATE TABLE bag (a TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
      INSERT INTO Album SELECT i, 'album ' || i, i / 8.0 FROM n;
    INSERT INTO Code SELECT 'c' || AlbumId, CAST(Title AS BLOB) FROM Album;
    INSERT INTO bag SELECT 'same' FROM Album;`)
  await using database = await createDatabase()
  const client = await database.connect()
  await client.query(`
    CREATE TABLE album (album_id bigint PRIMARY KEY, title text, unit_price float8);
    CREATE TABLE codes (the_code text PRIMARY KEY, v bytea);
    CREATE TABLE bags (b text, _slipway_rowid bigint);
    INSERT INTO album SELECT i, 'album ' || i, i / 8.0 FROM generate_series(1, 50) i;
    INSERT INTO codes SELECT 'c' || album_id, convert_to(title, 'UTF8') FROM album;
    INSERT INTO bags SELECT 'same', album_id FROM album;`)
  const connection = new Connection(database.url, 'test')
  const chunks = new ChunkReader(sqlite, {
    path: ':memory:',
    gate: new ReaderGate(':memory:', Number.POSITIVE_INFINITY),
    encoding: 'UTF-8',
    chunkRows: 7,
    captured: false,
  })
  const { signal } = new AbortController()
  const verify = () => verifyCopy({ connection, database: sqlite, chunks, tables: TABLES, signal })
  try {
    const clean = await verify()
    expect(clean.map(({ compared }) => compared.rows)).toEqual([50, 50, 50])
    expect(() => refuseDifferences(clean, '')).not.toThrow()

    await client.query(`
      UPDATE album SET title = 'Album 3' WHERE album_id = 3;
      UPDATE album SET unit_price = unit_price + 1e-13 WHERE album_id = 4;
      DELETE FROM album WHERE album_id = 50;
      INSERT INTO album VALUES (-1, 'extra', 0), (99, 'extra', 0);
      UPDATE codes SET v = '\\x00' WHERE the_code = 'c9';
      DELETE FROM codes WHERE the_code = 'c10';
      INSERT INTO codes VALUES ('C10', NULL);
      UPDATE bags SET b = NULL WHERE _slipway_rowid = 7;
      DELETE FROM bags WHERE _slipway_rowid = 8;
      INSERT INTO bags VALUES ('extra', 60), ('extra', 61);`)
    const found = await verify()
    const told = found.flatMap(({ compared }) =>
      compared.samples.map(({ table, key, kind, columns }) =>
        `${table} ${key} ${kind} ${columns.map(({ column }) => column)}`.trim(),
      ),
    )
    expect(told.sort()).toEqual([
      'Album AlbumId=-1 extra',
      'Album AlbumId=3 different Title',
      'Album AlbumId=4 different Price',
      'Album AlbumId=50 missing',
      'Album AlbumId=99 extra',
      `Code code='C10' extra`,
      `Code code='c10' missing`,
      `Code code='c9' different v`,
      'bag rowid=60 extra',
      'bag rowid=61 extra',
      'bag rowid=7 different a',
      'bag rowid=8 missing',
    ])
    let failure: Failure | undefined
    try {
      refuseDifferences(found, 'Do not use it.')
    } catch (error) {
      failure = error as Failure
    }
    expect(failure).toMatchObject({ code: 'not_equal', exit: 1, remedy: 'Do not use it.' })
    expect(failure?.message).toMatch(/Album \(5\), Code \(3\), bag \(4\)/)
    expect(failure?.message).toMatch(/Title is 'album 3' and became 'Album 3'/)
  } finally {
    await connection.close()
    sqlite.close()
  }
})
