/**
 * How a value of SQLite becomes COPY text for a PostgreSQL type: one table for snapshot, apply, verify, history and
 * the way back (core/codec/decode.ts). A codec is an SQL expression that SQLite evaluates, so JavaScript never looks
 * into a value. It yields NULL for what the type cannot hold without a change: such a value is a misfit and is never
 * loaded. Several spellings may be one value ('2024-01-01T10:00' and '2024-01-01 10:00:00'); the column's format
 * says which one is written on the way back.
 *
 * The expressions run only in slipway's own SQLite (3.54, shortest round-trip text for REAL), never in the
 * application's. Those of a zone or of a transform call functions of sqlite/functions.ts.
 */

import { hasElementRule, jsonArray } from './codec/arrays.ts'
import { takesFormat } from './codec/formats.ts'
import { json, jsonb } from './codec/json.ts'
import * as numbers from './codec/numbers.ts'
import { bound, type Codec } from './codec/sql.ts'
import * as texts from './codec/texts.ts'
import * as times from './codec/times.ts'
import { transformSql, transformsOf } from './codec/transforms.ts'
import {
  DATE,
  isZoneName,
  type ParsedType,
  parseType,
  secondDigits,
  TIME,
  TIMESTAMP,
  TIMESTAMPTZ,
} from './codec/types.ts'
import { Failure } from './errors.ts'
import type { CodecName, ColumnRule, Transform } from './table.ts'

const FIXED: Readonly<Record<string, Codec>> = {
  smallint: numbers.smallint,
  integer: numbers.integer,
  bigint: numbers.bigint,
  'double precision': numbers.float8,
  real: numbers.float4,
  boolean: numbers.boolean,
  text: texts.text,
  bytea: texts.bytea,
  date: times.date,
  uuid: texts.uuid,
  json,
  jsonb,
}

/** Types of text that have no rule but need none: to them a magic word is a word. */
const WORDS = new Set(['citext', 'name'])

const KIND = { [DATE]: 'date', [TIMESTAMP]: 'naive', [TIMESTAMPTZ]: 'zoned' } as const

/** The codec that a type has by itself; undefined where it has no rule of its own. */
function ownCodec(type: ParsedType, zone: string | undefined): Codec | undefined {
  const { name, size, scale } = type
  if (type.array) return undefined
  switch (name) {
    case 'numeric':
      if (size === undefined) return numbers.numeric
      return (scale ?? 0) < 0 ? undefined : numbers.numericScale(size, scale ?? 0)
    case 'character varying':
      return size === undefined ? texts.text : texts.textUpTo(size)
    case 'character':
      return size === undefined ? undefined : texts.textOfLength(size)
    case TIME:
      return times.time(secondDigits(type))
    case TIMESTAMP:
      return times.timestamp(secondDigits(type))
    case TIMESTAMPTZ:
      return times.timestamptz(secondDigits(type), zone === 'UTC' ? undefined : zone)
    default:
      return size === undefined ? FIXED[name] : undefined
  }
}

/** The codecs of a type beside its own one. */
function otherCodecs(type: ParsedType): Partial<Record<CodecName, Codec>> {
  if (type.array) return { json_array: jsonArray(type) }
  switch (type.name) {
    case 'boolean':
      return { words: numbers.booleanWords }
    case 'bytea':
      return { hex: texts.byteaHex }
    case 'uuid':
      return { hex: texts.uuidHex, bytes: texts.uuidBytes }
    case 'character':
      return type.size === undefined ? {} : { text: texts.textPadded(type.size) }
    case DATE:
    case TIMESTAMP:
    case TIMESTAMPTZ: {
      const as = (name: times.Counted): Codec =>
        times.counted(name, KIND[type.name as keyof typeof KIND], secondDigits(type))
      return { epoch_s: as('epoch_s'), epoch_ms: as('epoch_ms'), julian: as('julian') }
    }
    default:
      return {}
  }
}

/** Names for what a type does anyway. */
function isOwnName(codec: CodecName, type: ParsedType): boolean {
  if (codec === 'iso') return [DATE, TIME, TIMESTAMP, TIMESTAMPTZ].includes(type.name) && !type.array
  return codec === 'text' && (ownCodec(type, undefined) === undefined || FIXED[type.name] === texts.text)
}

function valueCodec(rule: ColumnRule): Codec {
  const type = parseType(rule.type)
  if (rule.zone !== undefined && !isZoneName(rule.zone)) throw refused(zoneProblem(rule.zone))
  if (rule.codec !== undefined && rule.labels === undefined && !isOwnName(rule.codec, type)) {
    const other = otherCodecs(type)[rule.codec]
    if (other === undefined) throw refused(codecProblem(rule.codec, rule.type))
    return other
  }
  if (rule.labels !== undefined) return texts.enumOf(rule.labels)
  return ownCodec(type, rule.zone) ?? (WORDS.has(type.name) ? texts.text : texts.generic)
}

const zoneProblem = (zone: string): string => `"${zone}" is no name of a time zone`
const codecProblem = (codec: CodecName, type: string): string => `the codec ${codec} does not fill a ${type}`

function refused(problem: string): Failure {
  return new Failure({
    code: 'plan_rule',
    message: `a rule of the plan cannot be followed: ${problem}`,
    remedy: 'Correct the column in the plan file.',
  })
}

/** The codec of a type as `format_type` writes it. */
export function codecFor(type: string): Codec {
  return valueCodec({ type })
}

/**
 * What is wrong with a rule, as a part of a sentence, or undefined: a codec or a transform that the type does not
 * have, a format that says nothing, a zone that is none. For the planner: the codecs throw on the same.
 */
export function ruleProblem(rule: ColumnRule, isKey = false): string | undefined {
  const type = parseType(rule.type)
  if (rule.zone !== undefined && !isZoneName(rule.zone)) return zoneProblem(rule.zone)
  if (rule.zone !== undefined && type.name !== TIMESTAMPTZ) return `a zone says nothing of a ${rule.type}`
  if (rule.codec !== undefined && !isOwnName(rule.codec, type) && !otherCodecs(type)[rule.codec]) {
    return codecProblem(rule.codec, rule.type)
  }
  const allowed = transformsOf(type)
  const transform = rule.transforms?.find((one) => !allowed.includes(one))
  if (transform !== undefined) return `the transform ${transform} does nothing for a ${rule.type}`
  if (rule.format !== undefined && !takesFormat(rule, rule.format)) {
    return `"${rule.format}" is no format of a ${rule.type}`
  }
  if (isKey && (rule.transforms?.length ?? 0) > 0) {
    return 'a key takes no transform: two keys could become one'
  }
  return isKey && keyCodec(rule) === undefined
    ? `a ${rule.type} cannot be a key: several spellings are one value`
    : undefined
}

/** The codecs that could fill a column of this type; undefined, the type's own, comes first. */
export function codecsFor(type: string, labels?: readonly string[]): readonly (CodecName | undefined)[] {
  if (labels !== undefined) return [undefined]
  return [undefined, ...(Object.keys(otherCodecs(parseType(type))) as CodecName[])]
}

/** The transforms that can make a difference in a column of this type. */
export function transformsFor(type: string): readonly Transform[] {
  return transformsOf(parseType(type))
}

/**
 * True for a type without a rule of its own (citext, inet, interval, a domain, an array, …): its text goes in, and
 * whether the same text comes back has to be asked of PostgreSQL.
 */
export function isGeneric(rule: ColumnRule): boolean {
  if (rule.labels !== undefined) return false
  const type = parseType(rule.type)
  if (rule.codec === 'json_array') return !hasElementRule(type)
  return ownCodec(type, undefined) === undefined
}

/**
 * Key columns have stricter codecs: two keys that SQLite keeps apart must stay two in the target, or the delete
 * of one takes the other with it. So each takes one storage class, in one spelling. A type that is not here cannot be
 * a key: several spellings are one value there (times, citext, …).
 */
const KEYS: Readonly<Record<string, Codec>> = {
  smallint: numbers.smallint,
  integer: numbers.integer,
  bigint: numbers.bigint,
  'double precision': numbers.float8Key,
  numeric: numbers.numericKey,
  boolean: numbers.boolean,
  text: texts.textKey,
  'character varying': texts.textKey,
  bytea: texts.byteaKey,
  date: times.date,
  uuid: texts.lowerCase(texts.uuid),
}

function keyCodec(rule: ColumnRule): Codec | undefined {
  if (rule.labels !== undefined) return texts.enumOf(rule.labels)
  const type = parseType(rule.type)
  if (type.array) return undefined
  if (rule.codec === undefined || isOwnName(rule.codec, type)) {
    const sized = /^character/.test(type.name) && type.size !== undefined
    return sized ? ownCodec(type, undefined) : type.size === undefined ? KEYS[type.name] : undefined
  }
  if (type.name === 'uuid' && rule.codec === 'bytes') return texts.uuidBytes
  if (type.name === 'uuid' && rule.codec === 'hex') return texts.lowerCase(texts.uuidHex)
  if (type.name === 'bytea' && rule.codec === 'hex') return texts.lowerCase(texts.byteaHex)
  if ((type.name === TIMESTAMP || type.name === TIMESTAMPTZ) && /^epoch/.test(rule.codec)) {
    return times.countedKey(rule.codec as times.Counted, KIND[type.name], secondDigits(type))
  }
  return undefined
}

/** The codec of a key column, or undefined where the type cannot be one. */
export function keyCodecFor(type: string): Codec | undefined {
  return keyCodec({ type })
}

/** Whether two keys of SQLite are always two values of this type. */
export function isKeyType(type: string, codec?: CodecName): boolean {
  return keyCodec({ type, codec }) !== undefined
}

/**
 * One field of a COPY line: `\N` for NULL, NULL for a misfit. The transforms come first, in their order; what they
 * make NULL is `\N`. Throws for a rule that `ruleProblem` names.
 */
export function copyField(rule: ColumnRule, x: string): string {
  const codec = valueCodec(rule)
  const field = (v: string): string => `CASE WHEN ${v} IS NULL THEN '\\N' ELSE ${codec(v)} END`
  const transforms = rule.transforms ?? []
  if (transforms.length === 0) return field(x)
  const type = parseType(rule.type)
  const [first, ...rest] = transforms.map((transform) => transformSql(transform, type, rule.codec))
  const value = rest.reduce((sql, use) => bound('_v', sql, use), (first as Codec)(x))
  return bound('_v', value, field)
}

/** One field of a key: NULL is a misfit too. Transforms are not for keys: two keys could become one. */
export function keyField(rule: ColumnRule, x: string): string {
  return (keyCodec(rule) ?? valueCodec(rule))(x)
}

/** Fields joined by tabs, as a balanced tree: SQLite refuses expressions deeper than 1,000. */
export function copyLine(fields: readonly string[]): string {
  if (fields.length === 0) return "''"
  if (fields.length === 1) return `(${fields[0]})`
  const middle = fields.length >> 1
  return `(${copyLine(fields.slice(0, middle))}||char(9)||${copyLine(fields.slice(middle))})`
}
