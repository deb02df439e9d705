/**
 * What a person sees and may ask of a migration. The daemon implements `Operator`; the API serves it and the
 * CLI prints it; neither knows an engine.
 */

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
}

/** Events of `GET /events`, each a server-sent event named by `type`. */
export type OperatorEvent =
  | { readonly type: 'phase'; readonly phase: Phase; readonly previous: Phase }
  | { readonly type: 'progress'; readonly tables: readonly TableStatus[] }
  | { readonly type: 'lag'; readonly lag: LagReport }

export interface Operator {
  lag(): LagReport
  status(): StatusReport
  /** Pauses by reason; several reasons may hold at once. Resolves when no batch is in flight. */
  pauseReplication(reason: string): Promise<void>
  /** Takes every reason that a person gave back. */
  resumeReplication(): Promise<void>
  /** Returns the function that unsubscribes. `lag` comes each second while anybody listens. */
  subscribe(listener: (event: OperatorEvent) => void): () => void
  /** True when requests can be answered with current data: the target is reached and this daemon is the holder. */
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] }
}
