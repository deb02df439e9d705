/**
 * What goes in comes back: each pair of a type and a codec, on real engines, with values of every kind in it. A value
 * of SQLite is a misfit, or PostgreSQL holds it and the same class and the same bytes return; a value of PostgreSQL
 * is one that SQLite cannot hold in the column's format, or it returns as it was.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codecsFor, copyField, ruleProblem } from '../../src/core/codec.ts'
import type { ColumnRule } from '../../src/core/table.ts'
import { Engines, type Journey, same } from './engines.ts'
import { anyValue, EDGES } from './values.ts'

let engines: Engines
beforeAll(async () => {
  engines = await Engines.open()
  await engines.postgres.query(`CREATE TYPE mood AS ENUM ('sad', 'so so', 'it''s', 'a\\b', 'true')`)
})
afterAll(() => engines[Symbol.asyncDispose]())

const MOODS = ['sad', 'so so', "it's", 'a\\b', 'true']

interface Pair {
  readonly rule: ColumnRule
  /** Of the source's column; untyped, it changes nothing by itself. */
  readonly declared?: string
  /** Values that this pair keeps by value only: another class or spelling comes back. */
  readonly byValue?: (journey: Journey) => boolean
  /** Values that PostgreSQL holds and that cannot be vouched for on the way back. */
  readonly mayStay?: (journey: Journey) => boolean
  /** Values that must not be misfits. */
  readonly takes: readonly (string | bigint | number | Buffer)[]
}

const isText = ({ stored }: Journey): boolean => stored.type === 'text'
const isInteger = ({ stored }: Journey): boolean => stored.type === 'integer'
const isReal = ({ stored }: Journey): boolean => stored.type === 'real'

const T = 'timestamp without time zone'
const TZ = 'timestamp with time zone'

const PAIRS: readonly Pair[] = [
  { rule: { type: 'smallint' }, takes: [32767n, -32768n] },
  { rule: { type: 'integer' }, takes: [2147483647n] },
  { rule: { type: 'bigint' }, takes: [9223372036854775807n, -9223372036854775808n] },
  { rule: { type: 'boolean' }, takes: [0n, 1n] },
  // One format a column: the others are the same value in another word.
  {
    rule: { type: 'boolean', codec: 'words' },
    byValue: (j) => isInteger(j) || j.format === '1/0' || j.value === 'T' || j.value === 'N',
    takes: [0n, 1n, 't', 'TRUE', 'False', 'yes', 'OFF', 'n'],
  },
  {
    rule: { type: 'double precision' },
    byValue: isInteger,
    takes: [5e-324, 1.7976931348623157e308, 0.1 + 0.2, -0, Number.NEGATIVE_INFINITY, 9007199254740992n],
  },
  { rule: { type: 'double precision' }, declared: 'REAL', takes: [5e-324, 0.1 + 0.2, 1] },
  {
    rule: { type: 'real' },
    byValue: isInteger,
    takes: [0.5, -0, Math.fround(0.1), 16777216n, 3.4028234663852886e38],
  },
  {
    rule: { type: 'numeric' },
    // 1.0 comes back as 1, and a text as the number of the same decimal.
    byValue: (j) => isReal(j) || isText(j),
    takes: [
      0.99,
      9.95,
      9223372036854775807n,
      '1.10',
      5e-324,
      Number.POSITIVE_INFINITY,
      '99999999999999999999.99',
    ],
  },
  { rule: { type: 'numeric' }, declared: 'TEXT', takes: ['1.10', '0.5', '-12345678901234567890.12345'] },
  { rule: { type: 'numeric' }, declared: 'NUMERIC', mayStay: longDecimal, takes: [1.1, 5n, 1e20, 0.1 + 0.2] },
  {
    rule: { type: 'numeric(10,2)' },
    byValue: (j) => isReal(j) || isText(j),
    takes: [0.99, 9.95, 5n, '1.1', '99999999.99'],
  },
  { rule: { type: 'numeric(10,2)' }, declared: 'DECIMAL(10,2)', takes: [0.99, 9.95, 5n] },
  { rule: { type: 'numeric(20,17)' }, byValue: (j) => isReal(j) || isText(j), takes: [0.1 + 0.2, 1e-7] },
  {
    rule: { type: 'text' },
    byValue: (j) => !isText(j),
    takes: ['', '\\N', 'Привет 🚀', 'a\tb\nc\rd\\e', 5n],
  },
  { rule: { type: 'text' }, declared: 'TEXT', takes: ['', '\\.', 5n, 1.5] },
  { rule: { type: 'character varying(3)' }, takes: ['abc', '🚀🚀🚀', ''] },
  { rule: { type: 'character(3)' }, takes: ['abc'] },
  { rule: { type: 'character(3)', codec: 'text' }, takes: ['abc', 'a', ''] },
  {
    rule: { type: 'bytea' },
    byValue: (j) => j.stored.type !== 'blob',
    takes: [Buffer.from([0, 255]), Buffer.alloc(0), 'é'],
  },
  {
    rule: { type: 'bytea', codec: 'hex' },
    byValue: (j) => /[a-f].*[A-F]|[A-F].*[a-f]/.test(String(j.value)),
    takes: ['00ff', '00FF', ''],
  },
  { rule: { type: 'date' }, takes: ['2024-02-29', '0001-01-01', '9999-12-31'] },
  { rule: { type: 'date', codec: 'epoch_s' }, byValue: isReal, takes: [-62135596800n, 86400n] },
  { rule: { type: 'date', codec: 'epoch_ms' }, byValue: isReal, takes: [86400000n] },
  { rule: { type: 'date', codec: 'julian' }, takes: [2460000.5] },
  { rule: { type: 'time without time zone' }, takes: ['23:59:59', '12:30', '12:30:00.5'] },
  { rule: { type: 'time(3) without time zone' }, takes: ['23:59:59', '12:30:00.5'] },
  { rule: { type: T }, takes: ['2024-02-29 23:59', '2024-02-29 23:59:59.999999', '2024-03-10 02:30:00'] },
  { rule: { type: 'timestamp(3) without time zone' }, takes: ['2024-02-29 00:00:00'] },
  {
    rule: { type: T, codec: 'epoch_s' },
    byValue: isReal,
    takes: [1700000000n, 1700000000.5, 1700000000.123456, -62135596800n],
  },
  {
    rule: { type: T, codec: 'epoch_s', format: 'real' },
    byValue: isInteger,
    takes: [1700000000.5, 1700000000.123456, 1e10],
  },
  { rule: { type: T, codec: 'epoch_ms' }, byValue: isReal, takes: [1700000000123n, -62135596800000n] },
  { rule: { type: T, codec: 'julian' }, takes: [2460000.5, 2460000.6, 1721425.5] },
  {
    rule: { type: TZ, zone: 'UTC' },
    byValue: (j) => saysOffset(j) && !/\+00(:?00)?$/.test(String(j.value)),
    takes: ['2024-02-29T23:59:59Z', '2024-02-29 23:59:59', '0001-01-01 00:00:00+00:00'],
  },
  {
    rule: { type: TZ, zone: 'Europe/Moscow' },
    byValue: saysOffset,
    takes: ['2024-02-29 23:59:59', '2014-10-26 01:30:00', '2024-02-29T23:59:59Z'],
  },
  {
    rule: { type: TZ, zone: 'America/New_York' },
    byValue: saysOffset,
    takes: ['2024-03-10 01:59:59.999999', '2024-03-10 03:00:00', '2024-11-03 01:30:00'],
  },
  { rule: { type: TZ, codec: 'epoch_s' }, byValue: isReal, takes: [1700000000n, 1700000000.123456] },
  { rule: { type: TZ, codec: 'epoch_ms' }, byValue: isReal, takes: [1700000000123n] },
  { rule: { type: TZ, codec: 'julian' }, takes: [2460000.6] },
  {
    rule: { type: 'uuid' },
    byValue: mixedLetters,
    takes: ['0f8fad5b-d9cb-469f-a165-70867728950e', '0F8FAD5B-D9CB-469F-A165-70867728950E'],
  },
  {
    rule: { type: 'uuid', codec: 'hex' },
    byValue: mixedLetters,
    takes: ['0f8fad5bd9cb469fa16570867728950e', '0F8FAD5BD9CB469FA16570867728950E'],
  },
  { rule: { type: 'uuid', codec: 'bytes' }, takes: [Buffer.alloc(16, 7)] },
  { rule: { type: 'json' }, takes: ['{"a":1,"a":2}', '{"a": "\\u0000"}', '["\\ud800"]', ' 1 '] },
  // jsonb keeps the value, not its text.
  {
    rule: { type: 'jsonb' },
    byValue: () => true,
    takes: [
      '[{"a":1},{"a":2}]',
      '["\\ud83d\\ude00"]',
      '{"a": "\\\\u0000"}',
      '["\\\\ud800"]',
      '1e400',
      '[0.0,-0]',
    ],
  },
  { rule: { type: 'mood', labels: MOODS }, takes: MOODS },
  {
    rule: { type: 'integer[]', codec: 'json_array' },
    byValue: respelled,
    takes: ['[]', '[1,null,-5]', '[[1,2],[3,4]]'],
  },
  { rule: { type: 'bigint[]', codec: 'json_array' }, byValue: respelled, takes: ['[1,2,3]'] },
  {
    rule: { type: 'text[]', codec: 'json_array' },
    byValue: respelled,
    takes: ['["a b","NULL","","{}","\\"\\\\",null]', '[[["x"]]]', '["now"]'],
  },
  {
    rule: { type: 'double precision[]', codec: 'json_array' },
    byValue: respelled,
    takes: ['[1.5,2.25]', '[1e3]'],
  },
  {
    rule: { type: 'numeric[]', codec: 'json_array' },
    byValue: respelled,
    takes: ['[1.50,0.1]', '[0.1234567890123456789]', '[99999999999999999999]'],
  },
  { rule: { type: 'boolean[]', codec: 'json_array' }, byValue: respelled, takes: ['[true,false,null]'] },
]

/** Blanks and the spelling of numbers and letters are no part of a JSON list. */
function respelled(journey: Journey): boolean {
  return /\s|\\|\d[.eE]/.test(String(journey.value)) || journey.value === '[0.0,-0]'
}

/** Of 16 or 17 digits SQLite sometimes writes a neighbour of the nearest decimal. */
function longDecimal({ copied = '' }: Journey): boolean {
  return copied.replace(/e.*/, '').replaceAll(/^-?0*\.?0*|\D/g, '').length > 15
}

/** One offset a column is written: that of its zone. The same instant in another one comes back in that. */
function saysOffset({ value }: Journey): boolean {
  return /[+-]\d\d(:?\d\d)?$/.test(String(value))
}

function mixedLetters({ value }: Journey): boolean {
  return /[a-f]/.test(String(value)) && /[A-F]/.test(String(value))
}

const nameOf = ({ rule, declared }: Pair): string =>
  [rule.type, rule.codec, rule.zone, rule.format, declared && `declared ${declared}`]
    .filter(Boolean)
    .join(', ')

describe.each(PAIRS.map((pair) => [nameOf(pair), pair] as const))('%s', (_name, pair) => {
  const declared = pair.declared ?? ''

  test('the rule is one', () => {
    expect(ruleProblem(pair.rule)).toBeUndefined()
    if (pair.rule.codec !== undefined) expect(codecsFor(pair.rule.type)).toContain(pair.rule.codec)
  })

  test('from SQLite', async () => {
    const check = async (values: readonly unknown[]): Promise<void> => {
      const journeys = await engines.toAndFro(pair.rule, declared, values as typeof EDGES)
      expect(journeys.filter((journey) => broken(pair, journey))).toEqual([])
    }
    await check(EDGES)
    await fc.assert(fc.asyncProperty(fc.array(anyValue, { minLength: 120, maxLength: 160 }), check), {
      numRuns: 2,
    })
  })

  test('takes what it should', async () => {
    const journeys = await engines.toAndFro(pair.rule, declared, pair.takes)
    expect(journeys.filter(({ copied }) => copied === undefined).map(({ value }) => value)).toEqual([])
  })
})

/** Why a journey is not as it should be, or undefined. */
function broken(pair: Pair, journey: Journey): string | undefined {
  if (journey.copied === undefined) return undefined
  if (journey.back === undefined) return pair.mayStay?.(journey) === true ? undefined : 'it did not come back'
  if (journey.again !== journey.target && !sameDecimal(journey)) return 'it is another value after a round'
  if (same(journey.stored, journey.back)) return undefined
  return pair.byValue?.(journey) === true ? undefined : 'another value came back'
}

/** numeric 1.10 and 1.1 are equal, and so is what jsonb and numeric[] make of them. */
function sameDecimal({ again, target }: Journey): boolean {
  return again !== undefined && /^-?\d+(\.\d+)?$/.test(again) && trimmed(again) === trimmed(target ?? '')
}

function trimmed(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal
}

test('every codec of every type is among the pairs', () => {
  const types = new Set(PAIRS.map(({ rule }) => rule.type))
  const missing = [...types].flatMap((type) =>
    codecsFor(type)
      .filter((codec) => !PAIRS.some(({ rule }) => rule.type === type && rule.codec === codec))
      .map((codec) => `${type}, ${codec ?? 'its own'}`),
  )
  expect(missing.filter((name) => !/^(timestamp\(3\)|.*\[\], its own|mood)/.test(name))).toEqual([])
})

test('a rule that says nothing is refused', () => {
  expect(() => copyField({ type: TZ, zone: "Europe/Moscow'" }, 'x')).toThrow(/time zone/)
  expect(() => copyField({ type: 'bigint', codec: 'words' }, 'x')).toThrow(/words/)
})
