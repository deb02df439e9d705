/**
 * The ports of a change of authority. `switchover/` knows these and no driver; `sqlite/` and `postgres/` implement
 * them. Every method may be cut off by a crash at any point: what is durable is only what a commit left.
 */
import type { Notes, Passage } from './authority.ts'
import type { ReversePosition } from './reverse.ts'

/** SQLite's notes. */
export interface SourceNotes extends Notes {
  /** Where the way back stands; undefined while SQLite leads. */
  readonly position: ReversePosition | undefined
  /** Pauses of writes by people: reason, and when each ends by itself. */
  readonly pauses: readonly { readonly reason: string; readonly until: Date }[]
  /** True where the triggers of the fence are there and refuse. */
  readonly closed: boolean
}

/** The fence of SQLite: triggers judged by the control table, in the engine, whatever process lives. */
export interface SourceFence {
  notes(): SourceNotes
  /** BEGIN IMMEDIATE, without stopping the event loop. Throws Failure `source_locked` after `ms`. */
  lock(ms: number, signal: AbortSignal): Promise<SourceLock>
  /** One short transaction; the reason replaces an earlier one of the same words. */
  pause(reason: string, until: Date): Promise<void>
  /** Ends every pause of writes; the fence of a change of authority stays. */
  resume(): Promise<void>
}

/** The write lock of SQLite, held: writers of other processes wait in their busy timeout. Dispose rolls back. */
export interface SourceLock extends Disposable {
  /** As this transaction sees them. */
  readonly notes: SourceNotes
  /**
   * Hash of what the moved tables are: their SQL and indexes and the application's triggers; slipway's own are not in
   * it, and the application's triggers are in it also while they are set aside.
   */
  fingerprint(): string
  /**
   * Fence triggers; every trigger of the moved tables, the application's and capture, set aside with SQL and order;
   * notes: none, `epoch`, `attempt`. Throws Failure `fence_stale` unless SQLite's notes say sqlite in epoch - 1.
   */
  raise(to: { readonly epoch: number; readonly attempt: number }): void
  /**
   * Triggers back in their order, the fence gone, notes: sqlite in `epoch`. `from`: the notes (authority, epoch,
   * attempt) that must be found, else Failure `fence_stale`: a coordinator that slept must not open what is another's.
   * `used`: the highest ids given out on PostgreSQL, by table; `sqlite_sequence` is raised above them.
   */
  lower(to: {
    readonly from: Notes
    readonly epoch: number
    readonly attempt: number
    readonly used?: ReadonlyMap<string, bigint>
  }): void
  /** Notes: postgres in `epoch`, and where the way back starts. `from` as above. */
  lead(to: {
    readonly from: Notes
    readonly epoch: number
    readonly attempt: number
    readonly position: ReversePosition
  }): void
  /**
   * COMMIT with synchronous=FULL (trap H6). With `relock` the lock is taken again at once; throws `source_locked`
   * where somebody else had it for longer than `ms`. Without, the lock is gone.
   */
  commit(relock?: { readonly ms: number; readonly signal: AbortSignal }): Promise<void>
}

/** Ids given out by each engine, by names of tables in the source. */
export type UsedIds = ReadonlyMap<string, bigint>

/** The gate of PostgreSQL and the decision, which is always PostgreSQL's. */
export interface TargetGate {
  /**
   * Before the pause: the phase and a new attempt, by compare-and-set on authority, epoch and holder. Throws Failure
   * `displaced` where another holder or authority is there.
   */
  begin(passage: Passage): Promise<Notes>
  /** Before the pause of a switchover: reverse capture is there (it logs nothing yet), locks that would be waited for are looked at. */
  prepare(): Promise<void>
  /**
   * The transaction of the decision, in a session of its own: the control row locked and found as `begin` left it. For
   * a rollback it also takes the gate's advisory lock exclusively, with short lock timeouts and retries until `ms` are
   * over: writers in flight are waited for, new ones wait for us, and where it ends without a decision they go on and
   * never know. Throws Failure `writers_in_flight` after `ms`, `displaced`.
   */
  open(expected: Notes, passage: Passage, ms: number, signal: AbortSignal): Promise<Decision>
  /**
   * The undo of an attempt: authority and epoch still as before, and ours to hold: a new attempt number, the phase
   * back, the gate as the authority wants it. Commits before anything is lowered, so a decision that lands later
   * changes nothing (trap H3). `decided`: it is too late, the other side leads. `displaced`: another holder is there.
   */
  undo(passage: Passage, epoch: number): Promise<'undone' | 'decided' | 'displaced'>
  /** After a rollback, once SQLite has committed: the phase comes to rest. Safe to run again, and only as the holder. */
  settled(): Promise<void>
  /** Closes the gate to applications until then; it opens by itself, judged by the server. */
  pause(reason: string, until: Date): Promise<void>
  resume(): Promise<void>
}

/** An open transaction that decides when it commits. Dispose rolls back. */
export interface Decision extends AsyncDisposable {
  /**
   * Switchover: identities and sequences above `used`, dormant constraints and triggers back (NOT VALID), gate set for
   * the new epoch, authority postgres, phase switched_over, and where the way back starts. Returns that position.
   * Rollback: gate closed for the new epoch, authority sqlite, the phase stays until SQLite has settled, and so does
   * `stands`, where the way back has brought SQLite: only a file that stands there is the one that was decided on.
   * Nothing is committed yet.
   */
  propose(
    used: UsedIds,
    stands?: ReversePosition,
  ): Promise<{ readonly position: ReversePosition; readonly used: UsedIds }>
  /**
   * COMMIT with synchronous_commit=on, sent once. Throws Failure `outcome_unknown` where no answer came: only `undo`
   * can tell then, by trying.
   */
  commit(): Promise<void>
}

/** The steps of a change of authority, in order; also the names of the crash points (before and after each). */
export const STEPS = [
  'begin', // phase and attempt on PostgreSQL
  'wait', // for lag zero
  'hold', // the leading engine: SQLite's write lock, or PostgreSQL's gate lock
  'drain', // to the head, under the lock
  'fence', // SQLite's fence committed and the lock taken again; for a rollback: SQLite's transaction prepared
  'decide', // PostgreSQL's commit
  'settle', // SQLite's note; for a rollback: SQLite's commit
  'undo', // compare-and-set on PostgreSQL
  'reopen', // SQLite's fence lowered
] as const
export type Step = (typeof STEPS)[number]

/**
 * What the coordinator runs, one method a step, for one direction. Each resolves when the step has had its effect, or
 * throws: Failure `outcome_unknown` where nobody knows, `displaced` where this process may no longer act, anything else
 * where it had no effect. Every step may be run again after a crash: it finds what is done.
 */
export interface Conduct extends AsyncDisposable {
  begin(signal: AbortSignal): Promise<void>
  wait(signal: AbortSignal): Promise<void>
  hold(signal: AbortSignal): Promise<void>
  /** Returns the changes that were drained under the lock. */
  drain(signal: AbortSignal): Promise<number>
  fence(signal: AbortSignal): Promise<void>
  decide(signal: AbortSignal): Promise<void>
  settle(signal: AbortSignal): Promise<void>
  /**
   * Gives up every lock first, then reads SQLite's notes, then asks PostgreSQL. Throws `displaced` where the notes are
   * not of this change.
   */
  undo(signal: AbortSignal): Promise<'undone' | 'decided' | 'displaced'>
  /** Lowers the fence that was there before the undo was asked for, and no other: Failure `fence_stale`. */
  reopen(signal: AbortSignal): Promise<void>
}
