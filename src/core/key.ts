import type { KeyColumn } from './table.ts'

/**
 * A key as text that both engines can make and read: a JSON list with a letter for the storage class, so that 1, '1'
 * and x'31' stay three keys. `n` NULL, `i` integer, `r` real as the 16 hexadecimal digits of its eight bytes (its
 * decimal text differs from one program to the next), `t` text, `u` the bytes of a text that is not valid UTF-8,
 * `b` BLOB, both in lower-case hexadecimal.
 */
export type KeyValue = bigint | number | string | Buffer | null

/** Text that is not valid UTF-8: only its bytes tell it from another. */
export class RawText {
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

export function encodeKey(values: readonly (KeyValue | RawText)[]): string {
  return JSON.stringify(values.map(encodeValue))
}

function encodeValue(value: KeyValue | RawText): string {
  if (value === null) return 'n'
  if (typeof value === 'bigint') return `i${value}`
  if (typeof value === 'string') return `t${value}`
  if (value instanceof RawText) return `u${value.bytes.toString('hex')}`
  if (Buffer.isBuffer(value)) return `b${value.toString('hex')}`
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return `r${bytes.toString('hex')}`
}

/** Values to bind. A text that is not valid UTF-8 cannot be bound as one: it throws. */
export function decodeKey(text: string): KeyValue[] {
  return (JSON.parse(text) as string[]).map((field) => {
    const value = field.slice(1)
    switch (field[0]) {
      case 'n':
        return null
      case 'i':
        return BigInt(value)
      case 'r':
        return Buffer.from(value, 'hex').readDoubleBE()
      case 't':
        return value
      case 'b':
        return Buffer.from(value, 'hex')
      default:
        throw new Error(`a key that cannot be bound: ${text}`)
    }
  })
}

/** An encoded key for people, e.g. in an error: `id=7, lang='de'`. */
export function showKey(columns: readonly KeyColumn[], text: string): string {
  const values = (JSON.parse(text) as string[]).map((field): KeyValue => {
    if (field[0] === 'u') return Buffer.from(field.slice(1), 'hex')
    return decodeKey(JSON.stringify([field]))[0] ?? null
  })
  return describeKey(columns, values)
}

/** A key for people, e.g. in an error: `id=7, lang='de'`. */
export function describeKey(columns: readonly KeyColumn[], values: readonly KeyValue[]): string {
  return columns
    .map((column, index) => {
      const value = values[index] ?? null
      const shown = Buffer.isBuffer(value) ? `x'${value.toString('hex').slice(0, 64)}'` : String(value)
      return `${column.name}=${typeof value === 'string' ? `'${printable(shown.slice(0, 100))}'` : shown}`
    })
    .join(', ')
}

/** Control characters spelled out: messages go to terminals, logs and JSON columns, which do not take U+0000. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
