/** What the guards of a change of authority judge: measured by the engines and the daemon, judged by pure code. */
import type { Passage } from './authority.ts'
import type { Authority, Phase, RunState } from './operator.ts'

/** Something that could not be measured, and why: the guard says so, and does not take it for well. */
export interface Unmeasured {
  readonly unmeasured: string
}
export type Measured<T> = T | Unmeasured

export function isUnmeasured(fact: unknown): fact is Unmeasured {
  return typeof fact === 'object' && fact !== null && 'unmeasured' in fact
}

/** Somebody else's transaction on PostgreSQL that the change of authority would have to wait for. */
export interface ForeignTransaction {
  /** For people: `psql as news (pid 4711)`. Never its statement, which holds values. */
  readonly who: string
  /** As pg_stat_activity says it; `hidden` where the role may not see it. */
  readonly state: string
  /** Age of its transaction; null where it cannot be seen, and it was there at two looks. */
  readonly seconds: number | null
  /** Why it would be waited for. */
  readonly why: 'writes through the gate' | 'holds a lock' | 'is a VACUUM'
  /** Qualified names of moved tables that it has locked. */
  readonly tables: readonly string[]
}

/** What PostgreSQL alone can tell. */
export interface TargetGuardFacts {
  readonly transactions: readonly ForeignTransaction[]
  /** Names of prepared transactions of this database. */
  readonly prepared: readonly string[]
  /** Moved tables that a crash of the server would empty. */
  readonly unlogged: readonly string[]
  /** Of the smallest question. */
  readonly roundTripMs: number
  /** Constraints and triggers that the decision brings back. */
  readonly dormant: number
}

/** Room on the disk of one folder. */
export interface DiskFacts {
  readonly path: string
  readonly freeBytes: number
  /** What slipway may write there before it has to be looked at again. */
  readonly neededBytes: number
}

/** What SQLite alone can tell. */
export interface SourceGuardFacts {
  /** What is wrong with capture, one sentence each; empty: every trigger is there and logs. */
  readonly capture: readonly string[]
  /** How long the write lock was waited for just now. */
  readonly lockMs: number
}

/** A value of PostgreSQL that did not come back through the way back as it had gone. */
export interface RehearsalFinding {
  /** Names in the source; `column` is empty where the row as a whole is meant. */
  readonly table: string
  readonly column: string
  readonly reason: string
}

export interface BackupFacts {
  readonly path: string
  /** ISO 8601. */
  readonly at: string
  readonly exists: boolean
  readonly bytes: number
  /** As it was when it had been checked. */
  readonly bytesNoted: number
}

/** The last comparison, as far as a guard asks. */
export interface VerifyFacts {
  readonly state: 'none' | 'running' | 'done' | 'failed' | 'interrupted'
  readonly equal: boolean | null
  /** ISO 8601. */
  readonly startedAt: string | null
  readonly finishedAt: string | null
  /** Names in the source. */
  readonly tables: readonly string[]
}

/** Rows of one table that break one foreign key. */
export interface OrphanFacts {
  /** For people: `comments (article_id)`. */
  readonly key: string
  readonly rows: number
}

/** How fast the loop has been, for the prediction of the pause. */
export interface PaceFacts {
  /** Of the last batch, from its read to its commit; null where there was none yet. */
  readonly batchSeconds: number | null
  /** Changes that are not applied now. */
  readonly pending: number
  /** Changes in one batch at the most. */
  readonly batchChanges: number
}

/** All of them, measured for one request. */
export interface GuardFacts {
  readonly passage: Passage
  /** When they were measured, ms since 1970. */
  readonly now: number
  /** When the change of authority was asked for, ms since 1970: a full verify is younger than that. */
  readonly askedAt: number
  readonly phase: Phase
  readonly authority: Authority
  readonly state: RunState
  /** Why it is paused or blocked. */
  readonly reasons: readonly string[]
  /** Names in the source of everything that is moved. */
  readonly tables: readonly string[]
  /** Age of the oldest change that is not applied; null where it could not be told. */
  readonly lagSeconds: Measured<number>
  /** Rows set aside that a change of authority would leave behind, by table. */
  readonly quarantine: Measured<readonly { readonly table: string; readonly rows: number }[]>
  /** Why source and target may no longer be what was planned, one sentence each. */
  readonly drift: Measured<readonly string[]>
  /** Rollback: why it would lose or change something (control.unsafe), by code. */
  readonly unsafe: Measured<ReadonlyMap<string, string>>
  /** What is wrong with the capture of the engine that leads. */
  readonly capture: Measured<readonly string[]>
  /** Null: nothing was compared in this direction, and nothing has to be. */
  readonly verify: Measured<VerifyFacts | null>
  readonly backup: Measured<BackupFacts | null>
  readonly disks: Measured<readonly DiskFacts[]>
  /** GRANTs that the role lacks for the way back. */
  readonly rights: Measured<readonly string[]>
  /** What one engine holds and the other refuses (trap H19), one sentence each. */
  readonly parity: Measured<readonly string[]>
  readonly rehearsal: Measured<readonly RehearsalFinding[]>
  readonly target: Measured<TargetGuardFacts>
  /** How long applied changes of the side that leads are kept, seconds. */
  readonly retentionSeconds: number
  /** Rows of SQLite that break a foreign key. */
  readonly foreignKeys: Measured<readonly OrphanFacts[]>
  /** The same as it was at the switchover; null where that is not known: then every one counts as new. */
  readonly foreignKeysBefore: readonly OrphanFacts[] | null
  /** Why the `before_*` hook refused; null where it agreed or there is none. */
  readonly hook: string | null
  /** How long the lock of the engine that leads was waited for just now. */
  readonly lockMs: Measured<number>
  readonly pace: PaceFacts
}
