import type { Phase, TableStatus } from './operator.ts'
import type { SwitchRun } from './switch-run.ts'

/**
 * What the work tells while it goes on: metrics, logs, progress bars and `/events` listen here, so that no
 * loop knows any of them. Methods must not throw and must return at once.
 */
export interface Observer {
  phase(phase: Phase, previous: Phase): void
  /** After each committed batch. `seconds` from the read to the commit. */
  applied(batch: {
    readonly direction: 'forward' | 'reverse'
    readonly seconds: number
    readonly changes: number
    readonly perTable: readonly {
      readonly table: string
      readonly upserted: number
      readonly deleted: number
    }[]
  }): void
  /** After each committed chunk and at each change of a table's state. */
  copied(table: TableStatus): void
  /** When a switchover or a rollback has ended, whatever its end; not for a dry run. */
  switched(run: SwitchRun): void
  /** Steps of the start, for people: backup, capture, copy, indexes. */
  step(text: string): void
  warn(text: string, facts?: Readonly<Record<string, unknown>>): void
  error(error: unknown, willRetryInMs: number | undefined): void
}
