import { accessSync, constants } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import { Failure } from '../core/errors.ts'
import { registerFunctions } from './functions.ts'
import { checkFile, isSqliteError, openReader, openWriter, type Sqlite, sourceFailure } from './open.ts'
import { readWal } from './wal.ts'

/** A source that nobody can change while it is open. */
export interface FrozenSource extends Disposable {
  readonly database: Sqlite
}

/**
 * Holds the write lock of a file without writing to it, or opens a read-only file as it is. Closing leaves the
 * database file byte for byte as it was: with changes still in the log, no checkpoint moves them (the reader,
 * which cannot checkpoint, is closed last).
 */
export function openFrozen(path: string): FrozenSource {
  checkFile(path)
  if (!isWritable(path)) return openReadOnly(path)
  const keeper = openReader(path)
  let database: Sqlite | undefined
  try {
    database = openWriter(path)
    database.exec('BEGIN IMMEDIATE')
    registerFunctions(database)
  } catch (error) {
    database?.close()
    keeper.close()
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  }
  const held = database
  return {
    database: held,
    [Symbol.dispose]: () => {
      if (held.inTransaction) held.exec('ROLLBACK')
      const order = readWal(path).usedBytes === 0 ? [keeper, held] : [held, keeper]
      for (const each of order) each.close()
    },
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    accessSync(dirname(path), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** A WAL database in a read-only folder has no place for its -shm: `immutable` promises that nobody writes. */
function openReadOnly(path: string): FrozenSource {
  let database: Sqlite
  try {
    database = openReader(path)
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'source_unreadable' || readWal(path).usedBytes > 0)
      throw error
    database = new Database(`${pathToFileURL(path).href}?immutable=1`, { readonly: true })
    database.defaultSafeIntegers(true)
    registerFunctions(database)
  }
  return { database, [Symbol.dispose]: () => void database.close() }
}
