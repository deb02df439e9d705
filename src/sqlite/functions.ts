import { isUtf8 } from 'node:buffer'
import type Database from 'better-sqlite3'

/**
 * Functions that the codecs call where SQL alone does not do it. They get the bytes of a text, as a BLOB of the
 * database's encoding, since a text would end at its first NUL or lose what is not valid; what gives a text back gives
 * its bytes, to be cast.
 *
 * - `slipway_is_text(bytes)`: 1 where PostgreSQL's text could hold it: valid, without NUL
 * - `slipway_strip_nul(bytes)`, `slipway_valid_utf8(bytes)`: the bytes without NUL, and with U+FFFD for what is invalid
 * - `slipway_local_exists(text, zone)`: 0 where clocks of that zone never showed this time, since they were put forward
 * - `slipway_fround(real)`: the nearest number of four bytes
 * - `slipway_double(hex)`: the double of an encoded key (core/key.ts)
 */
export function registerFunctions(database: Database.Database): void {
  const encoding = String(database.pragma('encoding', { simple: true }))
  const texts = encoding === 'UTF-8' ? UTF8 : encoding === 'UTF-16le' ? UTF16LE : UTF16BE
  const options = { deterministic: true, directOnly: true }
  const bytes = (value: unknown): Buffer => (Buffer.isBuffer(value) ? value : Buffer.from(String(value)))
  database.function('slipway_is_text', options, (value: unknown) =>
    value === null ? null : texts.isText(bytes(value)) ? 1n : 0n,
  )
  database.function('slipway_strip_nul', options, (value: unknown) =>
    value === null ? null : texts.stripNul(bytes(value)),
  )
  database.function('slipway_valid_utf8', options, (value: unknown) =>
    value === null ? null : texts.valid(bytes(value)),
  )
  database.function('slipway_local_exists', options, (text: unknown, zone: unknown) =>
    localExists(String(text), String(zone)) ? 1n : 0n,
  )
  database.function('slipway_double', options, (hex: unknown) =>
    Buffer.from(String(hex), 'hex').readDoubleBE(),
  )
  database.function('slipway_fround', options, (value: unknown) =>
    value === null ? null : Math.fround(Number(value)),
  )
}

interface Texts {
  isText(bytes: Buffer): boolean
  stripNul(bytes: Buffer): Buffer
  valid(bytes: Buffer): Buffer
}

const UTF8: Texts = {
  isText: (bytes) => !bytes.includes(0) && isUtf8(bytes),
  stripNul: (bytes) => (bytes.includes(0) ? Buffer.from(bytes.filter((byte) => byte !== 0)) : bytes),
  valid: (bytes) => (isUtf8(bytes) ? bytes : Buffer.from(bytes.toString('utf8'), 'utf8')),
}

const UTF16LE: Texts = {
  isText: (bytes) => {
    const text = bytes.toString('utf16le')
    return bytes.length % 2 === 0 && text.isWellFormed() && !text.includes('\0')
  },
  stripNul: (bytes) => Buffer.from(bytes.toString('utf16le').replaceAll('\0', ''), 'utf16le'),
  valid: (bytes) => Buffer.from(bytes.toString('utf16le').toWellFormed(), 'utf16le'),
}

/** An odd byte at the end stands for nothing, and swap16 does not take it. */
const swapped = (bytes: Buffer): Buffer => Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16()

const UTF16BE: Texts = {
  isText: (bytes) => bytes.length % 2 === 0 && UTF16LE.isText(swapped(bytes)),
  stripNul: (bytes) => swapped(UTF16LE.stripNul(swapped(bytes))),
  valid: (bytes) => swapped(UTF16LE.valid(swapped(bytes))),
}

/** A zone's clock, and the days on which it is known not to be put. */
interface Clock {
  readonly format: Intl.DateTimeFormat
  readonly plainDays: Set<string>
}

const clocks = new Map<string, Clock>()
const PLAIN_DAYS = 50_000
const HOUR_MS = 3_600_000

function clockOf(zone: string): Clock {
  let clock = clocks.get(zone)
  if (clock === undefined) {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    clock = { format, plainDays: new Set() }
    clocks.set(zone, clock)
  }
  return clock
}

function utc(year: number, month: number, day: number, hour: number, minute: number, second: number): number {
  // Date.UTC takes a year below 100 for one of the twentieth century.
  return new Date(Date.UTC(2000, month - 1, day, hour, minute, second)).setUTCFullYear(year, month - 1, day)
}

/** What the clock shows at an instant, less the instant. */
function offsetAt({ format }: Clock, instant: number): number {
  const part: Record<string, string> = {}
  for (const { type, value } of format.formatToParts(instant)) part[type] = value
  const year = part.era === 'BC' ? 1 - Number(part.year) : Number(part.year)
  const shown = utc(
    year,
    Number(part.month),
    Number(part.day),
    Number(part.hour),
    Number(part.minute),
    Number(part.second),
  )
  return shown - Math.floor(instant / 1000) * 1000
}

/** `text` begins with YYYY-MM-DD HH:MM, maybe with seconds. A zone that is unknown here is left to PostgreSQL. */
function localExists(text: string, zone: string): boolean {
  let clock: Clock
  try {
    clock = clockOf(zone)
  } catch {
    return true
  }
  const day = text.slice(0, 10)
  if (clock.plainDays.has(day)) return true
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number)
  const midnight = utc(year, month, date, 0, 0, 0)
  if (offsetAt(clock, midnight - 26 * HOUR_MS) === offsetAt(clock, midnight + 50 * HOUR_MS)) {
    if (clock.plainDays.size >= PLAIN_DAYS) clock.plainDays.clear()
    clock.plainDays.add(day)
    return true
  }
  const second = text[16] === ':' ? Number(text.slice(17, 19)) : 0
  const local = utc(year, month, date, Number(text.slice(11, 13)), Number(text.slice(14, 16)), second)
  return [-26, 26].some((hours) => {
    const instant = local - offsetAt(clock, local + hours * HOUR_MS)
    return offsetAt(clock, instant) + instant === local
  })
}
