import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Failure } from '../core/errors.ts'
import { isSqliteError, openWriter, type Sqlite, sourceFailure } from './open.ts'

/** A try costs some 5 µs; a burst of them holds the event loop up for as long. */
const LIGHT_BURST_MS = 0.3
const EAGER_BURST_MS = 4

/** SQLite itself waits no longer than this for what a new connection reads; the event loop stands still meanwhile. */
const OPEN_TIMEOUT_MS = 50

/**
 * A connection for `takeWriteLock`. What it commits is on the disk (trap H6), and no commit of its stops for a
 * checkpoint: writers wait meanwhile.
 */
export function openLocker(path: string): Sqlite {
  const database = openWriter(path, OPEN_TIMEOUT_MS)
  database.pragma('busy_timeout = 0')
  database.pragma('synchronous = FULL')
  database.pragma('wal_autocheckpoint = 0')
  return database
}

/**
 * BEGIN IMMEDIATE on a connection whose busy timeout is 0, without stopping the event loop. Writers who wait in a busy
 * timeout of SQLite sleep up to 100 ms at a time, and lose; one who begins again right after its COMMIT leaves gaps of
 * some 20 µs, which only tries in close succession meet: so they come in bursts, dense ones after a moment (measured
 * with a writer that holds the lock for 50 ms with such gaps: 465 ms by light bursts alone, 65 ms like this), and light
 * ones in between, since somebody may just hold the lock for long.
 * Throws Failure `source_locked` after `ms`.
 */
export async function takeWriteLock(database: Sqlite, ms: number, signal: AbortSignal): Promise<void> {
  await take(database, ms, signal, 20)
}

/**
 * COMMIT, and the lock again: both in one call, so that no more than some microseconds lie between them; where somebody
 * came in between all the same, dense tries from the start, since whoever comes now meets what was just committed.
 */
export async function commitAndRetake(database: Sqlite, ms: number, signal: AbortSignal): Promise<void> {
  const error = attempt(() => database.exec('COMMIT; BEGIN IMMEDIATE'))
  if (error === undefined) return
  // COMMIT itself has failed: it leaves its transaction open, or SQLite has rolled it back for another reason.
  if (database.inTransaction || !isBusy(error)) throw failureOf(database, error)
  await take(database, ms, signal, 0)
}

/** `light`: for so many ms the tries are few. */
async function take(database: Sqlite, ms: number, signal: AbortSignal, light: number): Promise<void> {
  const begin = database.prepare('BEGIN IMMEDIATE')
  for (const start = performance.now(); ; ) {
    signal.throwIfAborted()
    const elapsed = performance.now() - start
    const eager = elapsed % 500 >= light && elapsed % 500 < 300
    const end = performance.now() + (eager ? EAGER_BURST_MS : LIGHT_BURST_MS)
    do {
      const error = attempt(() => begin.run())
      if (error === undefined) return
      if (!isBusy(error)) throw failureOf(database, error)
    } while (performance.now() < end)
    if (elapsed >= ms) throw locked(database.name, ms)
    await (eager ? turn() : sleep(1 + Math.random(), undefined, { signal }))
  }
}

function attempt(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    return error ?? new Error('nothing was thrown')
  }
}

function failureOf(database: Sqlite, error: unknown): unknown {
  return isSqliteError(error) ? sourceFailure(database.name, error) : error
}

/** PROTOCOL: many connections came to the log at once. */
function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test((error as { code?: string }).code ?? '')
}

function locked(path: string, ms: number): Failure {
  return new Failure({
    code: 'source_locked',
    policy: 'transient',
    status: 503,
    message: `${path} is locked: somebody has held its write lock for ${Math.round(ms)} ms`,
    remedy: 'Find the process that holds a write transaction open; slipway tries again.',
  })
}
