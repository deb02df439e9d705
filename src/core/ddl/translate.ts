/**
 * Expressions of SQLite as expressions of PostgreSQL, for CHECKs, indexes and generated columns. What is not certain to
 * mean the same for every value that the column can hold is refused with a reason: a constraint that was left out is
 * named and can be added by hand, one that is wrong fails a write of the application later.
 */
import { literal } from '../quote.ts'
import { type Affinity, affinityOf } from './affinity.ts'
import { type Comparison, compare, isNull, isOneOf } from './compare.ts'
import type { ExpressionContext } from './context.ts'
import { type BinaryOperator, type Expression, parseExpression } from './expression.ts'
import { callFunction, caseOf } from './functions.ts'
import { globAsRegExp } from './glob.ts'
import { Unreadable } from './tokens.ts'
import {
  asBigint,
  asCondition,
  asNumber,
  asText,
  condition,
  FALSE,
  integerLiteral,
  NULL,
  numberLiteral,
  operand,
  refuse,
  TRUE,
  textLiteral,
  Untranslatable,
  type Value,
} from './value.ts'

export type Translation<T> = T | { readonly reason: string }

/** What an expression yields in PostgreSQL: its value's type is the caller's to know. */
export function translateExpression(
  sql: string,
  context: ExpressionContext,
): Translation<{ readonly sql: string; readonly value: Value }> {
  return attempt(() => {
    const value = translate(parseExpression(sql), context)
    if (value.typeOf !== undefined) refuse('typeof() has no meaning in PostgreSQL')
    if (value.kind === 'opaque')
      refuse(value.column?.reason ?? 'its values are spelled otherwise in PostgreSQL')
    return { sql: value.sql, value }
  })
}

/** A condition as PostgreSQL takes it: a boolean. `always`: what it says of every row. */
export function translateCondition(
  sql: string,
  context: ExpressionContext,
): Translation<{ readonly sql: string; readonly always: boolean | undefined }> {
  return attempt(() => {
    const value = asCondition(translate(parseExpression(sql), context))
    return { sql: value.sql, always: value.always }
  })
}

/** The expression of a generated column and the type that its values have, after the declared type's affinity. */
export function translateGenerated(
  sql: string,
  declared: string,
  context: ExpressionContext,
): Translation<{ readonly sql: string; readonly type: string; readonly value: Value }> {
  return attempt(() => {
    const value = translate(parseExpression(sql), context)
    return withAffinity(value, affinityOf(declared), /BOOL/i.test(declared))
  })
}

function attempt<T>(work: () => T): Translation<T> {
  try {
    return work()
  } catch (error) {
    if (error instanceof Untranslatable) return { reason: error.message }
    if (error instanceof Unreadable) return { reason: `it cannot be read: ${error.message}` }
    throw error
  }
}

function withAffinity(
  value: Value,
  affinity: Affinity,
  boolean: boolean,
): { sql: string; type: string; value: Value } {
  if (value.kind === 'boolean' && boolean) return { sql: value.sql, type: 'boolean', value }
  if (affinity === 'TEXT') {
    const text = asText(asNumber(value))
    return { sql: text.sql, type: 'text', value: text }
  }
  const plain = asNumber(value)
  switch (plain.kind) {
    case 'integer':
      if (affinity === 'REAL')
        return {
          sql: `${operand(plain)}::double precision`,
          type: 'double precision',
          value: { ...plain, kind: 'float' },
        }
      return { sql: plain.sql, type: 'bigint', value: plain }
    case 'float':
      if (affinity === 'REAL' || affinity === 'BLOB')
        return { sql: asDouble(plain), type: 'double precision', value: plain }
      // Whole numbers become integers there: equal, and no longer divided as doubles.
      return { sql: asDouble(plain), type: 'double precision', value: { ...plain, kind: 'mixed' } }
    case 'numeric':
      return { sql: plain.sql, type: 'numeric', value: plain }
    case 'text':
      // Text that looks like a number would become one.
      if (affinity === 'BLOB') return { sql: plain.sql, type: 'text', value: plain }
      return refuse('its text may be turned into a number by the declared type')
    case 'bytea':
      return { sql: plain.sql, type: 'bytea', value: plain }
    case 'date':
      return { sql: plain.sql, type: 'date', value: plain }
    default:
      return refuse(value.column?.reason ?? 'its values have no type that PostgreSQL could be told')
  }
}

function asDouble(value: Value): string {
  return value.decimal ? `${operand(value)}::double precision` : value.sql
}

function translate(expression: Expression, context: ExpressionContext): Value {
  const of = (inner: Expression): Value => translate(inner, context)
  switch (expression.kind) {
    case 'null':
      return NULL
    case 'number':
      return numberLiteral(expression.text, false)
    case 'string':
      return textLiteral(expression.text)
    case 'blob':
      return { sql: `'\\x${expression.hex.toLowerCase()}'::bytea`, kind: 'bytea' }
    case 'now':
      return refuse('the current time is another one at each look')
    case 'column':
      return column(expression, context)
    case 'unary':
      return unary(expression, of)
    case 'binary':
      return binary(expression, of, context)
    case 'collate':
      return {
        ...of(expression.operand),
        collation: { name: expression.collation.toUpperCase(), explicit: true },
      }
    case 'like':
      return like(expression, of)
    case 'between': {
      const value = of(expression.operand)
      const both = and(compare('>=', value, of(expression.low)), compare('<=', value, of(expression.high)))
      return expression.not ? negate(both) : both
    }
    case 'in':
      return isOneOf(of(expression.operand), expression.list.map(of), expression.not)
    case 'isnull':
      return isNull(of(expression.operand), expression.not)
    case 'case': {
      const base = expression.base === undefined ? undefined : of(expression.base)
      const branches = expression.branches.map(({ when, value }) => ({
        when: base === undefined ? asCondition(of(when)) : compare('=', base, of(when)),
        value: of(value),
      }))
      return caseOf(branches, expression.otherwise === undefined ? NULL : of(expression.otherwise))
    }
    case 'cast':
      return cast(of(expression.operand), expression.type)
    case 'call':
      return callFunction(expression.name, expression.args.map(of), context)
  }
}

function column({ name, quote }: Extract<Expression, { kind: 'column' }>, context: ExpressionContext): Value {
  const wanted = name.toLowerCase()
  const found = context.columns.find((candidate) => candidate.name.toLowerCase() === wanted)
  if (found !== undefined) {
    return {
      sql: found.sql,
      kind: found.kind,
      narrow: found.narrow,
      column: found,
      collation: { name: found.collation, explicit: false },
    }
  }
  if (quote === '"') return textLiteral(name)
  if (quote === '' && (wanted === 'true' || wanted === 'false'))
    return integerLiteral(wanted === 'true' ? 1n : 0n)
  return refuse(`the target has no column for ${name}`)
}

function unary(
  { op, operand: inner }: Extract<Expression, { kind: 'unary' }>,
  of: (e: Expression) => Value,
): Value {
  if (op === 'NOT') return negate(asCondition(of(inner)))
  if (op === '-' && inner.kind === 'number') return numberLiteral(inner.text, true)
  const value = of(inner)
  if (op === '+') return value
  const number = asNumber(value)
  if (number.kind === 'null') return NULL
  if (op === '~') {
    if (number.kind !== 'integer') return refuse('~ of something that is no whole number')
    return { sql: `~ ${operand(asBigint(number))}`, kind: 'integer', compound: true }
  }
  if (!['integer', 'float', 'mixed', 'numeric'].includes(number.kind))
    return refuse('- of something that is no number')
  return { sql: `- ${operand(asBigint(number))}`, kind: number.kind, compound: true, decimal: number.decimal }
}

function negate(value: Value): Value {
  if (value.always !== undefined) return value.always ? FALSE : TRUE
  return condition(`NOT ${operand(value)}`)
}

function and(left: Value, right: Value): Value {
  if (left.always === false || right.always === false) return FALSE
  if (left.always) return right
  if (right.always) return left
  return condition(`${operand(left)} AND ${operand(right)}`)
}

function or(left: Value, right: Value): Value {
  if (left.always || right.always) return TRUE
  if (left.always === false) return right
  if (right.always === false) return left
  return condition(`${operand(left)} OR ${operand(right)}`)
}

function binary(
  { op, left, right }: Extract<Expression, { kind: 'binary' }>,
  of: (e: Expression) => Value,
  context: ExpressionContext,
): Value {
  switch (op) {
    case 'AND':
      return and(asCondition(of(left)), asCondition(of(right)))
    case 'OR':
      return or(asCondition(of(left)), asCondition(of(right)))
    case 'IS':
    case 'IS NOT': {
      const truth = truthWord(right, context)
      if (truth === undefined) return compare(op, of(left), of(right))
      const value = asCondition(of(left))
      if (value.always !== undefined) return (value.always === truth) === (op === 'IS') ? TRUE : FALSE
      return condition(`${operand(value)} ${op} ${truth ? 'TRUE' : 'FALSE'}`)
    }
    case '||':
      return {
        sql: `${operand(asText(of(left)))} || ${operand(asText(of(right)))}`,
        kind: 'text',
        compound: true,
      }
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '&':
    case '|':
      return arithmetic(op, asNumber(of(left)), asNumber(of(right)))
    case '<<':
    case '>>':
      return refuse('shifts past the width of a number differ')
    case '->':
    case '->>':
      return refuse('what JSON yields is spelled otherwise in PostgreSQL')
    default:
      return compare(op satisfies Comparison, of(left), of(right))
  }
}

/** `IS TRUE` asks whether something counts as true; a column of that name is a column. */
function truthWord(expression: Expression, context: ExpressionContext): boolean | undefined {
  if (expression.kind !== 'column' || expression.quote !== '') return undefined
  const name = expression.name.toLowerCase()
  if (context.columns.some((candidate) => candidate.name.toLowerCase() === name)) return undefined
  return name === 'true' ? true : name === 'false' ? false : undefined
}

function arithmetic(op: BinaryOperator, left: Value, right: Value): Value {
  const whole = left.kind === 'integer' && right.kind === 'integer'
  if (op === '&' || op === '|' || op === '%') {
    if (!whole) return refuse(`${op} of something that is no whole number`)
  } else if (!whole) {
    for (const value of [left, right]) {
      if (value.kind !== 'integer' && value.kind !== 'float')
        return refuse(value.column?.reason ?? 'PostgreSQL would calculate with other digits')
    }
  }
  // In 64 bits, or in doubles: a literal alone would be less wide, or an exact number.
  const wide = (value: Value): string =>
    value.decimal ? `${operand(value)}::double precision` : operand(asBigint(value))
  const written = (value: Value): string => (value.integer !== undefined ? operand(value) : wide(value))
  const both = whole && left.integer !== undefined && right.integer !== undefined
  const a = whole && !both ? written(left) : wide(left)
  let b = whole ? written(right) : wide(right)
  if (op === '/' || op === '%') {
    // NULL in SQLite, an error in PostgreSQL.
    if (right.integer === 0n) return NULL
    if (right.integer === undefined && !right.decimal) b = `nullif(${b}, 0)`
  }
  return { sql: `${a} ${op} ${b}`, kind: whole ? 'integer' : 'float', compound: true }
}

function cast(value: Value, type: string): Value {
  switch (affinityOf(type)) {
    case 'TEXT':
      return { ...asText(value), collation: value.collation }
    case 'INTEGER': {
      const number = asNumber(value)
      return number.kind === 'integer'
        ? number
        : refuse('CAST to a whole number cuts and clamps in its own way')
    }
    case 'REAL': {
      const number = asNumber(value)
      if (number.kind !== 'integer' && number.kind !== 'float' && number.kind !== 'mixed')
        return refuse('CAST of something that is no number')
      return { sql: `${operand(number)}::double precision`, kind: 'float' }
    }
    case 'NUMERIC':
      return value.kind === 'integer' ? value : refuse('CAST to NUMERIC chooses a type by the value')
    default:
      return refuse('CAST to BLOB')
  }
}

/** LIKE ignores the case of ASCII letters in SQLite, and has no escape unless one is named. */
function like(
  { op, not, operand: inner, pattern, escape: escapeBy }: Extract<Expression, { kind: 'like' }>,
  of: (e: Expression) => Value,
): Value {
  const text = operand(asText(of(inner)))
  const wanted = asText(of(pattern))
  if (op === 'GLOB') {
    if (wanted.string === undefined) return refuse('GLOB with a pattern that is not fixed')
    return condition(`${text} COLLATE "C" ${not ? '!~' : '~'} ${globAsRegExp(wanted.string)}`)
  }
  const sign = escapeBy === undefined ? '' : of(escapeBy).string
  if (sign === undefined || (escapeBy !== undefined && (sign.length !== 1 || /[A-Za-z%_]/.test(sign))))
    return refuse('LIKE with an ESCAPE that is not one sign')
  if (sign !== '' && (wanted.string === undefined || wanted.string.endsWith(sign)))
    return refuse('LIKE with a pattern whose last sign may be the escape')
  const folded =
    wanted.string === undefined
      ? `lower(${operand(wanted)} COLLATE "C")`
      : literal(wanted.string.replace(/[A-Z]/g, (letter) => letter.toLowerCase()))
  return condition(`lower(${text} COLLATE "C") ${not ? 'NOT ' : ''}LIKE ${folded} ESCAPE ${literal(sign)}`)
}
