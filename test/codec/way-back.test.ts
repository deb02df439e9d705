/**
 * The way back: a value that an application wrote into PostgreSQL goes to SQLite, and from there to PostgreSQL it is
 * the same value; or it is said that SQLite cannot hold it in the column's format.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { affinityOf, bindDecoded } from '../../src/core/codec/decode.ts'
import type { ColumnRule } from '../../src/core/table.ts'
import { Engines } from './engines.ts'

let engines: Engines
beforeAll(async () => {
  engines = await Engines.open()
  await engines.postgres.query(`CREATE TYPE mood AS ENUM ('sad', 'it''s', 'a\\b')`)
})
afterAll(() => engines[Symbol.asyncDispose]())

interface Pair {
  readonly rule: ColumnRule
  readonly declared?: string
  readonly literals: fc.Arbitrary<string>
  readonly edges: readonly string[]
  /** What cannot come back; all else has to. */
  readonly lost?: (from: string) => boolean
}

const int = (bits: bigint): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n }).map(String)
const decimal = (digits: number, scale: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(10n ** BigInt(digits)) + 1n, max: 10n ** BigInt(digits) - 1n }).map((n) => {
    const text = String(n < 0n ? -n : n).padStart(scale + 1, '0')
    return (n < 0n ? '-' : '') + (scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`)
  })
const text = fc.string({ unit: 'grapheme', maxLength: 10 }).filter((value) => !value.includes('\0'))
const second = fc.oneof(
  fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }),
  fc
    .constantFrom(1710054000, 1730613600, 1414274400, 1301180400)
    .chain((at) => fc.integer({ min: at - 20_000, max: at + 20_000 })),
)
const stamp = (digits: number): fc.Arbitrary<string> =>
  fc.tuple(second, fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999 }))).map(([at, micros]) => {
    const fraction = String(micros).padStart(6, '0').slice(0, digits)
    return `${new Date(at * 1000).toISOString().slice(0, 19).replace('T', ' ')}${digits > 0 ? '.' + fraction : ''}`
  })
const day = second.map((at) => new Date(at * 1000).toISOString().slice(0, 10))
const micros = stamp(6)

const T = 'timestamp without time zone'
const TZ = 'timestamp with time zone'
const STAMPS = [
  '0001-01-01 00:00:00',
  '9999-12-31 23:59:59.999999',
  '2024-02-29 12:00:00.1',
  'infinity',
  '-infinity',
  '0001-01-01 00:00:00 BC',
  '10000-01-01 00:00:00',
  '1969-12-31 23:59:59.999999',
  '2255-06-05 23:47:34.740992',
  '2300-01-01 00:00:00.000001',
]
const beyond = (from: string): boolean => /infinity|BC|^\d{5}/.test(from)
/** Beyond what a double of seconds holds, in microseconds. */
const tooFine = (from: string): boolean => {
  const [whole, fraction = ''] = from.replace(/\+00$/, '').split('.')
  return /[1-9]/.test(fraction) && Math.abs(Date.parse(`${whole?.replace(' ', 'T')}Z`)) > 8_589_934_592_000
}
const finerThan =
  (digits: number) =>
  (from: string): boolean =>
    (/\.(\d+)/.exec(from)?.[1]?.length ?? 0) > digits

/** Digits that neither an integer nor a double has. */
const noNumber = (from: string): boolean => {
  const plain = from.includes('.') ? from.replace(/\.?0*$/, '') : from
  if (!plain.includes('.') && BigInt.asIntN(64, BigInt(plain)) === BigInt(plain)) return false
  return plain.replaceAll(/[-.]/g, '').replace(/^0+/, '').length > 15
}

const FORMATS = [
  'YYYY-MM-DD HH:MM:SS',
  'YYYY-MM-DDTHH:MM:SS.SSS',
  'YYYY-MM-DD HH:MM',
  'YYYY-MM-DD HH:MM:SS[.SSSSSS]',
  'YYYY-MM-DDTHH:MM:SS.SSSSSS',
]
const ZONED = [
  'YYYY-MM-DD HH:MM:SS',
  'YYYY-MM-DDTHH:MM:SS.SSSZ',
  'YYYY-MM-DD HH:MM:SS+HH:MM',
  'YYYY-MM-DD HH:MM:SS.SSSSSS +HHMM',
  'YYYY-MM-DDTHH:MM+HH',
]

const PAIRS: readonly Pair[] = [
  { rule: { type: 'smallint' }, literals: int(16n), edges: ['-32768'] },
  { rule: { type: 'integer' }, literals: int(32n), edges: [] },
  { rule: { type: 'bigint' }, literals: int(64n), edges: ['9223372036854775807', '-9223372036854775808'] },
  { rule: { type: 'boolean' }, literals: fc.constantFrom('t', 'f'), edges: ['t', 'f'] },
  ...['t/f', 'TRUE/FALSE', 'yes/no', '1/0', undefined].map((format) => ({
    rule: { type: 'boolean', codec: 'words', format } as const,
    literals: fc.constantFrom('t', 'f'),
    edges: ['t', 'f'],
  })),
  {
    rule: { type: 'double precision' },
    literals: fc.double().map(String),
    edges: ['NaN', 'Infinity', '-Infinity', '-0', '5e-324', '1.7976931348623157e308', '0.30000000000000004'],
    lost: (from) => from === 'NaN',
  },
  {
    rule: { type: 'real' },
    // Below its normal range a float4 has fewer digits than the codec vouches for.
    literals: fc
      .float({ noNaN: true })
      .filter((x) => x === 0 || Math.abs(x) > 1.2e-38)
      .map(String),
    edges: ['NaN', '-0', '0.1', '3.4028235e38', '16777216', 'Infinity'],
    lost: (from) => from === 'NaN',
  },
  {
    rule: { type: 'numeric' },
    literals: fc.oneof(decimal(30, 12), decimal(15, 5), decimal(20, 0)),
    edges: ['NaN', 'Infinity', '1.10', '0.000001'],
    lost: (from) => from === 'NaN',
  },
  { rule: { type: 'numeric' }, declared: 'TEXT', literals: decimal(30, 12), edges: ['1.10', '0.00'] },
  {
    rule: { type: 'numeric' },
    declared: 'NUMERIC',
    literals: fc.oneof(decimal(30, 12), decimal(17, 3), decimal(15, 5)),
    edges: ['1.10'],
    lost: noNumber,
  },
  {
    rule: { type: 'numeric(10,2)' },
    declared: 'DECIMAL(10,2)',
    literals: decimal(10, 2),
    edges: ['1.10', '99999999.99'],
  },
  { rule: { type: 'numeric(30,10)' }, literals: decimal(30, 10), edges: [] },
  { rule: { type: 'text' }, literals: text, edges: ['', '\\N', 'a\tb\\', '\u{10ffff}', 'now'] },
  {
    rule: { type: 'character varying(10)' },
    literals: text.map((value) => [...value].slice(0, 10).join('')),
    edges: ['now'],
  },
  {
    rule: { type: 'character(3)' },
    literals: fc.constantFrom('abc', 'ab', 'äöü', ''),
    edges: ['ab'],
    lost: (from) => [...from].length < 3,
  },
  {
    rule: { type: 'character(3)', codec: 'text' },
    literals: fc.constantFrom('abc', 'ab', 'äöü', ''),
    edges: ['ab'],
  },
  {
    rule: { type: 'bytea' },
    literals: fc.uint8Array({ maxLength: 20 }).map((b) => `\\x${Buffer.from(b).toString('hex')}`),
    edges: ['\\x'],
  },
  {
    rule: { type: 'bytea' },
    declared: 'TEXT',
    literals: fc.uint8Array({ maxLength: 20 }).map((b) => `\\x${Buffer.from(b).toString('hex')}`),
    edges: ['\\xc3a9', '\\xeda080', '\\x00'],
  },
  {
    rule: { type: 'bytea', codec: 'hex', format: 'upper' },
    literals: fc.uint8Array({ maxLength: 20 }).map((b) => `\\x${Buffer.from(b).toString('hex')}`),
    edges: [],
  },
  {
    rule: { type: 'date' },
    literals: day,
    edges: ['infinity', '0001-01-01', '0044-03-15 BC', '10000-01-01'],
    lost: beyond,
  },
  ...(['epoch_s', 'epoch_ms', 'julian'] as const).map((codec) => ({
    rule: { type: 'date', codec },
    literals: day,
    edges: ['infinity', '0044-03-15 BC'],
    lost: beyond,
  })),
  ...['HH:MM:SS', 'HH:MM', 'HH:MM:SS.SSS', undefined].map((format) => ({
    rule: { type: 'time without time zone', format },
    literals: micros.map((value) => value.slice(11)),
    edges: ['24:00:00', '00:00'],
    lost: (from: string) => from === '24:00:00',
  })),
  ...[...FORMATS, undefined].map((format) => ({
    rule: { type: T, format },
    literals: micros,
    edges: STAMPS,
    lost: beyond,
  })),
  { rule: { type: 'timestamp(3) without time zone' }, literals: micros, edges: STAMPS, lost: beyond },
  ...[T, TZ].flatMap((type): Pair[] => [
    {
      rule: { type, codec: 'epoch_s' },
      literals: micros,
      edges: STAMPS,
      lost: (from) => beyond(from) || tooFine(from),
    },
    {
      rule: { type, codec: 'epoch_s', format: 'real' },
      literals: micros,
      edges: STAMPS,
      lost: (from) => beyond(from) || tooFine(from),
    },
    {
      rule: { type, codec: 'epoch_ms' },
      literals: micros,
      edges: STAMPS,
      lost: (from) => beyond(from) || (tooFine(from) && finerThan(3)(from)),
    },
    {
      rule: { type, codec: 'julian' },
      literals: fc.oneof(stamp(3), micros),
      edges: STAMPS,
      lost: (from) => beyond(from) || finerThan(3)(from),
    },
  ]),
  ...[undefined, 'Europe/Moscow', 'America/New_York'].flatMap((zone) =>
    [...ZONED, undefined].map((format) => ({
      rule: { type: TZ, zone, format },
      literals: micros.map((value) => `${value}+00`),
      edges: STAMPS.map((value) => (/infinity|BC/.test(value) ? value : `${value}+00`)),
      // At both ends of the calendar a zone's year has no four digits; before zones, offsets had seconds.
      lost: (from: string) => beyond(from) || /^(0001-01-01|9999-12-31)/.test(from),
    })),
  ),
  { rule: { type: 'uuid' }, literals: fc.uuid(), edges: [] },
  { rule: { type: 'uuid', format: 'upper' }, literals: fc.uuid(), edges: [] },
  { rule: { type: 'uuid', codec: 'hex' }, literals: fc.uuid(), edges: [] },
  { rule: { type: 'uuid', codec: 'bytes' }, literals: fc.uuid(), edges: [] },
  { rule: { type: 'json' }, literals: fc.json(), edges: ['{"a":1, "a":2}', ' "\\ud800" ', '"\\u0000"'] },
  {
    rule: { type: 'jsonb' },
    literals: fc.json().filter((json) => !/\\u0000|\\ud[89a-f]/i.test(json)),
    edges: ['1e400', '{"b":1,"a":[{}]}', '"\\ud83d\\ude00"', '0.0'],
  },
  {
    rule: { type: 'mood', labels: ['sad', "it's", 'a\\b'] },
    literals: fc.constantFrom('sad', "it's", 'a\\b'),
    edges: [],
  },
  {
    rule: { type: 'interval' },
    literals: fc.integer({ min: -1e6, max: 1e6 }).map((n) => `${n} minutes`),
    edges: [],
  },
  {
    rule: { type: 'text[]' },
    literals: fc.array(text, { maxLength: 4 }).map(arrayOf),
    edges: ['{}', '{NULL,"NULL"}', '[0:1]={a,b}'],
  },
  {
    rule: { type: 'text[]', codec: 'json_array' },
    literals: fc.array(text, { maxLength: 4 }).map(arrayOf),
    edges: ['{}', '{NULL,"NULL"}', '{{a,b},{c,d}}', '[0:1]={a,b}'],
    lost: (from) => from.startsWith('['),
  },
  {
    rule: { type: 'integer[]', codec: 'json_array' },
    literals: fc.array(int(32n), { maxLength: 4 }).map((list) => `{${list}}`),
    edges: ['{{1,2},{3,4}}'],
  },
  {
    rule: { type: 'numeric[]', codec: 'json_array' },
    literals: fc.array(decimal(30, 12), { maxLength: 4 }).map((list) => `{${list}}`),
    edges: ['{1.50}', '{NaN}', '{NULL}'],
    lost: (from) => from.includes('NaN'),
  },
  {
    rule: { type: 'double precision[]', codec: 'json_array' },
    literals: fc
      .array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 4 })
      .map((list) => `{${list}}`),
    edges: ['{NaN}', '{Infinity}'],
    lost: (from) => /NaN|Inf|-0[,}]/.test(from),
  },
  {
    rule: { type: 'boolean[]', codec: 'json_array' },
    literals: fc.array(fc.constantFrom('t', 'f', 'NULL'), { maxLength: 4 }).map((list) => `{${list}}`),
    edges: [],
  },
]

function arrayOf(list: readonly string[]): string {
  return `{${list.map((item) => `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`
}

const trimmed = (value: string | null | undefined): string | null | undefined =>
  value && /^-?\d+\.\d+$/.test(value) ? value.replace(/\.?0*$/, '') : value

const nameOf = ({ rule, declared }: Pair): string =>
  [rule.type, rule.codec, rule.zone, rule.format, declared && `declared ${declared}`]
    .filter(Boolean)
    .join(', ')

test.each(PAIRS.map((pair) => [nameOf(pair), pair] as const))('%s', async (_name, pair) => {
  const check = async (literals: readonly string[]): Promise<void> => {
    const rounds = await engines.froAndTo(pair.rule, pair.declared ?? '', literals)
    const broken = rounds.filter(([from, to]) =>
      to === null ? pair.lost?.(from) !== true : trimmed(to) !== trimmed(from),
    )
    expect(broken).toEqual([])
  }
  if (pair.edges.length > 0) await check(pair.edges)
  await fc.assert(fc.asyncProperty(fc.array(pair.literals, { minLength: 100, maxLength: 120 }), check), {
    numRuns: 2,
  })
})

describe('the class of what is bound', () => {
  const cases: [ColumnRule, string, string, unknown][] = [
    [{ type: 'bigint' }, 'INTEGER', '9007199254740993', 9007199254740993n],
    [{ type: 'double precision' }, 'REAL', '1', 1],
    [{ type: 'numeric(10,2)' }, 'DECIMAL(10,2)', '5.00', 5n],
    [{ type: 'numeric(10,2)' }, 'DECIMAL(10,2)', '5.50', 5.5],
    [{ type: 'numeric' }, 'TEXT', '5.50', '5.50'],
    [{ type: 'numeric' }, '', '0.12345678901234567891', '0.12345678901234567891'],
    // SQLite would make a double of the text, and lose digits.
    [{ type: 'numeric' }, 'NUMERIC', '0.12345678901234567891', undefined],
    [{ type: 'boolean' }, 'BOOLEAN', '1', 1n],
    [{ type: 'boolean', codec: 'words', format: 't/f' }, 'BOOLEAN', 't', 't'],
    [{ type: 'bytea' }, 'BLOB', '00ff', Buffer.from([0, 255])],
    [{ type: 'bytea' }, 'TEXT', 'c3a9', 'é'],
    [{ type: 'uuid', codec: 'bytes' }, 'BLOB', '00'.repeat(16), Buffer.alloc(16)],
    [{ type: T, codec: 'epoch_s' }, 'INTEGER', '1700000000', 1700000000n],
    [{ type: T, codec: 'epoch_s', format: 'real' }, 'REAL', '1700000000', 1700000000],
    [{ type: T, codec: 'epoch_s' }, 'REAL', '1700000000.5', 1700000000.5],
  ]
  test.each(cases)('%o in %s: %s', (rule, declared, text, bound) => {
    expect(bindDecoded(rule, text, affinityOf(declared))).toEqual(bound)
  })
})
