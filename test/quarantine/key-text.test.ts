import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeKey, type KeyValue, showKey } from '../../src/core/key.ts'
import type { KeyColumn, TableSpec } from '../../src/core/table.ts'
import { decodedSql, keyTextSql, shownKeySql } from '../../src/postgres/key-text.ts'
import { REFUSAL } from '../../src/postgres/sift.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

// One text names a row on both sides: SQLite's reader writes it by core/key.ts, PostgreSQL by an expression.

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await createDatabase()
  client = await database.connect()
  await client.query(REFUSAL)
})
afterAll(() => database.drop())

function spec(...types: string[]): TableSpec {
  const columns = types.map((type, i): KeyColumn => ({ name: `k${i}`, target: `k${i}`, type }))
  return {
    name: 't',
    schema: 'public',
    target: 't',
    key: { kind: 'primary', columns },
    columns: [],
    rowid: undefined,
    owned: false,
  }
}

/** The key as PostgreSQL writes it, for people, and what it makes of that text again. */
async function ask(
  types: string[],
  values: unknown[],
): Promise<{ key: string; shown: string; back: boolean }> {
  const table = spec(...types)
  const columns = types.map((type, i) => `$${i + 1}::${type} AS k${i}`).join(', ')
  const same = decodedSql(table.key.columns, 'e.key').map((sql, i) => `(${sql}) = e.k${i}`)
  const { rows } = await client.query(
    `SELECT e.key, e.shown, coalesce(${same.join(' AND ')}, false) AS back FROM (
       SELECT s.*, ${keyTextSql(table, 's')} AS key, ${shownKeySql(table, 's')} AS shown FROM (SELECT ${columns}) s) e`,
    values,
  )
  return rows[0]
}

function shown(types: string[], key: string): string {
  return showKey(spec(...types).key.columns, key)
}

/** Text that PostgreSQL and a valid UTF-8 file can hold. */
const text = fc
  .string({ unit: 'binary', maxLength: 40 })
  .filter((value) => !value.includes('\0') && value.isWellFormed())

test('integers, up to the ends of their range', async () => {
  const values: [string, bigint][] = [
    ['smallint', -32768n],
    ['integer', 2147483647n],
    ['bigint', 0n],
    ['bigint', 9223372036854775807n],
    ['bigint', -9223372036854775808n],
  ]
  for (const [type, value] of values) {
    const key = encodeKey([value])
    expect(await ask([type], [value]), type).toEqual({ key, shown: shown([type], key), back: true })
  }
})

test('any text: quotes, backslashes, control characters, characters beyond 16 bits', async () => {
  const awkward = [
    '',
    '"',
    '\\',
    '\\u0000',
    "it's",
    '\b\f\n\r\t\u000b\u001f\u007f',
    '\u2028\u2029',
    '😀',
    'ſß',
    '\\\\"',
  ]
  await fc.assert(
    fc.asyncProperty(fc.oneof(text, fc.constantFrom(...awkward)), text, async (a, b) => {
      const key = encodeKey([a, b])
      const answer = await ask(['text', 'character varying(60)'], [a, b])
      expect(answer.key).toBe(key)
      expect(answer.back).toBe(true)
      if (/^[\x20-\x7e]*$/.test(a + b)) expect(answer.shown).toBe(shown(['text', 'text'], key))
    }),
    { numRuns: 200 },
  )
})

test('doubles, by their bytes', async () => {
  const edges = [
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1.7976931348623157e308,
    0.1 + 0.2,
    1,
    -1,
  ]
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(...edges, Infinity, -Infinity)),
      async (value) => {
        fc.pre(!Object.is(value, -0))
        const answer = await ask(['double precision'], [String(value)])
        expect(answer.key).toBe(encodeKey([value]))
        expect(answer.back).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
})

test('numeric: 1 and 1.0 are two keys of SQLite', async () => {
  const values: [string, KeyValue][] = [
    ['1', 1n],
    ['1.0', 1],
    ['0.5', 0.5],
    ['9223372036854775807', 9223372036854775807n],
    ['1.0e+20', 1e20],
    ['-12.25', -12.25],
  ]
  for (const [written, value] of values)
    expect(await ask(['numeric'], [written]), written).toMatchObject({ key: encodeKey([value]), back: true })
  expect(await ask(['numeric(10,2)'], ['7'])).toMatchObject({ key: encodeKey([7n]) })
})

test('bytes, booleans, dates, UUIDs, and several columns', async () => {
  const bytes = Buffer.from([0, 1, 0xff])
  const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
  const all = await ask(['bytea', 'boolean', 'date', 'uuid', 'integer'], [bytes, true, '2024-02-29', uuid, 7])
  const key = encodeKey([bytes, 1n, '2024-02-29', uuid, 7n])
  expect(all).toEqual({ key, shown: shown(['bytea', 'boolean', 'date', 'uuid', 'integer'], key), back: true })
})

test('a key that the column cannot hold is none of its rows', async () => {
  const misfits: [string, string][] = [
    ['integer', encodeKey([2147483648n])],
    ['bigint', encodeKey(['7'])],
    ['bigint', encodeKey([7.5])],
    ['text', encodeKey([7n])],
    ['text', encodeKey(['a\0b'])],
    ['character varying(3)', encodeKey(['abcd'])],
    ['bytea', encodeKey(['x'])],
    ['uuid', encodeKey(['nonsense'])],
    ['date', encodeKey(['2024-02-30'])],
    ['date', encodeKey(['now'])],
    ['boolean', encodeKey([2n])],
    ['double precision', encodeKey([null])],
  ]
  for (const [type, key] of misfits) {
    const [sql = ''] = decodedSql([{ type }], 'e.key')
    const { rows } = await client.query(`SELECT (${sql}) IS NULL AS none FROM unnest($1::text[]) e (key)`, [
      [key],
    ])
    expect(rows[0].none, `${type} ${key}`).toBe(true)
  }
})
