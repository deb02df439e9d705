/** The settings that `--help` shows: name, default, meaning, as in docs. */
import type { Setting } from '../config.ts'

const MEANING: Partial<Record<Setting, readonly [preset: string, meaning: string]>> = {
  SQLITE_PATH: ['required', "the application's database file"],
  POSTGRES_URL: ['required', 'the target; the word "embedded" asks for a trial server under STATE_DIR'],
  POSTGRES_SCHEMA: ['public', 'where the tables live'],
  MIGRATION_NAME: ["the file's name", 'key of everything that is kept on PostgreSQL'],
  STATE_DIR: ['.slipway', "slipway's own folder"],
  BACKUP_DIR: ['.slipway/backups', ''],
  TABLES: ['all', 'names or globs, separated by commas'],
  EXCLUDE_TABLES: ['none', 'the same'],
  PLAN_FILE: ['slipway.plan.json', 'the plan, where there is one'],
  CONTROL_HOST: ['127.0.0.1', 'where the API listens'],
  CONTROL_PORT: ['8484', ''],
  CONTROL_URL: ['derived', 'where the daemon is asked'],
  CONTROL_TOKEN: ['made in STATE_DIR/token', 'bearer token of the API'],
  MAX_PAUSE_MS: ['2000', 'a pause of a switchover that takes longer is undone'],
  MAX_LAG_SECONDS: ['5', 'a switchover does not begin above this'],
  VERIFY_MAX_AGE_SECONDS: ['3600', 'a verify that is older does not count for a switchover'],
  POLL_MS: ['250', 'how often changes are looked for where no wake-up came'],
  BATCH_ROWS: ['5000', 'changes in one transaction'],
  CHUNK_ROWS: ['20000', 'rows of the copy in one transaction'],
  SNAPSHOT_WORKERS: ['2', 'copies at a time'],
  MAX_WAL_MB: ['64', 'above this our readers wait until the WAL has been reset'],
  CHANGELOG_RETENTION_SECONDS: ['3600', 'applied changes are kept that long'],
  HISTORY: ['off', 'on: each change is kept with its rows on PostgreSQL'],
  HISTORY_RETENTION_SECONDS: ['2592000', 'that long'],
  AUTHORITY_FILE: ['none', 'JSON file that tells applications who leads'],
  APP_SQLITE_URL: ['none', "the application's URL while SQLite leads, for that file"],
  APP_POSTGRES_URL: ['none', 'and while PostgreSQL does'],
  HOOK_COMMAND: ['none', 'run before and after a change of authority'],
  HOOK_TIMEOUT_MS: ['10000', 'how long it may take'],
  LOG_LEVEL: ['info', 'trace, debug, info, warn, error, fatal, silent'],
  LOG_FORMAT: ['json', 'json or pretty; pretty on a terminal'],
}

export const COPY_SETTINGS: readonly Setting[] = [
  'SQLITE_PATH',
  'POSTGRES_URL',
  'POSTGRES_SCHEMA',
  'MIGRATION_NAME',
  'STATE_DIR',
  'BACKUP_DIR',
  'TABLES',
  'EXCLUDE_TABLES',
  'CHUNK_ROWS',
  'SNAPSHOT_WORKERS',
  'MAX_WAL_MB',
  'LOG_LEVEL',
  'LOG_FORMAT',
]
export const ASSESS_SETTINGS: readonly Setting[] = [
  'SQLITE_PATH',
  'POSTGRES_URL',
  'POSTGRES_SCHEMA',
  'MIGRATION_NAME',
  'STATE_DIR',
  'TABLES',
  'EXCLUDE_TABLES',
  'PLAN_FILE',
  'MAX_WAL_MB',
  'LOG_LEVEL',
  'LOG_FORMAT',
]
export const DAEMON_SETTINGS: readonly Setting[] = [
  ...COPY_SETTINGS,
  'CONTROL_HOST',
  'CONTROL_PORT',
  'CONTROL_TOKEN',
  'POLL_MS',
  'BATCH_ROWS',
  'CHANGELOG_RETENTION_SECONDS',
  'HISTORY',
  'HISTORY_RETENTION_SECONDS',
  'MAX_PAUSE_MS',
  'MAX_LAG_SECONDS',
  'VERIFY_MAX_AGE_SECONDS',
  'AUTHORITY_FILE',
  'APP_SQLITE_URL',
  'APP_POSTGRES_URL',
  'HOOK_COMMAND',
  'HOOK_TIMEOUT_MS',
]
export const CLIENT_SETTINGS: readonly Setting[] = ['CONTROL_URL', 'CONTROL_TOKEN', 'STATE_DIR']

/** The end of a command's help. */
export function helpText(examples: readonly string[], settings: readonly Setting[]): string {
  const lines = ['', 'Examples:', ...examples.map((example) => `  $ ${example}`)]
  if (settings.length > 0) {
    lines.push('', 'Settings, from the environment or .env (SLIPWAY_X beats X, arguments beat both):')
    for (const name of settings) {
      const [preset, meaning] = MEANING[name] ?? ['', '']
      lines.push(`  ${name.padEnd(28)} ${meaning}${meaning ? ' ' : ''}(${preset})`)
    }
  }
  return lines.join('\n')
}
