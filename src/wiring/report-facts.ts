import { hostname, userInfo } from 'node:os'
import type { Config } from '../core/config.ts'
import type { StatusReport } from '../core/operator.ts'
import type { SwitchRun } from '../core/switch-run.ts'
import { openReader } from '../sqlite/open.ts'
import { version } from '../version.ts'
import { buildReport } from './report.ts'
import type { TargetSession } from './session.ts'

/** The proof of a migration, as Markdown. */
export async function reportOf(
  config: Config,
  target: TargetSession,
  status: StatusReport,
  runs: readonly SwitchRun[],
): Promise<string> {
  const { migrationName } = config
  const kept = await target.connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT c.history_from::text AS start, (SELECT count(*)::int FROM slipway.history h WHERE h.migration = c.migration) AS entries
       FROM slipway.control c WHERE c.migration = $1`,
      [migrationName],
    )
    return rows[0] ?? { start: null, entries: 0 }
  })
  return buildReport({
    migration: migrationName,
    at: new Date().toISOString(),
    by: `${userInfo().username}@${hostname()}`,
    versions: {
      slipway: version(),
      node: process.version,
      sqlite: sqliteVersion(config.sqlitePath),
      postgres: status.target.server_version,
    },
    source: { path: config.sqlitePath },
    target: { server: status.target.server, schema: status.target.schema },
    phase: status.phase,
    authority: status.authority,
    epoch: status.epoch,
    since: status.authority_since,
    copy: {
      startedAt: status.snapshot?.started_at ?? null,
      finishedAt: status.snapshot?.finished_at ?? null,
    },
    tables: status.tables.map(({ table, target: name, rows_copied }) => ({
      table,
      target: name,
      copied: rows_copied,
      aside: status.quarantined_tables.find((aside) => aside.table === table)?.rows ?? 0,
    })),
    backup: status.backup,
    verifies: status.verify === null ? [] : [status.verify],
    runs: runs.map((run) => ({ run, by: null })),
    history: { on: config.history, from: kept.start, entries: kept.entries },
    warnings: status.warnings,
  })
}

/** Of slipway's own build. */
function sqliteVersion(path: string): string {
  const database = openReader(path)
  try {
    return database.prepare('SELECT sqlite_version()').pluck().get() as string
  } finally {
    database.close()
  }
}
