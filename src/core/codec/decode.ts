/**
 * The way back: PostgreSQL's value as the text of the source's, in the column's own format, and that text as the
 * value that SQLite gets. What SQLite cannot hold in that format (NaN, infinity as a time, microseconds in a Julian
 * day) is NULL there, or undefined here: a misfit of the way back, never a value that is nearly right.
 */

import { literal } from '../quote.ts'
import type { ColumnRule } from '../table.ts'
import { parseFormat, parseWords, type TimeFormat } from './formats.ts'
import { DATE, isZoneName, type ParsedType, parseType, TIME, TIMESTAMP, TIMESTAMPTZ } from './types.ts'

/** Affinity of the source's column; https://sqlite.org/datatype3.html#determination_of_column_affinity */
export type Affinity = 'INTEGER' | 'TEXT' | 'BLOB' | 'REAL' | 'NUMERIC'

export function affinityOf(declared: string): Affinity {
  const type = declared.toUpperCase()
  if (type.includes('INT')) return 'INTEGER'
  if (/CHAR|CLOB|TEXT/.test(type)) return 'TEXT'
  if (type === '' || type.includes('BLOB')) return 'BLOB'
  return /REAL|FLOA|DOUB/.test(type) ? 'REAL' : 'NUMERIC'
}

/**
 * A PostgreSQL expression over `x`, of the column's type and not NULL, that yields the text of the source's value; for
 * bytes it is hexadecimal. NULL where the source cannot hold the value in its format. The session's settings are those
 * of postgres/connection.ts.
 */
export function decodeSql(rule: ColumnRule, x: string): string {
  const type = parseType(rule.type)
  const { name, size } = type
  const plain = `CAST(${x} AS text)`
  if (rule.labels !== undefined) return plain
  if (type.array) return rule.codec === 'json_array' ? jsonList(type, x) : plain
  switch (name) {
    case 'boolean': {
      const [yes, no] = rule.codec === 'words' ? wordsOf(rule) : ['1', '0']
      return `CASE WHEN ${x} THEN ${literal(yes)} ELSE ${literal(no)} END`
    }
    case 'double precision':
    case 'real':
      // As float8: 0.1 in a float4 is another number than 0.1 in SQLite.
      return `CASE WHEN ${x}<>'NaN' THEN CAST(CAST(${x} AS float8) AS text) END`
    case 'numeric':
      return `CASE WHEN ${x}<>'NaN' THEN ${plain} END`
    case 'character':
      // A text that PostgreSQL pads would not be taken again; see the codec `text`.
      return rule.codec === 'text' ? plain : `CASE WHEN char_length(${plain})=${size ?? 1} THEN ${plain} END`
    case 'bytea':
      return letters(rule, `encode(${x},'hex')`)
    case 'uuid':
      return letters(
        rule,
        rule.codec === 'hex' || rule.codec === 'bytes' ? `replace(${plain},'-','')` : plain,
      )
    case DATE:
    case TIMESTAMP:
    case TIMESTAMPTZ:
      return rule.codec === undefined || rule.codec === 'iso'
        ? written(rule, name, x)
        : count(rule, name === DATE ? `CAST(${x} AS timestamp)` : x)
    case TIME:
      return `CASE WHEN ${x}<'24:00' THEN ${clockText(formatFor(rule, name), x)} END`
    default:
      return plain
  }
}

function letters(rule: ColumnRule, text: string): string {
  return rule.format === 'upper' ? `upper(${text})` : text
}

function wordsOf(rule: ColumnRule): readonly [string, string] {
  return parseWords(rule.format ?? '') ?? ['true', 'false']
}

/** A list of one-based arrays; NaN and infinity have no JSON. */
function jsonList(type: ParsedType, x: string): string {
  const plain = `CAST(${x} AS text)`
  const numbers = /^(double precision|real|numeric)$/.test(type.name) ? ` AND ${plain} !~ 'NaN|Infinity'` : ''
  return `CASE WHEN coalesce(array_dims(${x}),'') !~ '\\[(?!1:)'${numbers} THEN CAST(array_to_json(${x}) AS text) END`
}

/** Whole microseconds as the number that the codec counts in. */
function count(rule: ColumnRule, x: string): string {
  const seconds = `extract(epoch FROM ${x})`
  const inRange = `${x}>='0001-01-01' AND ${x}<'10000-01-01'`
  if (rule.codec === 'julian') {
    const millis = `CAST(${seconds}*1000 AS int8)`
    return (
      `CASE WHEN ${inRange} THEN CASE WHEN ${seconds}*1000=trunc(${seconds}*1000) ` +
      `THEN CAST(CAST(${millis}+210866760000000 AS float8)/86400000 AS text) END END`
    )
  }
  const units = rule.codec === 'epoch_ms' ? `${seconds}*1000` : seconds
  // A double tells one microsecond from the next up to 2^33 seconds; whole units always.
  const limit = 2 ** 33 * (rule.codec === 'epoch_ms' ? 1_000 : 1)
  return (
    `CASE WHEN ${inRange} THEN CASE WHEN ${units}=trunc(${units}) OR abs(${units})<${limit} ` +
    `THEN CAST(trim_scale(${units}) AS text) END END`
  )
}

const FALLBACK: Readonly<Record<string, string>> = {
  [DATE]: 'YYYY-MM-DD',
  [TIME]: 'HH:MM:SS',
  [TIMESTAMP]: 'YYYY-MM-DD HH:MM:SS',
}

/** Without a format: naive times where the plan says of which zone they are, else times that say their own. */
function formatFor(rule: ColumnRule, name: string): TimeFormat {
  const fallback = FALLBACK[name] ?? `YYYY-MM-DD HH:MM:SS${rule.zone === undefined ? '+HH:MM' : ''}`
  return (parseFormat(rule.format ?? fallback) ?? parseFormat(fallback)) as TimeFormat
}

/** HH:MM and what follows of it, of a timestamp without zone or a time; as many digits as the value needs. */
function clockText(format: TimeFormat, x: string): string {
  const fraction = `to_char(${x},'.US')`
  const needed = `rtrim(${fraction},'.0')`
  const digits = format.digits + 1
  const written =
    format.digits === 0
      ? needed
      : format.optional
        ? `CASE WHEN ${needed}='' THEN '' ELSE ${padded(fraction, digits)} END`
        : padded(fraction, digits)
  const seconds = `to_char(${x},'HH24:MI:SS')||${written}`
  if (format.time === 'seconds') return seconds
  return `CASE WHEN to_char(${x},'SS.US')='00.000000' THEN to_char(${x},'HH24:MI') ELSE ${seconds} END`
}

/** A fraction cut or filled up to so many characters, where nothing but zeros is cut. */
function padded(fraction: string, length: number): string {
  if (length > 7) return `rpad(${fraction},${length},'0')`
  return `left(${fraction},greatest(${length},length(rtrim(${fraction},'0'))))`
}

/** A date or a timestamp as text. */
function written(rule: ColumnRule, name: string, x: string): string {
  const format = formatFor(rule, name)
  const whole = (local: string): string => {
    const day = `to_char(${local},'YYYY-MM-DD')`
    const inRange = `${local}>='0001-01-01' AND ${local}<'10000-01-01'`
    const text = name === DATE ? day : `${day}||'${format.separator}'||${clockText(format, local)}`
    return `CASE WHEN ${inRange} THEN ${text} END`
  }
  if (name !== TIMESTAMPTZ) return whole(x)
  if (rule.zone !== undefined && !isZoneName(rule.zone)) throw new Error(`no zone: ${rule.zone}`)
  const utc = `(${x} AT TIME ZONE 'UTC')`
  const zone = format.zone === 'Z' ? 'UTC' : (rule.zone ?? 'UTC')
  if (zone === 'UTC') return `${whole(utc)}||'${format.blank}${ZERO[format.zone]}'`
  const local = `(${x} AT TIME ZONE '${zone}')`
  const seconds = `CAST(extract(epoch FROM ${local}-${utc}) AS int4)`
  const behind = (text: string): string => `${whole(local)}||${text}`
  if (format.zone !== '') {
    // Before zones were uniform, offsets had seconds, which no format has; and at both ends of the calendar the codec
    // takes no offset: such a time is written in UTC.
    return (
      `CASE WHEN NOT isfinite(${x}) THEN NULL WHEN ${seconds}%60=0 AND ${local}>='0001-01-02' AND ${local}<'9999-12-31' THEN ${behind(`'${format.blank}'||${offset(format.zone, seconds)}`)} ` +
      `ELSE ${whole(utc)}||'${format.blank}${ZERO[format.zone]}' END`
    )
  }
  // An hour that comes twice in autumn: PostgreSQL takes it for one of the two. The other has to say its offset.
  return (
    `CASE WHEN (${local} AT TIME ZONE '${zone}')=${x} THEN ${whole(local)} ` +
    `WHEN ${seconds}%60=0 THEN ${behind(offset('+HH:MM', seconds))} END`
  )
}

const ZERO = { '': '', Z: 'Z', '+HH:MM': '+00:00', '+HHMM': '+0000', '+HH': '+00' } as const

function offset(format: '+HH:MM' | '+HHMM' | '+HH' | 'Z', seconds: string): string {
  const two = (value: string): string => `lpad(CAST(${value} AS text),2,'0')`
  const hours = `CASE WHEN ${seconds}<0 THEN '-' ELSE '+' END||${two(`abs(${seconds})/3600`)}`
  const minutes = two(`abs(${seconds})/60%60`)
  if (format === '+HHMM') return `${hours}||${minutes}`
  if (format === '+HH:MM') return `${hours}||':'||${minutes}`
  return `${hours}||CASE WHEN abs(${seconds})/60%60=0 THEN '' ELSE ':'||${minutes} END`
}

const LARGEST = 2n ** 63n

/**
 * The value to bind for a text of `decodeSql`. `declared` is the affinity of the source's column, which decides what
 * SQLite makes of it:
 *
 * - integers: bigint; booleans 0 and 1, or the word of the format; double precision: number
 * - numeric: bigint where it is whole and fits, else a number where the same decimal comes of it again, else the text;
 *   a TEXT column always gets the text. Undefined where SQLite would make a shorter number of that text
 * - bytea, uuid as bytes: Buffer; a TEXT column gets the text that it must have been, where the bytes are UTF-8
 * - counts of seconds or milliseconds: bigint, or number with a fraction or the format `real`; Julian days: number
 * - all else: string
 */
export function bindDecoded(
  rule: ColumnRule,
  text: string,
  declared?: Affinity,
): bigint | number | string | Buffer | undefined {
  const type = parseType(rule.type)
  if (type.array || rule.labels !== undefined) return text
  switch (type.name) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return BigInt(text)
    case 'boolean':
      return /^[01]$/.test(text) ? BigInt(text) : text
    case 'double precision':
    case 'real':
      return Number(text)
    case 'numeric':
      return bindNumeric(text, declared)
    case 'bytea': {
      if (rule.codec === 'hex') return text
      const bytes = Buffer.from(text, 'hex')
      return (declared === 'TEXT' ? asText(bytes) : undefined) ?? bytes
    }
    case 'uuid':
      return rule.codec === 'bytes' ? Buffer.from(text, 'hex') : text
  }
  switch (rule.codec) {
    case 'julian':
      return Number(text)
    case 'epoch_s':
    case 'epoch_ms':
      return rule.format === 'real' || text.includes('.') ? Number(text) : BigInt(text)
  }
  return text
}

function asText(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : undefined
}

function bindNumeric(text: string, declared: Affinity | undefined): bigint | number | string | undefined {
  if (declared === 'TEXT') return text
  const infinity = /^(-?)Infinity$/.exec(text)
  if (infinity !== null) return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  const plain = withoutZeros(text)
  if (!plain.includes('.')) {
    const whole = BigInt(plain)
    if (whole >= -LARGEST && whole < LARGEST) return whole
  }
  const value = Number(plain)
  if (Number.isFinite(value) && decimalOf(value) === plain) return value
  return declared === undefined || declared === 'BLOB' ? text : undefined
}

function withoutZeros(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0*$/, '') : decimal
}

/**
 * The decimal that the codec of numeric makes of a double, without an exponent: 15 digits, or 16 or 17 where fewer do
 * not bring the double back. Undefined where that cannot be known here: of what lies just below or at the middle
 * between two decimals of 16 or 17 digits SQLite writes either (measured on three million doubles: from 0.45 to 0.501).
 */
function decimalOf(value: number): string | undefined {
  const [mantissa = '', exponent = '0'] = value.toExponential(40).split('e')
  const sign = mantissa.startsWith('-') ? '-' : ''
  const all = mantissa.replaceAll(/[-.]/g, '')
  for (const digits of [15, 16, 17]) {
    const below = BigInt(all.slice(0, digits))
    const rest = Number(`0.${all.slice(digits)}`)
    const middle = digits > 15 && rest > 0.4495 && rest < 0.5025
    const found = (middle ? [below, below + 1n] : [below + (rest < 0.5 ? 0n : 1n)])
      .map((each) => sign + shifted(each, digits - 1 - Number(exponent)))
      .find((decimal) => Number(decimal) === value)
    if (found !== undefined) return middle ? undefined : found
  }
  return undefined
}

function shifted(digits: bigint, scale: number): string {
  const text = String(digits).padStart(scale + 1, '0')
  return withoutZeros(
    scale > 0 ? `${text.slice(0, -scale)}.${text.slice(-scale)}` : text + '0'.repeat(-scale),
  )
}
