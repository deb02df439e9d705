import { Failure } from '../core/errors.ts'
import { showKey } from '../core/key.ts'
import { NO_VERIFICATION, type VerifyReport, type VerifyRequest } from '../core/operator.ts'
import type { Batch, Companion, Difference, ReadExtras, Stream } from '../core/ports.ts'
import type { TableSpec } from '../core/table.ts'
import { count, mismatched, newTable, type Run, report, restart, type TableRun } from './run.ts'

/** Progress is stored this often, so that a run goes on after a restart where it stood. */
const SAVE_MS = 2_000
/** Rows of a repair that nobody asked for which the log names. */
const TOLD = 20

/** Where runs are kept. */
export interface VerifyStore {
  /** The newest run. */
  load(): Promise<Run | undefined>
  /** Gives it a number. */
  begin(run: Omit<Run, 'id'>): Promise<Run>
  save(run: Run): Promise<void>
}

interface VerifierDeps {
  readonly store: VerifyStore
  readonly step: (text: string) => void
  readonly warn: (text: string) => void
}

/**
 * Compares source and target while changes flow. It rides on the apply loop: each read of changes brings the next
 * range of a table out of the same snapshot, and once the batch is applied the target must hold exactly that range.
 * So nothing is locked, nothing is held open, and no difference is a matter of timing. `repair` transfers what
 * differs, in the transaction that found it.
 *
 * A walk over the source cannot meet a row that only the target has. Where the target's key orders as the walk does,
 * each range covers both; elsewhere the target's keys are looked up in the source afterwards.
 */
export class Verifier implements Companion {
  readonly #deps: VerifierDeps
  #run: Run | undefined
  #loaded = false
  /** Asked for by a person, and interrupted by tables in doubt. */
  #suspended: Run | undefined
  #live = false
  #savedAt = 0
  /** Where the page of keys ends that is being looked at. */
  #next: readonly string[] | undefined

  constructor(deps: VerifierDeps) {
    this.#deps = deps
  }

  get report(): VerifyReport {
    // What a person asked for is what is told, also while tables in doubt go before it.
    const run = this.#suspended ?? this.#run
    return run === undefined ? NO_VERIFICATION : report(run, this.#live, Date.now())
  }

  get busy(): boolean {
    return this.#run?.state === 'running'
  }

  /** Reads the last run, so that it is told of before anything is verified again. */
  async load(): Promise<void> {
    if (this.#loaded) return
    this.#run = await this.#deps.store.load()
    this.#loaded = true
  }

  async #start(
    tables: readonly TableSpec[],
    request: VerifyRequest,
    reason: string,
    mends: string | undefined,
  ): Promise<void> {
    const wanted = request.tables ?? tables.map((table) => table.name)
    const unknown = wanted.filter((name) => !tables.some((table) => table.name === name))
    if (unknown.length > 0) {
      throw new Failure({
        code: 'no_such_table',
        status: 422,
        exit: 2,
        message: `there is no table ${unknown.join(', ')} in this migration`,
        remedy: `It has ${tables.map((table) => table.name).join(', ')}.`,
      })
    }
    this.#run = await this.#deps.store.begin({
      reason,
      mends,
      installation: undefined,
      repair: request.repair,
      startedAt: new Date().toISOString(),
      finishedAt: undefined,
      state: 'running',
      error: undefined,
      tables: wanted.map((name) => newTable(name)),
      samples: [],
    })
    this.#loaded = true
    this.#deps.step(
      `verify: ${wanted.length} tables (${reason}${request.repair ? ', differences are repaired' : ''})`,
    )
  }

  /** A run that a person asked for; refused while another one works. */
  async ask(tables: readonly TableSpec[], request: VerifyRequest): Promise<VerifyReport> {
    if (this.busy) {
      throw new Failure({
        code: 'verify_running',
        status: 409,
        exit: 1,
        message: `verify is running since ${this.#run?.startedAt} (${this.#run?.reason})`,
        remedy: 'Watch it: slipway verify, or GET /verify; ask again when it is done.',
      })
    }
    await this.#start(tables, request, 'asked for', undefined)
    this.#live = true
    return this.report
  }

  /**
   * Verifies and repairs the tables that are in doubt; true once that is done. It goes before what a person asked
   * for, and goes on after a restart.
   */
  async mend(stream: Stream): Promise<boolean> {
    await this.load()
    const run = this.#run
    if (run?.mends === stream.installation && run.state !== 'failed') {
      if (run.state === 'running') return false
      // What a person asked for meanwhile goes on where it stood.
      this.#run = this.#suspended ?? run
      this.#suspended = undefined
      return true
    }
    if (run?.state === 'running' && run.mends === undefined) {
      this.#suspended = run
      await this.#save(run)
    }
    const names = [...stream.dirty.keys()].filter((name) =>
      stream.tables.some((table) => table.name === name),
    )
    const reason = [...new Set(stream.dirty.values())].join('; ')
    await this.#start(stream.tables, { tables: names, repair: true }, reason, stream.installation)
    return false
  }

  async next(stream: Stream): Promise<ReadExtras | undefined> {
    const run = this.#run
    if (run?.state !== 'running') return undefined
    this.#live = true
    // Keys and types may be others now: a place in the old order means nothing.
    if (run.installation !== undefined && run.installation !== stream.installation) restart(run)
    run.installation = stream.installation
    for (const progress of run.tables) {
      const table = stream.tables.find((candidate) => candidate.name === progress.table)
      if (progress.phase === 'done') continue
      if (table === undefined) {
        progress.phase = 'done'
        continue
      }
      if (progress.phase === 'waiting') {
        progress.phase = 'rows'
        progress.expected = stream.copySource.estimateRows(table)
      }
      if (progress.phase === 'rows') return { ride: { table, after: progress.after } }
      const keys = await this.#suspects(stream, table, progress)
      if (keys.length > 0) return { ride: { table, after: undefined, keys } }
      progress.phase = 'done'
      countDisplaced(run, progress, table, stream)
      await this.#save(run)
    }
    await this.#finish(run)
    return undefined
  }

  /** The next keys of the target that the source does not seem to have; empty at the end of the table. */
  async #suspects(stream: Stream, table: TableSpec, progress: TableRun): Promise<readonly string[]> {
    while (!progress.lastPage) {
      const page = await stream.comparer.keys(table, progress.cursor)
      if (page === undefined) return []
      const absent = stream.source.absent(table, page.keys)
      if (absent.length > 0) {
        this.#next = page.next
        return absent
      }
      turnPage(progress, page.next)
    }
    return []
  }

  async took(batch: Batch, stream: Stream): Promise<void> {
    const run = this.#run
    const ride = batch.ride
    const progress = run?.tables.find((table) => table.table === ride?.table.name)
    if (run?.state !== 'running' || ride === undefined || progress === undefined) return
    const compared = await stream.comparer.compare(ride, batch.to, run.repair)
    if (ride.keys === undefined) {
      count(run, progress, compared)
      progress.after = ride.chunk.last ?? progress.after
      if (ride.chunk.exhausted) progress.phase = 'extras'
    } else {
      count(run, progress, { ...compared, rows: 0, missing: 0, different: 0, quarantined: 0 })
      turnPage(progress, this.#next)
    }
    if (Date.now() - this.#savedAt > SAVE_MS) await this.#save(run)
  }

  /** The stream is closed: the run stands still until there is another one. */
  rest(): void {
    this.#live = false
  }

  async #save(run: Run): Promise<void> {
    this.#savedAt = Date.now()
    await this.#deps.store.save(run)
  }

  async #finish(run: Run): Promise<void> {
    run.state = 'done'
    run.finishedAt = new Date().toISOString()
    await this.#save(run)
    const wrong = mismatched(run)
    const repaired = run.tables.reduce((sum, table) => sum + table.repaired, 0)
    const rows = run.tables.reduce((sum, table) => sum + table.rows, 0)
    for (const { table, key, kind, columns } of run.mends === undefined ? [] : run.samples.slice(0, TOLD))
      this.#deps.warn(
        `verify: ${table} ${key} was ${kind}${columns.length > 0 ? ` (${columns.map((c) => c.column).join(', ')})` : ''}`,
      )
    if (wrong === 0) this.#deps.step(`verify: ${rows} rows are equal`)
    else
      this.#deps.warn(
        `verify: ${wrong} of ${rows} rows differed${run.repair ? `, ${repaired} repaired` : ''}`,
      )
  }
}

function turnPage(progress: TableRun, next: readonly string[] | undefined): void {
  progress.cursor = next
  progress.lastPage = next === undefined
}

/** Rows that stood in the way of a repair and that the source does not have: they were too many. */
function countDisplaced(run: Run, progress: TableRun, table: TableSpec, stream: Stream): void {
  const extra = stream.source.absent(table, progress.displaced)
  progress.displaced = []
  const samples = extra.map((key): Difference => {
    return { table: table.name, key: showKey(table.key.columns, key), kind: 'extra', columns: [] }
  })
  const none = { rows: 0, missing: 0, different: 0, quarantined: 0, displaced: [] }
  count(run, progress, { ...none, extra: extra.length, repaired: extra.length, samples })
}
