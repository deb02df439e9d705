import { statSync } from 'node:fs'
import type {
  Batch,
  ChangeSource,
  ReadExtras,
  ReadResult,
  Ride,
  RideRequest,
  SourceLag,
  TableBatch,
} from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import { MARK, pendingAfter, readHead } from './head.ts'
import { absentKeys, lateRead } from './late-read.ts'
import { isSqliteError, openReader, openWriter, type Sqlite, sourceFailure } from './open.ts'
import { captureDrift } from './own-schema.ts'
import { readRange } from './range.ts'
import type { ReaderGate } from './reader-gate.ts'
import { Spool } from './spool.ts'
import type { WalWake } from './wake.ts'

/** Rows that one prune deletes at the most: it holds the write lock meanwhile. */
const PRUNE_ROWS = 50_000
const PRUNE_SOON_MS = 3_000

/**
 * Which files the path means now. As long as a connection is open SQLite keeps the log, so another inode of
 * either, or a log that is gone, means that somebody put another file in place. Only `stat`, never open (H7).
 */
export function fileIdentity(path: string): string {
  return [path, `${path}-wal`]
    .map((name) => {
      const stat = statSync(name, { throwIfNoEntry: false })
      return stat === undefined ? 'none' : `${stat.dev}:${stat.ino}`
    })
    .join(' ')
}

interface ChangelogOptions {
  readonly path: string
  readonly encoding: string
  /** Rows of a range that is compared. */
  readonly chunkRows: number
  readonly tables: readonly TableSpec[]
  /** The installation of capture that the changelog belongs to. */
  readonly installation: string
  readonly gate: ReaderGate
  readonly wake: WalWake
  readonly spoolFolder: string
  readonly retentionSeconds: number
  /** How often the changelog is pruned at the most; our commits may fail an application's (trap H10). */
  readonly pruneEveryMs: number
}

/** The forward change source: keys from the changelog, rows read late in the same read transaction. */
export class ChangelogReader implements ChangeSource, Disposable {
  readonly #options: ChangelogOptions
  readonly #byName: ReadonlyMap<string, TableSpec>
  /** Batches are read here, in transactions that others must not see. */
  readonly #reader: Sqlite
  /** Lag is asked here at any time. */
  readonly #observer: Sqlite
  #pruneAt: number
  #pruneLimit: Seq = 0n
  readonly #identity: string

  constructor(options: ChangelogOptions) {
    this.#options = options
    this.#pruneAt = Date.now() + options.pruneEveryMs
    this.#byName = new Map(options.tables.map((table) => [table.name, table]))
    this.#reader = openReader(options.path)
    this.#observer = openReader(options.path)
    this.#identity = fileIdentity(options.path)
  }

  async read(after: Checkpoint, signal: AbortSignal, extras: ReadExtras = {}): Promise<ReadResult> {
    await this.#options.gate.pass(signal)
    signal.throwIfAborted()
    if (fileIdentity(this.#options.path) !== this.#identity) {
      return { kind: 'discontinuous', reason: `${this.#options.path} is another file now: it was replaced` }
    }
    const database = this.#reader
    try {
      database.exec('BEGIN')
      try {
        return await this.#readInTransaction(after, extras)
      } finally {
        // The read ends before the target is touched: a slow target must not pin the log.
        if (database.inTransaction) database.exec('COMMIT')
      }
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    }
  }

  async #readInTransaction(after: Checkpoint, extras: ReadExtras): Promise<ReadResult> {
    const database = this.#reader
    const drift = captureDrift(database, this.#options.installation)
    if (drift !== undefined) return { kind: 'drift', reason: drift }
    const mark = database
      .prepare(`SELECT ${MARK} FROM main._slipway_changelog WHERE seq = ?`)
      .pluck()
      .get(after.seq) as string | undefined
    if (mark !== after.mark) {
      const reason =
        mark === undefined
          ? `change ${after.seq}, the last one applied, is not in the changelog: the file was put back to an older copy, or the change was pruned`
          : `change ${after.seq} is not the one that was applied: the file was put back to an older copy and written again`
      return { kind: 'discontinuous', reason }
    }
    const head = readHead(database)
    const asked = extras.ride !== undefined || (extras.also?.length ?? 0) > 0
    if (head.seq === after.seq && !asked) return { kind: 'empty', head }
    return { kind: 'batch', batch: await this.#readBatch(after, head, extras) }
  }

  async #readBatch(from: Checkpoint, to: Checkpoint, extras: ReadExtras): Promise<Batch> {
    const database = this.#reader
    const counts = new Map(
      database
        .prepare(
          'SELECT tbl, count(*) FROM main._slipway_changelog WHERE seq > ? AND seq <= ? GROUP BY tbl ORDER BY tbl',
        )
        .raw()
        .all(from.seq, to.seq) as [string, bigint][],
    )
    const also = new Map((extras.also ?? []).map(({ table, keys }) => [table, keys]))
    const { encoding } = this.#options
    const spool = new Spool(this.#options.spoolFolder)
    try {
      const tables: TableBatch[] = []
      let changes = 0
      for (const name of new Set([...counts.keys(), ...also.keys()])) {
        const table = this.#byName.get(name)
        if (table === undefined) continue
        changes += Number(counts.get(name) ?? 0n)
        const options = { after: from.seq, upTo: to.seq, also: also.get(name) ?? [], encoding, spool }
        tables.push(await lateRead(database, table, options))
      }
      const { ride } = extras
      return {
        from,
        to,
        changes,
        tables,
        ride: ride && (await this.#readRide(ride, to, spool)),
        [Symbol.dispose]: () => spool[Symbol.dispose](),
      }
    } catch (error) {
      spool[Symbol.dispose]()
      throw error
    }
  }

  async #readRide(ride: RideRequest, { seq }: Checkpoint, spool: Spool): Promise<Ride> {
    const { encoding, chunkRows } = this.#options
    if (ride.keys === undefined) {
      const options = { encoding, chunkRows, captured: true }
      return {
        ...ride,
        chunk: readRange(this.#reader, ride.table, ride.after, undefined, options),
        gone: undefined,
      }
    }
    const options = { after: seq, upTo: seq, also: ride.keys, encoding, spool }
    const { gone, upserts, aside } = await lateRead(this.#reader, ride.table, options)
    return { ...ride, gone, chunk: { rows: upserts, aside, last: undefined, exhausted: true, head: seq } }
  }

  absent(table: TableSpec, keys: readonly string[]): readonly string[] {
    return absentKeys(this.#observer, table, keys)
  }

  lag(after: Checkpoint): SourceLag {
    const observer = this.#observer
    try {
      return observer.transaction(() => {
        const mark = observer
          .prepare(`SELECT ${MARK} FROM main._slipway_changelog WHERE seq = ?`)
          .pluck()
          .get(after.seq)
        const continuous =
          mark === after.mark &&
          fileIdentity(this.#options.path) === this.#identity &&
          captureDrift(observer, this.#options.installation) === undefined
        return { ...pendingAfter(observer, after), continuous }
      })()
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    }
  }

  /** Rows that the changelog keeps now, without a scan. */
  size(): number {
    const [low, high] = this.#observer
      .prepare(
        'SELECT (SELECT min(seq) FROM main._slipway_changelog), (SELECT max(seq) FROM main._slipway_changelog)',
      )
      .raw()
      .get() as [bigint | null, bigint | null]
    return low === null || high === null ? 0 : Number(high - low + 1n)
  }

  wake(ms: number, signal: AbortSignal): Promise<void> {
    return this.#options.wake.wait(ms, signal)
  }

  /** Prunes in bulk and rarely. A busy database is left alone: the next round comes. */
  acknowledge(applied: Checkpoint): void {
    if (Date.now() < this.#pruneAt) return
    this.#pruneAt = Date.now() + this.#options.pruneEveryMs
    const cutoff = BigInt(Date.now() - this.#options.retentionSeconds * 1000)
    const bound = this.#oldest(cutoff, applied.seq)
    if (bound === undefined) return
    // More is old than one prune takes: the rest goes soon, or the changelog would outgrow its retention.
    if (bound === this.#pruneLimit) this.#pruneAt = Date.now() + PRUNE_SOON_MS
    try {
      const writer = openWriter(this.#options.path)
      try {
        writer.pragma('busy_timeout = 100')
        writer
          .prepare('DELETE FROM main._slipway_changelog WHERE seq <= ? AND seq < ?')
          .run(bound, applied.seq)
      } finally {
        writer.close()
      }
    } catch (error) {
      if (!isSqliteError(error)) throw error
    }
  }

  /** The newest of the first PRUNE_ROWS changes that is older than the cutoff: times rise with seq, so by bisection. */
  #oldest(cutoff: bigint, applied: Seq): Seq | undefined {
    const next = this.#observer
      .prepare('SELECT seq, at FROM main._slipway_changelog WHERE seq >= ? ORDER BY seq LIMIT 1')
      .raw()
    const [first, firstAt] = (next.get(0n) ?? []) as bigint[]
    if (first === undefined || firstAt === undefined || firstAt >= cutoff || first >= applied)
      return undefined
    let low = first
    this.#pruneLimit = first + BigInt(PRUNE_ROWS)
    let high = this.#pruneLimit < applied ? this.#pruneLimit : applied - 1n
    while (low < high) {
      const middle = (low + high + 1n) / 2n
      const [, at] = (next.get(middle) ?? []) as bigint[]
      if (at !== undefined && at < cutoff) low = middle
      else high = middle - 1n
    }
    return low
  }

  [Symbol.dispose](): void {
    this.#reader.close()
    this.#observer.close()
  }
}
