/** A run of verify as it is stored: pure data and what follows from it. */
import type { VerifyReport, VerifyTable } from '../core/operator.ts'
import type { Compared, Difference } from '../core/ports.ts'
import { etaSeconds } from '../core/progress.ts'

/** Differences that are kept of one table. */
const SAMPLES = 20

/** rows: the source's rows are compared; extras: the target's keys are looked up in the source. */
export type TablePhase = 'waiting' | 'rows' | 'extras' | 'done'

export interface TableRun {
  readonly table: string
  expected: number
  phase: TablePhase
  /** Scan key of the last row compared. */
  after: string | undefined
  /** Place in the target's keys. */
  cursor: readonly string[] | undefined
  lastPage: boolean
  /** Keys that a repair took out of the way; see `Compared`. */
  displaced: string[]
  rows: number
  missing: number
  extra: number
  different: number
  quarantined: number
  repaired: number
}

export interface Run {
  readonly id: number
  readonly reason: string
  /** The installation of capture whose doubts it ends; undefined where a person asked. */
  readonly mends: string | undefined
  /** Of capture, when the places below were reached. */
  installation: string | undefined
  readonly repair: boolean
  readonly startedAt: string
  finishedAt: string | undefined
  state: 'running' | 'done' | 'failed'
  error: string | undefined
  readonly tables: TableRun[]
  samples: Difference[]
}

export function newTable(table: string): TableRun {
  return {
    table,
    expected: 0,
    phase: 'waiting',
    after: undefined,
    cursor: undefined,
    lastPage: false,
    displaced: [],
    rows: 0,
    missing: 0,
    extra: 0,
    different: 0,
    quarantined: 0,
    repaired: 0,
  }
}

/** Begins all tables again. */
export function restart(run: Run): void {
  run.tables.splice(0, run.tables.length, ...run.tables.map(({ table }) => newTable(table)))
  run.samples = []
}

/** Adds what one comparison found. */
export function count(run: Run, table: TableRun, compared: Compared): void {
  table.rows += compared.rows
  table.missing += compared.missing
  table.extra += compared.extra
  table.different += compared.different
  table.quarantined += compared.quarantined
  table.repaired += compared.repaired
  table.displaced.push(...compared.displaced)
  const kept = run.samples.filter((sample) => sample.table === table.table).length
  run.samples.push(...compared.samples.slice(0, Math.max(0, SAMPLES - kept)))
}

export function mismatched(run: Run): number {
  return run.tables.reduce((sum, table) => sum + table.missing + table.extra + table.different, 0)
}

/** `now` in ms since 1970; `live` is false where nobody works on the run at the moment. */
export function report(run: Run, live: boolean, now: number): VerifyReport {
  const sum = (of: (table: TableRun) => number): number =>
    run.tables.reduce((all, table) => all + of(table), 0)
  const rows = sum((table) => table.rows)
  const expected = sum((table) => Math.max(table.expected, table.rows))
  const wrong = mismatched(run)
  return {
    state: run.state === 'running' && !live ? 'interrupted' : run.state,
    id: run.id,
    reason: run.reason,
    repair: run.repair,
    started_at: run.startedAt,
    finished_at: run.finishedAt ?? null,
    equal: run.state === 'done' ? wrong === 0 : null,
    rows_compared: rows,
    mismatched: wrong,
    repaired: sum((table) => table.repaired),
    quarantined: sum((table) => table.quarantined),
    eta_seconds:
      run.state === 'running'
        ? etaSeconds({ done: rows, expected, elapsedMs: now - Date.parse(run.startedAt) })
        : null,
    error: run.error ?? null,
    tables: run.tables.map(
      (table): VerifyTable => ({
        table: table.table,
        state: table.phase === 'waiting' ? 'waiting' : table.phase === 'done' ? 'done' : 'running',
        rows_compared: table.rows,
        rows_expected: Math.max(table.rows, table.expected),
        missing: table.missing,
        extra: table.extra,
        different: table.different,
        quarantined: table.quarantined,
        repaired: table.repaired,
      }),
    ),
    samples: run.samples.map(({ table, key, kind, columns }) => ({ table, key, kind, columns })),
  }
}
