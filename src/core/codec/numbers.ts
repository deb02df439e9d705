import { bound, type Codec } from './sql.ts'

/** Longest integers that a double holds exactly. */
export const EXACT = '9007199254740992'

export function integerBetween(low: string, high: string): Codec {
  return (x) => `CASE WHEN typeof(${x})='integer' AND ${x} BETWEEN ${low} AND ${high} THEN ${x} END`
}

export const smallint = integerBetween('-32768', '32767')
export const integer = integerBetween('-2147483648', '2147483647')
export const bigint: Codec = (x) => `CASE typeof(${x}) WHEN 'integer' THEN ${x} END`

/** SQLite writes -0.0 as 0.0, and an untyped column does hold it: only its angle tells (trap V25). */
export function isNegativeZero(x: string): string {
  return `(${x}=0.0 AND atan2(${x},-1)<0)`
}

/** SQLite 3.54 writes as many digits as bring the double back. */
export const float8: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'real' THEN CASE WHEN ${isNegativeZero(x)} THEN '-0' ELSE CAST(${x} AS TEXT) END ` +
  `WHEN 'integer' THEN CASE WHEN ${x} BETWEEN -${EXACT} AND ${EXACT} THEN CAST(${x} AS TEXT) END END`

export const float8Key: Codec = (x) => `CASE typeof(${x}) WHEN 'real' THEN CAST(${x} AS TEXT) END`

/**
 * float4 keeps 24 bits: a double of more is a misfit. Adding and taking away x * (2^29 + 1) leaves the upper 24 of
 * its 53 bits (Veltkamp's split). Numbers below float4's normal range lose bits one by one: misfits too.
 */
export const float4: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'integer' THEN CASE WHEN ${x} BETWEEN -16777216 AND 16777216 THEN ${x} END ` +
  `WHEN 'real' THEN CASE WHEN ${isNegativeZero(x)} THEN '-0' WHEN ${x}=0.0 OR abs(${x})=9e999 ` +
  `OR (abs(${x}) BETWEEN 1.18e-38 AND 3.4028234663852886e38 AND ${x}*536870913.0+(${x}-${x}*536870913.0)=${x}) ` +
  `THEN CAST(${x} AS TEXT) END END`

/** Digits, at most one point, a sign only in front. */
function isDecimal(text: string): string {
  return `(${text} GLOB '*[0-9]*' AND ${text} NOT GLOB '*[^0-9.-]*' AND ${text} NOT GLOB '?*-*' AND ${text} NOT GLOB '*.*.*')`
}

/**
 * A decimal as PostgreSQL writes it back: no zeros in front (trap V9: '007' is no number), digits on both sides of
 * the point, no negative zero; and no longer than numeric holds.
 */
export function isCanonicalDecimal(text: string): string {
  return (
    `(${isDecimal(text)} AND ltrim(${text},'-') NOT GLOB '0[0-9]*' AND ltrim(${text},'-') NOT GLOB '.*' ` +
    `AND ${text} NOT GLOB '*.' AND NOT (${text} GLOB '-*' AND trim(${text},'-0.')='') AND length(${text})<=16000)`
  )
}

/**
 * The decimal that a person would write for a double: 15 digits where they bring it back, then 16, then all. (With
 * 17 digits 0.1 + 0.2 is not 0.3; with 16 digits tried first 9.95 would be 9.949999999999999.)
 */
export function shortest(x: string): string {
  return (
    `CASE WHEN CAST(printf('%!.15g',${x}) AS REAL)=${x} THEN printf('%!.15g',${x}) ` +
    `WHEN CAST(printf('%!.16g',${x}) AS REAL)=${x} THEN printf('%!.16g',${x}) ELSE CAST(${x} AS TEXT) END`
  )
}

/** A decimal for a double, which numeric keeps digit by digit. It has no negative zero; infinity since version 14. */
const decimalOfReal: Codec = (x) => `CASE WHEN ${isNegativeZero(x)} THEN NULL ELSE ${shortest(x)} END`

/** Any decimal. Text counts when PostgreSQL would write it back as it stands. */
export const numeric: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'integer' THEN CAST(${x} AS TEXT) WHEN 'real' THEN ${decimalOfReal(x)} ` +
  `WHEN 'text' THEN CASE WHEN ${isCanonicalDecimal(x)} THEN ${x} END END`

/**
 * numeric(p,s) rounds in silence: what has more digits than it keeps is a misfit. Zeros at the end of the fraction
 * do not count: 2.50 is 2.5.
 */
export function numericScale(precision: number, scale: number): Codec {
  return (x) => {
    // Below 1e-4 SQLite writes an exponent; 17 digits after the point are the 13 that any double brings back.
    const small = `printf('%.${Math.min(scale, 17)}f',${x})`
    const text =
      `CASE typeof(${x}) WHEN 'integer' THEN CAST(${x} AS TEXT) WHEN 'real' THEN ` +
      `CASE WHEN abs(${x})<1e-4 AND ${x}<>0.0 THEN CASE WHEN CAST(${small} AS REAL)=${x} THEN ${small} END ` +
      `ELSE ${decimalOfReal(x)} END WHEN 'text' THEN CASE WHEN ${isCanonicalDecimal(x)} THEN ${x} END END`
    const digits = bound(
      '_d',
      text,
      (d) => `CASE WHEN instr(${d},'.') THEN rtrim(rtrim(${d},'0'),'.') ELSE ${d} END`,
    )
    return (
      `(SELECT CASE WHEN d NOT GLOB '*[^0-9.-]*' ` +
      `AND CASE WHEN instr(d,'.') THEN length(d)-instr(d,'.') ELSE 0 END<=${scale} ` +
      `AND length(ltrim(CASE WHEN instr(d,'.') THEN substr(d,1,instr(d,'.')-1) ELSE d END,'-0'))<=${precision - scale} ` +
      `THEN d END FROM (SELECT ${digits} AS d))`
    )
  }
}

/** One storage class, so that two keys of SQLite stay two. */
export const numericKey: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'integer' THEN CAST(${x} AS TEXT) WHEN 'real' THEN ${shortest(x)} END`

export const boolean: Codec = (x) =>
  `CASE WHEN typeof(${x})='integer' THEN CASE ${x} WHEN 0 THEN 'f' WHEN 1 THEN 't' END END`

/** Also the words that PostgreSQL takes, in any case; never 2 (trap V7). */
export const booleanWords: Codec = (x) =>
  `CASE typeof(${x}) WHEN 'integer' THEN CASE ${x} WHEN 0 THEN 'f' WHEN 1 THEN 't' END ` +
  `WHEN 'text' THEN CASE WHEN lower(${x}) IN ('t','true','yes','y','on','1') THEN 't' ` +
  `WHEN lower(${x}) IN ('f','false','no','n','off','0') THEN 'f' END END`
