/** What passes the fence of SQLite: only a transaction that lowers it for itself, and raises it before it commits. */
import type { Sqlite } from './open.ts'

/** In ms since 1970, far beyond any clock: the fence of a change of authority does not end by itself. */
export const FENCE_UP = 9_007_199_254_740_991n

const set = (database: Sqlite, value: bigint): void => {
  database.prepare(`UPDATE main._slipway_control SET value = ? WHERE name = 'fence'`).run(String(value))
}

/** Inside a write transaction: its own writes pass from here on, and nobody else ever sees the fence down. */
export function openFence(database: Sqlite): void {
  set(database, 0n)
}

/** The fence is up again when the transaction commits. */
export function closeFence(database: Sqlite): void {
  set(database, FENCE_UP)
}
