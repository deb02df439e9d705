import { isNegativeZero } from './numbers.ts'
import { bound, type Codec } from './sql.ts'

const DAY = '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]'
const HM = '[0-2][0-9]:[0-5][0-9]'

/** A real day: SQLite's own calendar moves 30 February on, so it must come back as it was. */
function realDay(x: string): string {
  return `${x} NOT GLOB '0000*' AND date(substr(${x},1,10))=substr(${x},1,10)`
}

export const date: Codec = (x) =>
  `CASE WHEN typeof(${x})='text' AND length(${x})=10 AND ${x} GLOB '${DAY}' AND ${realDay(x)} THEN ${x} END`

/**
 * What may follow HH:MM: nothing, :SS, and as many digits as the type keeps, since PostgreSQL rounds the next one in
 * silence (trap V19).
 */
function clock(rest: string, digits: number): string {
  const fraction =
    digits === 0
      ? ''
      : ` OR (substr(${rest},4,1)='.' AND length(${rest}) BETWEEN 5 AND ${4 + digits} AND substr(${rest},5) NOT GLOB '*[^0-9]*')`
  return `(${rest}='' OR (${rest} GLOB ':[0-5][0-9]*' AND (length(${rest})=3${fraction})))`
}

export function time(digits: number): Codec {
  return (x) =>
    `CASE WHEN typeof(${x})='text' AND ${x} GLOB '${HM}*' AND ${x} NOT GLOB '2[4-9]*' ` +
    `AND ${clock(`substr(${x},6)`, digits)} THEN ${x} END`
}

/** `YYYY-MM-DD HH:MM…` of a real day, blank or T. */
function head(x: string): string {
  return (
    `typeof(${x})='text' AND (${x} GLOB '${DAY} ${HM}*' OR ${x} GLOB '${DAY}T${HM}*') ` +
    `AND substr(${x},12,2)<'24' AND ${realDay(x)}`
  )
}

/** `YYYY-MM-DD HH:MM[:SS[.ffffff]]` without a zone: PostgreSQL would leave one out in silence. */
export function timestamp(digits: number): Codec {
  return (x) => `CASE WHEN ${head(x)} AND ${clock(`substr(${x},17)`, digits)} THEN ${x} END`
}

/** PostgreSQL takes offsets below 16 hours. */
const OFFSETS = ['0[0-9]', '1[0-5]'].flatMap((hours) => [`${hours}:[0-5][0-9]`, `${hours}[0-5][0-9]`, hours])

/**
 * The same with Z, +HH, +HHMM or +HH:MM behind it, or without: then it is a time of `zone`, or of UTC, which is the
 * session's zone (trap V18). The first and the last day of the calendar have no zone but UTC: an hour further begins
 * a year that no text of the source spells.
 */
export function timestamptz(digits: number, zone: string | undefined): Codec {
  return (x) => {
    // The zone is cut off first.
    const rest = `substr(${x},17)`
    const offset = `max(instr(${rest},'+'),instr(${rest},'-'))`
    const after = `substr(${rest},${offset}+1)`
    const value =
      zone === undefined
        ? x
        : `CASE WHEN length(z)<length(${rest}) THEN ${x} ` +
          `WHEN slipway_local_exists(${x},'${zone}') THEN ${x}||' ${zone}' END`
    return (
      `CASE WHEN ${head(x)} THEN (SELECT CASE WHEN ${clock('z', digits)} THEN ${value} END FROM (SELECT CASE ` +
      `WHEN ${rest} GLOB '*Z' THEN rtrim(substr(${rest},1,length(${rest})-1)) ` +
      `WHEN ${offset}>0 AND (${OFFSETS.map((glob) => `${after} GLOB '${glob}'`).join(' OR ')}) ` +
      `AND ((${x} NOT GLOB '0001-01-01*' AND ${x} NOT GLOB '9999-12-31*') OR ${after} IN ('00:00','0000','00')) ` +
      `THEN rtrim(substr(${rest},1,${offset}-1)) ELSE ${rest} END AS z)) END`
    )
  }
}

/** Seconds since 1970 of 0001-01-01 and of the last second of 9999. */
const FIRST = -62135596800
const LAST = 253402300799

/**
 * Microseconds since 1970 of a number of seconds or milliseconds, NULL for a misfit. An integer is exact. A REAL
 * counts when it is the double next to a whole number of microseconds, which a division brings back; beyond 2^33 seconds
 * doubles lie further apart than microseconds, and only whole units count.
 */
function microsOfEpoch(x: string, perUnit: 1_000_000 | 1_000): string {
  const units = 1_000_000 / perUnit
  const limit = 2 ** 33 * units
  const range = `BETWEEN ${FIRST * units} AND ${LAST * units + units - 1}`
  const whole = `CAST(${x} AS INTEGER)`
  const micros = `${whole}*${perUnit}+CAST(round((${x}-${whole})*${perUnit}.0) AS INTEGER)`
  return (
    `CASE typeof(${x}) WHEN 'integer' THEN CASE WHEN ${x} ${range} THEN ${x}*${perUnit} END ` +
    `WHEN 'real' THEN CASE WHEN ${x} ${range} AND NOT ${isNegativeZero(x)} AND (${x}=${whole} OR (abs(${x})<${limit}.0 ` +
    `AND (${micros})/${perUnit}.0=${x})) THEN ${micros} END END`
  )
}

/** The same of a Julian day, which a double keeps to a millisecond: SQLite's own `julianday()` writes no finer one. */
function microsOfJulian(x: string): string {
  const millis = `CAST(round(${x}*86400000.0) AS INTEGER)`
  return (
    `CASE WHEN typeof(${x})='real' AND ${x}>=1721425.5 AND ${x}<5373484.5 AND ${millis}/86400000.0=${x} ` +
    `THEN (${millis}-210866760000000)*1000 END`
  )
}

export type Counted = 'epoch_s' | 'epoch_ms' | 'julian'

/** Times kept as a number, which says the same everywhere: UTC. `digits` of a second are what the type keeps. */
export function counted(codec: Counted, type: 'date' | 'naive' | 'zoned', digits: number): Codec {
  const micros = (x: string): string =>
    codec === 'julian' ? microsOfJulian(x) : microsOfEpoch(x, codec === 'epoch_s' ? 1_000_000 : 1_000)
  const fraction = (t: string): string => `((${t}%1000000+1000000)%1000000)`
  const seconds = (t: string): string => `((${t}-${fraction(t)})/1000000)`
  if (type === 'date') {
    return (x) =>
      bound('_t', micros(x), (t) => `CASE WHEN ${t}%86400000000=0 THEN date(${t}/1000000,'unixepoch') END`)
  }
  const kept = 10 ** (6 - digits)
  const fits = kept === 1 ? (t: string) => `${t} IS NOT NULL` : (t: string) => `${t}%${kept}=0`
  const zone = type === 'zoned' ? `||'+00'` : ''
  return (x) =>
    bound(
      '_t',
      micros(x),
      (t) =>
        `CASE WHEN ${fits(t)} THEN datetime(${seconds(t)},'unixepoch')` +
        `||CASE WHEN ${t}%1000000<>0 THEN printf('.%06d',${fraction(t)}) ELSE '' END${zone} END`,
    )
}

/** Integers of one unit are one time each: fit for a key. */
export function countedKey(codec: Counted, type: 'date' | 'naive' | 'zoned', digits: number): Codec {
  return (x) => `CASE typeof(${x}) WHEN 'integer' THEN ${counted(codec, type, digits)(x)} END`
}
