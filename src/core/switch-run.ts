/** What people ask for and see of a change of authority; names with underscores are the contract's. */
import type { Passage } from './authority.ts'
import type { Authority } from './operator.ts'
import type { Step } from './switching.ts'

/** One guard as it was measured. */
export interface Guard {
  /** Stable, `snake_case`. */
  readonly code: string
  readonly ok: boolean
  /** As measured: a number, a text, a list of names; null where it could not be measured. */
  readonly value: number | string | boolean | readonly string[] | null
  /** What it must be. */
  readonly limit: number | string | boolean | null
  /** What to do; empty where it is well. */
  readonly remedy: string
  readonly overridable: boolean
  /** True where it is not well and a person said to go on. */
  readonly overridden?: boolean
}

export interface SwitchRequest {
  readonly passage: Passage
  /** How long to wait for lag zero, seconds. */
  readonly wait_seconds: number
  readonly dry_run: boolean
  /** Undefined: the configured one. */
  readonly max_pause_ms?: number | undefined
  /** Of the guard: one not too old, one made now and waited for, none. */
  readonly verify: 'recent' | 'full' | 'none'
  readonly override: readonly string[]
  /** Rollback while PostgreSQL is gone. */
  readonly force: boolean
}

export interface SwitchStep {
  readonly step: Step | 'guards' | 'before_hook' | 'after'
  readonly state: 'waiting' | 'running' | 'done' | 'failed' | 'skipped'
  /** For people. */
  readonly title: string
  readonly ms: number | null
  readonly detail: string | null
}

/** The current or last run: the answer of `GET /switchover`, and of a POST that waited for its end. */
export interface SwitchRun {
  /**
   * none: there never was one. refused: guards. undone: nothing changed, writes are open. displaced: another process
   * took the migration over in the middle, and ends it either way.
   */
  readonly state: 'none' | 'running' | 'done' | 'undone' | 'displaced' | 'refused' | 'dry_run'
  readonly passage: Passage
  readonly attempt: number
  readonly from: Authority
  readonly to: Authority
  /** Of the authority that leads now, or would. */
  readonly epoch: number
  readonly started_at: string | null
  readonly finished_at: string | null
  /** From the moment writers had to wait until the other side was open; null where it did not come to that. */
  readonly pause_ms: number | null
  readonly drained_changes: number | null
  /** Of a dry run, by what was measured just now. */
  readonly predicted_pause_ms: number | null
  readonly steps: readonly SwitchStep[]
  readonly guards: readonly Guard[]
  /** Codes that a person overrode. */
  readonly overrides: readonly string[]
  /** Why it was undone or refused. */
  readonly reason: string | null
  readonly remedy: string | null
  readonly forced: boolean
}

/** There was no run yet. */
export const NO_RUN: SwitchRun = {
  state: 'none',
  passage: 'switchover',
  attempt: 0,
  from: 'sqlite',
  to: 'postgres',
  epoch: 0,
  started_at: null,
  finished_at: null,
  pause_ms: null,
  drained_changes: null,
  predicted_pause_ms: null,
  steps: [],
  guards: [],
  overrides: [],
  reason: null,
  remedy: null,
  forced: false,
}

/** A line of the rollout's checklist in `GET /status`. */
export interface ChecklistItem {
  readonly step: string
  readonly done: boolean
  /** The command that does it: `slipway verify`; the command line shows it as it is typed there. */
  readonly command: string
}
