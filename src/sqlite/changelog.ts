import { statSync } from 'node:fs'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { KeyValue } from '../core/key.ts'
import type { Batch, ChangeSource, ReadResult, SourceLag, TableBatch } from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { MARK, pendingAfter, readHead } from './head.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, openReader, openWriter, type Sqlite, sourceFailure } from './open.ts'
import type { ReaderGate } from './reader-gate.ts'
import { asBytes, findMisfit, hasUnfitBytes, keyLine, lineBytes, nullInKey, rowLine } from './rows.ts'
import { Spool, type SpoolSection } from './spool.ts'
import type { WalWake } from './wake.ts'

/** Lines are handed to the spool in blocks of this size. */
const BLOCK_BYTES = 256 * 1024
/** A long read lets others of this process run about this often. */
const YIELD_MS = 40
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
  readonly tables: readonly TableSpec[]
  /** schema_version as capture left it: any other value means foreign DDL. */
  readonly schemaVersion: bigint
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

  async read(after: Checkpoint, signal: AbortSignal): Promise<ReadResult> {
    await this.#options.gate.pass(signal)
    signal.throwIfAborted()
    if (fileIdentity(this.#options.path) !== this.#identity) {
      return { kind: 'discontinuous', reason: `${this.#options.path} is another file now: it was replaced` }
    }
    const database = this.#reader
    try {
      database.exec('BEGIN')
      try {
        return await this.#readInTransaction(after)
      } finally {
        // The read ends before the target is touched: a slow target must not pin the log.
        if (database.inTransaction) database.exec('COMMIT')
      }
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#options.path, error) : error
    }
  }

  async #readInTransaction(after: Checkpoint): Promise<ReadResult> {
    const database = this.#reader
    const drift = this.#drift()
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
    if (head.seq === after.seq) return { kind: 'empty', head }
    return { kind: 'batch', batch: await this.#readBatch(after, head) }
  }

  #drift(): string | undefined {
    const version = this.#reader.pragma('schema_version', { simple: true }) as bigint
    if (version === this.#options.schemaVersion) return undefined
    return `the schema of the source was changed (schema_version ${version}, expected ${this.#options.schemaVersion})`
  }

  async #readBatch(from: Checkpoint, to: Checkpoint): Promise<Batch> {
    const counts = this.#reader
      .prepare(
        'SELECT tbl, count(*) AS n FROM main._slipway_changelog WHERE seq > ? AND seq <= ? GROUP BY tbl',
      )
      .all(from.seq, to.seq) as { tbl: string; n: bigint }[]
    const spool = new Spool(this.#options.spoolFolder)
    try {
      const tables: TableBatch[] = []
      let changes = 0
      for (const { tbl, n } of counts) {
        const table = this.#byName.get(tbl)
        if (table === undefined) continue
        changes += Number(n)
        tables.push(await this.#readTable(table, from.seq, to.seq, spool))
      }
      return { from, to, changes, tables, [Symbol.dispose]: () => spool[Symbol.dispose]() }
    } catch (error) {
      spool[Symbol.dispose]()
      throw error
    }
  }

  async #readTable(table: TableSpec, after: Seq, upTo: Seq, spool: Spool): Promise<TableBatch> {
    const names = table.key.columns.map((_, index) => `k${index}`)
    // 1 and 1.0 are equal and two keys.
    const classes = table.key.columns.flatMap((c, i) =>
      c.type === 'bigint' && c.target === HIDDEN_KEY ? [] : [`typeof(k${i}) AS c${i}`],
    )
    const keys = `SELECT DISTINCT ${[...names, ...classes].join(', ')} FROM main._slipway_changelog WHERE seq > ? AND seq <= ? AND tbl = ?`
    // The column's own collation finds the row through its index, the bytes then decide (trap H22).
    const join = table.key.columns
      .map((column, index) => {
        const x = `t.${quote(column.name)}`
        return table.key.kind === 'rowid' || column.name === table.rowid
          ? `${x} = c.k${index}`
          : `${x} = c.k${index} AND ${x} = c.k${index} COLLATE BINARY AND typeof(${x}) = typeof(c.k${index})`
      })
      .join(' AND ')
    const present = `t.${quote(table.rowid ?? (table.key.columns[0]?.name as string))} IS NOT NULL`
    const { encoding } = this.#options
    const nullKey = names.map((name) => `c.${name} IS NULL`).join(' OR ')
    const statement = this.#reader
      .prepare(
        `SELECT ${asBytes(
          keyLine(table, (i) => `c.k${i}`),
          encoding,
        )}, ${present}, ${asBytes(rowLine(table, 't'), encoding)}, ${nullKey}
         FROM (${keys}) AS c LEFT JOIN ${sourceTable(table.name)} AS t ON ${join}`,
      )
      .raw()
    const keyLines = new LineCollector(spool.section())
    const rowLines = new LineCollector(spool.section())
    let since = Date.now()
    let seen = 0
    const rows = statement.iterate(after, upTo, table.name) as IterableIterator<
      [Buffer | string | null, bigint, Buffer | string | null, bigint]
    >
    for (const [key, exists, line, hasNull] of rows) {
      // The join finds no row by NULL, and the row may well be there.
      if (hasNull === 1n) throw nullInKey(table)
      // A key that the target cannot hold and whose row is gone was never there.
      if (key === null && exists === 0n) continue
      if (key === null || (exists === 1n && line === null)) throw this.#misfit(table, after, upTo, join, keys)
      if (exists === 1n) rowLines.add(lineBytes(line as Buffer | string))
      else keyLines.add(lineBytes(key))
      if ((++seen & 255) === 0 && Date.now() - since > YIELD_MS) {
        await yieldToOthers()
        since = Date.now()
      }
    }
    // A gone key with such bytes never reached the target, yet its line cannot be sent: it is refused as well.
    if (keyLines.end() || rowLines.end()) throw this.#misfit(table, after, upTo, join, keys)
    return { table, aside: [], gone: keyLines.section, upserts: rowLines.section }
  }

  #misfit(table: TableSpec, after: Seq, upTo: Seq, join: string, keys: string): Error {
    const reader = openReader(this.#options.path)
    try {
      const parameters: KeyValue[] = [after, upTo, table.name]
      return findMisfit(reader, table, `EXISTS (SELECT 1 FROM (${keys}) AS c WHERE ${join})`, parameters)
    } finally {
      reader.close()
    }
  }

  lag(after: Checkpoint): SourceLag {
    try {
      const mark = this.#observer
        .prepare(`SELECT ${MARK} FROM main._slipway_changelog WHERE seq = ?`)
        .pluck()
        .get(after.seq)
      const continuous =
        mark === after.mark &&
        fileIdentity(this.#options.path) === this.#identity &&
        (this.#observer.pragma('schema_version', { simple: true }) as bigint) === this.#options.schemaVersion
      return { ...pendingAfter(this.#observer, after), continuous }
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

/** Joins lines to blocks and watches their bytes. */
class LineCollector {
  readonly section: SpoolSection
  #lines: Buffer[] = []
  #bytes = 0
  #unfit = false

  constructor(section: SpoolSection) {
    this.section = section
  }

  add(line: Buffer): void {
    this.#lines.push(line, NEWLINE)
    this.#bytes += line.length + 1
    if (this.#bytes >= BLOCK_BYTES) this.#flush()
  }

  #flush(): void {
    const block = Buffer.concat(this.#lines, this.#bytes)
    this.#unfit ||= hasUnfitBytes(block)
    this.section.add(block, this.#lines.length >> 1)
    this.#lines = []
    this.#bytes = 0
  }

  /** True when some line holds bytes that PostgreSQL's text cannot. */
  end(): boolean {
    if (this.#bytes > 0) this.#flush()
    return this.#unfit
  }
}

const NEWLINE = Buffer.from('\n')
