/**
 * What a person sees and may ask of a migration. The daemon implements `Operator`; the API serves it and the
 * CLI prints it; neither knows an engine.
 */
import type { ChecklistItem, SwitchRequest, SwitchRun } from './switch-run.ts'

/** Phases of the contract, in the order in which a migration meets them. */
export const PHASES = [
  'new',
  'snapshotting',
  'catching_up',
  'replicating',
  'switching_over',
  'switched_over',
  'rolling_back',
  'finalized',
] as const
export type Phase = (typeof PHASES)[number]

/** The engine that accepts application writes; `none` while a switchover is undecided. */
export type Authority = 'sqlite' | 'postgres' | 'none'

/** running; paused (somebody or something asked for it: reasons); blocked (an error: reasons). */
export type RunState = 'running' | 'paused' | 'blocked'

/** The answer of `GET /lag`; the names are the contract. */
export interface LagReport {
  readonly migration: string
  readonly phase: Phase
  readonly authority: Authority
  readonly direction: 'forward' | 'reverse'
  readonly state: RunState
  /** Why it is paused or blocked; empty while running. */
  readonly reasons: readonly string[]
  /** Newest change in the source; null before capture is installed. Decimal text past 2^53. */
  readonly head: number | string | null
  readonly applied: number | string | null
  readonly pending_changes: number
  /** Age of the oldest unapplied change; null before the snapshot. */
  readonly lag_seconds: number | null
  readonly caught_up: boolean
  readonly quarantined: number
  /** ISO 8601, UTC. */
  readonly measured_at: string
}

export interface TableStatus {
  readonly table: string
  readonly target: string
  readonly state: 'waiting' | 'copying' | 'copied'
  readonly rows_copied: number
  /** Estimate made at the snapshot's start. */
  readonly rows_expected: number
  readonly rows_per_second: number | null
  readonly eta_seconds: number | null
}

export interface ErrorStatus {
  readonly code: string
  readonly message: string
  readonly remedy: string | null
  readonly at: string
}

/** The answer of `GET /status`. */
export interface StatusReport extends LagReport {
  readonly version: string
  readonly epoch: number
  readonly source: {
    readonly path: string
    readonly journal_mode: string
    readonly wal_bytes: number
    readonly changelog_rows: number
  }
  readonly target: { readonly server: string; readonly schema: string; readonly server_version: string }
  readonly holder: { readonly id: string; readonly mine: boolean }
  readonly tables: readonly TableStatus[]
  readonly fences: readonly {
    readonly engine: 'sqlite' | 'postgres'
    readonly closed: boolean
    readonly reasons: readonly string[]
    /** When it opens by itself, ISO 8601; null where it is open or has no such end. */
    readonly until: string | null
  }[]
  /** What the tool is waiting for now, since when and until when at most. */
  readonly waits: readonly { readonly what: string; readonly since: string; readonly until: string | null }[]
  readonly warnings: readonly string[]
  readonly last_error: ErrorStatus | null
  readonly backup: { readonly path: string; readonly bytes: number; readonly at: string } | null
  readonly snapshot: {
    readonly rows: number
    readonly started_at: string | null
    readonly finished_at: string | null
  } | null
  /** Rows set aside by table (names in the source), as last counted; tables without any are left out. */
  readonly quarantined_tables: readonly { readonly table: string; readonly rows: number }[]
  /** The current run of verify, or the last one; null where there never was one. */
  readonly verify: VerifyReport | null
  /** Tables (names in the source) that may differ from the source until they are verified and mended, and why. */
  readonly dirty: readonly { readonly table: string; readonly reason: string }[]
  /** Since when the authority leads; null before the first snapshot. */
  readonly authority_since: string | null
  /** The current or last switchover or rollback; null where there never was one. */
  readonly switchover: SwitchRun | null
  /** Whether a rollback now would bring everything back; reasons where it would not. Null while SQLite leads. */
  readonly rollback_safe: { readonly safe: boolean; readonly reasons: readonly string[] } | null
  readonly checklist: readonly ChecklistItem[]
}

/** A row that is set aside, as `GET /quarantine` shows it. */
export interface QuarantineEntry {
  /** Names in the source. */
  readonly table: string
  readonly target: string
  /** For people: `id=7`. */
  readonly key: string
  readonly column: string | null
  /** misfit: the value fits no rule; refused: by the engine that does not lead; duplicate: of a unique; parent: its parent is set aside. */
  readonly kind: 'misfit' | 'refused' | 'duplicate' | 'parent'
  readonly reason: string
  /** As a literal, cut to a length that people read; null where the row as a whole is meant. */
  readonly value: string | null
  /** A switchover, or a rollback, waits for it; false where the plan says that such rows stay behind. */
  readonly blocking: boolean
  readonly since: string
  readonly last: string
  readonly attempts: number
}

/** The answer of `GET /quarantine`. */
export interface QuarantineReport {
  /** forward: PostgreSQL does not have the rows; reverse: SQLite does not, or has them as they were. */
  readonly direction: 'forward' | 'reverse'
  readonly total: number
  readonly blocking: number
  readonly tables: readonly { readonly table: string; readonly rows: number }[]
  /** The first of them, in the order of tables and keys. */
  readonly entries: readonly QuarantineEntry[]
}

/** The answer of `POST /quarantine/retry`: how many rows were tried again and how many are still set aside. */
export interface RetryReport {
  readonly tried: number
  readonly left: number
}

export interface VerifyRequest {
  /** Names in the source; undefined: all. */
  readonly tables?: readonly string[] | undefined
  readonly repair: boolean
}

export interface VerifyTable {
  readonly table: string
  readonly state: 'waiting' | 'running' | 'done'
  readonly rows_compared: number
  readonly rows_expected: number
  readonly missing: number
  readonly extra: number
  readonly different: number
  /** Rows of the source that are set aside: no difference, and not equal either. */
  readonly quarantined: number
  readonly repaired: number
}

/** The answer of `GET /verify`: the current run, or the last one. */
export interface VerifyReport {
  /** none: there never was one; interrupted: it goes on by itself when the daemon works again. */
  readonly state: 'none' | 'running' | 'done' | 'failed' | 'interrupted'
  readonly id: number | null
  /** Who wanted it: a person, or the daemon itself after a change of the schema or a gap. */
  readonly reason: string
  readonly repair: boolean
  readonly started_at: string | null
  readonly finished_at: string | null
  /** Null until it is done. Rows that were repaired count as differences that were found. */
  readonly equal: boolean | null
  readonly rows_compared: number
  readonly mismatched: number
  readonly repaired: number
  readonly quarantined: number
  readonly eta_seconds: number | null
  readonly error: string | null
  readonly tables: readonly VerifyTable[]
  /** At most 20 a table. */
  readonly samples: readonly {
    readonly table: string
    readonly key: string
    readonly kind: 'missing' | 'extra' | 'different'
    readonly columns: readonly {
      readonly column: string
      readonly source: string | null
      readonly target: string | null
    }[]
  }[]
}

/** There was no run yet. */
export const NO_VERIFICATION: VerifyReport = {
  state: 'none',
  id: null,
  reason: '',
  repair: false,
  started_at: null,
  finished_at: null,
  equal: null,
  rows_compared: 0,
  mismatched: 0,
  repaired: 0,
  quarantined: 0,
  eta_seconds: null,
  error: null,
  tables: [],
  samples: [],
}

/** One change of the event history. */
export interface HistoryEntry {
  /** Position of the batch that it came with. */
  readonly position: number | string
  /** Number of the entry, rising: `after` of the next request. */
  readonly id: number | string
  readonly table: string
  readonly op: 'insert' | 'update' | 'delete'
  readonly direction: 'forward' | 'reverse'
  readonly at: string
  /** Columns as PostgreSQL writes them, by the target's names. */
  readonly key: Readonly<Record<string, string | null>>
  readonly before: Readonly<Record<string, string | null>> | null
  readonly after: Readonly<Record<string, string | null>> | null
}

/** The answer of `GET /changes`. */
export interface ChangesReport {
  readonly history: 'on' | 'off'
  readonly changes: readonly HistoryEntry[]
  /** `after` of the next page; null where this is the end. */
  readonly next: number | string | null
}

/** Events of `GET /events`, each a server-sent event named by `type`. */
export type OperatorEvent =
  | { readonly type: 'phase'; readonly phase: Phase; readonly previous: Phase }
  | { readonly type: 'progress'; readonly tables: readonly TableStatus[] }
  | { readonly type: 'lag'; readonly lag: LagReport }
  | { readonly type: 'verify'; readonly verify: VerifyReport }
  | { readonly type: 'switch'; readonly run: SwitchRun }

export interface Operator {
  lag(): Promise<LagReport>
  status(): Promise<StatusReport>
  /** Pauses by reason; several reasons may hold at once. Resolves when no batch is in flight. */
  pauseReplication(reason: string): Promise<void>
  /** Takes every reason that a person gave back. */
  resumeReplication(): Promise<void>
  /** `limit` entries at the most. */
  quarantine(limit: number): Promise<QuarantineReport>
  /** Transfers every row that is set aside once more. */
  retryQuarantine(): Promise<RetryReport>
  /**
   * Starts a run, which goes on while changes are applied. Throws a Failure: status 409 where one is running, another
   * 4xx where a table is not known.
   */
  startVerify(request: VerifyRequest): Promise<VerifyReport>
  verification(): VerifyReport
  /** The event history after an entry's id. */
  changes(after: string, limit: number): Promise<ChangesReport>
  /**
   * Starts a switchover or a rollback, which goes on whatever becomes of the caller, and resolves with its end.
   * Throws a Failure: status 409 (wrong phase, or one is running: facts.run), 412 (guards refuse: facts.guards), 504
   * (undone in time, writes are open: facts.run). A dry run resolves with the guards, whatever they say.
   */
  switchAuthority(request: SwitchRequest): Promise<SwitchRun>
  switchRun(): SwitchRun
  /** Ends the way back. `confirm` must be the migration's name. */
  finalize(confirm: string): Promise<void>
  /** Closes the engine that leads to applications for so long; it opens by itself, whatever process lives. */
  pauseWrites(reason: string, seconds: number): Promise<void>
  resumeWrites(): Promise<void>
  /** The proof, as Markdown. */
  report(): Promise<string>
  /** Returns the function that unsubscribes. `lag` comes each second while anybody listens. */
  subscribe(listener: (event: OperatorEvent) => void): () => void
  /** True when requests can be answered with current data: the target is reached and this daemon is the holder. */
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] }
}
