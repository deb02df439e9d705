import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import type { Notes } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { SourceFence, SourceLock, SourceNotes } from '../core/switching.ts'
import { createFence, dropFence, fencedTables } from './fence-sql.ts'
import {
  authorityOf,
  notCaptured,
  type Pause,
  pauseNotes,
  pausesOf,
  positionOf,
  readNoteMap,
  requireAuthority,
  requireNoteMap,
  STANDING,
  writeNotes,
} from './notes.ts'
import { isSqliteError, openReader, type Sqlite, sourceFailure } from './open.ts'
import { asciiLower, changeOwnSchema, foreignChanges } from './own-schema.ts'
import { forgetAside } from './reverse-notes.ts'
import { raiseSequences } from './sequences.ts'
import { shapeHash } from './source-drift.ts'
import { readAside, readTriggers, restoreTriggers, setTriggersAside } from './triggers-aside.ts'
import { commitAndRetake, openLocker, takeWriteLock } from './write-lock.ts'

/** A pause of writes waits for the lock no longer than an application usually does. */
const PAUSE_LOCK_MS = 5_000
const TIDY_LOCK_MS = 20

interface FenceOptions {
  readonly path: string
  /** Names of the tables that are moved, asked for anew each time: a plan may change. */
  readonly tables: () => readonly string[]
}

/** The fence of one file. Keeps a reader open from its first use, so that writers that close make no checkpoint. */
export class SqliteFence implements SourceFence, Disposable {
  readonly #options: FenceOptions
  #reader: Sqlite | undefined
  #identity = ''

  constructor(options: FenceOptions) {
    this.#options = options
  }

  notes(): SourceNotes {
    const { path, tables } = this.#options
    try {
      const reader = this.#open()
      return reader.transaction(() => readSourceNotes(reader, tables()))()
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(path, error) : error
    }
  }

  async lock(ms: number, signal: AbortSignal): Promise<SourceLock> {
    return await this.#lock(ms, signal)
  }

  async #lock(ms: number, signal: AbortSignal): Promise<HeldLock> {
    const { path, tables } = this.#options
    this.notes()
    const writer = openLocker(path)
    try {
      await takeWriteLock(writer, ms, signal)
      if (readNoteMap(writer) === undefined) throw notCaptured(path)
      return new HeldLock(writer, tables)
    } catch (error) {
      writer.close()
      throw error
    }
  }

  async pause(reason: string, until: Date): Promise<void> {
    using lock = await this.#lock(PAUSE_LOCK_MS, new AbortController().signal)
    const others = lock.notes.pauses.filter((pause) => pause.reason !== printable(reason))
    lock.setPauses([...others, { reason: printable(reason), until }])
    await lock.commit()
  }

  async resume(): Promise<void> {
    using lock = await this.#lock(PAUSE_LOCK_MS, new AbortController().signal)
    lock.setPauses([])
    await lock.commit()
  }

  /**
   * Takes away what a pause that has ended by itself has left: triggers that refuse nothing and cost a look each. Cheap
   * where there is nothing; where the file is busy it is left for the next time. Returns whether there is nothing left.
   */
  async tidy(): Promise<boolean> {
    const notes = readNoteMap(this.#open())
    if (notes?.has('pauses') !== true || pausesOf(notes, Date.now()).length > 0) return true
    try {
      using lock = await this.#lock(TIDY_LOCK_MS, new AbortController().signal)
      lock.setPauses(lock.notes.pauses)
      await lock.commit()
      return true
    } catch (error) {
      if (error instanceof Failure && error.code === 'source_locked') return false
      throw error
    }
  }

  /** A file that was put in the place of the one that is open is seen. Only `stat`, never open (trap H7). */
  #open(): Sqlite {
    const { path } = this.#options
    const stat = statSync(path, { throwIfNoEntry: false })
    const identity = `${stat?.dev}:${stat?.ino}`
    if (this.#reader !== undefined && identity === this.#identity) return this.#reader
    this.#reader?.close()
    this.#reader = undefined
    this.#reader = openReader(path)
    this.#identity = identity
    return this.#reader
  }

  [Symbol.dispose](): void {
    this.#reader?.close()
    this.#reader = undefined
  }
}

/** SQLite's notes as a connection sees them in its transaction. */
export function readSourceNotes(database: Sqlite, tables: readonly string[]): SourceNotes {
  const notes = readNoteMap(database)
  const now = Date.now()
  const refuses = ['fence', 'pause'].some((name) => Number(notes?.get(name) ?? 0) > now)
  const fenced = refuses ? fencedTables(database) : new Set<string>()
  return {
    ...authorityOf(notes),
    position: positionOf(notes),
    pauses: pausesOf(notes, now),
    closed: fenced.size > 0 && tables.every((table) => fenced.has(asciiLower(table))),
  }
}

class HeldLock implements SourceLock {
  readonly #database: Sqlite
  readonly #tables: () => readonly string[]

  constructor(database: Sqlite, tables: () => readonly string[]) {
    this.#database = database
    this.#tables = tables
  }

  get notes(): SourceNotes {
    return readSourceNotes(this.#database, this.#tables())
  }

  fingerprint(): string {
    return schemaFingerprint(this.#database, this.#tables())
  }

  raise(to: { readonly epoch: number; readonly attempt: number }): void {
    const { epoch, attempt } = to
    this.#change({ authority: 'sqlite', epoch: epoch - 1 }, () => {
      this.#close(this.#all())
      writeNotes(this.#database, {
        ...written({ authority: 'none', epoch, attempt }),
        shape: shapeHash(this.#database, this.#tables()),
        fence: STANDING,
        fence_text: `slipway: writes are closed here while PostgreSQL takes over (epoch ${epoch}, undecided): try again in a moment`,
      })
    })
  }

  lower(to: {
    readonly from: Notes
    readonly epoch: number
    readonly attempt: number
    readonly used?: ReadonlyMap<string, bigint>
  }): void {
    const { from, epoch, attempt, used } = to
    const database = this.#database
    this.#change(from, () => {
      const changed = foreignChanges(database) !== 0n
      const pauses = this.notes.pauses
      changeOwnSchema(database, () => {
        const fenced = dropFence(database)
        restoreTriggers(database, { capture: true, changed })
        // A pause goes on. Made last, its triggers fire first.
        if (pauses.length > 0) createFence(database, fenced)
      })
      writeNotes(database, {
        ...written({ authority: 'sqlite', epoch, attempt }),
        ...pauseNotes(pauses),
        fence: '0',
        fence_text: undefined,
        shape: undefined,
        position: undefined,
        token: undefined,
      })
      if (used !== undefined) raiseSequences(database, used)
      // What SQLite could not take from PostgreSQL ends with PostgreSQL's lead.
      forgetAside(database)
    })
  }

  lead(to: {
    readonly from: Notes
    readonly epoch: number
    readonly attempt: number
    readonly position: ReversePosition
  }): void {
    const { from, epoch, attempt, position } = to
    this.#change(from, () => {
      // After `raise` there is nothing left to close, but for a table that was made again since.
      if (from.authority === 'sqlite' || !this.notes.closed) this.#close(this.#moved().there)
      writeNotes(this.#database, {
        ...written({ authority: 'postgres', epoch, attempt }),
        // Of a fence that was raised before, the shape is known since then.
        ...(from.authority === 'sqlite' ? { shape: shapeHash(this.#database, this.#tables()) } : {}),
        // It was for the side that led, and must not come back with a rollback.
        ...pauseNotes([]),
        fence: STANDING,
        fence_text: `slipway: writes are closed here, PostgreSQL leads since epoch ${epoch}: write there`,
        position: position.snapshot,
        token: position.token,
      })
    })
  }

  async commit(relock?: { readonly ms: number; readonly signal: AbortSignal }): Promise<void> {
    if (relock !== undefined) return await commitAndRetake(this.#database, relock.ms, relock.signal)
    try {
      this.#database.exec('COMMIT')
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#database.name, error) : error
    }
  }

  /** Exactly these pauses act from now on; triggers stand while there is a reason for them. */
  setPauses(pauses: readonly Pause[]): void {
    const { authority } = this.notes
    this.#change({}, () => {
      if (authority === 'sqlite') {
        changeOwnSchema(this.#database, () => {
          if (pauses.length > 0) createFence(this.#database, this.#all())
          else dropFence(this.#database)
        })
      }
      writeNotes(this.#database, pauseNotes(pauses))
    })
  }

  /** All or nothing within the transaction, which goes on: what fails here must not be committed by halves. */
  #change(expected: Partial<Notes>, change: () => void): void {
    const database = this.#database
    try {
      database.transaction(() => {
        requireAuthority(requireNoteMap(database), expected)
        change()
      })()
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(database.name, error) : error
    }
  }

  #close(tables: readonly string[]): void {
    if (this.#tables().length === 0) throw notCaptured(this.#database.name)
    changeOwnSchema(this.#database, () => {
      dropFence(this.#database)
      setTriggersAside(this.#database, tables)
      createFence(this.#database, tables)
    })
  }

  #moved(): { readonly there: readonly string[]; readonly missing: readonly string[] } {
    const tables = new Set(
      this.#database
        .prepare(`SELECT lower(name) FROM main.sqlite_schema WHERE type = 'table'`)
        .pluck()
        .all() as string[],
    )
    const [there, missing]: [string[], string[]] = [[], []]
    for (const name of this.#tables()) (tables.has(asciiLower(name)) ? there : missing).push(name)
    return { there, missing }
  }

  /** The moved tables, each of which must be there. */
  #all(): readonly string[] {
    const { there, missing } = this.#moved()
    if (missing.length === 0 && there.length > 0) return there
    if (missing.length === 0) throw notCaptured(this.#database.name)
    throw new Failure({
      code: 'source_changed',
      exit: 1,
      status: 409,
      message: `${missing.map((name) => quote(name)).join(', ')} is moved and no longer in the source: nothing was fenced`,
      remedy: 'Wait until replication has followed the change of the schema (slipway status), and try again.',
    })
  }

  [Symbol.dispose](): void {
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK')
    this.#database.close()
  }
}

function written({ authority, epoch, attempt }: Notes): Record<string, string> {
  return { authority, epoch: String(epoch), attempt: String(attempt) }
}

/** A reason is shown in errors of the application and in terminals. */
function printable(reason: string): string {
  return reason.replace(/\p{Cc}/gu, ' ').slice(0, 200)
}

/**
 * What the tables are, whatever slipway has made of their triggers meanwhile; see `SourceLock.fingerprint`. Any foreign
 * change of the schema moves it, also one that leaves every text as it was: a table that was made again, a VACUUM that
 * gave its rows other rowids (traps C13, H13).
 */
export function schemaFingerprint(database: Sqlite, tables: readonly string[]): string {
  const wanted = new Set(tables.map(asciiLower))
  const schema = database
    .prepare(
      `SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_schema
       WHERE type IN ('table', 'index') AND tbl_name COLLATE NOCASE IN (SELECT value FROM json_each(?))
       ORDER BY type, name`,
    )
    .raw()
    .all(JSON.stringify([...wanted])) as string[][]
  const triggers = [...readAside(database), ...readTriggers(database, tables)]
    .filter(({ capture, table }) => !capture && wanted.has(asciiLower(table)))
    .map(({ name, table, sql }) => [asciiLower(table), name, sql])
  const byTable = Map.groupBy(triggers, ([table]) => table)
  return createHash('sha256')
    .update(JSON.stringify([schema, [...byTable].sort(), String(foreignChanges(database))]))
    .digest('hex')
    .slice(0, 32)
}
