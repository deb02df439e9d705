/** What the commands need done; `main.ts` implements it, so that no command knows an engine. */
import type { Assessment } from '../core/assess/assessment.ts'
import type { Config } from '../core/config.ts'
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

export interface AssessOptions {
  /** Write the plan that is proposed to PLAN_FILE. One that was edited ends in a Failure `plan_edited`. */
  readonly writePlan: boolean
  /** An edited plan too. */
  readonly force: boolean
  readonly observer: Observer
  readonly signal: AbortSignal
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
  daemon(config: Config, options: DaemonOptions): Daemon
  /** Of the source: `wal`, `delete`, … Reads only. */
  journalMode(config: Config): Promise<string>
  uninstall(config: Config, options: UninstallOptions): Promise<UninstallOutcome>
  /** Resolves with the exit code. */
  demo(options: DemoOptions): Promise<number>
}
