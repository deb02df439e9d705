import { type Affinity, decodeSql } from '../core/codec/decode.ts'
import { literal, quote } from '../core/quote.ts'
import type { KeyColumn, TableSpec } from '../core/table.ts'

/** A value of a key: its SQL, its type in the target, and how the source spells it. */
export interface KeyField extends Pick<KeyColumn, 'type' | 'codec'> {
  readonly x: string
  /** Of the source's column, which turns a whole number into an integer, or into a real; undefined: not known. */
  readonly affinity?: Affinity | undefined
}

/** What SQLite makes of numbers in a key's column, where that is known. */
export type KeyAffinity = (column: KeyColumn) => Affinity | undefined

const WHOLE: Readonly<Record<string, readonly [low: string, high: string]>> = {
  smallint: ['-32768', '32767'],
  integer: ['-2147483648', '2147483647'],
  bigint: ['-9223372036854775808', '9223372036854775807'],
}

/**
 * SQL of a row's key exactly as `encodeKey` of core/key.ts writes it, so that both engines name a row by one text.
 * `alias` names anything that has the table's key columns.
 */
export function keyTextSql(table: TableSpec, alias: string, affinity?: KeyAffinity): string {
  return encodedSql(
    table.key.columns.map((column) => ({
      x: `${alias}.${quote(column.target)}`,
      type: column.type,
      codec: column.codec,
      affinity: affinity?.(column),
    })),
  )
}

/** The same for any values, e.g. those of a foreign key, which name a row of another table. */
export function encodedSql(fields: readonly KeyField[]): string {
  return `('[' || ${fields.map(encodedField).join(` || ',' || `)} || ']')`
}

function encodedField({ x, type, codec, affinity }: KeyField): string {
  const text = (value: string): string => `to_json('t' || ${value})::text`
  if (type in WHOLE) return `'"i' || ${x} || '"'`
  if (type === 'boolean') return `CASE WHEN ${x} THEN '"i1"' ELSE '"i0"' END`
  if (type === 'bytea') return `'"${codec === 'hex' ? 't' : 'b'}' || encode(${x}, 'hex') || '"'`
  if (type === 'uuid' && (codec === 'hex' || codec === 'bytes'))
    return `'"${codec === 'hex' ? 't' : 'b'}' || replace(${x}::text, '-', '') || '"'`
  const real = `'"r' || encode(float8send(${x}::float8), 'hex') || '"'`
  if (type === 'double precision') {
    if (affinity !== 'INTEGER' && affinity !== 'NUMERIC') return real
    return `CASE WHEN abs(${x}) < 9.2e18 AND ${x} = trunc(${x}) THEN '"i' || ${x}::numeric::int8 || '"' ELSE ${real} END`
  }
  if (type.startsWith('numeric')) {
    if (affinity === 'REAL') return real
    // 1 and 1.0 of SQLite are two storage classes; the digits after the point tell them apart, where neither the type
    // nor the source's column has a say.
    const apart = type === 'numeric' && affinity !== 'INTEGER' && affinity !== 'NUMERIC'
    const integral = apart ? `scale(${x}) = 0` : `${x} = trunc(${x})`
    return (
      `CASE WHEN ${integral} AND ${x} BETWEEN ${WHOLE.bigint?.[0]} AND ${WHOLE.bigint?.[1]} ` +
      `THEN '"i' || trunc(${x}) || '"' ELSE ${real} END`
    )
  }
  if (codec === 'epoch_s' || codec === 'epoch_ms') {
    const count = decodeSql({ type, codec }, x)
    return `CASE WHEN ${count} !~ '\\.' THEN '"i' || ${count} || '"' ELSE ${text(`${x}::text`)} END`
  }
  // JSON.stringify and PostgreSQL escape the same characters in the same way.
  return text(`${x}::text`)
}

/**
 * SQL of the values that an encoded key stands for, in the types of the key's columns; NULL where the column cannot
 * hold such a value, so that no row of the target can have it. Calls `pg_temp.slipway_refusal` for unusual types
 * (see sift.ts).
 */
export function decodedSql(columns: readonly Pick<KeyColumn, 'type' | 'codec'>[], key: string): string[] {
  // The operator ->> refuses U+0000, which PostgreSQL's text cannot hold.
  const fits = `(${key}) !~ ${literal('(^|[^\\\\])(\\\\\\\\)*\\\\u0000')}`
  return columns.map(({ type, codec }, index) =>
    decodedField(type, codec, `(CASE WHEN ${fits} THEN (${key})::json->>${index} END)`),
  )
}

/** Seconds since 1970 of 0001-01-01 and of the end of 9999. */
const CALENDAR = ['-62135596800', '253402300799'] as const

function decodedField(type: string, codec: KeyColumn['codec'], v: string): string {
  const rest = `substr(${v}, 2)`
  if (type === 'uuid' && codec === 'bytes') return `CASE WHEN ${v} ~ '^b[0-9a-f]{32}$' THEN ${rest}::uuid END`
  if (type === 'uuid' && codec === 'hex') return `CASE WHEN ${v} ~ '^t[0-9a-f]{32}$' THEN ${rest}::uuid END`
  if (type === 'bytea' && codec === 'hex')
    return `CASE WHEN ${v} ~ '^t([0-9a-f]{2})*$' THEN decode(${rest}, 'hex') END`
  if (codec === 'epoch_s' || codec === 'epoch_ms') {
    const [unit, factor] = codec === 'epoch_s' ? ['second', '1'] : ['millisecond', '1000']
    const [low, high] = CALENDAR.map((second) => `${second}::bigint * ${factor}`)
    const epoch = `${literal('1970-01-01')}::${type}`
    return (
      `CASE WHEN ${v} ~ '^i-?[0-9]{1,17}$' THEN CASE WHEN ${rest}::bigint BETWEEN ${low} AND ${high} ` +
      `THEN (${epoch} + ${rest}::bigint * interval '1 ${unit}')::${type} END ` +
      `WHEN left(${v}, 1) = 't' AND pg_temp.slipway_refusal(${rest}, ${literal(type)}, true) IS NULL THEN ${rest}::${type} END`
    )
  }
  const whole = WHOLE[type]
  if (whole !== undefined) {
    const [low, high] = whole
    return (
      `CASE WHEN ${v} ~ '^i-?[0-9]{1,19}$' THEN ` +
      `CASE WHEN ${rest}::numeric BETWEEN ${low} AND ${high} THEN ${rest}::${type} END END`
    )
  }
  if (type === 'boolean') return `CASE ${v} WHEN 'i1' THEN true WHEN 'i0' THEN false END`
  if (type === 'bytea') return `CASE WHEN left(${v}, 1) = 'b' THEN decode(${rest}, 'hex') END`
  if (type === 'double precision') return `CASE WHEN left(${v}, 1) = 'r' THEN ${doubleSql(rest)} END`
  if (type.startsWith('numeric')) {
    return `CASE left(${v}, 1) WHEN 'i' THEN ${rest}::numeric WHEN 'r' THEN ${doubleSql(rest)}::text::numeric END`
  }
  const length = /^character(?: varying)?\((\d+)\)$/.exec(type)?.[1]
  if (length !== undefined)
    return `CASE WHEN left(${v}, 1) = 't' AND length(${v}) <= ${length} + 1 THEN ${rest} END`
  if (type === 'text' || type === 'character varying') return `CASE WHEN left(${v}, 1) = 't' THEN ${rest} END`
  return `CASE WHEN left(${v}, 1) = 't' AND pg_temp.slipway_refusal(${rest}, ${literal(type)}, true) IS NULL THEN ${rest}::${type} END`
}

/** A double from the 16 hexadecimal digits of its bytes: PostgreSQL has float8send, and nothing that reads it back. */
function doubleSql(hex: string): string {
  const bits = `('x' || ${hex})::bit(64)::bigint`
  const exponent = `((${bits} >> 52) & 2047)::int`
  const fraction = `(${bits} & 4503599627370495)`
  return (
    `(CASE WHEN ${bits} < 0 THEN -1::float8 ELSE 1::float8 END * CASE ` +
    `WHEN ${exponent} = 2047 THEN CASE WHEN ${fraction} = 0 THEN 'Infinity'::float8 ELSE 'NaN'::float8 END ` +
    `WHEN ${exponent} = 0 THEN ${fraction}::float8 * '5e-324'::float8 ` +
    `ELSE (${fraction} + 4503599627370496)::float8 * power(2::float8, ${exponent} - 1075) END)`
  )
}

/** SQL of a row's key for people, as core/key.ts shows keys: `id=7, lang='de'`. */
export function shownKeySql(table: TableSpec, alias: string): string {
  const parts = table.key.columns.map((column) => {
    const x = `${alias}.${quote(column.target)}`
    return `${literal(`${column.name}=`)} || ${shownField(column.type, x)}`
  })
  return `(${parts.join(` || ', ' || `)})`
}

function shownField(type: string, x: string): string {
  if (type in WHOLE || type === 'double precision' || type.startsWith('numeric')) return `${x}::text`
  if (type === 'boolean') return `${x}::int::text`
  if (type === 'bytea') return `'x''' || left(encode(${x}, 'hex'), 64) || ''''`
  return `'''' || left(${x}::text, 100) || ''''`
}
