import type { Authority, Phase } from '../core/operator.ts'
import type { Seq } from '../core/position.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'

/** The control row as a reader sees it. */
export interface ControlState {
  readonly id: number
  readonly phase: Phase
  readonly authority: Authority
  readonly epoch: number
  /** Number of the newest attempt of a change of authority; see core/authority.ts. */
  readonly attempt: number
  /** ISO 8601: when the authority came to be what it is. */
  readonly since: string
  readonly holder: string
  /** Path of the file that is moved. */
  readonly source: string
  readonly tables: readonly TableSpec[]
  /** Of this migration on this server; the source notes whom it serves. */
  readonly identity: string
  /** The installation of capture that the checkpoint belongs to; empty before the first copy. */
  readonly installation: string
  /** Tables that slipway made and that the source no longer has: they are still its own, should they come back. */
  readonly leftBehind: readonly TableSpec[]
  /** Tables in doubt until they are verified, by their names in the source, and why. */
  readonly dirty: ReadonlyMap<string, string>
  /** States before this position cannot be rebuilt from the history; undefined before there is one. */
  readonly historyFrom: Seq | undefined
  readonly backup: { path: string; bytes: number; at: string } | null
  readonly copyStartedAt: string | null
  readonly copyFinishedAt: string | null
  /**
   * Where the way back starts, as the decision of the switchover left it; after that of a rollback where SQLite stood
   * then, until it has settled. Undefined while SQLite leads.
   */
  readonly reverseStart: ReversePosition | undefined
  /** Of the target's tables as the decision left them (postgres/fingerprint.ts); empty while SQLite leads. */
  readonly fingerprint: string
  /** True where what `slipway.dormant` lists acts now. While SQLite leads it must not: see `sleepAgain`. */
  readonly awake: boolean
  /** Code and reason of everything by which a rollback would lose or change something. */
  readonly unsafe: ReadonlyMap<string, string>
  /** Pauses of writes by people on PostgreSQL that have not ended yet: reason, and when each ends by itself. */
  readonly pauses: readonly { readonly reason: string; readonly until: Date }[]
}

/** Of the row of slipway.control with the token beside it, by `CONTROL_SQL`. */
export const CONTROL_SQL = `
  SELECT c.*, t.token, clock_timestamp() AS asked_at FROM slipway.control c LEFT JOIN slipway.token t USING (migration)
  WHERE c.migration = $1`

// biome-ignore lint/suspicious/noExplicitAny: a row of pg
export function controlState(row: any): ControlState {
  return {
    id: row.id,
    phase: row.phase,
    authority: row.authority,
    epoch: Number(row.epoch),
    attempt: row.attempt,
    since: row.since.toISOString(),
    holder: row.holder,
    source: row.source,
    tables: row.tables,
    leftBehind: row.left_behind,
    identity: row.identity,
    installation: row.installation,
    dirty: new Map(Object.entries(row.dirty as Record<string, string>)),
    historyFrom: row.history_from === null ? undefined : BigInt(row.history_from),
    backup: row.backup,
    copyStartedAt: row.copy_started_at?.toISOString() ?? null,
    copyFinishedAt: row.copy_finished_at?.toISOString() ?? null,
    reverseStart:
      row.reverse_start === null || row.token === null
        ? undefined
        : { snapshot: row.reverse_start, token: row.token },
    fingerprint: row.fingerprint,
    awake: row.awake,
    unsafe: new Map(Object.entries(row.unsafe as Record<string, string>)),
    pauses: Object.entries(row.pauses as Record<string, string>)
      .map(([reason, until]) => ({ reason, until: new Date(until) }))
      .filter(({ until }) => until > row.asked_at),
  }
}
