import type { Transform } from '../table.ts'
import { isCanonicalDecimal, isNegativeZero, shortest } from './numbers.ts'
import { bound } from './sql.ts'
import { DATE, type ParsedType, secondDigits, TIME, TIMESTAMP, TIMESTAMPTZ } from './types.ts'

/**
 * Changes of a value that a person asked for, as SQL over `v`: what they do not concern they leave as it is, so
 * that it stays a misfit where it was one.
 */

const NUL = `x'00'`

/** The function knows the encoding; a text in UTF-16 has zero bytes without a NUL in it. */
const stripNul = (v: string): string =>
  `CASE WHEN typeof(${v})='text' AND instr(CAST(${v} AS BLOB),${NUL}) ` +
  `THEN CAST(slipway_strip_nul(CAST(${v} AS BLOB)) AS TEXT) ELSE ${v} END`

const validUtf8 = (v: string): string =>
  `CASE typeof(${v}) WHEN 'text' THEN CAST(slipway_valid_utf8(CAST(${v} AS BLOB)) AS TEXT) ELSE ${v} END`

/** An escaped backslash is put out of the way: char(1) stands in no JSON. */
const stripJsonNul = (v: string): string =>
  `CASE WHEN typeof(${v})='text' AND instr(${v},'\\u0000') AND json_valid(${v}) ` +
  `THEN replace(replace(replace(${v},'\\\\',char(1)),'\\u0000',''),char(1),'\\\\') ELSE ${v} END`

const trim = (v: string): string =>
  `CASE typeof(${v}) WHEN 'text' THEN trim(${v},' '||char(9,10,13)) ELSE ${v} END`

/** Not length(): it ends at a NUL. */
const emptyAsNull = (v: string): string =>
  `CASE WHEN typeof(${v})='text' AND octet_length(${v})=0 THEN NULL ELSE ${v} END`

const zeroDateAsNull = (v: string): string =>
  `CASE WHEN typeof(${v})='text' AND ${v} GLOB '0000-00-00*' AND ltrim(substr(${v},11),' T0:.+Z')='' THEN NULL ELSE ${v} END`

/** Of a text the digits of a second beyond those that the type keeps; of a number what is no whole microsecond. */
function truncateFraction(type: ParsedType, limit = 2 ** 33): (v: string) => string {
  const kept = secondDigits(type)
  const point = (v: string): string => `instr(${v},'.')`
  const digits = (v: string): string =>
    `(length(${v})-${point(v)}-length(ltrim(substr(${v},${point(v)}+1),'0123456789')))`
  const unit = 10 ** kept
  return (v) => {
    const whole = `CAST(${v} AS INTEGER)`
    const near = (units: number): string =>
      `(${whole}*${units}+CAST(round((${v}-${whole})*${units}.0) AS INTEGER))`
    const below = (units: number): string => `(${whole}*${units}+CAST((${v}-${whole})*${units}.0 AS INTEGER))`
    return (
      `CASE WHEN typeof(${v})='text' AND ${point(v)}>0 AND ${digits(v)}>${kept} ` +
      `THEN substr(${v},1,${point(v)}${kept === 0 ? '-1' : `+${kept}`})||substr(${v},${point(v)}+1+${digits(v)}) ` +
      `WHEN typeof(${v})='real' AND abs(${v})<${limit}.0 AND ${near(unit)}/${unit}.0<>${v} THEN ${below(unit)}/${unit}.0 ` +
      `ELSE ${v} END`
    )
  }
}

/** A count of milliseconds has three digits fewer, a Julian day is kept to the millisecond. */
function truncateCounted(codec: string | undefined, type: ParsedType): (v: string) => string {
  if (codec === 'epoch_ms') {
    return truncateFraction({ ...type, size: Math.max(0, secondDigits(type) - 3) }, 2 ** 33 * 1_000)
  }
  if (codec === 'julian') {
    return (v) => {
      const day = `CAST(${v} AS INTEGER)`
      const millis = `(${day}*86400000+CAST(round((${v}-${day})*86400000.0) AS INTEGER))`
      const below = `(${day}*86400000+CAST((${v}-${day})*86400000.0 AS INTEGER))`
      return (
        `CASE WHEN typeof(${v})='real' AND abs(${v})<1e7 AND ${millis}/86400000.0<>${v} ` +
        `THEN ${below}/86400000.0 ELSE ${v} END`
      )
    }
  }
  return truncateFraction(type)
}

/** To the nearest, halves away from zero, as PostgreSQL rounds; what does not fit after it stays as it is. */
function round({ name, size, scale }: ParsedType): (v: string) => string {
  switch (name) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return (v) =>
        `CASE WHEN typeof(${v})='real' AND abs(${v})<9.2e18 THEN CAST(round(${v}) AS INTEGER) ELSE ${v} END`
    case 'real':
      // What a float4 holds in its normal range; JavaScript can round to it, SQLite cannot.
      return (v) =>
        `CASE WHEN (typeof(${v})='real' AND abs(${v}) BETWEEN 1.18e-38 AND 3.4028234663852886e38) ` +
        `OR (typeof(${v})='integer' AND ${v} NOT BETWEEN -16777216 AND 16777216) THEN slipway_fround(CAST(${v} AS REAL)) ELSE ${v} END`
    case 'double precision':
      return (v) => `CASE typeof(${v}) WHEN 'integer' THEN CAST(${v} AS REAL) ELSE ${v} END`
    default:
      return size === undefined ? (v) => v : roundDecimal(scale ?? 0)
  }
}

function roundDecimal(scale: number): (v: string) => string {
  return (v) => {
    const decimal =
      `CASE typeof(${v}) WHEN 'real' THEN CASE WHEN abs(${v})<1e-4 THEN printf('%.20f',${v}) ` +
      `WHEN abs(${v})<1e15 THEN ${shortest(v)} END WHEN 'text' THEN CASE WHEN ${isCanonicalDecimal(v)} THEN ${v} END END`
    // Integers do it exactly, as long as they are no longer than 18 digits.
    const digits = (d: string): string =>
      `substr(ltrim(${d},'-'),1,instr(ltrim(${d},'-'),'.')-1)||substr(ltrim(${d},'-'),instr(ltrim(${d},'-'),'.')+1,${scale})`
    const up = (d: string): string => `(substr(${d},instr(${d},'.')+1+${scale},1)>='5')`
    const point =
      scale === 0
        ? (t: string) => t
        : (t: string) => `substr(${t},1,length(${t})-${scale})||'.'||substr(${t},-${scale})`
    const rounded = (d: string): string =>
      bound(
        '_n',
        `printf('%0${scale + 1}d',CAST(${digits(d)} AS INTEGER)+${up(d)})`,
        (t) => `CASE WHEN ${d} GLOB '-*' AND trim(${t},'0')<>'' THEN '-' ELSE '' END||${point(t)}`,
      )
    return bound(
      '_d',
      decimal,
      (d) =>
        `CASE WHEN instr(${d},'.') AND length(${d})-instr(${d},'.')>${scale} AND length(${digits(d)})<=18 ` +
        `THEN ${rounded(d)} ELSE ` +
        `CASE WHEN typeof(${v})='real' AND ${isNegativeZero(v)} THEN 0.0 ELSE ${v} END END`,
    )
  }
}

const cut = (length: number) => (v: string) =>
  `CASE WHEN typeof(${v})='text' AND length(${v})>${length} THEN substr(${v},1,${length}) ELSE ${v} END`

const TIMES = new Set([TIME, TIMESTAMP, TIMESTAMPTZ])
const ROUNDED = new Set(['smallint', 'integer', 'bigint', 'real', 'double precision'])

/** The transforms that can make a difference for a type. */
export function transformsOf(type: ParsedType): readonly Transform[] {
  const times = TIMES.has(type.name) || type.name === DATE
  const sized = type.size !== undefined
  return [
    ...(type.name === 'bytea'
      ? []
      : (['strip_nul', 'replace_invalid_utf8', 'trim', 'empty_as_null'] as const)),
    ...(type.name === 'json' || type.name === 'jsonb' ? (['strip_json_nul'] as const) : []),
    ...(times && type.name !== TIME ? (['zero_date_as_null'] as const) : []),
    ...(TIMES.has(type.name) ? (['truncate_fraction'] as const) : []),
    ...(ROUNDED.has(type.name) || (type.name === 'numeric' && sized) ? (['round'] as const) : []),
    ...(/^character/.test(type.name) && sized ? (['cut'] as const) : []),
  ]
}

/** The SQL of one transform for a column of this type and codec. */
export function transformSql(
  transform: Transform,
  type: ParsedType,
  codec: string | undefined,
): (v: string) => string {
  switch (transform) {
    case 'strip_nul':
      return stripNul
    case 'replace_invalid_utf8':
      return validUtf8
    case 'strip_json_nul':
      return stripJsonNul
    case 'trim':
      return trim
    case 'empty_as_null':
      return emptyAsNull
    case 'zero_date_as_null':
      return zeroDateAsNull
    case 'truncate_fraction':
      return truncateCounted(codec, type)
    case 'round':
      return round(type)
    case 'cut':
      return cut(type.size ?? 1)
  }
}
