/** Defaults on both engines: what a new row gets in SQLite, sent through the codec, is what PostgreSQL gives itself. */
import Database from 'better-sqlite3'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { copyField } from '../../src/core/codec.ts'
import { translateDefault } from '../../src/core/ddl/defaults.ts'
import type { SourceColumn } from '../../src/core/source-schema.ts'
import type { ColumnSpec } from '../../src/core/table.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await createDatabase()
  client = await database.connect()
  await client.query(`SET TimeZone = 'Asia/Tokyo'`)
})

afterAll(() => database.drop())

function described(declared: string, preset: string): { column: SourceColumn; sqlite: Database.Database } {
  const sqlite = new Database(':memory:')
  sqlite.defaultSafeIntegers(true)
  // Older SQLite versions stored strings in double quotes, which this one reads from the schema alone.
  sqlite.unsafeMode(true)
  sqlite.exec(`CREATE TABLE t (c ${declared} DEFAULT ${preset.includes('"') ? `'placeholder'` : preset})`)
  if (preset.includes('"')) {
    sqlite.pragma('writable_schema = 1')
    sqlite.prepare(`UPDATE sqlite_schema SET sql = replace(sql, '''placeholder''', ?)`).run(preset)
    sqlite.pragma('writable_schema = RESET')
  }
  const column = introspect(sqlite, [], []).tables[0]?.columns[0] as SourceColumn
  return { column, sqlite }
}

function translate(declared: string, preset: string, type: string, more: Partial<ColumnSpec> = {}) {
  const { column, sqlite } = described(declared, preset)
  const spec: ColumnSpec = { name: 'c', target: 'c', type, notNull: false, ...more }
  return { result: translateDefault(column, spec), sqlite }
}

async function given(type: string, sql: string): Promise<string | null> {
  await client.query(`CREATE TEMP TABLE d (c ${type} DEFAULT ${sql}, other int)`)
  await client.query('INSERT INTO d (other) VALUES (1)')
  const { rows } = await client.query(`SELECT c::text FROM d`)
  await client.query('DROP TABLE d')
  return rows[0].c
}

describe('constants', () => {
  test.each([
    ['INTEGER', '5', 'bigint'],
    ['INTEGER', '-5', 'bigint'],
    ['INTEGER', '+5', 'bigint'],
    ['INTEGER', '(5)', 'bigint'],
    ['INTEGER', '((-5))', 'bigint'],
    ['INTEGER', `'5'`, 'bigint'],
    ['INTEGER', `'-5'`, 'integer'],
    ['INTEGER', `' 5 '`, 'bigint'],
    ['INTEGER', '5.0', 'bigint'],
    ['INTEGER', '1e3', 'bigint'],
    ['INTEGER', '0x10', 'bigint'],
    ['INTEGER', 'TRUE', 'bigint'],
    ['INTEGER', '9223372036854775807', 'bigint'],
    ['INTEGER', '-9223372036854775808', 'bigint'],
    ['REAL', '5', 'double precision'],
    ['REAL', '0.1', 'double precision'],
    ['REAL', '-1.5e-7', 'double precision'],
    ['DECIMAL(10,2)', '0.00', 'numeric'],
    ['DECIMAL(10,2)', `'12.50'`, 'numeric'],
    ['DECIMAL(10,2)', '9.99', 'numeric(10,2)'],
    ['BOOLEAN', '0', 'boolean'],
    ['BOOLEAN', '1', 'boolean'],
    ['BOOLEAN', 'TRUE', 'boolean'],
    ['BOOLEAN', 'false', 'boolean'],
    ['BOOLEAN', `'0'`, 'boolean'],
    ['TEXT', `'it''s'`, 'text'],
    ['TEXT', `''`, 'text'],
    ['TEXT', `'back\\slash'`, 'text'],
    ['TEXT', `'two\nlines'`, 'text'],
    ['TEXT', '"quoted"', 'text'],
    ['TEXT', 'pending', 'text'],
    ['TEXT', '5', 'text'],
    ['TEXT', '-5', 'text'],
    ['TEXT', '1.5', 'text'],
    ['TEXT', '2.0', 'text'],
    ['TEXT', `'NULL'`, 'text'],
    ['VARCHAR(5)', `'abc'`, 'character varying(5)'],
    ['', `'x'`, 'text'],
    ['', '5', 'text'],
    ['BLOB', `x'00ff'`, 'bytea'],
    ['BLOB', `x''`, 'bytea'],
    ['BLOB', `'é'`, 'bytea'],
    ['DATE', `'2024-02-29'`, 'date'],
    ['DATETIME', `'2024-02-29 12:30:00'`, 'timestamp without time zone'],
    ['DATETIME', `'2024-02-29T12:30:00Z'`, 'timestamp with time zone'],
    ['DATETIME', `'2024-02-29 12:30:00'`, 'timestamp with time zone'],
    ['DATETIME', `'2024-02-29 12:30:00+03:00'`, 'timestamp with time zone'],
    ['TEXT', `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`, 'uuid'],
    ['TEXT', `'{}'`, 'jsonb'],
    ['JSON', `'[1, "a"]'`, 'json'],
  ])('%s DEFAULT %s as %s', async (declared, preset, type) => {
    const { result, sqlite } = translate(declared, preset, type)
    if (!('sql' in result) || result.sql === undefined) throw new Error(JSON.stringify(result))
    sqlite.exec('INSERT INTO t DEFAULT VALUES')
    const encoded = sqlite
      .prepare(`SELECT ${copyField({ type }, 'c')} FROM t`)
      .pluck()
      .get() as string | bigint
    // In the session of slipway times are UTC; COPY's escapes are undone by hand.
    const text = String(encoded).replaceAll('\\n', '\n').replaceAll('\\\\', '\\')
    await client.query(`SET TimeZone = 'UTC'`)
    const { rows } = await client.query(`SELECT $1::text::${type}::text AS c`, [text])
    await client.query(`SET TimeZone = 'Asia/Tokyo'`)
    const answer = await given(type, result.sql)
    if (type.startsWith('timestamp with time zone')) {
      expect(Date.parse(`${answer}:00`)).toBe(Date.parse(`${rows[0].c}:00`))
    } else expect(answer).toBe(rows[0].c)
  })

  test.each([
    ['INTEGER', 'NULL', 'bigint'],
    ['TEXT', '(NULL)', 'text'],
  ])('%s DEFAULT %s is none', (declared, preset, type) => {
    expect(translate(declared, preset, type).result).toEqual({ sql: undefined })
  })

  test('by the rules of the column', async () => {
    expect(translate('BOOLEAN', `'yes'`, 'boolean', { codec: 'words' }).result).toEqual({ sql: 'true' })
    expect(translate('TEXT', `'new'`, 'state', { labels: ['new', 'old'] }).result).toEqual({ sql: `'new'` })
    expect(translate('TEXT', `'none'`, 'state', { labels: ['new', 'old'] }).result).toHaveProperty('reason')
    const epoch = translate('INTEGER', '86400000', 'timestamp without time zone', {
      codec: 'epoch_ms',
    }).result
    if (!('sql' in epoch)) throw new Error(epoch.reason)
    expect(await given('timestamp', epoch.sql ?? '')).toBe('1970-01-02 00:00:00')
    const moscow = translate('DATETIME', `'2024-01-01 03:00:00'`, 'timestamp with time zone', {
      zone: 'Europe/Moscow',
    }).result
    if (!('sql' in moscow)) throw new Error(moscow.reason)
    expect(await given('timestamptz', moscow.sql ?? '')).toBe('2024-01-01 09:00:00+09')
  })
})

describe('the current moment', () => {
  const seconds = (text: string): number => Date.parse(`${text.replace(' ', 'T').replace(/Z?$/, 'Z')}`) / 1000
  const asIs = (text: string): number => Number(text)

  test.each([
    ['TEXT', 'CURRENT_TIMESTAMP', 'text', seconds],
    ['TEXT', `(datetime('now'))`, 'text', seconds],
    ['TEXT', `(datetime())`, 'text', seconds],
    ['TEXT', `(datetime('now', 'subsec'))`, 'text', seconds],
    ['TEXT', `(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))`, 'text', seconds],
    ['TEXT', `(strftime('%Y-%m-%dT%H:%M:%SZ'))`, 'text', seconds],
    ['TEXT', `(strftime('%s', 'now'))`, 'text', asIs],
    ['INTEGER', `(strftime('%s', 'now'))`, 'bigint', asIs],
    ['INTEGER', `(CAST(strftime('%s', 'now') AS INTEGER))`, 'bigint', asIs],
    ['INTEGER', '(unixepoch())', 'bigint', asIs],
    ['INTEGER', `(unixepoch('now'))`, 'integer', asIs],
    ['INTEGER', `(unixepoch() * 1000)`, 'bigint', (text: string) => Number(text) / 1000],
    ['INTEGER', `(1000 * strftime('%s','now'))`, 'bigint', (text: string) => Number(text) / 1000],
    ['INTEGER', `(unixepoch('subsec') * 1000)`, 'bigint', (text: string) => Number(text) / 1000],
    ['DATETIME', 'CURRENT_TIMESTAMP', 'timestamp without time zone', seconds],
    ['DATETIME', `(datetime('now'))`, 'timestamp without time zone', seconds],
    [
      'DATETIME',
      'CURRENT_TIMESTAMP',
      'timestamp with time zone',
      (text: string) => Date.parse(`${text}:00`) / 1000,
    ],
  ] as const)('%s DEFAULT %s as %s', async (declared, preset, type, read) => {
    const { result, sqlite } = translate(declared, preset, type)
    if (!('sql' in result) || result.sql === undefined) throw new Error(JSON.stringify(result))
    sqlite.exec('INSERT INTO t DEFAULT VALUES')
    const left = String(sqlite.prepare('SELECT c FROM t').pluck().get())
    const answer = (await given(type, result.sql)) ?? ''
    const scale = /1000/.test(preset) ? 1000 : 1
    const expected = /^\d+(\.\d+)?$/.test(left) ? Number(left) / scale : seconds(left)
    expect(Math.abs(read(answer) - expected)).toBeLessThan(30)
    // The same shape of text: what parses the one parses the other.
    if (type === 'text') expect(answer.replace(/\d/g, '0')).toBe(left.replace(/\d/g, '0'))
  })

  test.each([
    ['DATE', 'CURRENT_DATE', 'date', /^\d{4}-\d\d-\d\d$/],
    ['TEXT', `(date('now'))`, 'text', /^\d{4}-\d\d-\d\d$/],
    ['TEXT', 'CURRENT_TIME', 'text', /^\d\d:\d\d:\d\d$/],
    ['TIME', `(time('now'))`, 'time without time zone', /^\d\d:\d\d:\d\d/],
    ['INTEGER', `(strftime('%Y%m%d', 'now'))`, 'bigint', /^20\d{6}$/],
    ['TEXT', `(strftime('week of %d/%m, 100%%'))`, 'text', /^week of \d\d\/\d\d, 100%$/],
  ] as const)('%s DEFAULT %s as %s is in UTC', async (declared, preset, type, pattern) => {
    const { result } = translate(declared, preset, type)
    if (!('sql' in result) || result.sql === undefined) throw new Error(JSON.stringify(result))
    expect(await given(type, result.sql)).toMatch(pattern)
    expect(result.sql).not.toMatch(/CURRENT_/)
  })
})

describe('left out, with the reason', () => {
  test.each([
    ['INTEGER', '(random())', 'bigint', /random\(\)/, /floor\(random/],
    ['TEXT', '(lower(hex(randomblob(16))))', 'text', /random values/, /gen_random_uuid/],
    ['TEXT', `(datetime('now', 'localtime'))`, 'text', /local time/, /zone/],
    ['TEXT', `(datetime('now', '+1 day'))`, 'text', /no certain counterpart/, undefined],
    ['TEXT', `(strftime('%J', 'now'))`, 'text', /no certain counterpart/, undefined],
    ['TEXT', `('a' || 'b')`, 'text', /no certain counterpart/, undefined],
    ['INTEGER', `'abc'`, 'bigint', /does not fit bigint/, undefined],
    ['INTEGER', '2147483648', 'integer', /does not fit integer/, undefined],
    ['BOOLEAN', '2', 'boolean', /does not fit boolean/, undefined],
    ['DATETIME', `'0000-00-00 00:00:00'`, 'timestamp without time zone', /does not fit/, undefined],
    ['DATE', `'2024-02-30'`, 'date', /does not fit/, undefined],
    ['DATE', `'now'`, 'date', /does not fit/, undefined],
    ['TEXT', `'nothing'`, 'uuid', /does not fit uuid/, undefined],
    ['TEXT', `'{'`, 'jsonb', /does not fit jsonb/, undefined],
    ['VARCHAR(3)', `'abcd'`, 'character varying(3)', /does not fit/, undefined],
    ['DATE', 'CURRENT_TIMESTAMP', 'date', /no place/, undefined],
  ] as const)('%s DEFAULT %s as %s', (declared, preset, type, reason, suggestion) => {
    const { result } = translate(declared, preset, type)
    if (!('reason' in result)) throw new Error(`translated to ${result.sql}`)
    expect(result.reason).toMatch(reason)
    if (suggestion === undefined) expect(result.suggestion).toBeUndefined()
    else expect(result.suggestion).toMatch(suggestion)
  })
})
