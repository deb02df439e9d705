/**
 * When is a value of SQLite the same as a value of PostgreSQL? Answered here from what the two engines print,
 * without a line of the replicator's, so that a mistake made there is not repeated here.
 */
import { isUtf8 } from 'node:buffer'

/** What SQLite stores; text as its bytes, since a decoder would hide what is not UTF-8. */
export type SqliteValue =
  | { readonly type: 'null' }
  | { readonly type: 'integer'; readonly value: bigint }
  | { readonly type: 'real'; readonly value: number }
  | { readonly type: 'text'; readonly value: Buffer }
  | { readonly type: 'blob'; readonly value: Buffer }

/** Type OIDs of PostgreSQL (pg_type.dat). */
const BOOL = 16
const BYTEA = 17
const TEXTS = new Set([18, 19, 25, 1042, 1043])
const INTEGERS = new Set([20, 21, 23])
const FLOAT4 = 700
const FLOAT8 = 701
const NUMERIC = 1700
const DOCUMENTS = new Set([114, 3802])
const INSTANTS = new Set([1082, 1114, 1184])

/**
 * `postgres` is the server's text form with DateStyle ISO, TimeZone UTC and bytea as hex. A value whose kind
 * cannot be told apart from another (a number in a text column, say) is equal when it says the same.
 */
export function sameValue(sqlite: SqliteValue, postgres: string | null, oid: number): boolean {
  if (sqlite.type === 'null' || postgres === null) return sqlite.type === 'null' && postgres === null
  if (oid === BYTEA)
    return sqlite.type === 'blob' && sqlite.value.equals(Buffer.from(postgres.slice(2), 'hex'))
  if (sqlite.type === 'blob') return false
  if (sqlite.type === 'text') {
    return isUtf8(sqlite.value) && sameText(sqlite.value.toString('utf8'), postgres, oid)
  }
  if (oid === BOOL) return Number(sqlite.value) === (postgres === 't' ? 1 : 0)
  if (INTEGERS.has(oid) || oid === NUMERIC || oid === FLOAT4 || oid === FLOAT8 || TEXTS.has(oid)) {
    return sameNumber(sqlite.value, postgres, oid)
  }
  if (DOCUMENTS.has(oid)) return sameNumber(sqlite.value, postgres, NUMERIC)
  return false
}

function sameText(sqlite: string, postgres: string, oid: number): boolean {
  if (INSTANTS.has(oid)) {
    const [one, other] = [microseconds(sqlite), microseconds(postgres)]
    return one !== undefined && one === other
  }
  if (DOCUMENTS.has(oid)) {
    const [one, other] = [canonicalJson(sqlite), canonicalJson(postgres)]
    return one !== undefined && one === other
  }
  if (oid === NUMERIC) {
    const one = canonicalDecimal(sqlite)
    return one !== undefined && one === canonicalDecimal(postgres)
  }
  // Text, uuid, time and anything else that both engines write alike. Never a number or a boolean.
  if (INTEGERS.has(oid) || oid === FLOAT4 || oid === FLOAT8 || oid === BOOL) return false
  return sqlite === postgres
}

function sameNumber(sqlite: bigint | number, postgres: string, oid: number): boolean {
  if (typeof sqlite === 'bigint') {
    const decimal = canonicalDecimal(postgres)
    if (oid !== FLOAT4 && oid !== FLOAT8) return decimal === sqlite.toString()
    const float = Number(postgres)
    return Number.isInteger(float) && BigInt(float) === sqlite
  }
  // A double has many decimal forms; it is the same when reading the form gives it back. A column that only
  // keeps single precision has lost what Math.fround takes away.
  const back = Number(postgres)
  return Object.is(oid === FLOAT4 ? Math.fround(back) : back, sqlite)
}

/**
 * An instant (a date: its midnight; without a zone: UTC) in microseconds since 1970. Undefined for what is no
 * time, and for digits below the microsecond, which PostgreSQL cannot hold.
 */
export function microseconds(text: string): bigint | undefined {
  const match = ISO.exec(text)
  if (!match) return undefined
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = '', era] = match
  if (/[1-9]/.test(fraction.slice(6))) return undefined
  const date = new Date(0)
  date.setUTCFullYear(era === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day))
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return undefined
  const seconds =
    date.getTime() / 1_000 + Number(hour) * 3_600 + Number(minute) * 60 + Number(second) - offsetSeconds(zone)
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'))
}

const ISO =
  /^(\d{4,6})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?\s?(Z|[+-]\d\d(?::?\d\d){0,2})?( BC)?$/i

function offsetSeconds(zone: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = (zone.slice(1).match(/\d\d/g) ?? []).map(Number)
  return (zone.startsWith('-') ? -1 : 1) * (hours * 3_600 + minutes * 60 + seconds)
}

/** JSON without insignificant differences: order of names, white space, and ways to write one number. */
export function canonicalJson(text: string): string | undefined {
  try {
    return write(JSON.parse(text, keepNumber as Reviver))
  } catch {
    return undefined
  }
}

/** A number as its exact decimal: JSON.parse alone would round 9007199254740993. */
class Decimal {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** TypeScript does not know the third argument yet. */
type Reviver = (this: unknown, name: string, value: unknown) => unknown

function keepNumber(_name: string, value: unknown, context: { source?: string }): unknown {
  return typeof value === 'number' ? new Decimal(canonicalDecimal(context.source ?? String(value))!) : value
}

function write(value: unknown): string {
  if (value instanceof Decimal) return value.text
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, inner]) => `${JSON.stringify(name)}:${write(inner)}`).join(',')}}`
}

/** `1.50`, `15e-1` and `01.5` are one number: digits without zeros at the ends, and the power of ten. */
export function canonicalDecimal(text: string): string | undefined {
  const match = /^([+-]?)0*(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(text.trim())
  if (!match || !/\d/.test(text)) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const digits = (whole + fraction).replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  if (kept === '') return '0'
  const power = Number(exponent) - fraction.length + (digits.length - kept.length)
  const body = power >= 0 && power < 100 ? kept + '0'.repeat(power) : `${kept}e${power}`
  return sign === '-' ? '-' + body : body
}
