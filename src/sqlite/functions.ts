import { isUtf8 } from 'node:buffer'
import type { Sqlite } from './open.ts'

/** Functions of slipway's own connections, for what SQL alone cannot tell. */
export function registerFunctions(database: Sqlite): void {
  const options = { deterministic: true, directOnly: true }
  /** 1 where PostgreSQL's text can hold the bytes (or, of a UTF-16 database, the text): valid, and without NUL. */
  database.function('slipway_is_text', options, (value: unknown) => {
    if (value === null) return 0
    if (typeof value === 'string') return value.includes('\0') ? 0 : 1
    return Buffer.isBuffer(value) && isUtf8(value) && !value.includes(0) ? 1 : 0
  })
  /** The double of an encoded key (core/key.ts). */
  database.function('slipway_double', options, (hex: unknown) =>
    Buffer.from(String(hex), 'hex').readDoubleBE(),
  )
}
