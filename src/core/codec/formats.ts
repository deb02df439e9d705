/**
 * How the source spells what has several spellings, for the way back. A format of times is a picture of the text:
 *
 *     YYYY-MM-DD                     a date
 *     HH:MM  HH:MM:SS  HH:MM:SS.SSS  a time, with as many digits as there are S behind the point (1 to 9)
 *     HH:MM:SS[.SSSSSS]              the same, where a fraction of zero is left out
 *     YYYY-MM-DD HH:MM:SS            both, with a blank or a T between them
 *     …Z  …+HH:MM  …+HHMM  …+HH      and the zone behind it, also after a blank
 *
 * Seconds and digits that a value needs are written even where the picture has none: nothing is cut. Other formats:
 * `upper` and `lower` for uuid and hexadecimal bytes, `true/false` (any pair of words) for booleans of the codec
 * `words`, `1/0` for those that are integers; `real` for a count of seconds or milliseconds that is always a REAL.
 */

import type { ColumnRule } from '../table.ts'
import { DATE, parseType, TIME, TIMESTAMP, TIMESTAMPTZ } from './types.ts'

export interface TimeFormat {
  readonly date: boolean
  /** Between date and time; empty where one of them is missing. */
  readonly separator: '' | ' ' | 'T'
  readonly time: 'none' | 'minutes' | 'seconds'
  /** Digits of a second. */
  readonly digits: number
  /** A fraction of zero is left out. */
  readonly optional: boolean
  /** What stands before the zone. */
  readonly blank: '' | ' '
  readonly zone: '' | 'Z' | '+HH:MM' | '+HHMM' | '+HH'
}

const PICTURE =
  /^(YYYY-MM-DD)?([ T](?=H))?(?:(HH:MM)(:SS)?(\.S{1,9}|\[\.S{1,9}\])?(?:( ?)(Z|\+HH:MM|\+HHMM|\+HH))?)?$/

/** Undefined where it is no picture of a time. */
export function parseFormat(format: string): TimeFormat | undefined {
  const found = PICTURE.exec(format)
  if (found === null || format === '') return undefined
  const [, date, separator = '', minutes, seconds, fraction = '', blank = '', zone = ''] = found
  const both = date !== undefined && minutes !== undefined
  if (both !== (separator !== '') || (fraction !== '' && seconds === undefined) || (zone !== '' && !both)) {
    return undefined
  }
  return {
    date: date !== undefined,
    separator: separator as TimeFormat['separator'],
    time: seconds !== undefined ? 'seconds' : minutes !== undefined ? 'minutes' : 'none',
    digits: fraction.replaceAll(/[^S]/g, '').length,
    optional: fraction.startsWith('['),
    blank: blank as TimeFormat['blank'],
    zone: zone as TimeFormat['zone'],
  }
}

const TEXT =
  /^(\d{4}-\d\d-\d\d)?([ T](?=\d))?(?:(\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(?:( ?)(Z|[+-]\d\d(?::?\d\d)?))?)?$/

/** The format of a date or a time, by its shape alone: 2024-02-30 has one too. Undefined for anything else. */
export function detectFormat(text: string): string | undefined {
  const found = TEXT.exec(text)
  if (found === null || text === '') return undefined
  const [, date, separator = '', minutes, seconds, fraction = '', blank = '', zone = ''] = found
  const format =
    (date === undefined ? '' : 'YYYY-MM-DD') +
    separator +
    (minutes === undefined ? '' : 'HH:MM') +
    (seconds === undefined ? '' : ':SS') +
    fraction.replaceAll(/\d/g, 'S') +
    blank +
    (zone === '' || zone === 'Z' ? zone : `+${zone.slice(1).replace(/^\d\d/, 'HH').replace(/\d\d$/, 'MM')}`)
  return parseFormat(format) === undefined ? undefined : format
}

/** Whether a text looks as this format pictures it. */
export function formatMatches(format: string, text: string): boolean {
  const detected = detectFormat(text)
  if (detected === undefined) return false
  const fraction = /\[(\.S+)\]/.exec(format)
  if (fraction === null) return detected === format
  return [fraction[1] as string, ''].some((part) => detected === format.replace(fraction[0], part))
}

const TRUE = ['t', 'true', 'yes', 'y', 'on', '1']
const FALSE = ['f', 'false', 'no', 'n', 'off', '0']

/** The two words of a format for booleans. */
export function parseWords(format: string): readonly [yes: string, no: string] | undefined {
  const [yes = '', no = '', ...rest] = format.split('/')
  const known = TRUE.includes(yes.toLowerCase()) && FALSE.includes(no.toLowerCase())
  return known && rest.length === 0 ? [yes, no] : undefined
}

function detectWords(text: string): string | undefined {
  const lower = text.toLowerCase()
  const place = TRUE.includes(lower) ? TRUE.indexOf(lower) : FALSE.indexOf(lower)
  if (place < 0) return undefined
  const spelled = [TRUE[place] as string, FALSE[place] as string].map((word) => {
    if (text === lower) return word
    // Of one letter nothing tells "T" of "True"; a capital in front is the custom for longer words.
    return text === text.toUpperCase() ? word.toUpperCase() : word.slice(0, 1).toUpperCase() + word.slice(1)
  })
  return spelled.join('/')
}

/**
 * The format that a text has in a column of this rule: what `rule.format` has to be so that the same text comes
 * back. Undefined where the rule knows no format, or the text is not in one.
 */
export function formatOf(rule: ColumnRule, text: string): string | undefined {
  switch (kindOfFormat(rule)) {
    case 'time': {
      const format = detectFormat(text)
      return format !== undefined && takesFormat(rule, format) ? format : undefined
    }
    case 'letters':
      return /[A-F]/.test(text) && !/[a-f]/.test(text) ? 'upper' : 'lower'
    case 'words':
      return detectWords(text)
    default:
      return undefined
  }
}

function kindOfFormat(rule: ColumnRule): 'time' | 'letters' | 'words' | 'count' | undefined {
  const { name, array } = parseType(rule.type)
  if (array || rule.labels !== undefined) return undefined
  switch (rule.codec) {
    case 'epoch_s':
    case 'epoch_ms':
      return 'count'
    case 'hex':
      return 'letters'
    case 'words':
      return 'words'
    case 'julian':
    case 'bytes':
      return undefined
  }
  if ([DATE, TIME, TIMESTAMP, TIMESTAMPTZ].includes(name)) return 'time'
  return name === 'uuid' ? 'letters' : undefined
}

/** Whether a format says something for this rule. */
export function takesFormat(rule: ColumnRule, format: string): boolean {
  switch (kindOfFormat(rule)) {
    case 'letters':
      return format === 'upper' || format === 'lower'
    case 'words':
      return parseWords(format) !== undefined
    case 'count':
      return format === 'real' || format === 'integer'
    case 'time': {
      const picture = parseFormat(format)
      if (picture === undefined) return false
      const { name } = parseType(rule.type)
      if (name === DATE) return picture.date && picture.time === 'none'
      if (name === TIME) return !picture.date
      return picture.date && picture.time !== 'none' && (name === TIMESTAMPTZ || picture.zone === '')
    }
    default:
      return false
  }
}
