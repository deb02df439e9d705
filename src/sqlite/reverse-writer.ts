import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { Failure } from '../core/errors.ts'
import { showKey } from '../core/key.ts'
import type { KeySet } from '../core/ports.ts'
import type {
  ReverseApplied,
  ReverseAside,
  ReverseBatch,
  ReversePosition,
  ReverseTarget,
  RowPatch,
  SourceDrift,
} from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import { closeFence, createFence, openFence } from './fence-sql.ts'
import {
  isSqliteError,
  openReader,
  openWriter,
  type Sqlite,
  sourceFailure,
  WRITE_TIMEOUT_MS,
} from './open.ts'
import { changeOwnSchema } from './own-schema.ts'
import { ReadAhead } from './reverse-ahead.ts'
import { Checkpoints } from './reverse-checkpoint.ts'
import { Moves } from './reverse-moves.ts'
import { AsideRows, asideKeys, readAside, readPosition, refuseDrift, writePosition } from './reverse-notes.ts'
import type { Refusal } from './reverse-refusal.ts'
import { TableWriter } from './reverse-table.ts'
import { sourceDrift } from './source-drift.ts'
import { isTable } from './triggers-aside.ts'
import { takeWriteLock } from './write-lock.ts'

/** A batch is given up by nobody. */
const NEVER = new AbortController().signal
/** A long batch lets others of this process run about this often. */
const YIELD_MS = 40
/** Characters of a value that are kept of a row that is set aside. */
const SHOWN = 100

interface ReverseWriterOptions {
  readonly path: string
  readonly warn: (text: string) => void
}

/**
 * Writes PostgreSQL's changes into SQLite: row by row, only the columns that differ, in one transaction with the
 * position. No trigger acts but the fence's, which that transaction lowers for itself; foreign keys are not looked at
 * (trap H9): PostgreSQL has its own, and the guard of a rollback counts.
 *
 * A batch is durable when `apply` resolves: it commits with synchronous=FULL, so that what is acknowledged to
 * PostgreSQL, which may forget it then, survives a power loss. One fsync a batch is what that costs.
 */
export class ReverseWriter implements ReverseTarget, Disposable {
  readonly #options: ReverseWriterOptions
  readonly #writer: Sqlite
  /** Position and rows set aside are asked at any time, also while a batch is being written. */
  readonly #observer: Sqlite
  readonly #tables = new Map<string, TableWriter>()
  readonly #checkpoints: Checkpoints
  #breathed = 0

  constructor(options: ReverseWriterOptions) {
    this.#options = options
    this.#observer = openReader(options.path)
    try {
      this.#writer = openWriter(options.path)
    } catch (error) {
      this.#observer.close()
      throw error
    }
    // Locks are asked for again and again instead: SQLite's own waiting would stop this process.
    this.#writer.pragma('busy_timeout = 0')
    this.#writer.pragma('synchronous = FULL')
    this.#checkpoints = new Checkpoints(this.#writer, options.path)
  }

  position(): ReversePosition {
    return readPosition(this.#observer)
  }

  aside(limit: number): { readonly total: number; readonly entries: readonly ReverseAside[] } {
    return readAside(this.#observer, limit)
  }

  quarantined(): readonly KeySet[] {
    return asideKeys(this.#observer)
  }

  drift(tables: readonly TableSpec[]): SourceDrift | undefined {
    const names = tables.map(({ name }) => name)
    return this.#observer.transaction(() => sourceDrift(this.#observer, names))()
  }

  async shut(tables: readonly TableSpec[]): Promise<void> {
    const database = this.#writer
    try {
      await takeWriteLock(database, WRITE_TIMEOUT_MS, NEVER)
      // Only where PostgreSQL leads still.
      readPosition(database)
      const there = tables.filter(({ name }) => isTable(database, name)).map(({ name }) => name)
      changeOwnSchema(database, () => createFence(database, there))
      database.exec('COMMIT')
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    } finally {
      if (database.inTransaction) database.exec('ROLLBACK')
    }
  }

  async apply(batch: ReverseBatch, mends?: SourceDrift): Promise<ReverseApplied> {
    const database = this.#writer
    try {
      // Most of it is there before the lock is taken: a slow PostgreSQL must not hold SQLite's.
      await using ahead = await ReadAhead.of(batch.tables)
      await takeWriteLock(database, WRITE_TIMEOUT_MS, NEVER)
      this.#breathed = Date.now()
      const applied = await this.#applyInTransaction(
        batch,
        ahead,
        mends?.harmless ? mends.version : undefined,
      )
      database.exec('COMMIT')
      this.#checkpoints.maybe()
      return applied
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    } finally {
      if (database.inTransaction) database.exec('ROLLBACK')
    }
  }

  async #applyInTransaction(
    batch: ReverseBatch,
    ahead: ReadAhead,
    mended: string | undefined,
  ): Promise<ReverseApplied> {
    const database = this.#writer
    refuseMoved(batch.from, readPosition(database))
    refuseDrift(database, mended)
    openFence(database)
    const aside = new AsideRows(database)
    const perTable: ReverseApplied['perTable'][number][] = []
    for (const [index, { table }] of batch.tables.entries()) {
      const target = this.#table(table)
      const deleted = await this.#remove(target, ahead.gone(index), aside)
      const upserted = await this.#write(target, ahead.patches(index), aside)
      perTable.push({ table: table.name, upserted, deleted })
    }
    writePosition(database, batch.to)
    closeFence(database)
    const sum = (of: 'upserted' | 'deleted'): number => perTable.reduce((n, each) => n + each[of], 0)
    return { upserted: sum('upserted'), deleted: sum('deleted'), perTable, quarantined: aside.total }
  }

  /** Before everything else: what goes gives its unique values back. */
  async #remove(
    target: TableWriter,
    pages: AsyncIterable<readonly string[]>,
    aside: AsideRows,
  ): Promise<number> {
    let deleted = 0
    for await (const keys of pages) {
      for (const key of keys) {
        if (target.remove(key)) deleted++
        aside.clear(target.table.name, key)
        if (Date.now() - this.#breathed > YIELD_MS) await this.#breathe()
      }
    }
    return deleted
  }

  async #write(
    target: TableWriter,
    pages: AsyncIterable<readonly RowPatch[]>,
    aside: AsideRows,
  ): Promise<number> {
    const { name } = target.table
    const refused = (key: string, refusal: Refusal): void => {
      const { column, reason, value, kind } = refusal
      const isNew = aside.set(name, key, { column, reason, kind, value: value.slice(0, SHOWN) }, new Date())
      const shown = showKey(target.table.key.columns, key)
      if (isNew) this.#options.warn(`${name}, ${shown} is set aside on the way back: ${reason}`)
    }
    let upserted = 0
    let moves: Moves | undefined
    for await (const patches of pages) {
      for (const patch of patches) {
        const outcome = target.write(patch)
        if (outcome.kind === 'written') {
          if (patch.values.length > 0) upserted++
          aside.clear(name, patch.key)
        } else if (outcome.kind === 'refused') refused(patch.key, outcome.refusal)
        else {
          moves ??= new Moves(this.#writer, target)
          moves.add(patch)
        }
        if (Date.now() - this.#breathed > YIELD_MS) await this.#breathe()
      }
    }
    if (moves === undefined) return upserted
    const settled = (key: string): void => aside.clear(name, key)
    return upserted + (await moves.finish({ refused, settled }, () => this.#breathe()))
  }

  async #breathe(): Promise<void> {
    if (Date.now() - this.#breathed <= YIELD_MS) return
    await yieldToOthers()
    this.#breathed = Date.now()
  }

  #table(table: TableSpec): TableWriter {
    let found = this.#tables.get(table.name)
    if (found === undefined || found.table !== table) {
      found = new TableWriter(this.#writer, table)
      this.#tables.set(table.name, found)
    }
    return found
  }

  /** The reader last: it cannot checkpoint, so closing moves nothing into the file (trap C21). */
  [Symbol.dispose](): void {
    this.#writer.close()
    this.#observer.close()
  }
}

/** Each batch is written once: SQLite stands where the batch begins, by snapshot and token. */
function refuseMoved(from: ReversePosition, stands: ReversePosition): void {
  if (from.snapshot === stands.snapshot && from.token === stands.token) return
  throw new Failure({
    code: 'position_moved',
    policy: 'transient',
    message: `SQLite stands at ${stands.snapshot}, the batch begins at ${from.snapshot}: it is read again`,
  })
}
