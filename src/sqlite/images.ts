import type { Affinity } from '../core/codec/decode.ts'
import type { Chunk, TableBatch } from '../core/ports.ts'
import type { RowImages } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import { readAffinities } from './affinities.ts'
import { lateRead } from './late-read.ts'
import { isSqliteError, openReader, type Sqlite, sourceFailure } from './open.ts'
import { readRange } from './range.ts'
import { Spool } from './spool.ts'

export interface ImagesOptions {
  readonly path: string
  /** Of the database, as `PRAGMA encoding` tells it. */
  readonly encoding: string
  readonly spoolFolder: string
  /** Rows of a range. */
  readonly chunkRows: number
}

/**
 * What SQLite holds while PostgreSQL leads, encoded by the codecs of the way there. Each answer is a read transaction of
 * its own: nobody but slipway writes.
 */
export class SqliteImages implements RowImages, Disposable {
  readonly #options: ImagesOptions
  readonly #database: Sqlite
  readonly #affinities = new Map<TableSpec, ReadonlyMap<string, Affinity>>()
  readonly #lenient = new Map<TableSpec, TableSpec>()

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#database = openReader(options.path)
  }

  async images(table: TableSpec, keys: readonly string[]): Promise<TableBatch & Disposable> {
    const { encoding, spoolFolder } = this.#options
    const spool = new Spool(spoolFolder)
    try {
      const options = { after: 0n, upTo: 0n, also: keys, encoding, spool }
      const found = await this.#read(() => lateRead(this.#database, this.#lenientOf(table), options))
      return { ...found, table, [Symbol.dispose]: () => spool[Symbol.dispose]() }
    } catch (error) {
      spool[Symbol.dispose]()
      throw error
    }
  }

  async range(table: TableSpec, after: string | undefined): Promise<Chunk> {
    const { encoding, chunkRows } = this.#options
    const options = { encoding, chunkRows, captured: false }
    return await this.#read(async () =>
      readRange(this.#database, this.#lenientOf(table), after, undefined, options),
    )
  }

  affinity(table: TableSpec, column: string): Affinity | undefined {
    let known = this.#affinities.get(table)
    if (known === undefined) {
      known = readAffinities(this.#database, table.name)
      this.#affinities.set(table, known)
    }
    return known.get(column)
  }

  /** A value without an image is written over, and never a reason to stop. */
  #lenientOf(table: TableSpec): TableSpec {
    let lenient = this.#lenient.get(table)
    if (lenient === undefined) {
      const columns = table.columns.map((column) => ({ ...column, misfit: 'quarantine' as const }))
      lenient = { ...table, owned: false, columns }
      this.#lenient.set(table, lenient)
    }
    return lenient
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    const database = this.#database
    try {
      database.exec('BEGIN')
      try {
        return await work()
      } finally {
        if (database.inTransaction) database.exec('COMMIT')
      }
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    }
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}
