import type { Trait } from './facts.ts'

/** Sizes beyond which a text is no date, number, word or identifier: only its bytes and JSON matter. */
const SHORT = 64

/** `-infinity`, with blanks around. */
const LONGEST_WORD = 11

const MAGIC = new Set([
  'now',
  'today',
  'tomorrow',
  'yesterday',
  'epoch',
  'infinity',
  '-infinity',
  '+infinity',
  'allballs',
])
const BOOLEAN = new Set(['0', '1', 't', 'f', 'true', 'false', 'yes', 'no', 'y', 'n', 'on', 'off'])

/** 1990 to 2100: what people store as seconds, or milliseconds, since 1970. */
const EPOCH_S = [631_152_000n, 4_102_444_800n] as const

const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?(Z|z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?)?$/
const TIME = /^(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?$/
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)$/
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i
const HEX32 = /^[\da-f]{32}$/i
const JSON_PLAIN = /^\s*(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*$/

/** Adds what an integer is, apart from being one. */
export function integerTraits(value: bigint, add: (trait: Trait) => void): void {
  if (value >= -32_768n && value <= 32_767n) add('int16')
  else if (value >= -2_147_483_648n && value <= 2_147_483_647n) add('int32')
  else if (value >= -9_007_199_254_740_992n && value <= 9_007_199_254_740_992n) add('int53')
  else add('int64')
  if (value === 0n || value === 1n) add('zero_or_one')
  else if (value >= EPOCH_S[0] && value <= EPOCH_S[1]) add('epoch_s')
  else if (value >= EPOCH_S[0] * 1000n && value <= EPOCH_S[1] * 1000n) add('epoch_ms')
}

/** Adds what a double is; a Julian day is one of the years 1990 to 2100. */
export function realTraits(value: number, add: (trait: Trait) => void): void {
  if (!Number.isFinite(value)) add('infinity')
  else if (Number.isInteger(value)) add('real_integral')
  if (value >= 2_447_892.5 && value <= 2_488_069.5) add('julian')
}

/** Adds what a text is. It must be valid: bytes that are no UTF-8 are counted by whoever reads bytes. */
export function textTraits(value: string, add: (trait: Trait) => void): void {
  const length = value.length
  if (length === 0) {
    add('empty')
    return
  }
  if (value.includes('\0')) add('nul')
  if (length <= SHORT) shortTraits(value, add)
  jsonTraits(value, add)
}

function shortTraits(value: string, add: (trait: Trait) => void): void {
  const first = value.charCodeAt(0)
  // Digits, signs and the point; then words.
  if (first <= 57) {
    if (first >= 48 && first <= 57 && timeTraits(value, add)) return
    if (DECIMAL.test(value)) add('decimal')
  }
  const length = value.length
  if (length === 36 && UUID.test(value)) add('uuid')
  if (length === 32 && HEX32.test(value)) add('hex32')
  if (length > LONGEST_WORD) return
  const word = value.trim().toLowerCase()
  if (BOOLEAN.has(word)) add('boolean_word')
  if (MAGIC.has(word)) add('magic_word')
}

/** True where it is a date or a time, or what looks like one. */
function timeTraits(value: string, add: (trait: Trait) => void): boolean {
  // YYYY-… or HH:…
  if (value.charCodeAt(4) === 45) {
    const match = DATE_TIME.exec(value)
    if (match === null) return false
    const [, year, month, day, hour, minute, second, fraction, zone] = match
    if (year === '0000' && month === '00' && day === '00') add('zero_date')
    else if (!isDay(Number(year), Number(month), Number(day)) || !isClock(hour, minute, second))
      add('odd_time')
    else if (hour === undefined) add('iso_date')
    else {
      add(zone === undefined ? 'iso_naive' : 'iso_zoned')
      if ((fraction?.length ?? 0) > 6) add('long_fraction')
    }
    return true
  }
  if (value.charCodeAt(2) !== 58) return false
  const match = TIME.exec(value)
  if (match === null) return false
  const real = isClock(match[1], match[2], match[3])
  add(real ? 'iso_time' : 'odd_time')
  if (real && (match[4]?.length ?? 0) > 6) add('long_fraction')
  return true
}

function isClock(hour: string | undefined, minute: string | undefined, second: string | undefined): boolean {
  return Number(hour ?? 0) < 24 && Number(minute ?? 0) < 60 && Number(second ?? 0) < 60
}

/** Year 0 is the year before 1 to ISO 8601, and no year to PostgreSQL. */
function isDay(year: number, month: number, day: number): boolean {
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  return day <= (month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31)
}

function jsonTraits(value: string, add: (trait: Trait) => void): void {
  const first = value.charCodeAt(0)
  const start = first <= 32 ? value.trimStart().charCodeAt(0) : first
  const compound = start === 123 || start === 91
  // An exception costs more than all the rest: only what may well be JSON is parsed.
  if (!compound && start !== 34) {
    if (value.length <= SHORT && JSON_PLAIN.test(value)) add('json_scalar')
    return
  }
  try {
    JSON.parse(value)
  } catch {
    return
  }
  add(compound ? 'json' : 'json_scalar')
  if (value.includes('\\u0000')) add('json_nul')
}
