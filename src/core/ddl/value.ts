import { literal } from '../quote.ts'
import type { ContextColumn, Kind } from './context.ts'

/** Something that PostgreSQL cannot be told, or that is not certain to mean the same there. */
export class Untranslatable extends Error {}

/** SQL for PostgreSQL, with what is known of its values. */
export interface Value {
  readonly sql: string
  readonly kind: Kind | 'null'
  /** True where it must stand in parentheses beside an operator. */
  readonly compound?: boolean | undefined
  /** A whole number that is written out. */
  readonly integer?: bigint | undefined
  /** A number with a fraction that is written out: `numeric` to PostgreSQL until it is cast. */
  readonly decimal?: boolean | undefined
  /** A text that is written out. */
  readonly string?: string | undefined
  /** A condition that is always so, or never. */
  readonly always?: boolean | undefined
  /** An integer of 32 bits or fewer in PostgreSQL. */
  readonly narrow?: boolean | undefined
  /** How it is compared: `COLLATE` beats the column's own. */
  readonly collation?: { readonly name: string; readonly explicit: boolean } | undefined
  readonly column?: ContextColumn | undefined
  /** `typeof()` of this column. */
  readonly typeOf?: ContextColumn | undefined
}

export function refuse(reason: string): never {
  throw new Untranslatable(reason)
}

/** In parentheses where it needs them. */
export function operand(value: Value): string {
  return value.compound ? `(${value.sql})` : value.sql
}

export const TRUE: Value = { sql: 'true', kind: 'boolean', always: true }
export const FALSE: Value = { sql: 'false', kind: 'boolean', always: false }
export const NULL: Value = { sql: 'NULL', kind: 'null' }

export function condition(sql: string): Value {
  return { sql, kind: 'boolean', compound: true }
}

export function textLiteral(text: string): Value {
  if (text.includes('\0')) refuse('PostgreSQL has no NUL in text')
  return { sql: literal(text), kind: 'text', string: text }
}

const MAX = 2n ** 63n - 1n
const INT4 = 2n ** 31n

export function integerLiteral(integer: bigint): Value {
  if (integer > MAX || integer < -MAX - 1n) refuse(`${integer} is no integer of 64 bits`)
  const narrow = integer < INT4 && integer >= -INT4
  return { sql: String(integer), kind: 'integer', integer, narrow, compound: integer < 0n }
}

/** A number as SQLite reads it. Digits that a double does not keep are not guessed. */
export function numberLiteral(text: string, negative: boolean): Value {
  const sign = negative ? '-' : ''
  if (/^0x/i.test(text)) {
    const integer = BigInt.asIntN(64, BigInt(text))
    return integerLiteral(negative ? -integer : integer)
  }
  if (/^\d+$/.test(text)) return integerLiteral(negative ? -BigInt(text) : BigInt(text))
  const digits = text.replace(/e.*$/i, '').replace('.', '').replace(/^0+/, '')
  if (digits.length > 15 || !Number.isFinite(Number(text))) refuse(`${text} is more than a double keeps`)
  return { sql: `${sign}${text}`, kind: 'float', decimal: true, compound: negative }
}

/** What a condition is made of: SQLite takes any number, PostgreSQL a boolean alone. */
export function asCondition(value: Value): Value {
  switch (value.kind) {
    case 'boolean':
      return value
    case 'null':
      return condition('NULL::boolean')
    case 'integer':
      if (value.integer !== undefined) return value.integer === 0n ? FALSE : TRUE
      return condition(`${operand(value)} <> 0`)
    case 'float':
    case 'mixed':
    case 'numeric':
      return condition(`${operand(value)} <> 0`)
    default:
      return refuse(value.column?.reason ?? `${value.sql} is no condition in PostgreSQL`)
  }
}

/** A boolean counts as 0 or 1 in SQLite. */
export function asNumber(value: Value): Value {
  if (value.kind !== 'boolean') return value
  if (value.always !== undefined) return integerLiteral(value.always ? 1n : 0n)
  return { sql: `${operand(value)}::integer`, kind: 'integer', narrow: true }
}

/** A whole number as text is spelled alike on both sides; one with a fraction is not. */
export function asText(value: Value): Value {
  if (value.kind === 'text') return value
  if (value.kind !== 'integer')
    refuse(value.column?.reason ?? `${value.sql} may be spelled otherwise as text in PostgreSQL`)
  if (value.integer !== undefined) return textLiteral(String(value.integer))
  return { sql: `${operand(value)}::text`, kind: 'text' }
}

/** For sums: in 64 bits, as in SQLite. */
export function asBigint(value: Value): Value {
  if (!value.narrow) return value
  return { sql: `${operand(value)}::bigint`, kind: 'integer' }
}
