import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { compare } from './compare.ts'
import { Workspace } from './daemon.ts'
import { dump } from './dump.ts'
import { execute } from './foreign.ts'
import { createDatabase } from './postgres.ts'

// The judge of all other tests is judged here: planted differences must be found, and only those.

const SOURCE = [
  `CREATE TABLE everything (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, ok BOOLEAN, at DATETIME,
     price NUMERIC, meta TEXT, anything)`,
  `INSERT INTO everything VALUES
     (1, 9007199254740993, 0.1 + 0.2, 'plain', x'00ff', 1, '2024-02-29 12:00:00.123456', 1.10, '{"b":1,"a":[1.0]}', 7),
     (2, -9223372036854775808, 1e308, 'таб' || char(9) || '\\N', x'', 0, '2024-02-29T15:00:00+03:00', 12, '[]', 'x'),
     (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
  'CREATE TABLE names (name TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
  `INSERT INTO names VALUES ('abc', 1), ('Xyz', 2)`,
  'CREATE TABLE bag (a INTEGER, b TEXT)',
  `INSERT INTO bag VALUES (1, 'x'), (1, 'x'), (2, NULL)`,
  'CREATE TABLE _slipway_changelog (seq INTEGER PRIMARY KEY)',
]

const TARGET = `
  CREATE TABLE everything (id bigint PRIMARY KEY, i bigint, r double precision, t text, b bytea, ok boolean,
    at timestamptz, price numeric, meta jsonb, anything text);
  INSERT INTO everything VALUES
    (1, 9007199254740993, 0.1::float8 + 0.2::float8, 'plain', '\\x00ff', true, '2024-02-29 12:00:00.123456Z', 1.1,
      '{"a":[1],"b":1.0}', '7'),
    (2, -9223372036854775808, 1e308, E'таб\\t\\\\N', '', false, '2024-02-29 12:00:00Z', 12.00, '[]', 'x'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  CREATE TABLE names (name text PRIMARY KEY, n bigint);
  INSERT INTO names VALUES ('abc', 1), ('Xyz', 2);
  CREATE TABLE bag (_slipway_rowid bigint, a bigint, b text);
  INSERT INTO bag VALUES (7, 1, 'x'), (8, 2, NULL), (9, 1, 'x');
`

describe('the independent comparison', () => {
  const planted: [what: string, sql: string, where: string | undefined][] = [
    ['nothing', 'SELECT 1', undefined],
    ['an integer beyond 2^53', 'UPDATE everything SET i = i - 1 WHERE id = 1', 'everything[integer 1].i'],
    ['the last bit of a double', 'UPDATE everything SET r = 0.3 WHERE id = 1', 'everything[integer 1].r'],
    ['a byte of a text', `UPDATE everything SET t = 'plaiN' WHERE id = 1`, 'everything[integer 1].t'],
    ['an empty text for NULL', `UPDATE everything SET t = '' WHERE id = 3`, 'everything[integer 3].t'],
    ['NULL for an empty BLOB', 'UPDATE everything SET b = NULL WHERE id = 2', 'everything[integer 2].b'],
    ['a boolean', 'UPDATE everything SET ok = NOT ok WHERE id = 1', 'everything[integer 1].ok'],
    [
      'a microsecond',
      `UPDATE everything SET at = at + interval '1 microsecond' WHERE id = 2`,
      'everything[integer 2].at',
    ],
    [
      'a decimal',
      'UPDATE everything SET price = 1.10000000000000001 WHERE id = 1',
      'everything[integer 1].price',
    ],
    [
      'a JSON value',
      `UPDATE everything SET meta = '{"a":[1],"b":2}' WHERE id = 1`,
      'everything[integer 1].meta',
    ],
    ['a missing row', 'DELETE FROM everything WHERE id = 2', 'everything[integer 2]'],
    ['an extra row', 'INSERT INTO everything (id) VALUES (4)', 'everything[integer 4]'],
    ['another case of a NOCASE key', `UPDATE names SET name = 'ABC' WHERE n = 1`, 'names[text "abc"]'],
    ['one of two equal rows', 'DELETE FROM bag WHERE _slipway_rowid = 9', 'bag[integer 1 | text "x"]'],
    ['one equal row too many', 'INSERT INTO bag VALUES (10, 2, NULL)', 'bag[integer 2 | NULL]'],
    ['a missing column', 'ALTER TABLE everything DROP COLUMN anything', 'everything[].anything'],
    ['a missing table', 'DROP TABLE bag', 'bag[]'],
  ]

  test.for(planted)('finds %s', async ([, sql, where]) => {
    await using database = await createDatabase()
    using own = new Workspace()
    const path = own.file('source.db')
    await execute(path, SOURCE)
    const client = await database.connect()
    await client.query(TARGET)
    await client.query(sql)
    const result = await compare({ sqlitePath: path, postgresUrl: database.url })
    const found = result.differences.map(
      (d) => `${d.table}[${d.key}]${d.column === undefined ? '' : `.${d.column}`}`,
    )
    if (where === undefined) {
      expect(found).toEqual([])
      expect(result).toMatchObject({ equal: true, tables: 3, rows: 8 })
    } else {
      expect(result.equal).toBe(false)
      expect(found).toContain(where)
    }
  })
})

describe('the logical dump', () => {
  test('is the same for the same file and tells every change', async () => {
    using workspace = new Workspace()
    const path = workspace.file('source.db')
    await execute(path, SOURCE)
    const before = dump(path)
    expect(dump(path)).toEqual(before)
    expect(before.schema).toHaveLength(5)
    for (const change of [
      'UPDATE everything SET r = 0.3 WHERE id = 1',
      'UPDATE everything SET anything = 7.0 WHERE id = 1',
      'UPDATE bag SET rowid = 17 WHERE rowid = 3',
      'CREATE INDEX bag_a ON bag (a)',
      'PRAGMA user_version = 7',
    ]) {
      const database = new Database(path)
      const earlier = dump(path)
      database.exec(change)
      database.close()
      expect(dump(path), change).not.toEqual(earlier)
    }
  })
})
