/** The codec table on a real SQLite: what it lets through, character by character, and what it refuses. */
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { copyField, copyLine } from '../../src/core/codec.ts'

const database = new Database(':memory:')
database.defaultSafeIntegers(true)

type Value = bigint | number | string | Buffer | null

function encode(type: string, value: Value): unknown {
  return database
    .prepare(`SELECT ${copyField({ type }, 'x')} FROM (SELECT ? AS x)`)
    .pluck()
    .get(value)
}

const text = (type: string, value: Value): string | null => {
  const encoded = encode(type, value)
  return encoded === null ? null : String(encoded)
}

test('NULL is \\N in every type', () => {
  for (const type of ['bigint', 'text', 'bytea', 'boolean', 'numeric(10,2)', 'jsonb', 'inet']) {
    expect(text(type, null)).toBe('\\N')
  }
})

describe('what fits', () => {
  const cases: [string, Value, string][] = [
    ['smallint', 32767n, '32767'],
    ['integer', -2147483648n, '-2147483648'],
    ['bigint', 9223372036854775807n, '9223372036854775807'],
    ['bigint', -9223372036854775808n, '-9223372036854775808'],
    ['double precision', 0.1 + 0.2, '0.30000000000000004'],
    ['double precision', 5e-324, '4.9406564584124654e-324'],
    ['double precision', Number.POSITIVE_INFINITY, 'Inf'],
    ['double precision', 9007199254740992n, '9007199254740992'],
    ['numeric', 0.99, '0.99'],
    ['numeric(10,2)', 0.99, '0.99'],
    ['numeric(10,2)', 5n, '5'],
    ['numeric(10,2)', 2.5, '2.5'],
    ['numeric(3,0)', 5.0, '5'],
    ['boolean', 0n, 'f'],
    ['boolean', 1n, 't'],
    ['text', 'a\tb\nc\rd\\e', 'a\\tb\\nc\\rd\\\\e'],
    ['text', '', ''],
    ['text', 'Привет 🚀', 'Привет 🚀'],
    ['character varying(3)', 'abc', 'abc'],
    ['bytea', Buffer.from([0, 255]), '\\\\x00FF'],
    ['bytea', 'é', '\\\\xC3A9'],
    ['date', '2024-02-29', '2024-02-29'],
    ['time without time zone', '23:59:59.123456', '23:59:59.123456'],
    ['timestamp without time zone', '2024-02-29 23:59:59', '2024-02-29 23:59:59'],
    ['timestamp without time zone', '2024-02-29T23:59:59.123456', '2024-02-29T23:59:59.123456'],
    ['timestamp without time zone', '2024-02-29 23:59', '2024-02-29 23:59'],
    ['timestamp with time zone', '2024-02-29T23:59:59.5Z', '2024-02-29T23:59:59.5Z'],
    ['timestamp with time zone', '2024-02-29 23:59:59+03:00', '2024-02-29 23:59:59+03:00'],
    ['timestamp with time zone', '2024-02-29 23:59:59 +0300', '2024-02-29 23:59:59 +0300'],
    ['timestamp with time zone', '0001-01-01 00:00:00+00:00', '0001-01-01 00:00:00+00:00'],
    ['uuid', '0f8fad5b-d9cb-469f-a165-70867728950e', '0f8fad5b-d9cb-469f-a165-70867728950e'],
    ['jsonb', '{"a": "b\\n"}', '{"a": "b\\\\n"}'],
    ['inet', '10.0.0.1/8', '10.0.0.1/8'],
  ]
  test.each(cases)('%s takes %s', (type, value, expected) => {
    expect(text(type, value)).toBe(expected)
  })
})

describe('what does not fit is NULL, never another value', () => {
  const cases: [string, Value][] = [
    ['smallint', 32768n],
    ['integer', 2147483648n],
    ['bigint', 1.5],
    ['bigint', '7'],
    ['bigint', 1e20],
    ['double precision', 9007199254740993n],
    ['double precision', '1.5'],
    ['numeric(10,2)', 0.999],
    ['numeric(4,2)', 123n],
    ['numeric', 'abc'],
    ['boolean', 2n],
    ['boolean', 'true'],
    ['text', Buffer.from('a')],
    ['character varying(3)', 'abcd'],
    ['character(3)', 'ab'],
    ['date', '2024-02-30'],
    ['date', '0000-00-00'],
    ['date', '2024-02-29 00:00:00'],
    ['date', 'now'],
    ['time without time zone', '24:00:00'],
    ['time without time zone', '23:59:60'],
    ['timestamp without time zone', '2024-02-30 00:00:00'],
    ['timestamp without time zone', '2024-02-28 24:00:00'],
    ['timestamp without time zone', '2024-02-28 00:00:60'],
    ['timestamp without time zone', '2024-02-28 00:00:00.1234567'],
    ['timestamp without time zone', '2024-02-28 00:00:00Z'],
    ['timestamp without time zone', 'infinity'],
    ['timestamp without time zone', 1709164800n],
    ['timestamp with time zone', '2024-02-28 00:00:00.999999999Z'],
    ['timestamp with time zone', 'today'],
    ['uuid', 'nonsense'],
    ['jsonb', '{"a": "\\u0000"}'],
    ['jsonb', '{a: 1}'],
    ['interval', 'now'],
    ['inet', Buffer.from('x')],
  ]
  test.each(cases)('%s refuses %s', (type, value) => {
    expect(encode(type, value)).toBeNull()
  })
})

test('NUL bytes pass through the encoding, for the block check to find', () => {
  const line = database
    .prepare(`SELECT CAST(${copyField({ type: 'text' }, 'x')} AS BLOB) FROM (SELECT ? AS x)`)
    .pluck()
  expect(line.get('a\0b')).toEqual(Buffer.from('a\0b'))
})

test('a line of 500 columns stays within the depth that SQLite allows', () => {
  const fields = Array.from({ length: 500 }, (_, index) => `'${index}'`)
  const line = database
    .prepare(`SELECT ${copyLine(fields)}`)
    .pluck()
    .get()
  expect(line).toBe(fields.map((field) => field.slice(1, -1)).join('\t'))
})

test('one misfit makes the whole line NULL', () => {
  const line = copyLine([copyField({ type: 'bigint' }, 'a'), copyField({ type: 'bigint' }, 'b')])
  const get = database.prepare(`SELECT ${line} FROM (SELECT ? AS a, ? AS b)`).pluck()
  expect(get.get(1n, 2n)).toBe('1\t2')
  expect(get.get(1n, 'x')).toBeNull()
})
