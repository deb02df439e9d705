/**
 * What SQLite is to be given for a value of PostgreSQL, in a column of a certain affinity: a value that the column
 * would turn into another one is a misfit, never written and found out later.
 */
import { type Affinity, bindDecoded } from '../core/codec/decode.ts'
import { parseType } from '../core/codec/types.ts'
import { isGeneric } from '../core/codec.ts'
import type { ColumnRule } from '../core/table.ts'

export type Bound = bigint | number | string | Buffer | null

/** A text that a column of numeric affinity keeps as a number: https://sqlite.org/datatype3.html#type_affinity */
const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/
const WHOLE = /^(?:0|-?[1-9]\d*)$/
const DECIMAL = /^-?(?:0|[1-9]\d*)\.\d*[1-9]$/
/** Of a decimal that SQLite writes back as it stands: of 14 and 15 digits it makes 17 of its own (measured: 0 of 100,000). */
const DIGITS = 13

const isNumeric = (affinity: Affinity): boolean =>
  affinity === 'INTEGER' || affinity === 'NUMERIC' || affinity === 'REAL'

/** The value for a text of `decodeSql`; undefined where the column would keep another one. */
export function bindValue(rule: ColumnRule, text: string, affinity: Affinity): Bound | undefined {
  const value = bindDecoded(rule, text, affinity)
  switch (typeof value) {
    case 'string':
      return isNumeric(affinity) && NUMBER.test(value) && !comesBack(rule, value, affinity)
        ? undefined
        : value
    case 'bigint':
      if (affinity === 'TEXT') return undefined
      return affinity === 'REAL' && BigInt(Number(value)) !== value ? undefined : value
    case 'number':
      return affinity === 'TEXT' ? undefined : value
    default:
      return value
  }
}

/** Whether the number that a text becomes is written as the same text on its way to PostgreSQL. */
function comesBack(rule: ColumnRule, text: string, affinity: Affinity): boolean {
  const { name, size } = parseType(rule.type)
  const anyText = size === undefined && /^(text|character varying|citext|name)$/.test(name)
  if (rule.labels !== undefined || !(anyText || isGeneric(rule))) return false
  if (WHOLE.test(text)) return affinity !== 'REAL' && BigInt.asIntN(64, BigInt(text)) === BigInt(text)
  const amount = Math.abs(Number(text))
  return DECIMAL.test(text) && text.replaceAll(/\D/g, '').length <= DIGITS && amount >= 1e-4 && amount < 1e13
}

/** A column of an encoded key (core/key.ts): its class in SQLite, and what is bound for it. */
export interface KeyPart {
  readonly type: 'null' | 'integer' | 'real' | 'text' | 'blob'
  readonly value: Bound
  /** The value is bytes of a text that is not valid UTF-8: they are cast, since they cannot be bound as a text. */
  readonly raw: boolean
}

const CLASSES: Readonly<Record<string, KeyPart['type']>> = {
  n: 'null',
  i: 'integer',
  r: 'real',
  t: 'text',
  u: 'text',
  b: 'blob',
}

export function keyParts(key: string): KeyPart[] {
  return (JSON.parse(key) as string[]).map((field): KeyPart => {
    const letter = field[0] as string
    const type = CLASSES[letter]
    if (type === undefined) throw new Error(`not an encoded key: ${key}`)
    const rest = field.slice(1)
    if (letter === 'i') return { type, value: BigInt(rest), raw: false }
    if (letter === 't') return { type, value: rest, raw: false }
    if (letter === 'n') return { type, value: null, raw: false }
    const bytes = Buffer.from(rest, 'hex')
    if (letter === 'r') return { type, value: bytes.readDoubleBE(), raw: false }
    return { type, value: bytes, raw: letter === 'u' }
  })
}

/** Whether a column of this affinity keeps the class of a key: another one would be another key. */
export function keepsClass({ type, value }: KeyPart, affinity: Affinity): boolean {
  switch (type) {
    case 'integer':
      return affinity !== 'TEXT' && affinity !== 'REAL'
    case 'real':
      return (
        affinity === 'REAL' ||
        affinity === 'BLOB' ||
        (affinity !== 'TEXT' && !Number.isInteger(value as number))
      )
    case 'text':
      return !(isNumeric(affinity) && typeof value === 'string' && NUMBER.test(value))
    default:
      return type === 'blob'
  }
}
