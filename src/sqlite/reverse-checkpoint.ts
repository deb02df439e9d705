import { isSqliteError, type Sqlite } from './open.ts'
import { readWal } from './wal.ts'

/** The log grows by so much between two checkpoints. */
const EVERY_BYTES = 4 * 1024 * 1024

/**
 * While PostgreSQL leads only slipway writes to SQLite, and an application that had its own connections do without
 * automatic checkpoints does none: then the log would never end (trap H14). Passive ones wait for nobody and move what
 * no reader needs; the stronger kinds are the application's (trap C21). They come after a commit, not within it, so
 * that no drain waits for one in the middle.
 */
export class Checkpoints {
  readonly #database: Sqlite
  readonly #path: string
  #generation = ''
  #doneBytes = 0

  constructor(database: Sqlite, path: string) {
    this.#database = database
    this.#path = path
    database.pragma('wal_autocheckpoint = 0')
  }

  maybe(): void {
    const { usedBytes, generation } = readWal(this.#path)
    if (generation !== this.#generation) this.#doneBytes = 0
    this.#generation = generation
    // A log that a reader pins does not get shorter by asking again at each commit.
    if (usedBytes - this.#doneBytes < EVERY_BYTES) return
    this.#doneBytes = usedBytes
    try {
      this.#database.pragma('wal_checkpoint(PASSIVE)')
    } catch (error) {
      // The batch is committed whatever becomes of this; the next one meets a full disk by itself.
      if (!isSqliteError(error)) throw error
    }
  }
}
