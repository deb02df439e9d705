/** What a plan may ask of the codecs: transforms, keys, rules that are none. */
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  codecsFor,
  copyField,
  copyLine,
  isGeneric,
  isKeyType,
  keyField,
  ruleProblem,
  transformsFor,
} from '../../src/core/codec.ts'
import type { ColumnRule, Transform } from '../../src/core/table.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'
import { anyValue, EDGES } from '../codec/values.ts'

type Value = bigint | number | string | Buffer | { readonly text: Buffer } | null

const database = new Database(':memory:')
database.defaultSafeIntegers(true)
registerFunctions(database)

function runBytes(sql: (x: string) => string, value: Value): Buffer | null {
  const given = value !== null && typeof value === 'object' && 'text' in value
  return database
    .prepare(`SELECT CAST(${sql('x')} AS BLOB) FROM (SELECT ${given ? 'CAST(? AS TEXT)' : '?'} AS x)`)
    .pluck()
    .get(given ? value.text : value) as Buffer | null
}

const run = (sql: (x: string) => string, value: Value): string | null =>
  runBytes(sql, value)?.toString() ?? null

const field = (rule: ColumnRule, value: Value): string | null => run((x) => copyField(rule, x), value)
const text = (bytes: string): Value => ({ text: Buffer.from(bytes, 'latin1') })

describe('transforms', () => {
  const TS = 'timestamp without time zone'
  const cases: [string, readonly Transform[], Value, string | null, ColumnRule['codec']?][] = [
    ['text', ['strip_nul'], 'a\0b\0', 'ab'],
    ['text', ['strip_nul'], 'ab', 'ab'],
    // Bytes that are no UTF-8 stay what they are: another transform's business.
    ['text', ['strip_nul', 'replace_invalid_utf8'], text('a\0\xffb'), 'a\ufffdb'],
    ['text', ['replace_invalid_utf8'], text('\xc3\xa9\xed\xa0\x80'), 'é\ufffd\ufffd\ufffd'],
    ['text', ['replace_invalid_utf8'], 7n, '7'],
    ['text', ['trim'], ' \t a b\r\n ', 'a b'],
    ['text', ['trim', 'empty_as_null'], '  ', '\\N'],
    ['text', ['empty_as_null'], '', '\\N'],
    ['text', ['empty_as_null'], '\0', '\0'],
    ['bigint', ['empty_as_null'], '', '\\N'],
    ['bigint', ['empty_as_null'], 'x', null],
    ['jsonb', ['strip_json_nul'], '{"a":"x\\u0000y"}', '{"a":"xy"}'],
    ['jsonb', ['strip_json_nul'], '{"a":"\\\\u0000"}', '{"a":"\\\\\\\\u0000"}'],
    ['jsonb', ['strip_json_nul'], '{"a":"\\\\\\u0000"}', '{"a":"\\\\\\\\"}'],
    ['date', ['zero_date_as_null'], '0000-00-00', '\\N'],
    [TS, ['zero_date_as_null'], '0000-00-00 00:00:00.000', '\\N'],
    [TS, ['zero_date_as_null'], '0000-00-01 00:00:00', null],
    [TS, ['truncate_fraction'], '2024-01-01 00:00:00.1234567', '2024-01-01 00:00:00.123456'],
    [TS, ['truncate_fraction'], '2024-01-01 00:00:00.999999999', '2024-01-01 00:00:00.999999'],
    [
      'timestamp with time zone',
      ['truncate_fraction'],
      '2024-01-01T00:00:00.123456789Z',
      '2024-01-01T00:00:00.123456Z',
    ],
    [
      'timestamp with time zone',
      ['truncate_fraction'],
      '2024-01-01T00:00:00.123456789+03:00',
      '2024-01-01T00:00:00.123456+03:00',
    ],
    [
      'timestamp(3) without time zone',
      ['truncate_fraction'],
      '2024-01-01 00:00:00.1234',
      '2024-01-01 00:00:00.123',
    ],
    [
      'timestamp(0) without time zone',
      ['truncate_fraction'],
      '2024-01-01 00:00:00.1234',
      '2024-01-01 00:00:00',
    ],
    [TS, ['truncate_fraction'], 1700000000.1234567, '2023-11-14 22:13:20.123456', 'epoch_s'],
    // Already the double next to a whole microsecond: cutting would make another of it.
    [TS, ['truncate_fraction'], 1700000000.123459, '2023-11-14 22:13:20.123459', 'epoch_s'],
    [TS, ['truncate_fraction'], 1700000000123.4568, '2023-11-14 22:13:20.123456', 'epoch_ms'],
    [TS, ['truncate_fraction'], 2460310.512345679, '2024-01-01 00:17:46.666000', 'julian'],
    ['bigint', ['round'], 2.5, '3'],
    ['bigint', ['round'], -2.5, '-3'],
    ['bigint', ['round'], 1e20, null],
    ['bigint', ['round'], -9223372036854775808n, '-9223372036854775808'],
    ['bigint', ['round'], '2.5', null],
    ['numeric(10,2)', ['round'], 0.1 + 0.2, '0.3'],
    ['numeric(10,2)', ['round'], 1.005, '1.01'],
    ['numeric(10,2)', ['round'], -1.005, '-1.01'],
    ['numeric(10,2)', ['round'], '-0.004', '0'],
    ['numeric(10,2)', ['round'], -0, '0'],
    ['numeric(10,2)', ['round'], '0.996', '1'],
    ['numeric(10,2)', ['round'], 1e-7, '0'],
    ['numeric(4,2)', ['round'], 99.994, '99.99'],
    ['numeric(4,2)', ['round'], 99.995, null],
    ['numeric(5,0)', ['round'], 12.5, '13'],
    ['numeric(10,2)', ['round'], 5n, '5'],
    ['numeric(10,2)', ['round'], 'x', null],
    ['real', ['round'], 0.1, '0.10000000149011612'],
    ['real', ['round'], 1e300, null],
    ['real', ['round'], 16777217n, '16777216.0'],
    ['double precision', ['round'], 9007199254740993n, '9007199254740992.0'],
    ['character varying(3)', ['cut'], 'abcdef', 'abc'],
    ['character varying(3)', ['cut'], '🚀🚀🚀🚀', '🚀🚀🚀'],
    ['character varying(3)', ['cut'], Buffer.from('abcdef'), null],
    ['character varying(3)', ['trim', 'cut', 'empty_as_null'], '  a bcd ', 'a b'],
  ]
  test.each(cases)('%s %j: %o', (type, transforms, value, expected, codec) => {
    const rule = { type, transforms, codec }
    expect(ruleProblem(rule)).toBeUndefined()
    expect(field(rule, value)).toBe(expected)
  })

  test('NULL stays NULL under each', () => {
    for (const type of [
      'text',
      'numeric(10,2)',
      'real',
      'jsonb',
      'timestamp with time zone',
      'character varying(3)',
    ]) {
      expect(field({ type, transforms: transformsFor(type) }, null)).toBe('\\N')
    }
  })

  test('what was no misfit stays as it was, but for what the transform is about', () => {
    const untouched = (transform: Transform, type: string): void => {
      fc.assert(
        fc.property(fc.oneof(anyValue, fc.constantFrom(...EDGES)), (value) => {
          const before = field({ type }, value)
          fc.pre(before !== null)
          expect(field({ type, transforms: [transform] }, value)).toBe(before)
        }),
        { numRuns: 300 },
      )
    }
    for (const type of ['bigint', 'real', 'numeric(10,2)', 'smallint']) untouched('round', type)
    for (const type of [
      'timestamp without time zone',
      'timestamp with time zone',
      'time without time zone',
    ]) {
      untouched('truncate_fraction', type)
    }
    untouched('cut', 'character varying(3)')
    untouched('strip_json_nul', 'jsonb')
    untouched('zero_date_as_null', 'date')
  })

  test('all of them on 200 columns stay within what SQLite compiles', () => {
    const columns = Array.from({ length: 200 }, (_, i) => `c${i}`)
    database.exec(`CREATE TABLE wide (${columns.join(', ')}); INSERT INTO wide (c0) VALUES ('1.005')`)
    for (const type of ['numeric(10,2)', 'jsonb', 'timestamp with time zone', 'character varying(9)']) {
      const rule = {
        type,
        transforms: transformsFor(type),
        ...(type.startsWith('timestamp') ? { zone: 'Europe/Moscow' } : {}),
      }
      const line = copyLine(columns.slice(1).map((name) => copyField(rule, `t."${name}"`)))
      expect(database.prepare(`SELECT ${line} FROM wide AS t`).pluck().get()).toBe(
        Array(199).fill('\\N').join('\t'),
      )
    }
    database.exec('DROP TABLE wide')
  })
})

describe('keys', () => {
  const KEYS: ColumnRule[] = [
    ...[
      'smallint',
      'integer',
      'bigint',
      'double precision',
      'numeric',
      'boolean',
      'text',
      'bytea',
      'date',
      'uuid',
    ].map((type) => ({ type })),
    { type: 'character varying(3)' },
    { type: 'character(3)' },
    { type: 'uuid', codec: 'hex' },
    { type: 'uuid', codec: 'bytes' },
    { type: 'bytea', codec: 'hex' },
    { type: 'timestamp without time zone', codec: 'epoch_s' },
    { type: 'timestamp with time zone', codec: 'epoch_ms' },
    { type: 'mood', labels: ['sad', 'true', 'a'] },
  ]

  test('two keys that SQLite keeps apart stay two', () => {
    const values = [...EDGES, ...fc.sample(anyValue, { numRuns: 1500, seed: 1 })]
    for (const rule of KEYS) {
      expect(ruleProblem(rule, true), rule.type).toBeUndefined()
      const seen = new Map<string, string>()
      for (const value of values) {
        const encoded = runBytes((x) => keyField(rule, x), value)?.toString('latin1') ?? null
        if (encoded === null) continue
        // -0.0 and 0.0, 1 and 1.0 are one key in SQLite.
        const identity =
          typeof value === 'bigint' || typeof value === 'number'
            ? `n${Number(value) === 0 ? 0 : value}`
            : show(value)
        // A uuid and bytes are read without regard to case, decimals without regard to zeros at the end.
        const known = /uuid|bytea/.test(rule.type) ? encoded.toLowerCase() : encoded
        expect(seen.get(known) ?? identity, `${rule.type} ${rule.codec}: ${known}`).toBe(identity)
        seen.set(known, identity)
      }
    }
  })

  test('a collation that ignores differences does not reach the codec', () => {
    database.exec(
      `CREATE TABLE n (x TEXT COLLATE NOCASE); INSERT INTO n VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('SAD')`,
    )
    const count = (sql: string): unknown => database.prepare(`SELECT count(${sql}) FROM n AS t`).pluck().get()
    expect(count(keyField({ type: 'uuid' }, 't.x'))).toBe(0n)
    expect(count(copyField({ type: 'mood', labels: ['sad'] }, 't.x'))).toBe(0n)
    expect(count(copyField({ type: 'uuid' }, 't.x'))).toBe(1n)
    database.exec('DROP TABLE n')
  })

  test('types in which several spellings are one value are none', () => {
    for (const type of [
      'timestamp with time zone',
      'time without time zone',
      'json',
      'jsonb',
      'citext',
      'numeric(10,2)',
      'real',
      'text[]',
      'inet',
    ]) {
      expect(isKeyType(type), type).toBe(false)
    }
    expect(isKeyType('boolean', 'words')).toBe(false)
    expect(isKeyType('timestamp with time zone', 'epoch_s')).toBe(true)
  })
})

function show(value: Exclude<Value, null>): string {
  if (typeof value === 'object' && 'text' in value) return `t${value.text.toString('hex')}`
  if (Buffer.isBuffer(value)) return `b${value.toString('hex')}`
  return `t${Buffer.from(String(value)).toString('hex')}`
}

test('which types have a rule of their own', () => {
  for (const type of [
    'citext',
    'inet',
    'interval',
    'integer[]',
    'public.email',
    '"My(3)Type"',
    'bit(3)',
    'numeric(5,-2)',
    'time with time zone',
  ]) {
    expect(isGeneric({ type }), type).toBe(true)
  }
  for (const type of [
    'bigint',
    'numeric',
    'numeric(10,2)',
    'timestamp(3) with time zone',
    'character varying',
    'jsonb',
    'uuid',
    'bytea',
  ]) {
    expect(isGeneric({ type }), type).toBe(false)
  }
  expect(isGeneric({ type: 'mood', labels: ['sad'] })).toBe(false)
  expect(isGeneric({ type: 'integer[]', codec: 'json_array' })).toBe(false)
  expect(isGeneric({ type: 'inet[]', codec: 'json_array' })).toBe(true)
})

test("a type's own codec comes first", () => {
  expect(codecsFor('boolean')).toEqual([undefined, 'words'])
  expect(codecsFor('timestamp(3) with time zone')).toEqual([undefined, 'epoch_s', 'epoch_ms', 'julian'])
  expect(codecsFor('text[]')).toEqual([undefined, 'json_array'])
  expect(codecsFor('inet')).toEqual([undefined])
  expect(codecsFor('mood', ['sad'])).toEqual([undefined])
})

describe('a rule that cannot be followed is named', () => {
  const cases: [ColumnRule, RegExp][] = [
    [{ type: 'timestamp with time zone', zone: "UTC'; DROP" }, /time zone/],
    [{ type: 'bigint', zone: 'UTC' }, /zone/],
    [{ type: 'bigint', codec: 'epoch_s' }, /epoch_s/],
    [{ type: 'bigint', transforms: ['cut'] }, /cut/],
    [{ type: 'bigint', format: 'YYYY-MM-DD' }, /format/],
    [{ type: 'date', format: 'DD.MM.YYYY' }, /format/],
  ]
  test.each(cases)('%o', (rule, said) => expect(ruleProblem(rule)).toMatch(said))

  test('and of a key', () => {
    expect(ruleProblem({ type: 'text', transforms: ['trim'] }, true)).toMatch(/transform/)
    expect(ruleProblem({ type: 'jsonb' }, true)).toMatch(/key/)
  })
})
