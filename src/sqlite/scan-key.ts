import type { KeyColumn } from '../core/table.ts'

/**
 * A key of a chunk's end as text that PostgreSQL stores with the copy's progress: a JSON list with a letter
 * for the storage class, so that 1, '1' and x'31' stay three keys after a restart.
 */
export type KeyValue = bigint | number | string | Buffer | null

export function encodeKey(values: readonly KeyValue[]): string {
  return JSON.stringify(
    values.map((value) => {
      if (value === null) return 'n'
      if (typeof value === 'bigint') return `i${value}`
      if (typeof value === 'number') return `r${value}`
      if (typeof value === 'string') return `t${value}`
      return `b${value.toString('hex')}`
    }),
  )
}

export function decodeKey(text: string): KeyValue[] {
  return (JSON.parse(text) as string[]).map((field) => {
    const value = field.slice(1)
    switch (field[0]) {
      case 'n':
        return null
      case 'i':
        return BigInt(value)
      case 'r':
        return Number(value)
      case 't':
        return value
      default:
        return Buffer.from(value, 'hex')
    }
  })
}

/** A key for people, e.g. in an error: `id=7, lang='de'`. */
export function describeKey(columns: readonly KeyColumn[], values: readonly KeyValue[]): string {
  return columns
    .map((column, index) => {
      const value = values[index] ?? null
      const shown = Buffer.isBuffer(value) ? `x'${value.toString('hex').slice(0, 64)}'` : String(value)
      return `${column.name}=${typeof value === 'string' ? `'${shown.slice(0, 100)}'` : shown}`
    })
    .join(', ')
}
