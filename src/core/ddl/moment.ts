import { literal } from '../quote.ts'
import type { Expression } from './expression.ts'

/** The current moment, as a DEFAULT of SQLite spells it; always UTC. */
export type Moment =
  /** Text after strftime's format. */
  | { readonly kind: 'text'; readonly format: string }
  /** A number of seconds or milliseconds since 1970. */
  | { readonly kind: 'epoch'; readonly unit: 's' | 'ms' }

const DAY = '%Y-%m-%d'
const CLOCK = '%H:%M:%S'

/** `CURRENT_TIMESTAMP`, `datetime('now')`, `strftime('%s','now')*1000` and their kind; undefined for anything else. */
export function readMoment(expression: Expression): Moment | undefined {
  switch (expression.kind) {
    case 'now':
      return text({ date: DAY, time: CLOCK, timestamp: `${DAY} ${CLOCK}` }[expression.what])
    case 'call':
      return readCall(expression.name, expression.args)
    case 'cast':
      // A number of seconds stays one, whatever it is cast to.
      return asEpoch(readMoment(expression.operand))
    case 'binary':
      return readProduct(expression)
    case 'unary':
      return expression.op === '+' ? readMoment(expression.operand) : undefined
    default:
      return undefined
  }
}

function text(format: string): Moment {
  return { kind: 'text', format }
}

function readCall(name: string, args: readonly Expression[]): Moment | undefined {
  const words = args.map((arg) => (arg.kind === 'string' ? arg.text : undefined))
  if (words.includes(undefined)) return undefined
  const [first, ...rest] = words as string[]
  // Without arguments these mean now as well.
  const now = (from: readonly (string | undefined)[]): boolean =>
    from.length === 0 || (from.length === 1 && from[0]?.toLowerCase() === 'now')
  const subsecond = (from: readonly string[]): boolean =>
    /^subsec(ond)?$/i.test(from.at(-1) ?? '') && now(from.slice(0, -1))
  const all = words as string[]
  switch (name) {
    case 'datetime':
      if (subsecond(all)) return text(`${DAY} %H:%M:%f`)
      return now(all) ? text(`${DAY} ${CLOCK}`) : undefined
    case 'date':
      return now(all) ? text(DAY) : undefined
    case 'time':
      return now(all) ? text(CLOCK) : undefined
    case 'unixepoch':
      return now(all) ? { kind: 'epoch', unit: 's' } : undefined
    case 'strftime':
      return first !== undefined && now(rest) && template(first) !== undefined ? text(first) : undefined
    default:
      return undefined
  }
}

function asEpoch(moment: Moment | undefined): Moment | undefined {
  if (moment?.kind !== 'text') return moment
  return moment.format === '%s' ? { kind: 'epoch', unit: 's' } : undefined
}

/** Seconds times a thousand. */
function readProduct(expression: Extract<Expression, { kind: 'binary' }>): Moment | undefined {
  if (expression.op !== '*') return undefined
  const { left, right } = expression
  const factor = left.kind === 'number' ? left : right.kind === 'number' ? right : undefined
  const seconds = factor === left ? right : left
  if (factor?.text !== '1000') return undefined
  const subsecond =
    seconds.kind === 'call' &&
    seconds.name === 'unixepoch' &&
    seconds.args.length > 0 &&
    seconds.args.every((arg) => arg.kind === 'string' && /^(now|subsec(ond)?)$/i.test(arg.text))
  const moment = subsecond ? ({ kind: 'epoch', unit: 's' } as const) : asEpoch(readMoment(seconds))
  return moment?.kind === 'epoch' && moment.unit === 's' ? { kind: 'epoch', unit: 'ms' } : undefined
}

const FIELDS: Readonly<Record<string, string>> = {
  Y: 'YYYY',
  m: 'MM',
  d: 'DD',
  H: 'HH24',
  M: 'MI',
  S: 'SS',
  f: 'SS.MS',
  j: 'DDD',
  F: 'YYYY-MM-DD',
  T: 'HH24:MI:SS',
  R: 'HH24:MI',
}

/** to_char's template for strftime's format; undefined where a field has no counterpart. */
function template(format: string): string | undefined {
  if (format === '%s') return ''
  let result = ''
  for (const [part] of format.matchAll(/%.|[^%]+|%$/gs)) {
    if (part === '%%') result += '"%"'
    else if (part.startsWith('%')) {
      const field = FIELDS[part[1] ?? '']
      if (field === undefined) return undefined
      result += field
    } else if (/["\\]/.test(part)) return undefined
    else result += /^[-/:., ]+$/.test(part) ? part : `"${part}"`
  }
  return result
}

const UTC = `(now() AT TIME ZONE 'UTC')`
const SECONDS = 'floor(extract(epoch FROM now()))::bigint'
const MILLISECONDS = 'floor(extract(epoch FROM now()) * 1000)::bigint'

/** A DEFAULT that gives the moment in this type; undefined where it has no place for it. */
export function momentSql(moment: Moment, type: string): string | undefined {
  if (moment.kind === 'epoch') {
    const number = moment.unit === 's' ? SECONDS : MILLISECONDS
    if (type === 'bigint' || type === 'numeric' || (type === 'integer' && moment.unit === 's')) return number
    if (type === 'double precision') return `${number}::double precision`
    if (type === 'text') return `${number}::text`
    return undefined
  }
  const { format } = moment
  if (format === '%s') return momentSql({ kind: 'epoch', unit: 's' }, type)
  if (type === 'text') return `to_char(now() AT TIME ZONE 'UTC', ${literal(template(format) ?? '')})`
  const day = /%Y-%m-%d|%F/.test(format)
  const clock = /%H:%M|%T|%R/.test(format)
  if (type === 'timestamp without time zone') return day && clock ? UTC : undefined
  if (type === 'timestamp with time zone') return day && clock ? 'now()' : undefined
  if (type === 'date') return day && !clock ? `${UTC}::date` : undefined
  if (type === 'time without time zone') return clock && !day ? `${UTC}::time` : undefined
  if (type === 'bigint' && /^(%[YmdHMSj])+$/.test(format))
    return `to_char(now() AT TIME ZONE 'UTC', ${literal(template(format) ?? '')})::bigint`
  return undefined
}
