import { literal } from '../quote.ts'
import type { Kind } from './context.ts'
import { asNumber, condition, FALSE, NULL, operand, refuse, TRUE, type Value } from './value.ts'

export type Comparison = '=' | '<>' | '<' | '<=' | '>' | '>=' | 'IS' | 'IS NOT'

const NUMBERS: ReadonlySet<Kind | 'null'> = new Set<Kind | 'null'>(['integer', 'float', 'mixed', 'numeric'])

/** A comparison with the meaning that SQLite gives it; refused where affinities would decide. */
export function compare(op: Comparison, left: Value, right: Value): Value {
  if (left.typeOf !== undefined) return compareType(op, left, right)
  if (right.typeOf !== undefined) return compareType(op, right, left)
  if (left.kind === 'null' || right.kind === 'null') {
    const other = left.kind === 'null' ? right : left
    if (op === 'IS' || op === 'IS NOT') return isNull(other, op === 'IS NOT')
    return condition('NULL::boolean')
  }
  const pair = alike(left, right)
  const symbol = op === 'IS' ? 'IS NOT DISTINCT FROM' : op === 'IS NOT' ? 'IS DISTINCT FROM' : op
  const order = pair.text && '<=>='.includes(op) && op !== '='
  // Bytes decide the order in SQLite, whatever language the database of the target speaks.
  const collate = order && !pair.folded ? ' COLLATE "C"' : ''
  return condition(`${pair.left} ${symbol} ${pair.right}${collate}`)
}

export function isNull(value: Value, not: boolean): Value {
  if (value.kind === 'null') return not ? FALSE : TRUE
  if (value.column !== undefined && !value.column.sameNulls)
    refuse(`NULL in ${value.column.name} is not the same on both sides`)
  if (value.column?.notNull) return not ? TRUE : FALSE
  return condition(`${operand(value)} IS ${not ? 'NOT ' : ''}NULL`)
}

/** `x IN (…)`, as a list where one form of x fits all. */
export function isOneOf(value: Value, list: readonly Value[], not: boolean): Value {
  if (list.length === 0) return not ? TRUE : FALSE
  if (value.typeOf !== undefined) {
    const each = list.map((one) => compareType('=', value, one))
    if (each.some((one) => one.always)) return not ? FALSE : TRUE
    const possible = each.filter((one) => one.always !== false)
    if (possible.length === 0) return not ? TRUE : FALSE
    const any = possible.map(operand).join(' OR ')
    return condition(not ? `NOT (${any})` : any)
  }
  // `flag IN (0, 1)`: the type has seen to it.
  if (value.kind === 'boolean' && value.column?.notNull) {
    if ([0n, 1n].every((bit) => list.some((one) => one.integer === bit))) return not ? FALSE : TRUE
  }
  const pairs = list.map((one) =>
    one.kind === 'null' ? { left: operand(value), right: 'NULL', folded: false } : alike(value, one),
  )
  const forms = new Set(pairs.filter((pair) => pair.right !== 'NULL').map((pair) => pair.left))
  if (forms.size === 1) {
    const items = pairs.map((pair) => pair.right).join(', ')
    return condition(`${[...forms][0]} ${not ? 'NOT ' : ''}IN (${items})`)
  }
  const any = list.map((one) => operand(compare('=', value, one))).join(' OR ')
  return condition(not ? `NOT (${any})` : any)
}

/** Values of a typed column have one storage class, or are NULL. */
function compareType(op: Comparison, left: Value, right: Value): Value {
  const column = left.typeOf
  const name = right.string
  if (column?.storage === undefined || name === undefined || !['=', '<>', 'IS', 'IS NOT'].includes(op))
    return refuse('typeof() has no meaning in PostgreSQL')
  const not = op === '<>' || op === 'IS NOT'
  const value: Value = { sql: column.sql, kind: column.kind, column }
  if (name === 'null') return isNull(value, not)
  if (name === column.storage) return isNull(value, !not)
  return not ? TRUE : FALSE
}

/** Both sides as PostgreSQL can compare them with the same result. */
function alike(
  left: Value,
  right: Value,
): { readonly left: string; readonly right: string; readonly text: boolean; readonly folded: boolean } {
  const plain = (a: Value, b: Value) => ({ left: operand(a), right: operand(b), text: false, folded: false })
  if (left.kind === 'opaque') refuse(left.column?.reason ?? `${left.sql} compares in another way`)
  if (right.kind === 'opaque') refuse(right.column?.reason ?? `${right.sql} compares in another way`)
  if (left.kind === 'text' && right.kind === 'text') return alikeText(left, right)
  if (left.kind === 'boolean' || right.kind === 'boolean') return alikeBoolean(left, right)
  if (NUMBERS.has(left.kind) && NUMBERS.has(right.kind)) {
    const written = [left, right].some((value) => value.integer !== undefined || value.decimal)
    const exact = (value: Value) => value.kind === 'integer' || value.kind === 'numeric'
    if (!written && exact(left) !== exact(right))
      refuse('an exact number and a double are compared in another way')
    return plain(left, right)
  }
  if (left.kind === 'date' && right.kind === 'date') return plain(left, right)
  if (left.kind === 'date' && right.string !== undefined) return plain(left, dayLiteral(right.string))
  if (right.kind === 'date' && left.string !== undefined) return plain(dayLiteral(left.string), right)
  if (left.kind === 'bytea' && right.kind === 'bytea') return plain(left, right)
  return refuse(`${name(left)} is compared with ${name(right)}, for which SQLite has rules of its own`)
}

const NAMES: Readonly<Partial<Record<Kind | 'null', string>>> = {
  integer: 'a number',
  float: 'a number',
  mixed: 'a number',
  numeric: 'a number',
  bytea: 'a BLOB',
  boolean: 'a boolean',
  date: 'a date',
}

function name(value: Value): string {
  return NAMES[value.kind] ?? value.kind
}

function alikeBoolean(left: Value, right: Value): ReturnType<typeof alike> {
  // 0 and 1 are the only numbers that a boolean can be equal to, and written so people read them better.
  const asBoolean = (value: Value): Value | undefined => {
    if (value.kind === 'boolean') return value
    return value.integer === 0n ? FALSE : value.integer === 1n ? TRUE : undefined
  }
  const [a, b] = [asBoolean(left), asBoolean(right)]
  if (a !== undefined && b !== undefined)
    return { left: operand(a), right: operand(b), text: false, folded: false }
  const [x, y] = [asNumber(left), asNumber(right)]
  if (!NUMBERS.has(x.kind) || !NUMBERS.has(y.kind))
    refuse(`${name(left)} is compared with ${name(right)}, for which SQLite has rules of its own`)
  return { left: operand(x), right: operand(y), text: false, folded: false }
}

/** An explicit COLLATE wins, then the left column's, then the right one's. */
function alikeText(left: Value, right: Value): ReturnType<typeof alike> {
  const collations = [left.collation, right.collation]
  const chosen = collations.find((one) => one?.explicit) ?? collations.find((one) => one !== undefined)
  const fold = collate(chosen?.name ?? 'BINARY')
  return { left: fold(left), right: fold(right), text: true, folded: chosen?.name === 'NOCASE' }
}

/** How a collation of SQLite looks at a text, as SQL. */
export function collate(collation: string): (value: Value) => string {
  switch (collation) {
    case 'BINARY':
      return operand
    // NOCASE folds ASCII only, as lower() does under the C collation (trap V10).
    case 'NOCASE':
      return (value) =>
        value.string === undefined
          ? `lower(${operand(value)} COLLATE "C")`
          : literal(value.string.replace(/[A-Z]/g, (letter) => letter.toLowerCase()))
    case 'RTRIM':
      return (value) => `rtrim(${operand(value)}, ' ')`
    default:
      return refuse(`the collation ${collation} exists in the application only`)
  }
}

function dayLiteral(text: string): Value {
  const day = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text)
  const date = day === null ? undefined : new Date(`${text}T00:00:00Z`)
  if (date === undefined || Number.isNaN(date.getTime()) || date.toISOString().slice(0, 10) !== text)
    refuse(`'${text}' is no day that PostgreSQL's date could be compared with`)
  return { sql: `DATE ${literal(text)}`, kind: 'date' }
}

/** The smallest or the largest of several numbers; NULL where one is, as in SQLite. */
export function extreme(which: 'LEAST' | 'GREATEST', values: readonly Value[]): Value {
  const numbers = values.map(asNumber)
  if (numbers.some((value) => value.kind === 'null')) return NULL
  const kinds = new Set(numbers.map((value) => value.kind))
  if (kinds.size !== 1 || !NUMBERS.has([...kinds][0] as Kind) || numbers.some((value) => value.decimal))
    refuse('min() and max() of values of several kinds')
  const list = numbers.map(operand).join(', ')
  const open = numbers.filter((value) => value.integer === undefined && !value.column?.notNull)
  if (open.length === 0) return { sql: `${which}(${list})`, kind: numbers[0]?.kind ?? 'integer' }
  const nulls = open.map((value) => `${operand(value)} IS NULL`).join(' OR ')
  return {
    sql: `CASE WHEN ${nulls} THEN NULL ELSE ${which}(${list}) END`,
    kind: numbers[0]?.kind ?? 'integer',
  }
}

/** 1 and 0 where a condition is used as a number by CASE, coalesce and their kind. */
export function unify(values: readonly Value[]): readonly Value[] {
  const kinds = new Set(values.filter((value) => value.kind !== 'null').map((value) => value.kind))
  if (kinds.size <= 1) return values
  const numbers = values.map(asNumber)
  const after = new Set(numbers.filter((value) => value.kind !== 'null').map((value) => value.kind))
  if (after.size === 1) return numbers
  return refuse('its branches have values of several kinds')
}
