/**
 * How a value of SQLite becomes COPY text for a PostgreSQL type: one table for snapshot, apply, verify and the
 * way back. A codec is an SQL expression that SQLite evaluates, so JavaScript never looks into a value. It
 * yields NULL for what the type cannot hold without a change: such a value is a misfit and is never loaded.
 *
 * The expressions run only in slipway's own SQLite (3.54, shortest round-trip text for REAL), never in the
 * application's.
 */

import type { ColumnRule } from './table.ts'

/** Encodes the column reference `x`, which is not NULL. */
export type Codec = (x: string) => string

/** Longest integers that a double holds exactly. */
const EXACT = '9007199254740992'

/** COPY's escapes: backslash, tab, newline, carriage return. */
function copyEscape(text: string): string {
  return `replace(replace(replace(replace(${text},'\\','\\\\'),char(9),'\\t'),char(10),'\\n'),char(13),'\\r')`
}

function integerBetween(low: string, high: string): Codec {
  return (x) => `CASE WHEN typeof(${x})='integer' AND ${x} BETWEEN ${low} AND ${high} THEN ${x} END`
}

const bigint: Codec = (x) => `CASE typeof(${x}) WHEN 'integer' THEN ${x} END`

const float8: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'real' THEN CAST(${x} AS TEXT) ` +
  `WHEN 'integer' THEN CASE WHEN ${x} BETWEEN -${EXACT} AND ${EXACT} THEN CAST(${x} AS TEXT) END END`

/** float4 holds only what a detour through 4 bytes keeps; SQLite cannot round to float, so: small integers. */
const float4 = integerBetween('-16777216', '16777216')

/** Digits, at most one point, a sign only in front. */
function isDecimal(text: string): string {
  return `(${text} GLOB '*[0-9]*' AND ${text} NOT GLOB '*[^0-9.-]*' AND ${text} NOT GLOB '?*-*' AND ${text} NOT GLOB '*.*.*')`
}

/** 16 digits where they are enough: SQLite writes 17, and numeric would show the last one. */
function shortest(x: string): string {
  return `CASE WHEN CAST(printf('%!.16g',${x}) AS REAL)=${x} THEN printf('%!.16g',${x}) ELSE CAST(${x} AS TEXT) END`
}

/** Any decimal. Text counts when it is written as a plain decimal, which PostgreSQL then keeps digit by digit. */
const numeric: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'integer' THEN CAST(${x} AS TEXT) WHEN 'real' THEN ${shortest(x)} ` +
  `WHEN 'text' THEN CASE WHEN ${isDecimal(x)} THEN ${x} END END`

/** numeric(p,s) rounds in silence: what has more digits than it keeps is a misfit. */
function numericScale(precision: number, scale: number): Codec {
  return (x) => {
    const plain =
      `CASE WHEN typeof(${x})='integer' THEN CAST(${x} AS TEXT) ` +
      `WHEN instr(CAST(${x} AS TEXT),'.') THEN rtrim(rtrim(CAST(${x} AS TEXT),'0'),'.') ELSE CAST(${x} AS TEXT) END`
    return (
      `(SELECT CASE WHEN typeof(${x})<>'blob' AND ${isDecimal('d')} ` +
      `AND CASE WHEN instr(d,'.') THEN length(d)-instr(d,'.') ELSE 0 END<=${scale} ` +
      `AND length(ltrim(CASE WHEN instr(d,'.') THEN substr(d,1,instr(d,'.')-1) ELSE d END,'-0'))<=${precision - scale} ` +
      `THEN d END FROM (SELECT ${plain} AS d))`
    )
  }
}

const boolean: Codec = (x) =>
  `CASE WHEN typeof(${x})='integer' THEN CASE ${x} WHEN 0 THEN 'f' WHEN 1 THEN 't' END END`

/** Numbers in an untyped column become their text; BLOBs are no text. */
const text: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'text' THEN ${copyEscape(x)} WHEN 'blob' THEN NULL ELSE CAST(${x} AS TEXT) END`

/** PostgreSQL cuts trailing blanks of varchar(n) beyond n in silence, and pads char(n). */
function textUpTo(length: number): Codec {
  return (x) => `CASE WHEN typeof(${x})='text' AND length(${x})<=${length} THEN ${copyEscape(x)} END`
}

function textOfLength(length: number): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND length(${x})=${length} AND ${x} NOT GLOB '* ' THEN ${copyEscape(x)} END`
}

/** Anything as bytes: text as its UTF-8, numbers as their text. */
const bytea: Codec = (x) => `'\\\\x'||hex(${x})`

const DAY = '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]'
const HM = '[0-2][0-9]:[0-5][0-9]'

/** A real day: SQLite's own calendar moves 30 February on, so it must come back as it was. */
function realDay(x: string): string {
  return `${x} NOT GLOB '0000*' AND date(substr(${x},1,10))=substr(${x},1,10)`
}

const date: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})=10 AND ${x} GLOB '${DAY}' AND ${realDay(x)} THEN ${x} END`

/** What may follow HH:MM: nothing, :SS, and up to six digits, since PostgreSQL rounds the seventh in silence. */
function clock(rest: string): string {
  return (
    `(${rest}='' OR (${rest} GLOB ':[0-5][0-9]*' AND (length(${rest})=3 OR (substr(${rest},4,1)='.' ` +
    `AND length(${rest}) BETWEEN 5 AND 10 AND substr(${rest},5) NOT GLOB '*[^0-9]*'))))`
  )
}

function time(): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND ${x} GLOB '${HM}*' AND ${x} NOT GLOB '2[4-9]*' ` +
    `AND ${clock(`substr(${x},6)`)} THEN ${x} END`
}

/** `YYYY-MM-DD HH:MM[:SS[.ffffff]]`, blank or T; `zone` decides what may stand behind it. */
function timestamp(zone: 'none' | 'any'): Codec {
  return (x) => {
    const bare = zone === 'none' ? `substr(${x},17)` : 'z'
    const head =
      `typeof(${x})='text' AND (${x} GLOB '${DAY} ${HM}*' OR ${x} GLOB '${DAY}T${HM}*') ` +
      `AND substr(${x},12,2)<'24' AND ${realDay(x)}`
    if (zone === 'none') return `CASE WHEN ${head} AND ${clock(bare)} THEN ${x} END`
    // The zone is cut off first: Z, +HH, +HHMM or +HH:MM. A naive time counts as UTC: the session's zone is UTC.
    const rest = `substr(${x},17)`
    const offset = `max(instr(${rest},'+'),instr(${rest},'-'))`
    return (
      `CASE WHEN ${head} THEN (SELECT CASE WHEN ${clock('z')} THEN ${x} END FROM (SELECT CASE ` +
      `WHEN ${rest} GLOB '*Z' THEN rtrim(substr(${rest},1,length(${rest})-1)) ` +
      `WHEN ${offset}>0 AND (substr(${rest},${offset}+1) GLOB '[0-1][0-9]:[0-5][0-9]' ` +
      `OR substr(${rest},${offset}+1) GLOB '[0-1][0-9][0-5][0-9]' OR substr(${rest},${offset}+1) GLOB '[0-1][0-9]') ` +
      `THEN rtrim(substr(${rest},1,${offset}-1)) ELSE ${rest} END AS z)) END`
    )
  }
}

const HEX = '[0-9a-fA-F]'
const uuid: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})=36 AND ${x} GLOB '${[8, 4, 4, 4, 12].map((n) => HEX.repeat(n)).join('-')}' THEN ${x} END`

const json: Codec = (x) => `CASE WHEN typeof(${x})='text' AND json_valid(${x}) THEN ${copyEscape(x)} END`

/** jsonb has no U+0000. */
const jsonb: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND json_valid(${x}) AND NOT instr(${x},'\\u0000') THEN ${copyEscape(x)} END`

/** Everything else goes as text; PostgreSQL's own input function judges it. Its magic words are no values (V17). */
const generic: Codec = (x) =>
  `CASE WHEN typeof(${x})='blob' OR lower(${x}) IN ('now','today','tomorrow','yesterday','allballs') THEN NULL ` +
  `WHEN typeof(${x})='text' THEN ${copyEscape(x)} ELSE CAST(${x} AS TEXT) END`

const BY_TYPE: Readonly<Record<string, Codec>> = {
  smallint: integerBetween('-32768', '32767'),
  integer: integerBetween('-2147483648', '2147483647'),
  bigint,
  'double precision': float8,
  real: float4,
  numeric,
  boolean,
  text,
  'character varying': text,
  bytea,
  date,
  'time without time zone': time(),
  'timestamp without time zone': timestamp('none'),
  'timestamp with time zone': timestamp('any'),
  uuid,
  json,
  jsonb,
}

/** The codec of a type as `format_type` writes it. */
export function codecFor(type: string): Codec {
  const known = BY_TYPE[type]
  if (known !== undefined) return known
  const sized = /^(numeric|character varying|character)\((\d+)(?:,(\d+))?\)$/.exec(type)
  if (sized === null) return generic
  const size = Number(sized[2])
  if (sized[1] === 'numeric') return numericScale(size, Number(sized[3] ?? 0))
  return sized[1] === 'character' ? textOfLength(size) : textUpTo(size)
}

/** True for a type without a rule of its own: its values go as text, and PostgreSQL judges whether they come back. */
export function isGeneric(rule: ColumnRule): boolean {
  return codecFor(rule.type) === generic
}

/**
 * Key columns have stricter codecs: two keys that SQLite keeps apart must stay two in the target, or the delete
 * of one takes the other with it. So each takes one storage class, in one spelling. `undefined` for types in which
 * several spellings are one value (times, citext, …): they cannot be keys.
 */
const KEYS: Readonly<Record<string, Codec>> = {
  smallint: BY_TYPE.smallint as Codec,
  integer: BY_TYPE.integer as Codec,
  bigint,
  'double precision': (x) => `CASE typeof(${x}) WHEN 'real' THEN CAST(${x} AS TEXT) END`,
  numeric: (x) =>
    `CASE typeof(${x}) WHEN 'integer' THEN CAST(${x} AS TEXT) WHEN 'real' THEN ${shortest(x)} END`,
  boolean,
  text: (x) => `CASE typeof(${x}) WHEN 'text' THEN ${copyEscape(x)} END`,
  'character varying': (x) => `CASE typeof(${x}) WHEN 'text' THEN ${copyEscape(x)} END`,
  bytea: (x) => `CASE typeof(${x}) WHEN 'blob' THEN '\\\\x'||hex(${x}) END`,
  date,
  uuid: (x) => `CASE WHEN ${x}=lower(${x}) THEN ${uuid(x)} END`,
}

/** The codec of a key column, or undefined where the type cannot be one. */
export function keyCodecFor(type: string): Codec | undefined {
  return KEYS[type] ?? (/^(character varying|character)\(\d+\)$/.test(type) ? codecFor(type) : undefined)
}

/** One field of a COPY line: `\N` for NULL, NULL for a misfit. */
export function copyField(rule: ColumnRule, x: string): string {
  return `CASE WHEN ${x} IS NULL THEN '\\N' ELSE ${codecFor(rule.type)(x)} END`
}

/** One field of a key: NULL is a misfit too. */
export function keyField(rule: ColumnRule, x: string): string {
  return (keyCodecFor(rule.type) ?? codecFor(rule.type))(x)
}

/** Fields joined by tabs, as a balanced tree: SQLite refuses expressions deeper than 1,000. */
export function copyLine(fields: readonly string[]): string {
  if (fields.length === 0) return "''"
  if (fields.length === 1) return `(${fields[0]})`
  const middle = fields.length >> 1
  return `(${copyLine(fields.slice(0, middle))}||char(9)||${copyLine(fields.slice(middle))})`
}
