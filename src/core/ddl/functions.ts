import { compare, extreme, isNull, unify } from './compare.ts'
import type { ExpressionContext } from './context.ts'
import {
  asBigint,
  asCondition,
  asNumber,
  asText,
  condition,
  NULL,
  operand,
  refuse,
  TRUE,
  type Value,
} from './value.ts'

/** Functions of SQLite that PostgreSQL has too, for the arguments for which both say the same. */
export function callFunction(name: string, args: readonly Value[], context: ExpressionContext): Value {
  const known = FUNCTIONS[name]
  const [least, most] = known?.[0] ?? [0, 0]
  if (known === undefined || args.length < least || args.length > most)
    return refuse(`${name}() has no certain counterpart in PostgreSQL`)
  return known[1](args, context)
}

type Call = (args: readonly Value[], context: ExpressionContext) => Value
type Known = readonly [arity: readonly [number, number], call: Call]

const MANY = 100

const FUNCTIONS: Readonly<Record<string, Known>> = {
  lower: [[1, 1], fold('lower')],
  upper: [[1, 1], fold('upper')],
  length: [[1, 1], ([x]) => length(x as Value)],
  substr: [[2, 3], substring],
  substring: [[2, 3], substring],
  trim: [[1, 2], trim('btrim')],
  ltrim: [[1, 2], trim('ltrim')],
  rtrim: [[1, 2], trim('rtrim')],
  replace: [[3, 3], (args) => text(`replace(${args.map(textual).join(', ')})`)],
  instr: [[2, 2], (args) => small(`strpos(${args.map(textual).join(', ')})`)],
  coalesce: [[2, MANY], coalesce],
  ifnull: [[2, 2], coalesce],
  nullif: [[2, 2], ([a, b]) => nullif(a as Value, b as Value)],
  iif: [[3, 3], ([a, b, c]) => choose(a as Value, b as Value, c as Value)],
  if: [[3, 3], ([a, b, c]) => choose(a as Value, b as Value, c as Value)],
  abs: [[1, 1], ([x]) => absolute(x as Value)],
  round: [[1, 1], ([x]) => round(x as Value)],
  min: [[2, MANY], (args) => extreme('LEAST', args)],
  max: [[2, MANY], (args) => extreme('GREATEST', args)],
  hex: [[1, 1], ([x]) => hex(x as Value)],
  likely: [[1, 1], ([x]) => x as Value],
  unlikely: [[1, 1], ([x]) => x as Value],
  likelihood: [[2, 2], ([x]) => x as Value],
  typeof: [[1, 1], ([x]) => typeOf(x as Value)],
  json_valid: [[1, 1], ([x]) => jsonValid(x as Value)],
}

function text(sql: string): Value {
  return { sql, kind: 'text' }
}

function small(sql: string): Value {
  return { sql, kind: 'integer', narrow: true }
}

/** A text, or a whole number as one. */
function textual(value: Value): string {
  return operand(asText(value))
}

/** SQLite folds ASCII only, as PostgreSQL does under the C collation. */
function fold(name: 'lower' | 'upper'): Call {
  return ([x], { folding }) =>
    text(`${name}(${textual(x as Value)}${folding === 'ascii' ? ' COLLATE "C"' : ''})`)
}

function length(x: Value): Value {
  return small(x.kind === 'bytea' ? `octet_length(${operand(x)})` : `length(${textual(x)})`)
}

/**
 * Where the two differ: a negative start counts from the end in SQLite, and a negative length takes what stands
 * before the start; PostgreSQL knows neither.
 */
function substring([x, from, count]: readonly Value[]): Value {
  const string = textual(x as Value)
  const start = from as Value
  if (start.kind !== 'integer' || (count !== undefined && count.kind !== 'integer'))
    return refuse('substr() with a place that is no whole number')
  if (count === undefined) {
    if (start.integer !== undefined) {
      return start.integer >= 0n
        ? text(`substr(${string}, ${start.integer})`)
        : text(`right(${string}, ${-start.integer})`)
    }
    if (start.column !== undefined && !start.narrow)
      return refuse('substr() from a place that may be beyond 32 bits')
    const at = operand(start)
    return text(
      `CASE WHEN ${at} < 0 THEN right(${string}, (-${at})::integer) ELSE substr(${string}, ${at}::integer) END`,
    )
  }
  if (start.integer === undefined || start.integer < 0n)
    return refuse('substr() from a place that is not fixed')
  if (count.integer !== undefined) {
    if (count.integer < 0n) return refuse('substr() with a negative length')
    return text(`substr(${string}, ${start.integer}, ${count.integer})`)
  }
  if (start.integer !== 1n) return refuse('substr() with a length that is not fixed')
  const wanted = operand(count)
  return text(
    `substr(${string}, 1, CASE WHEN ${wanted} < 0 THEN 0 WHEN ${wanted} > 1000000000 THEN 1000000000 ELSE ${wanted}::integer END)`,
  )
}

function trim(name: string): Call {
  return (args) => text(`${name}(${args.map(textual).join(', ')})`)
}

function coalesce(args: readonly Value[]): Value {
  for (const arg of args) sameNulls(arg)
  const values = unify(args)
  const known = values.find((value) => value.kind !== 'null')
  if (known === undefined) return NULL
  return {
    sql: `coalesce(${values.map((value) => value.sql).join(', ')})`,
    kind: known.kind,
    narrow: values.every((value) => value.narrow),
  }
}

function sameNulls(value: Value): void {
  if (value.column !== undefined && !value.column.sameNulls)
    refuse(`NULL in ${value.column.name} is not the same on both sides`)
}

function nullif(a: Value, b: Value): Value {
  const equal = compare('=', a, b)
  return { ...a, sql: `CASE WHEN ${equal.sql} THEN NULL ELSE ${a.sql} END`, ...COMPUTED }
}

/** What is no longer true of a value that an expression has made. */
const COMPUTED = { column: undefined, integer: undefined, string: undefined, collation: undefined } as const

function choose(test: Value, yes: Value, no: Value): Value {
  return caseOf([{ when: asCondition(test), value: yes }], no)
}

/** CASE with branches that have one kind of values. */
export function caseOf(
  branches: readonly { readonly when: Value; readonly value: Value }[],
  otherwise: Value,
): Value {
  for (const value of [...branches.map((branch) => branch.value), otherwise]) sameNulls(value)
  const values = unify([...branches.map((branch) => branch.value), otherwise])
  const known = values.find((value) => value.kind !== 'null')
  if (known === undefined) return NULL
  if (known.kind === 'opaque')
    refuse(known.column?.reason ?? 'a branch has values that PostgreSQL spells otherwise')
  const whens = branches.map((branch, i) => `WHEN ${branch.when.sql} THEN ${values[i]?.sql}`)
  return {
    sql: `CASE ${whens.join(' ')} ELSE ${values.at(-1)?.sql} END`,
    kind: known.kind,
    narrow: values.every((value) => value.narrow || value.kind === 'null'),
  }
}

function absolute(x: Value): Value {
  const value = asNumber(x)
  if (!['integer', 'float', 'mixed', 'numeric'].includes(value.kind))
    return refuse('abs() of something that is no number')
  return { sql: `abs(${asBigint(value).sql})`, kind: value.kind }
}

/** A double is rounded by its decimal digits in SQLite and by its bits in PostgreSQL: 2.675. */
function round(x: Value): Value {
  if (x.kind !== 'integer') return refuse('round() of a double goes another way at the half')
  return { sql: `${operand(x)}::double precision`, kind: 'float' }
}

function hex(x: Value): Value {
  if (x.kind !== 'bytea') return refuse('hex() of something that is no BLOB')
  return text(`upper(encode(${operand(x)}, 'hex'))`)
}

function typeOf(x: Value): Value {
  if (x.column === undefined) return refuse('typeof() of something that is no column')
  return {
    sql: '',
    kind: 'opaque',
    typeOf: x.column,
    column: { ...x.column, reason: 'typeof() has no meaning in PostgreSQL' },
  }
}

/** The type has seen to it. */
function jsonValid(x: Value): Value {
  if (x.kind !== 'json')
    return refuse('json_valid() needs a column of type json or jsonb (name it in the plan)')
  const known = isNull(x, true)
  return known.always ? TRUE : condition(`CASE WHEN ${known.sql} THEN true END`)
}
