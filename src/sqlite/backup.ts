import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import Database from 'better-sqlite3'
import { Failure } from '../core/errors.ts'
import { isSqliteError, openReader, sourceFailure } from './open.ts'

export interface Backup {
  readonly path: string
  readonly bytes: number
  /** ISO 8601. */
  readonly at: string
  /** What the check found that is no damage of the rows. */
  readonly warnings: readonly string[]
}

/** Pages copied at a time; between two steps writers and the rest of this process go on. */
const PAGES = 4_096

/** Outside WAL a commit of the application starts the copy again; past so many times it is given up. */
const MAX_RESTARTS = 50

/**
 * Copies the live database with SQLite's online backup, then checks the copy, not the original: the check of a
 * large file takes long and would pin the log.
 */
export async function backupSource(
  path: string,
  folder: string,
  signal: AbortSignal,
  progress: (done: number, total: number) => void,
): Promise<Backup> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const at = new Date().toISOString()
  const final = join(folder, `${basename(path)}.${at.replaceAll(/[:.]/g, '-')}.backup`)
  const partial = `${final}.partial`
  // What only the owner may read stays so: the copy exists with its rights before it has any content.
  closeSync(openSync(partial, 'w', 0o600))
  const source = openReader(path)
  try {
    // Inside one read transaction: else every commit of the application would start the copy again. Outside WAL that
    // would keep writers out as long, so there it is done in steps, each with a short lock.
    if (source.pragma('journal_mode', { simple: true }) === 'wal') {
      source.exec('BEGIN')
      source.prepare('SELECT count(*) FROM sqlite_schema').get()
    }
    let left = Number.POSITIVE_INFINITY
    let restarts = 0
    await source.backup(partial, {
      progress: ({ totalPages, remainingPages }) => {
        signal.throwIfAborted()
        if (remainingPages > left && ++restarts > MAX_RESTARTS) throw tooBusy(path)
        left = remainingPages
        progress(totalPages - remainingPages, totalPages)
        return PAGES
      },
    })
    const warnings = checkCopy(path, partial)
    renameSync(partial, final)
    return { path: final, bytes: statSync(final).size, at, warnings }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error
    const text = error instanceof Error ? error.message : String(error)
    if (/full|ENOSPC/i.test(text)) {
      throw new Failure({
        code: 'backup_disk_full',
        message: `the backup does not fit into ${folder} (${text})`,
        remedy: 'Name a folder with room: BACKUP_DIR=/path, or go without: --no-backup',
        cause: error,
      })
    }
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    source.close()
    rmSync(partial, { force: true })
    rmSync(`${partial}-journal`, { force: true })
    rmSync(`${partial}-wal`, { force: true })
    rmSync(`${partial}-shm`, { force: true })
  }
}

function tooBusy(path: string): Failure {
  return new Failure({
    code: 'source_busy',
    message: `${path} was written to ${MAX_RESTARTS} times while it was being copied, and each time the copy began again`,
    remedy: 'Do it at a quieter time, or in WAL mode, in which writers are not in the way.',
  })
}

/**
 * Not damage: a collation or function that only the application has (trap V26), a rule that older rows break, an index
 * on an expression that another SQLite version computes otherwise. Rows are read from their tables, never from indexes.
 */
const NO_DAMAGE =
  /no such (collation|function)|unknown (collation|function)|CHECK constraint failed|value in \S+\.|missing from index|wrong # of entries in index|non-unique entry in index/i

function checkCopy(source: string, copy: string): string[] {
  const database = new Database(copy, { fileMustExist: true })
  try {
    // A copy of a WAL database is one too; a backup should be a single file.
    database.pragma('journal_mode = DELETE')
    const answer = database.pragma('integrity_check(20)') as { integrity_check: string }[]
    const found = answer.map((row) => row.integrity_check).filter((row) => row !== 'ok')
    const damage = found.filter((row) => !NO_DAMAGE.test(row))
    if (damage.length > 0) {
      throw new Failure({
        code: 'source_corrupt',
        message: `${source} is damaged: ${damage[0]}`,
        remedy: "Restore it from a backup, or rescue it with sqlite3 FILE '.recover'; nothing was changed.",
      })
    }
    return found.map((row) => `the check of the backup says: ${row}`)
  } catch (error) {
    if (error instanceof Failure) throw error
    if (NO_DAMAGE.test((error as Error).message))
      return [`the backup could not be checked: ${(error as Error).message}`]
    throw isSqliteError(error) ? sourceFailure(source, error) : error
  } finally {
    database.close()
  }
}
