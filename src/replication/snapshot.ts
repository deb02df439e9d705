import type { Observer } from '../core/observer.ts'
import type { TableStatus } from '../core/operator.ts'
import type { CopyPart, CopyProgress, SnapshotSource, Stream } from '../core/ports.ts'
import { etaSeconds, ratePerSecond } from '../core/progress.ts'
import type { TableSpec } from '../core/table.ts'
import { Pause } from './pause.ts'

/** A table below this many rows is copied in one part: splitting it costs more than it brings. */
const SPLIT_ROWS = 100_000

/** Plans the copy: expected rows, and key ranges of large tables that are copied side by side. */
export function planCopy(
  source: SnapshotSource,
  tables: readonly TableSpec[],
  workers: number,
): CopyProgress {
  const expected = new Map<string, number>()
  const parts: CopyPart[] = []
  for (const table of tables) {
    const rows = source.estimateRows(table)
    expected.set(table.name, rows)
    const ranges = source.split(table, rows < SPLIT_ROWS ? 1 : workers)
    ranges.forEach((range, part) => {
      parts.push({ table: table.name, part, ...range, last: undefined, rows: 0, done: false })
    })
  }
  return { parts, expected }
}

/**
 * Copies what is not copied yet, part by part, several at once. A chunk is read while the one before it is being
 * written. Killed at any moment it goes on with the chunk after the last one committed.
 */
export class Copier {
  readonly #stream: Stream
  readonly #observer: Observer
  readonly #pause: Pause
  readonly #status = new Map<string, TableStatus & { startedAt: number; before: number }>()

  constructor(stream: Stream, observer: Observer, pause: Pause = new Pause()) {
    this.#pause = pause
    this.#stream = stream
    this.#observer = observer
  }

  get tables(): readonly TableStatus[] {
    return [...this.#status.values()].map(({ startedAt: _s, before: _b, ...status }) => status)
  }

  /** Reads what is stored, so that `tables` tells of a copy that an earlier run made. */
  async load(): Promise<CopyProgress> {
    const progress = await this.#stream.copyTarget.progress()
    for (const table of this.#stream.tables) {
      const parts = progress.parts.filter((part) => part.table === table.name)
      const rows = parts.reduce((sum, part) => sum + part.rows, 0)
      const copied = parts.length > 0 && parts.every((part) => part.done)
      this.#status.set(table.name, {
        table: table.name,
        target: table.target,
        state: copied ? 'copied' : rows > 0 ? 'copying' : 'waiting',
        rows_copied: rows,
        rows_expected: copied ? rows : Math.max(rows, progress.expected.get(table.name) ?? 0),
        rows_per_second: null,
        eta_seconds: null,
        startedAt: 0,
        before: rows,
      })
    }
    return progress
  }

  async run(signal: AbortSignal): Promise<void> {
    const { parts } = await this.load()
    const open = new Map<string, number>()
    for (const part of parts) {
      open.set(part.table, (open.get(part.table) ?? 0) + (part.done ? 0 : 1))
    }
    // Large parts first: the last ones to end are then small.
    const rows = (part: CopyPart): number => this.#status.get(part.table)?.rows_expected ?? 0
    const queue = parts.filter((part) => !part.done).sort((a, b) => rows(b) - rows(a))
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const work = async (): Promise<void> => {
      for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
        const table = this.#table(part.table)
        await this.#copyPart(table, part, either)
        const left = (open.get(part.table) ?? 1) - 1
        open.set(part.table, left)
        if (left === 0) await this.#finish(table)
      }
    }
    const workers = Array.from({ length: Math.max(1, this.#stream.workers) }, () =>
      work().catch((error: unknown) => {
        // The first failure ends the others; theirs say less.
        failed.abort(error)
        throw error
      }),
    )
    const results = await Promise.allSettled(workers)
    if (failed.signal.aborted) throw failed.signal.reason
    for (const result of results) if (result.status === 'rejected') throw result.reason
    // A run that was killed between the last chunk and the indexes left copied tables without them.
    for (const table of this.#stream.tables) if (open.get(table.name) === 0) await this.#finish(table)
    await this.#stream.copyTarget.finish()
  }

  readonly #finished = new Set<string>()

  async #finish(table: TableSpec): Promise<void> {
    if (this.#finished.has(table.name)) return
    this.#finished.add(table.name)
    this.#observer.step(`${table.name}: keys, indexes, statistics`)
    await this.#stream.copyTarget.finishTable(table)
    this.#update(table, { state: 'copied', eta_seconds: 0, rows_expected: this.#of(table).rows_copied })
  }

  async #copyPart(table: TableSpec, part: CopyPart, signal: AbortSignal): Promise<void> {
    const { copySource, copyTarget } = this.#stream
    const status = this.#of(table)
    if (status.startedAt === 0) this.#update(table, { state: 'copying', startedAt: Date.now() })
    let current = part
    let next = copySource.readChunk(table, current.last ?? current.lower, current.upper, signal)
    for (;;) {
      const chunk = await next
      const written = copyTarget.writeChunk(table, current, chunk)
      const after: CopyPart = {
        ...current,
        last: chunk.last ?? current.last,
        rows: current.rows + chunk.rows.rows,
        done: chunk.exhausted,
      }
      // Read ahead while this one is written; a failed write must not leave the read unheard.
      if (!chunk.exhausted) {
        next = copySource.readChunk(table, after.last, after.upper, signal)
        next.catch(() => undefined)
      }
      await written
      current = after
      this.#count(table, chunk.rows.rows)
      if (chunk.exhausted) return
      await this.#pause.end(signal)
    }
  }

  #count(table: TableSpec, rows: number): void {
    const status = this.#of(table)
    const done = status.rows_copied + rows
    const expected = Math.max(done, status.rows_expected)
    const progress = {
      done: done - status.before,
      expected: expected - status.before,
      elapsedMs: Date.now() - status.startedAt,
    }
    this.#update(table, {
      rows_copied: done,
      rows_expected: expected,
      rows_per_second: ratePerSecond(progress),
      eta_seconds: etaSeconds(progress),
    })
  }

  #update(table: TableSpec, change: Partial<TableStatus & { startedAt: number }>): void {
    const status = { ...this.#of(table), ...change }
    this.#status.set(table.name, status)
    const { startedAt: _s, before: _b, ...shown } = status
    this.#observer.copied(shown)
  }

  #of(table: TableSpec): TableStatus & { startedAt: number; before: number } {
    const status = this.#status.get(table.name)
    if (status === undefined) throw new Error(`no status of ${table.name}`)
    return status
  }

  #table(name: string): TableSpec {
    const table = this.#stream.tables.find((candidate) => candidate.name === name)
    if (table === undefined) throw new Error(`the copy has a part of an unknown table ${name}`)
    return table
  }
}
