/** What the commands need done; `main.ts` implements it, so that no command knows an engine. */
import type { Assessment } from '../core/assess/assessment.ts'
import type { Config } from '../core/config.ts'
import type { Finding } from '../core/finding.ts'
import type { Observer } from '../core/observer.ts'
import type { Operator } from '../core/operator.ts'

export interface SnapshotOptions {
  /** Consent to switch a source into WAL mode. Without it such a source ends in a Failure `not_wal`. */
  readonly enableWal: boolean
  readonly backup: boolean
  /** No capture, no daemon to follow. */
  readonly once: boolean
  readonly observer: Observer
  /** Aborted by the first signal: ends soon, by an AbortError, and a further run goes on from there. */
  readonly signal: AbortSignal
}

export interface SnapshotOutcome {
  /** True when there was nothing to do: an earlier run has finished. */
  readonly already: boolean
  readonly tables: readonly { readonly table: string; readonly target: string; readonly rows: number }[]
  readonly rows: number
  readonly seconds: number
  readonly backupPath: string | null
  /** Position from which changes are replayed, as `/lag` shows positions; null with `once`. */
  readonly s0: number | string | null
  readonly warnings: readonly string[]
}

export interface RehearsalOptions {
  readonly observer: Observer
  /** Aborted by the first signal: what was made is taken away again. */
  readonly signal: AbortSignal
}

/**
 * The parts of a rehearsal in their order: the copy of the file and its check, the look at its values, the rows, then
 * keys, indexes, CHECKs and foreign keys, and the comparison of every value.
 */
export type RehearsalStep =
  | 'file'
  | 'values'
  | 'copy'
  | 'keys'
  | 'indexes'
  | 'checks'
  | 'foreign_keys'
  | 'verify'

/** A whole copy that was made, found equal and thrown away. */
export interface RehearsalOutcome {
  readonly tables: readonly {
    readonly table: string
    readonly target: string
    readonly rows: number
    /** Rows that the target cannot hold. */
    readonly aside: number
    /** Of the copy of its rows. */
    readonly seconds: number
  }[]
  readonly rows: number
  readonly steps: readonly { readonly step: RehearsalStep; readonly seconds: number }[]
  readonly seconds: number
  /** What will be different, and what did not come over. */
  readonly findings: readonly Finding[]
}

export interface DaemonOptions extends Pick<SnapshotOptions, 'enableWal' | 'backup' | 'observer'> {}

/** Nothing happens before `start`, so that the operator can be served, and a taken port noticed, before. */
export interface Daemon {
  readonly operator: Operator
  start(): Promise<void>
  /** Legal at any time, and done once. */
  stop(): Promise<void>
  /** Rejects when it cannot go on and a retry would not help. */
  readonly failed: Promise<never>
}

export interface UninstallOutcome {
  /** What was taken away, for people: names of tables, triggers, schemas. */
  readonly sqlite: readonly string[]
  readonly postgres: readonly string[]
  readonly warnings: readonly string[]
}

export interface UninstallOptions {
  readonly observer: Observer
  /** PostgreSQL is gone for good: only the source is cleaned. */
  readonly sqliteOnly: boolean
}

export interface ReplayOptions {
  /** A position as `/lag` shows it, an ISO time, or `latest`. */
  readonly at: string
  /** The schema that is made. */
  readonly into: string
  readonly observer: Observer
  /** Aborted: nothing was made. */
  readonly signal: AbortSignal
}

export interface ReplayOutcome {
  readonly position: number | string
  /** The batch that made the state: at or before the position. */
  readonly batch: number | string
  readonly schema: string
  readonly tables: readonly { readonly table: string; readonly target: string; readonly rows: number }[]
  readonly rows: number
  readonly seconds: number
  /** Where it lies; with the password. */
  readonly url: string
}

export interface AssessOptions {
  /** Write the plan that is proposed to PLAN_FILE. One that was edited ends in a Failure `plan_edited`. */
  readonly writePlan: boolean
  /** An edited plan too. */
  readonly force: boolean
  readonly observer: Observer
  readonly signal: AbortSignal
}

export interface RecoverOptions {
  /** The side that is opened, in a higher epoch; the other one is closed where it can be reached. */
  readonly authority: 'sqlite' | 'postgres'
  readonly observer: Observer
}

export interface RecoverOutcome {
  readonly authority: 'sqlite' | 'postgres'
  readonly epoch: number
  /** What was done, and what could not be. */
  readonly done: readonly string[]
  readonly warnings: readonly string[]
}

export interface DemoOptions {
  /** Keep it running until the signal. */
  readonly stay: boolean
  readonly signal: AbortSignal
  readonly print: (line: string) => void
}

export interface Work {
  /** Looks at every value and at both schemas; changes nothing on either side. */
  assess(config: Config, options: AssessOptions): Promise<Assessment>
  /** Backup, capture, target tables, copy; resumable. */
  snapshot(config: Config, options: SnapshotOptions): Promise<SnapshotOutcome>
  /** The whole copy into a schema that is dropped afterwards; the source is only read. */
  rehearse(config: Config, options: RehearsalOptions): Promise<RehearsalOutcome>
  /** The DDL that a snapshot would run, for psql; nothing is changed on either side. */
  schemaSql(config: Config, options: RehearsalOptions): Promise<string>
  daemon(config: Config, options: DaemonOptions): Daemon
  /** Of the source: `wal`, `delete`, … Reads only. */
  journalMode(config: Config): Promise<string>
  uninstall(config: Config, options: UninstallOptions): Promise<UninstallOutcome>
  /** Without the daemon: opens one side by a person's decision. What is lost is the person's risk, said before. */
  recover(config: Config, options: RecoverOptions): Promise<RecoverOutcome>
  /** A past state, in a schema of its own. */
  replay(config: Config, options: ReplayOptions): Promise<ReplayOutcome>
  /** Resolves with the exit code. */
  demo(options: DemoOptions): Promise<number>
}
