/**
 * Slipway's notes in the source: rows of `_slipway_control`, each written in the transaction that does what it tells.
 * `authority`, `epoch`, `attempt`: who leads. `fence`: until when the triggers refuse, 0 or STANDING; `pause`: the same
 * for pauses by people, ms since 1970; `fence_text`, `pause_text`: what they then say. `pauses`: JSON, reason → ms.
 * `aside`: JSON, triggers that are set aside. `shape`: hash of the moved tables as they were fenced. `position`, `token`: where the way back stands.
 */
import { FIRST_NOTES, type Notes } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { Sqlite } from './open.ts'

export type NoteMap = ReadonlyMap<string, string>

export interface Pause {
  readonly reason: string
  readonly until: Date
}

/** Value of the note `fence` while it stands: ms since 1970 that nobody lives to see. */
export const STANDING = String(Number.MAX_SAFE_INTEGER)

/** Every note; undefined in a file that slipway never wrote to. */
export function readNoteMap(database: Sqlite): NoteMap | undefined {
  const exists = database
    .prepare(`SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = '_slipway_control'`)
    .get()
  if (exists === undefined) return undefined
  return new Map(
    database.prepare('SELECT name, value FROM main._slipway_control WHERE value IS NOT NULL').raw().all() as [
      string,
      string,
    ][],
  )
}

/** The same, where slipway must have been: throws Failure `not_captured`. */
export function requireNoteMap(database: Sqlite): NoteMap {
  const notes = readNoteMap(database)
  if (notes === undefined) throw notCaptured(database.name)
  return notes
}

export function notCaptured(path: string): Failure {
  return new Failure({
    code: 'not_captured',
    exit: 1,
    status: 409,
    message: `capture is not installed in ${path}: there is nothing to fence yet`,
    remedy: 'Make the first copy: slipway snapshot, or slipway start',
  })
}

/** Undefined takes a note away. */
export function writeNotes(database: Sqlite, notes: Readonly<Record<string, string | undefined>>): void {
  const set = database.prepare('INSERT OR REPLACE INTO main._slipway_control (name, value) VALUES (?, ?)')
  const unset = database.prepare('DELETE FROM main._slipway_control WHERE name = ?')
  for (const [name, value] of Object.entries(notes)) {
    if (value === undefined) unset.run(name)
    else set.run(name, value)
  }
}

/** Who leads by these notes. Throws Failure `notes_damaged` where somebody else wrote them. */
export function authorityOf(notes: NoteMap | undefined): Notes {
  const authority = notes?.get('authority')
  if (notes === undefined || authority === undefined) return FIRST_NOTES
  if (authority !== 'sqlite' && authority !== 'postgres' && authority !== 'none') {
    throw damaged('authority', authority)
  }
  return { authority, epoch: count(notes, 'epoch'), attempt: count(notes, 'attempt') }
}

function count(notes: NoteMap, name: string): number {
  const text = notes.get(name) ?? ''
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw damaged(name, text)
  return value
}

function damaged(name: string, value: string): Failure {
  return new Failure({
    code: 'notes_damaged',
    message: `slipway's note "${name}" in the source says "${value.slice(0, 100)}": nobody can tell from it who leads`,
    remedy: 'With the daemon stopped: slipway recover --authority sqlite|postgres --accept-loss',
    facts: { note: name },
  })
}

/** Compare-and-set: throws Failure `fence_stale` unless exactly these notes are found. */
export function requireAuthority(notes: NoteMap | undefined, expected: Partial<Notes>): Notes {
  const found = authorityOf(notes)
  for (const name of ['authority', 'epoch', 'attempt'] as const) {
    if (expected[name] === undefined || found[name] === expected[name]) continue
    throw new Failure({
      code: 'fence_stale',
      exit: 1,
      status: 409,
      message: `SQLite notes ${told(found)} and not ${told(expected)}: another attempt has been here, nothing was changed`,
      remedy: 'Nothing to do: slipway looks at both sides again.',
      facts: { found, expected },
    })
  }
  return found
}

function told({ authority, epoch, attempt }: Partial<Notes>): string {
  return [authority, `epoch ${epoch}`, ...(attempt === undefined ? [] : [`attempt ${attempt}`])].join(', ')
}

/** Where the way back stands; undefined while SQLite leads. */
export function positionOf(notes: NoteMap | undefined): ReversePosition | undefined {
  const snapshot = notes?.get('position')
  const token = notes?.get('token')
  return snapshot === undefined || token === undefined ? undefined : { snapshot, token }
}

/** Pauses that have not ended by `now` (ms since 1970). */
export function pausesOf(notes: NoteMap | undefined, now: number): Pause[] {
  const noted = JSON.parse(notes?.get('pauses') ?? '{}') as Record<string, number>
  return Object.entries(noted)
    .filter(([, until]) => until > now)
    .map(([reason, until]) => ({ reason, until: new Date(until) }))
}

/** The notes that make these pauses act, and no others. */
export function pauseNotes(pauses: readonly Pause[]): Record<string, string | undefined> {
  const last = pauses.toSorted((a, b) => b.until.getTime() - a.until.getTime())[0]
  if (last === undefined) return { pause: undefined, pause_text: undefined, pauses: undefined }
  const reasons = pauses.map(({ reason }) => reason).join('; ')
  return {
    pause: String(last.until.getTime()),
    pause_text: `slipway: writes are paused until ${last.until.toISOString()} (${reasons}): try again then`,
    pauses: JSON.stringify(Object.fromEntries(pauses.map(({ reason, until }) => [reason, until.getTime()]))),
  }
}
