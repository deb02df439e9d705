import { setTimeout as sleep } from 'node:timers/promises'
import { isSqliteError, type Sqlite, sourceFailure, WRITE_TIMEOUT_MS } from './open.ts'

const SOONEST_MS = 1
const LATEST_MS = 25

/**
 * BEGIN IMMEDIATE, asked for again and again: SQLite's own waiting would stop everything else of this process. Throws a
 * Failure `source_locked` where another process has the lock for longer.
 */
export async function beginImmediate(database: Sqlite, path: string): Promise<void> {
  database.pragma('busy_timeout = 0')
  const deadline = Date.now() + WRITE_TIMEOUT_MS
  for (let pause = SOONEST_MS; ; pause = Math.min(LATEST_MS, pause * 2)) {
    try {
      database.exec('BEGIN IMMEDIATE')
      return
    } catch (error) {
      const busy = (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true
      if (!busy || Date.now() > deadline) throw isSqliteError(error) ? sourceFailure(path, error) : error
    }
    await sleep(pause)
  }
}
