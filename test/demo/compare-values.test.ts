import { expect, test } from 'vitest'
import { canonicalJson, microseconds, type SqliteValue, sameValue } from '../../src/demo/compare-values.ts'

const OID = { bool: 16, bytea: 17, int8: 20, text: 25, json: 114, float4: 700, float8: 701, date: 1082 }
const MORE = { timestamp: 1114, timestamptz: 1184, numeric: 1700, uuid: 2950, jsonb: 3802 }
const oids = { ...OID, ...MORE }

const NULL: SqliteValue = { type: 'null' }
const int = (value: bigint): SqliteValue => ({ type: 'integer', value })
const real = (value: number): SqliteValue => ({ type: 'real', value })
const text = (value: string): SqliteValue => ({ type: 'text', value: Buffer.from(value) })
const blob = (hex: string): SqliteValue => ({ type: 'blob', value: Buffer.from(hex, 'hex') })

test.each<[SqliteValue, string | null, keyof typeof oids]>([
  [NULL, null, 'text'],
  [int(1n), 't', 'bool'],
  [int(0n), 'f', 'bool'],
  [real(1), 't', 'bool'],
  [int(9007199254740993n), '9007199254740993', 'int8'],
  [int(-5n), '-5.00', 'numeric'],
  [int(3n), '3', 'float8'],
  [int(5n), '5', 'text'],
  [real(0.1 + 0.2), '0.30000000000000004', 'float8'],
  [real(0.99), '0.99', 'numeric'],
  [real(2), '2', 'int8'],
  [real(Number.POSITIVE_INFINITY), 'Infinity', 'float8'],
  [real(1e300), '1e+300', 'float8'],
  [text(''), '', 'text'],
  [text('ёж 👩‍👩‍👧‍👦\t\\N\r\n'), 'ёж 👩‍👩‍👧‍👦\t\\N\r\n', 'text'],
  [text('a\0b'), 'a\0b', 'text'],
  [text('2026-03-01T10:20:30.123Z'), '2026-03-01 10:20:30.123+00', 'timestamptz'],
  [text('2026-03-01T13:20:30+03:00'), '2026-03-01 10:20:30+00', 'timestamptz'],
  [text('2026-03-01 10:20'), '2026-03-01 10:20:00+00', 'timestamptz'],
  [text('2026-03-01 10:20:30.123456'), '2026-03-01 10:20:30.123456', 'timestamp'],
  [text('0001-01-01 00:00:00+00:00'), '0001-01-01 00:00:00+00', 'timestamptz'],
  [text('2026-03-01'), '2026-03-01', 'date'],
  [text('{"a": 1.0, "b": [9007199254740993]}'), '{"b": [9007199254740993], "a": 1}', 'jsonb'],
  [int(17n), '17', 'jsonb'],
  [text('12.50'), '12.5', 'numeric'],
  [blob('00ff5c'), '\\x00ff5c', 'bytea'],
  [blob(''), '\\x', 'bytea'],
])('%o and %o as %s are the same', (sqlite, postgres, type) => {
  expect(sameValue(sqlite, postgres, oids[type])).toBe(true)
})

test.each<[SqliteValue, string | null, keyof typeof oids]>([
  [NULL, '', 'text'],
  [text(''), null, 'text'],
  [NULL, 'null', 'jsonb'],
  [int(1n), 'f', 'bool'],
  [int(2n), 't', 'bool'],
  [real(0.5), 'f', 'bool'],
  [text('1'), 't', 'bool'],
  [int(9007199254740993n), '9007199254740992', 'int8'],
  [int(9007199254740993n), '9007199254740992', 'float8'],
  [real(0.1 + 0.2), '0.3', 'float8'],
  [real(0.1), '0.1', 'float4'],
  [real(2.5), '2', 'int8'],
  [real(-0), '0', 'float8'],
  [text('5'), '5', 'int8'],
  [text('a'), 'A', 'text'],
  [text('e\u0301'), '\u00e9', 'text'],
  [text('a '), 'a', 'text'],
  [{ type: 'text', value: Buffer.from([0x61, 0xff]) }, 'a\ufffd', 'text'],
  [text('2026-03-01T10:20:30.123Z'), '2026-03-01 10:20:30.124+00', 'timestamptz'],
  [text('2026-03-01T10:20:30.1234567Z'), '2026-03-01 10:20:30.123457+00', 'timestamptz'],
  [text('2026-03-01T10:20:30+03:00'), '2026-03-01 10:20:30+00', 'timestamptz'],
  [text('2026-02-30T00:00:00Z'), '2026-03-02 00:00:00+00', 'timestamptz'],
  [text('now'), '2026-03-01 10:20:30+00', 'timestamptz'],
  [text('{"a": 9007199254740993}'), '{"a": 9007199254740992}', 'jsonb'],
  [text('{"a": [1, 2]}'), '{"a": [2, 1]}', 'jsonb'],
  [text('not json'), '"not json"', 'jsonb'],
  [text('\\x00'), '\\x00', 'bytea'],
  [blob('00'), '\\x01', 'bytea'],
  [blob('61'), 'a', 'text'],
])('%o and %o as %s differ', (sqlite, postgres, type) => {
  expect(sameValue(sqlite, postgres, oids[type])).toBe(false)
})

test('an instant is told to the microsecond, before the common era too', () => {
  expect(microseconds('1970-01-01T00:00:00.000001Z')).toBe(1n)
  expect(microseconds('0001-12-31 00:00:00+00 BC')).toBe(
    microseconds('0001-01-01 00:00:00+00')! - 86_400_000_000n,
  )
  expect(microseconds('2026-03-01T10:20:30-05:30')).toBe(microseconds('2026-03-01T15:50:30Z'))
  expect(microseconds('tomorrow')).toBeUndefined()
})

test('JSON keeps what means something and no more', () => {
  expect(canonicalJson('{"b":1e2,"a":"\\u00e9"}')).toBe(canonicalJson(' {"a":"é", "b":100.0} '))
  expect(canonicalJson('{"a":null}')).not.toBe(canonicalJson('{}'))
  expect(canonicalJson('"1"')).not.toBe(canonicalJson('1'))
  expect(canonicalJson('{"__proto__":1}')).not.toBe(canonicalJson('{}'))
})
