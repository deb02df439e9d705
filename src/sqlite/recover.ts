/** What `slipway recover` does to SQLite: a person has decided who leads, and the file's notes follow. */
import { FIRST_NOTES, type Notes } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { UsedIds } from '../core/switching.ts'
import { controlSql } from './capture-sql.ts'
import { SqliteFence } from './fence.ts'
import { authorityOf, readNoteMap, writeNotes } from './notes.ts'
import { isSqliteError, openReader, type Sqlite, sourceFailure } from './open.ts'
import { openLocker, takeWriteLock } from './write-lock.ts'

/** Writers of the application are waited for as long as this. */
const LOCK_MS = 10_000

/** What is noted in the file, as far as it can be read. */
export interface FoundNotes extends Notes {
  /** False where slipway has noted nothing in this file. */
  readonly captured: boolean
  /** True where somebody else has written into the notes: who leads cannot be read from them. */
  readonly damaged: boolean
  /** Whom the file belongs to; empty where that is not noted. */
  readonly owner: string
}

export function findNotes(path: string): FoundNotes {
  const reader = openReader(path)
  try {
    return notesOf(reader)
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    reader.close()
  }
}

function notesOf(database: Sqlite): FoundNotes {
  const notes = readNoteMap(database)
  const found = { captured: notes !== undefined, owner: notes?.get('owner') ?? '' }
  try {
    return { ...authorityOf(notes), ...found, damaged: false }
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'notes_damaged') throw error
    // A number that can be read is not to be used again.
    const number = Number(/^\d{1,15}$/.exec(notes?.get('epoch') ?? '')?.[0] ?? FIRST_NOTES.epoch)
    return { ...found, authority: 'none', epoch: number, attempt: 0, damaged: true }
  }
}

/** A file that slipway knows, with notes that can be read: else nothing can be raised or lowered there. */
async function readable(path: string, owner: string | undefined, signal: AbortSignal): Promise<void> {
  const found = findNotes(path)
  if (found.captured && !found.damaged) return
  const writer = openLocker(path)
  try {
    await takeWriteLock(writer, LOCK_MS, signal)
    if (!found.captured) writer.exec(controlSql())
    const { authority, epoch, attempt } = found
    const notes = { authority, epoch: String(epoch), attempt: String(attempt) }
    writeNotes(writer, { ...notes, ...(found.captured || owner === undefined ? {} : { owner }) })
    writer.exec('COMMIT')
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    writer.close()
  }
}

/**
 * SQLite leads in `epoch`: the fence goes, every trigger that was set aside comes back in its order. `used`: ids that
 * PostgreSQL gave out. Nothing is done to a file in which slipway has noted nothing: it is open. Throws Failure
 * `trigger_not_restored`.
 */
export async function openSource(
  path: string,
  epoch: number,
  used: UsedIds,
  signal: AbortSignal,
): Promise<void> {
  if (!findNotes(path).captured) return
  await readable(path, undefined, signal)
  using fence = new SqliteFence({ path, tables: () => [] })
  using lock = await fence.lock(LOCK_MS, signal)
  lock.lower({ from: lock.notes, epoch, attempt: 0, used })
  await lock.commit()
}

/**
 * PostgreSQL leads in `epoch`: the tables that are there are fenced, whatever the notes said. `owner` is noted in a file
 * that knows nothing of slipway, such as a copy from before.
 */
export async function closeSource(
  path: string,
  to: {
    readonly epoch: number
    readonly tables: readonly string[]
    readonly position: ReversePosition
    readonly owner: string
  },
  signal: AbortSignal,
): Promise<void> {
  await readable(path, to.owner, signal)
  using fence = new SqliteFence({ path, tables: () => to.tables })
  using lock = await fence.lock(LOCK_MS, signal)
  lock.lead({ from: lock.notes, epoch: to.epoch, attempt: 0, position: to.position })
  await lock.commit()
}
