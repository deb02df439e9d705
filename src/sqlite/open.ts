import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { Failure } from '../core/errors.ts'
import { registerFunctions } from './functions.ts'
import { readWal } from './wal.ts'

export type Sqlite = Database.Database

/**
 * Slipway's own commits wait this long for the write lock. Short: an application in a deferred transaction
 * must never find us in its way for long, and what we write can wait.
 */
export const WRITE_TIMEOUT_MS = 5_000

/** File systems on which two processes do not share memory as WAL needs it (trap R8; statfs(2) magic numbers). */
const UNSHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
  [0x6a656a63, 'virtiofs'],
])

export interface SourceFacts {
  readonly path: string
  readonly journalMode: string
  readonly encoding: string
  readonly pageSize: number
  readonly pages: number
  readonly warnings: readonly string[]
}

/** Checks that need no connection: they name what SQLite would only call "unable to open database file". */
export function checkFile(path: string): void {
  if (!existsSync(path)) {
    throw new Failure({
      code: 'source_missing',
      message: `SQLITE_PATH: there is no file ${path}`,
      remedy: 'Name the database file of the application: SQLITE_PATH=/path/to/app.db',
    })
  }
  const stat = statSync(path)
  if (!stat.isFile()) {
    throw new Failure({
      code: 'source_not_a_file',
      message: `SQLITE_PATH: ${path} is ${stat.isDirectory() ? 'a directory' : 'not a regular file'}`,
      remedy: 'Name the database file itself, not the folder that it is in.',
    })
  }
  try {
    accessSync(path, constants.R_OK)
  } catch (cause) {
    throw new Failure({
      code: 'source_unreadable',
      message: `SQLITE_PATH: ${path} may not be read by this user (uid ${process.getuid?.() ?? '?'})`,
      remedy: `Run slipway as the owner of the file (uid ${stat.uid}).`,
      cause,
    })
  }
  if (stat.size === 0 && readWal(path).usedBytes === 0) {
    throw new Failure({
      code: 'source_empty',
      message: `SQLITE_PATH: ${path} is empty (0 bytes)`,
      remedy: 'Name the file that the application really uses; an empty file has no tables to move.',
    })
  }
}

/**
 * What capture needs beyond reading: files that this process leaves behind must stay writable for the
 * application (trap R8), and WAL needs one kernel.
 */
export function checkWritable(path: string): void {
  const stat = statSync(path)
  const uid = process.getuid?.()
  if (uid !== undefined && uid !== 0 && uid !== stat.uid) {
    throw new Failure({
      code: 'source_owner',
      message: `${path} belongs to uid ${stat.uid}, slipway runs as uid ${uid}: files that it leaves behind would lock the application out`,
      remedy: `Run slipway as the file's owner (uid ${stat.uid}; in compose: user: "${stat.uid}:${stat.gid}").`,
    })
  }
  for (const [target, what] of [
    [path, 'the file'],
    [dirname(path), 'its folder'],
  ] as const) {
    try {
      accessSync(target, constants.W_OK)
    } catch (cause) {
      throw new Failure({
        code: 'source_read_only',
        message: `${path} cannot be captured: ${what} may not be written by this user`,
        remedy: 'Make it writable for this user, or copy without capture: slipway snapshot --once',
        cause,
      })
    }
  }
  const kind = UNSHARED.get(Number(statfsSync(path).type))
  if (kind !== undefined) {
    throw new Failure({
      code: 'source_file_system',
      message: `${path} lies on ${kind}, where SQLite's WAL does not work between processes`,
      remedy: 'Run slipway on the machine that holds the file, on a local file system.',
    })
  }
}

/** Byte 18 of the header, "read version", is 2 in WAL mode: https://sqlite.org/fileformat2.html#file_format_version_numbers */
const READ_VERSION = 18

/**
 * A connection that only reads a file in WAL mode makes its `-wal` and `-shm`, and cannot take them away: left behind
 * under another uid they lock the application out (trap R8). Call it before the file is opened by SQLite (trap H7).
 */
export function checkReadLeavesNothing(path: string): void {
  const stat = statSync(path)
  const uid = process.getuid?.()
  if (uid === undefined || uid === 0 || uid === stat.uid || existsSync(`${path}-shm`)) return
  const header = Buffer.alloc(READ_VERSION + 1)
  const file = openSync(path, 'r')
  try {
    readSync(file, header, 0, header.length, 0)
  } finally {
    closeSync(file)
  }
  if (header[READ_VERSION] !== 2) return
  throw new Failure({
    code: 'source_owner',
    message: `${path} belongs to uid ${stat.uid}, slipway runs as uid ${uid}: the files that even a reader leaves behind would lock the application out`,
    remedy: `Run slipway as the file's owner (uid ${stat.uid}), or while the application is running.`,
  })
}

/** True for what SQLite itself refused; anything else is a defect or a Failure already. */
export function isSqliteError(error: unknown): boolean {
  return error instanceof Error && error.name === 'SqliteError'
}

/** Turns what SQLite says at the first look into a sentence with a remedy. */
export function sourceFailure(path: string, error: unknown): Failure {
  const code = (error as { code?: string }).code ?? ''
  const text = error instanceof Error ? error.message : String(error)
  const base = { exit: 3, cause: error } as const
  if (code === 'SQLITE_NOTADB') {
    return new Failure({
      ...base,
      code: 'source_not_a_database',
      message: `${path} is not an SQLite database, or it is encrypted (${text})`,
      remedy: 'Name a plain SQLite 3 file; decrypt an encrypted one first (SQLCipher: sqlcipher_export).',
    })
  }
  if (code.startsWith('SQLITE_CORRUPT')) {
    return new Failure({
      ...base,
      code: 'source_corrupt',
      message: `${path} is damaged or truncated (${text})`,
      remedy: "Restore it from a backup, or rescue it with sqlite3 FILE '.recover'; nothing was changed.",
    })
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new Failure({
      ...base,
      code: 'source_locked',
      policy: 'transient',
      message: `${path} is locked by another process (${text})`,
      remedy:
        'Find the process that holds a write transaction or an exclusive lock open; slipway tries again.',
    })
  }
  if (code.startsWith('SQLITE_FULL') || (code.startsWith('SQLITE_IOERR') && /ENOSPC|full/i.test(text))) {
    return new Failure({
      ...base,
      code: 'source_disk_full',
      policy: 'transient',
      message: `the disk of ${path} is full (${text})`,
      remedy: 'Free some space; slipway tries again by itself.',
    })
  }
  if (code === 'SQLITE_CANTOPEN' || code.startsWith('SQLITE_READONLY')) {
    return new Failure({
      ...base,
      code: 'source_unreadable',
      message: `${path} cannot be opened (${text})`,
      remedy: 'Check the rights of the file, of its folder and of the -wal and -shm files beside it.',
    })
  }
  return new Failure({
    ...base,
    code: 'source_failed',
    message: `${path}: ${text}`,
    remedy: 'See the message above.',
  })
}

/**
 * A connection that only reads. It cannot write, and since its handle is read-only it never checkpoints when it
 * closes: that is left to the application (trap C21).
 */
export function openReader(path: string): Sqlite {
  checkFile(path)
  try {
    return readOnly(path)
  } catch (error) {
    // A journal that a killed application left behind has to be rolled back first, which SQLite does for a writer.
    if (!(error as { code?: string }).code?.startsWith('SQLITE_READONLY')) throw sourceFailure(path, error)
  }
  try {
    const writer = new Database(path, { fileMustExist: true, timeout: WRITE_TIMEOUT_MS })
    writer.pragma('schema_version')
    writer.close()
    return readOnly(path)
  } catch (error) {
    throw sourceFailure(path, error)
  }
}

function readOnly(path: string): Sqlite {
  const database = new Database(path, { readonly: true, fileMustExist: true, timeout: 1_000 })
  try {
    database.defaultSafeIntegers(true)
    database.pragma('schema_version')
    database.pragma('query_only = 1')
    registerFunctions(database)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** A connection that writes slipway's own tables. Close it while a reader is open: then it does not checkpoint. */
export function openWriter(path: string, timeoutMs = WRITE_TIMEOUT_MS): Sqlite {
  let database: Sqlite | undefined
  try {
    database = new Database(path, { fileMustExist: true, timeout: timeoutMs })
    database.defaultSafeIntegers(true)
    registerFunctions(database)
    // better-sqlite3 turns both on by default; slipway's own statements must fire nothing and check nothing.
    database.pragma('foreign_keys = 0')
    database.pragma('recursive_triggers = 0')
    database.pragma('synchronous = NORMAL')
    return database
  } catch (error) {
    database?.close()
    throw sourceFailure(path, error)
  }
}

/** The first facts of a file; refuses one that is shorter than it says. */
export function readFacts(database: Sqlite, path: string): SourceFacts {
  try {
    const pageSize = Number(database.pragma('page_size', { simple: true }))
    const pages = Number(database.pragma('page_count', { simple: true }))
    const journalMode = String(database.pragma('journal_mode', { simple: true }))
    const encoding = String(database.pragma('encoding', { simple: true }))
    const shorter = isShorter(database, path)
    if (shorter !== undefined) {
      const { size } = shorter
      throw new Failure({
        code: 'source_corrupt',
        message: `${path} is damaged or truncated: ${size} bytes, its header says ${shorter.pages * pageSize}`,
        remedy: "Restore it from a backup, or rescue it with sqlite3 FILE '.recover'; nothing was changed.",
      })
    }
    database.prepare('SELECT count(*) FROM sqlite_schema').get()
    return { path, journalMode, encoding, pageSize, pages, warnings: [] }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw sourceFailure(path, error)
  }
}

/**
 * In WAL mode the newest pages may still be in the log. Looked at in a read transaction, which keeps the log from being
 * begun anew between the questions.
 */
function isShorter(database: Sqlite, path: string): { size: number; pages: number } | undefined {
  const own = !database.inTransaction
  if (own) database.exec('BEGIN')
  try {
    const pageSize = Number(database.pragma('page_size', { simple: true }))
    const pages = Number(database.pragma('page_count', { simple: true }))
    const { size } = statSync(path)
    return readWal(path).usedBytes === 0 && size < pages * pageSize ? { size, pages } : undefined
  } finally {
    if (own && database.inTransaction) database.exec('COMMIT')
  }
}

/** Refuses a source that is not in WAL mode, or switches it when asked: the mode stays in the file (trap C22). */
export async function ensureWal(
  path: string,
  facts: SourceFacts,
  enable: boolean,
): Promise<{ changedFrom: string | undefined }> {
  if (facts.journalMode === 'wal') return { changedFrom: undefined }
  if (!enable) {
    throw new Failure({
      code: 'not_wal',
      message: `${path} is in journal mode "${facts.journalMode}": readers would block the application's writers`,
      remedy: 'Say --enable-wal to switch it to WAL (kept in the file; uninstall restores the old mode).',
    })
  }
  const writer = openWriter(path)
  try {
    const mode = await switchJournal(writer, 'wal')
    if (mode !== 'wal') {
      throw new Failure({
        code: 'not_wal',
        message: `${path} stays in journal mode "${mode}": another connection holds it`,
        remedy: 'Stop the application for a moment and run the command again.',
      })
    }
    return { changedFrom: facts.journalMode }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw sourceFailure(path, error)
  } finally {
    writer.close()
  }
}

/** Gives a file its mode back, where nobody is in the way; it stays in WAL mode otherwise, which harms nobody. */
export async function restoreJournal(path: string, mode: string): Promise<void> {
  const writer = openWriter(path)
  try {
    await switchJournal(writer, mode)
  } catch (error) {
    if (!isSqliteError(error)) throw error
  } finally {
    writer.close()
  }
}

/** The switch needs the file for itself for a moment and does not wait by itself: a writer is often in the way. */
export async function switchJournal(writer: Sqlite, mode: string): Promise<string> {
  for (const deadline = Date.now() + WRITE_TIMEOUT_MS; ; ) {
    try {
      return String(writer.pragma(`journal_mode = ${mode}`, { simple: true }))
    } catch (error) {
      const busy = (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true
      if (!busy || Date.now() > deadline) throw error
      await sleep(5 + Math.random() * 20)
    }
  }
}
