import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { LagReport, StatusReport, VerifyReport } from '../core/operator.ts'
import type { ReplicatorView } from '../replication/replicator.ts'
import { readWal } from '../sqlite/wal.ts'
import { version } from '../version.ts'
import { checklistOf } from './checklist.ts'
import type { ForwardFacts } from './forward-facts.ts'
import type { Records } from './records.ts'
import type { SwitchDesk } from './switch-desk.ts'

/** A server that owes an answer for longer is said to be silent. */
const SILENT_MS = 3_000

interface StatusParts {
  readonly config: Config
  readonly view: ReplicatorView
  readonly facts: ForwardFacts | undefined
  readonly target: { readonly server: string; readonly holder: string } | undefined
  readonly records: Pick<Records, 'tables'>
  readonly desk: Pick<SwitchDesk, 'current' | 'lookout' | 'waiting'>
  readonly verify: VerifyReport
  readonly lag: LagReport
}

/** Everything that is known, in one answer. */
export function statusOf({
  config,
  view,
  facts,
  target,
  records,
  desk,
  verify,
  lag,
}: StatusParts): StatusReport {
  const control = facts?.control
  const backup = facts?.backup ?? control?.backup ?? null
  const rows = view.tables.reduce((sum, table) => sum + table.rows_copied, 0)
  const run = desk.current
  const forward = view.stream?.direction === 'forward' ? view.stream : undefined
  const unsafe = [...(control?.unsafe.values() ?? []), ...divided(view)]
  return {
    ...lag,
    version: version(),
    epoch: desk.lookout.lead(lag).epoch,
    source: {
      path: config.sqlitePath,
      journal_mode: facts?.source?.journalMode ?? '',
      wal_bytes: readWal(config.sqlitePath).fileBytes,
      changelog_rows: safely(() => facts?.changelogRows() ?? 0, 0),
    },
    target: {
      server: target?.server ?? '',
      schema: config.postgresSchema,
      server_version: facts?.targetVersion ?? '',
    },
    holder: { id: view.isHolder ? (target?.holder ?? '') : (control?.holder ?? ''), mine: view.isHolder },
    tables: view.tables,
    fences: desk.lookout.fences(),
    waits: waitsOf(view, facts, desk.waiting),
    warnings: facts?.warnings ?? [],
    last_error: lastError(view),
    backup: backup === null ? null : { path: backup.path, bytes: backup.bytes, at: backup.at },
    snapshot:
      control?.copyStartedAt == null
        ? null
        : { rows, started_at: control.copyStartedAt, finished_at: control.copyFinishedAt },
    quarantined_tables: records.tables(view.loop.quarantined),
    verify: verify.state === 'none' ? null : verify,
    dirty: [...(forward?.dirty ?? control?.dirty ?? [])].map(([table, reason]) => ({ table, reason })),
    authority_since: control === undefined || control.phase === 'new' ? null : control.since,
    switchover: run.state === 'none' ? null : run,
    rollback_safe:
      control?.authority !== 'postgres'
        ? null
        : {
            safe: unsafe.length === 0 && view.loop.quarantined === 0 && view.phase !== 'finalized',
            reasons: [
              ...unsafe,
              ...(view.loop.quarantined > 0
                ? [`${view.loop.quarantined} rows are set aside that SQLite does not take`]
                : []),
              ...(view.phase === 'finalized' ? ['the migration is finalized'] : []),
            ],
          },
    checklist: checklistOf({ phase: view.phase, backup: backup !== null, verify, run }),
  }
}

/** A side was put back: nobody knows what a rollback would bring back. */
function divided(view: ReplicatorView): readonly string[] {
  const { error } = view.lastError ?? {}
  return view.state === 'blocked' && error instanceof Failure && error.code === 'divided' ? view.reasons : []
}

function waitsOf(
  view: ReplicatorView,
  facts: ForwardFacts | undefined,
  change: SwitchDesk['waiting'],
): StatusReport['waits'] {
  const gate = facts?.gateWaiting()
  const silent = facts?.silentSince()
  return [
    ...(change === undefined
      ? []
      : [{ what: `${change.what}: ${change.why}`, since: change.since.toISOString(), until: null }]),
    ...view.waits.map((wait) => ({
      what: wait.what,
      since: wait.since.toISOString(),
      until: wait.until?.toISOString() ?? null,
    })),
    ...(silent === undefined || Date.now() - silent < SILENT_MS
      ? []
      : [{ what: 'an answer of PostgreSQL', since: new Date(silent).toISOString(), until: null }]),
    ...(gate === undefined
      ? []
      : [
          {
            what: 'the write-ahead log to be reset',
            since: gate.since.toISOString(),
            until: gate.until.toISOString(),
          },
        ]),
  ]
}

function lastError({ lastError: error }: ReplicatorView): StatusReport['last_error'] {
  if (error === undefined) return null
  return {
    code: error.error instanceof Failure ? error.error.code : 'defect',
    message: messageOf(error.error),
    remedy: error.error instanceof Failure ? (error.error.remedy ?? null) : null,
    at: error.at.toISOString(),
  }
}

function safely<T>(ask: () => T, otherwise: T): T {
  try {
    return ask()
  } catch {
    return otherwise
  }
}
