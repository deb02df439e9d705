/**
 * DEFAULT of SQLite as DEFAULT of PostgreSQL: a whitelist (trap V13). A constant goes the way of every value: first
 * the declared type's affinity, then the column's codec; what a row could not hold a default does not give either.
 */
import { literal } from '../quote.ts'
import type { SourceColumn } from '../source-schema.ts'
import type { ColumnSpec } from '../table.ts'
import { affinityOf } from './affinity.ts'
import { type Expression, parseExpression } from './expression.ts'
import { momentSql, readMoment } from './moment.ts'
import { Unreadable } from './tokens.ts'

export type DefaultTranslation =
  /** Undefined: there is none, or it is NULL. */
  { readonly sql: string | undefined } | { readonly reason: string; readonly suggestion?: string | undefined }

type Constant = bigint | number | string | Buffer | null

export function translateDefault(column: SourceColumn, spec: ColumnSpec): DefaultTranslation {
  if (column.defaultSql === null) return { sql: undefined }
  let expression: Expression
  try {
    expression = parseExpression(column.defaultSql)
  } catch (error) {
    if (error instanceof Unreadable) return { reason: `it cannot be read: ${error.message}` }
    throw error
  }
  const moment = readMoment(expression)
  if (moment !== undefined) {
    const sql = momentSql(moment, spec.type) ?? epochMoment(moment, spec)
    return sql === undefined ? { reason: `${spec.type} has no place for such a moment` } : { sql }
  }
  const constant = readConstant(expression)
  if (constant === undefined) return unknown(column.defaultSql)
  const value = withAffinity(constant, column)
  if (value === null) return { sql: undefined }
  if ((spec.transforms ?? []).length > 0)
    return { reason: 'the values of the column are changed on their way' }
  const sql = constantSql(value, spec)
  return sql === undefined ? { reason: `it does not fit ${spec.type}` } : { sql }
}

/** A column of epochs that becomes one of times. */
function epochMoment(
  moment: { readonly kind: string; readonly unit?: 's' | 'ms' },
  spec: ColumnSpec,
): string | undefined {
  const codec = moment.unit === 's' ? 'epoch_s' : 'epoch_ms'
  if (moment.kind !== 'epoch' || spec.codec !== codec) return undefined
  return momentSql({ kind: 'text', format: '%Y-%m-%d %H:%M:%S' }, spec.type)
}

function unknown(sql: string): DefaultTranslation {
  if (/\brandomblob\s*\(/i.test(sql)) {
    return {
      reason: 'PostgreSQL makes random values in another way',
      suggestion: 'For an identifier use DEFAULT gen_random_uuid(), of the type uuid or ::text.',
    }
  }
  if (/\brandom\s*\(/i.test(sql)) {
    return {
      reason: 'random() is a whole number of 64 bits in SQLite and a fraction in PostgreSQL',
      suggestion: 'For whole numbers use DEFAULT floor(random() * 1000000)::bigint with a bound of your own.',
    }
  }
  if (/\blocaltime\b/i.test(sql)) {
    return {
      reason: "it is the local time of the application's machine",
      suggestion: "Name the zone: DEFAULT (now() AT TIME ZONE 'Europe/Berlin').",
    }
  }
  return { reason: 'it has no certain counterpart in PostgreSQL' }
}

/** Undefined for what is no constant. A bare word is a string, as SQLite has it. */
function readConstant(expression: Expression): Constant | undefined {
  switch (expression.kind) {
    case 'null':
      return null
    case 'string':
      return expression.text
    case 'blob':
      return Buffer.from(expression.hex, 'hex')
    case 'number':
      return readNumber(expression.text)
    case 'column': {
      const word = expression.quote === '' ? expression.name.toLowerCase() : ''
      return word === 'true' ? 1n : word === 'false' ? 0n : expression.name
    }
    case 'unary': {
      const inner = readConstant(expression.operand)
      if (expression.op === '+') return inner
      if (expression.op !== '-') return undefined
      return typeof inner === 'bigint' || typeof inner === 'number' ? -inner : undefined
    }
    default:
      return undefined
  }
}

function readNumber(text: string): bigint | number {
  if (/^0x/i.test(text)) return BigInt.asIntN(64, BigInt(text))
  // 9223372036854775808 may stand behind a minus.
  if (/^\d+$/.test(text) && BigInt(text) <= 2n ** 63n) return BigInt(text)
  return Number(text)
}

const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i

/** What SQLite stores: a number in a text column becomes text, text that looks like a number becomes one elsewhere. */
function withAffinity(value: Constant, column: SourceColumn): Constant {
  const affinity = affinityOf(column.declared)
  if (affinity === 'TEXT') {
    if (typeof value === 'bigint') return String(value)
    // SQLite writes whole doubles with a zero behind the point.
    if (typeof value === 'number') return Number.isInteger(value) ? `${value}.0` : String(value)
    return value
  }
  if (affinity === 'BLOB') return value
  const number =
    typeof value === 'string' && NUMBER.test(value) ? readNumber(value.trim().replace(/^\+/, '')) : value
  if (affinity === 'REAL') return typeof number === 'bigint' ? Number(number) : number
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) return number
  return BigInt(number)
}

const RANGES: Readonly<Record<string, bigint>> = {
  smallint: 2n ** 15n,
  integer: 2n ** 31n,
  bigint: 2n ** 63n,
}

function constantSql(value: Exclude<Constant, null>, spec: ColumnSpec): string | undefined {
  const { type } = spec
  const range = RANGES[type]
  if (range !== undefined) {
    return typeof value === 'bigint' && value < range && value >= -range ? String(value) : undefined
  }
  if (type === 'double precision' || type === 'real' || type.startsWith('numeric')) {
    if (typeof value === 'bigint') return String(value)
    return typeof value === 'number' && Number.isFinite(value) ? String(value) : undefined
  }
  if (type === 'boolean') return booleanSql(value, spec)
  if (Buffer.isBuffer(value) || type === 'bytea') return type === 'bytea' ? bytes(value) : undefined
  const text = String(value)
  if (text.includes('\0')) return undefined
  if (type === 'text') return literal(text)
  const sized = /^character varying(?:\((\d+)\))?$/.exec(type)
  if (sized !== null) return [...text].length <= Number(sized[1] ?? Infinity) ? literal(text) : undefined
  if (typeof value !== 'string') return epochSql(value, spec)
  if (spec.labels !== undefined) return spec.labels.includes(text) ? literal(text) : undefined
  if (spec.codec !== undefined && spec.codec !== 'iso') return undefined
  switch (type) {
    case 'uuid':
      return /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text) ? literal(text) : undefined
    case 'json':
    case 'jsonb':
      return isJson(text) ? literal(text) : undefined
    case 'date':
      return /^\d{4}-\d\d-\d\d$/.test(text) && isDay(text) ? literal(text) : undefined
    case 'timestamp without time zone':
      return NAIVE.test(text) && isDay(text.slice(0, 10)) ? literal(text) : undefined
    case 'timestamp with time zone':
      return zonedSql(text, spec.zone)
    default:
      return undefined
  }
}

const WORDS: readonly [RegExp, string][] = [
  [/^(1|t|true|y|yes|on)$/i, 'true'],
  [/^(0|f|false|n|no|off)$/i, 'false'],
]

function booleanSql(value: Exclude<Constant, null>, spec: ColumnSpec): string | undefined {
  if (typeof value === 'bigint') return value === 0n ? 'false' : value === 1n ? 'true' : undefined
  if (typeof value !== 'string' || spec.codec !== 'words') return undefined
  return WORDS.find(([word]) => word.test(value))?.[1]
}

function bytes(value: Exclude<Constant, null>): string {
  const raw = Buffer.isBuffer(value) ? value : Buffer.from(String(value))
  return `'\\x${raw.toString('hex')}'`
}

const NAIVE = /^\d{4}-\d\d-\d\d[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$/
const ZONED = /^(.+?) ?(Z|[+-][01]\d(?::?[0-5]\d)?)$/

function zonedSql(text: string, zone: string | undefined): string | undefined {
  const [, naive = text, offset] = ZONED.exec(text) ?? []
  if (!NAIVE.test(naive) || !isDay(naive.slice(0, 10))) return undefined
  if (offset !== undefined) return literal(text)
  if (zone === undefined || zone === 'UTC') return literal(`${naive}+00`)
  return `(TIMESTAMP ${literal(naive)} AT TIME ZONE ${literal(zone)})`
}

function epochSql(value: bigint | number, spec: ColumnSpec): string | undefined {
  const divide = spec.codec === 'epoch_s' ? '' : spec.codec === 'epoch_ms' ? ' / 1000.0' : undefined
  if (divide === undefined || typeof value !== 'bigint') return undefined
  if (spec.type === 'timestamp with time zone') return `to_timestamp(${value}${divide})`
  if (spec.type === 'timestamp without time zone')
    return `(to_timestamp(${value}${divide}) AT TIME ZONE 'UTC')`
  return undefined
}

/** A day of the calendar, from year 1 on. */
function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  return !text.startsWith('0000') && !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return !text.includes('\\u0000')
  } catch {
    return false
  }
}
