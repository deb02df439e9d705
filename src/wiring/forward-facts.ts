import type { ControlState } from '../postgres/control-state.ts'
import type { Backup } from '../sqlite/backup.ts'
import type { SourceFacts } from '../sqlite/open.ts'

/** What `/status` tells of both ends; filled as it becomes known. */
export interface ForwardFacts {
  source: SourceFacts | undefined
  targetVersion: string
  control: ControlState | undefined
  backup: Backup | undefined
  warnings: string[]
  changelogRows: () => number
  gateWaiting: () => { since: Date; until: Date } | undefined
  /** Since when the server owes an answer to the smallest question, ms since 1970. */
  silentSince: () => number | undefined
}
