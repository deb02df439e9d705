/**
 * Configuration from arguments, environment and `.env`. Per name the environment beats `.env`; then `SLIPWAY_X`
 * beats `X`, wherever each of them stands; arguments beat both. An empty value counts as not set, which also
 * is how a shell takes a value of `.env` away. All problems are told at once, and none shows a secret.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseEnv } from 'node:util'
import type { Config } from './core/config.ts'
import { Failure, messageOf } from './core/errors.ts'
import { isLoopback } from './core/loopback.ts'
import { nearest } from './core/nearest.ts'

/** Every name of the contract, also those that belong to the application or to hooks. */
export const SETTINGS = [
  'SQLITE_PATH',
  'POSTGRES_URL',
  'POSTGRES_SCHEMA',
  'MIGRATION_NAME',
  'STATE_DIR',
  'BACKUP_DIR',
  'TABLES',
  'EXCLUDE_TABLES',
  'PLAN_FILE',
  'CONTROL_HOST',
  'CONTROL_PORT',
  'CONTROL_URL',
  'CONTROL_TOKEN',
  'MAX_PAUSE_MS',
  'MAX_LAG_SECONDS',
  'VERIFY_MAX_AGE_SECONDS',
  'POLL_MS',
  'BATCH_ROWS',
  'CHUNK_ROWS',
  'SNAPSHOT_WORKERS',
  'MAX_WAL_MB',
  'CHANGELOG_RETENTION_SECONDS',
  'HISTORY',
  'HISTORY_RETENTION_SECONDS',
  'AUTHORITY_FILE',
  'APP_SQLITE_URL',
  'APP_POSTGRES_URL',
  'HOOK_COMMAND',
  'HOOK_TIMEOUT_MS',
  'LOG_LEVEL',
  'LOG_FORMAT',
  'DATABASE_URL',
  'WRITES',
] as const
export type Setting = (typeof SETTINGS)[number]

/** Set by slipway for the commands that it runs as hooks; a hook that calls slipway hands them back. */
const HOOK_NAMES = ['EVENT', 'PHASE', 'AUTHORITY', 'EPOCH']

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export interface LoadOptions {
  /** `[sqlite] [postgres]`; a lone PostgreSQL URL is taken for what it is. */
  readonly positionals?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: `.env` in the working directory. A file that is not there is no problem. */
  readonly dotenvPath?: string
  /** Default: both. What is neither required nor given is an empty string in the result. */
  readonly require?: readonly ('SQLITE_PATH' | 'POSTGRES_URL')[]
}

export interface Loaded {
  readonly config: Config
  /** For people, to be printed: names that nothing reads. */
  readonly warnings: readonly string[]
}

/** What a command needs that only talks to the daemon. */
export type ClientConfig = Pick<Config, 'controlUrl' | 'controlToken' | 'stateDir' | 'logLevel'>

/** Throws a Failure `configuration` (exit 2) that names every problem. */
export function loadConfig(options: LoadOptions = {}): Loaded {
  const from = new Settings(options)
  const required = options.require ?? ['SQLITE_PATH', 'POSTGRES_URL']
  const sqlitePath = from.sqlitePath(required.includes('SQLITE_PATH'))
  const stateDir = path.resolve(from.text('STATE_DIR') ?? '.slipway')
  const config: Config = {
    sqlitePath,
    postgresUrl: from.postgresUrl(required.includes('POSTGRES_URL')),
    postgresSchema: from.postgresSchema(),
    migrationName: from.migrationName(sqlitePath),
    stateDir,
    backupDir: path.resolve(from.text('BACKUP_DIR') ?? path.join(stateDir, 'backups')),
    tables: from.list('TABLES'),
    excludeTables: from.list('EXCLUDE_TABLES'),
    ...from.control(),
    planFile: path.resolve(from.text('PLAN_FILE') ?? 'slipway.plan.json'),
    planFileNamed: from.text('PLAN_FILE') !== undefined,
    verifyMaxAgeSeconds: from.whole('VERIFY_MAX_AGE_SECONDS', 3600, 0, 31_536_000),
    history: from.oneOf('HISTORY', ['on', 'off']) === 'on',
    historyRetentionSeconds: from.whole('HISTORY_RETENTION_SECONDS', 2_592_000, 0, 315_360_000),
    maxPauseMs: from.whole('MAX_PAUSE_MS', 2_000, 50, 600_000),
    authorityFile: from.file('AUTHORITY_FILE'),
    appSqliteUrl: from.text('APP_SQLITE_URL'),
    appPostgresUrl: from.text('APP_POSTGRES_URL'),
    hookCommand: from.text('HOOK_COMMAND'),
    hookTimeoutMs: from.whole('HOOK_TIMEOUT_MS', 10_000, 100, 3_600_000),
    maxLagSeconds: from.number('MAX_LAG_SECONDS', 5, 0, 86_400),
    pollMs: from.whole('POLL_MS', 250, 10, 60_000),
    chunkRows: from.whole('CHUNK_ROWS', 20_000, 1, 1_000_000),
    batchRows: from.whole('BATCH_ROWS', 5_000, 1, 1_000_000),
    snapshotWorkers: from.whole('SNAPSHOT_WORKERS', 2, 1, 16),
    maxWalMb: from.whole('MAX_WAL_MB', 64, 1, 1_048_576),
    changelogRetentionSeconds: from.whole('CHANGELOG_RETENTION_SECONDS', 3600, 0, 31_536_000),
    logLevel: from.oneOf('LOG_LEVEL', LOG_LEVELS) ?? 'info',
    logFormat: from.oneOf('LOG_FORMAT', ['json', 'pretty']),
  }
  from.throwIfWrong()
  return { config, warnings: from.unknownNames() }
}

/** The part that `status`, `lag` and `replication` need: no database, and no complaint about the rest. */
export function loadClientConfig(options: Omit<LoadOptions, 'positionals' | 'require'> = {}): ClientConfig {
  const from = new Settings(options)
  const { controlUrl, controlToken } = from.control('client')
  const stateDir = path.resolve(from.text('STATE_DIR') ?? '.slipway')
  const logLevel = from.oneOf('LOG_LEVEL', LOG_LEVELS) ?? 'info'
  from.throwIfWrong()
  return { controlUrl, controlToken, stateDir, logLevel }
}

interface Problem {
  readonly name: string
  readonly reason: string
  readonly remedy: string
}

/** Reads single settings and gathers what is wrong with them. */
class Settings {
  readonly #values: Readonly<Record<string, string | undefined>>
  readonly #problems: Problem[] = []

  constructor(options: LoadOptions) {
    this.#values = {
      ...this.#dotenv(path.resolve(options.dotenvPath ?? '.env')),
      ...(options.env ?? process.env),
    }
    const [first, second, ...rest] = options.positionals ?? []
    const swapped = first !== undefined && isPostgresUrl(first)
    const [sqlite, postgres] = swapped ? [second, first] : [first, second]
    if (sqlite) this.#values = { ...this.#values, SLIPWAY_SQLITE_PATH: sqlite }
    if (postgres) this.#values = { ...this.#values, SLIPWAY_POSTGRES_URL: postgres }
    if (rest.length > 0) {
      this.#problem('arguments', 'there are more than two', 'Give the SQLite file, then the PostgreSQL URL.')
    }
  }

  text(name: Setting): string | undefined {
    return this.#values[`SLIPWAY_${name}`] || this.#values[name] || undefined
  }

  file(name: Setting): string | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : path.resolve(text)
  }

  list(name: Setting): string[] {
    return (this.text(name) ?? '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }

  whole(name: Setting, preset: number, min: number, max: number): number {
    return this.#numeric(name, preset, min, max, /^[+-]?\d+$/, 'whole number')
  }

  number(name: Setting, preset: number, min: number, max: number): number {
    return this.#numeric(name, preset, min, max, /^[+-]?\d+(\.\d+)?$/, 'number')
  }

  oneOf<const T extends string>(name: Setting, allowed: readonly T[]): T | undefined {
    const text = this.text(name)
    const value = allowed.find((item) => item === text?.trim().toLowerCase())
    if (text !== undefined && value === undefined) {
      this.#problem(name, `"${text}" is unknown`, `Set it to one of ${allowed.join(', ')}.`)
    }
    return value
  }

  sqlitePath(required: boolean): string {
    const text = this.text('SQLITE_PATH')
    if (text === undefined) {
      if (required) this.#problem('SQLITE_PATH', 'missing', "Set it to the application's database file.")
      return ''
    }
    const url = /^(sqlite|file):(\/\/)?/i.exec(text)
    if (url || text === ':memory:') {
      const reason = url ? 'a URL, where a file name is needed' : 'a database in memory has no file'
      const remedy = url ? 'Set it to the path alone.' : "Set it to the application's database file."
      this.#problem('SQLITE_PATH', reason, remedy)
    }
    return path.resolve(text)
  }

  postgresUrl(required: boolean): string {
    const text = this.text('POSTGRES_URL')
    const form = 'postgres://USER:PASSWORD@HOST:5432/DATABASE'
    if (text === undefined) {
      if (required) {
        this.#problem('POSTGRES_URL', 'missing', `Set it to ${form}, or to "embedded" for a trial server.`)
      }
      return ''
    }
    if (text.toLowerCase() === 'embedded') return 'embedded'
    if (!isPostgresUrl(text)) {
      this.#problem('POSTGRES_URL', 'not a PostgreSQL URL', `Set it to ${form}, or to "embedded".`)
    } else if (!isReadable(text)) {
      const remedy =
        'Write special characters of the password as %-codes: # is %23, / is %2F, @ is %40, % is %25.'
      this.#problem('POSTGRES_URL', 'a URL that cannot be read', remedy)
    }
    return text
  }

  postgresSchema(): string {
    const name = this.text('POSTGRES_SCHEMA') ?? 'public'
    const reserved = /^pg_/i.test(name) || ['information_schema', 'slipway'].includes(name.toLowerCase())
    if (reserved || Buffer.byteLength(name) > 63) {
      const reason = reserved ? `"${name}" is reserved` : 'longer than the 63 bytes that PostgreSQL allows'
      this.#problem('POSTGRES_SCHEMA', reason, 'Set it to the schema of the application, such as public.')
    }
    return name
  }

  migrationName(sqlitePath: string): string {
    const name = this.text('MIGRATION_NAME')?.trim()
    if (name === undefined) return path.parse(sqlitePath).name.slice(0, 63) || 'default'
    if (name === '' || name.length > 63) {
      this.#problem('MIGRATION_NAME', 'must have 1 to 63 characters', 'Shorten it, such as news.')
    }
    return name
  }

  /** `client`: only where to dial, so the bind's own rules do not matter. */
  control(
    side: 'server' | 'client' = 'server',
  ): Pick<Config, 'controlHost' | 'controlPort' | 'controlUrl' | 'controlToken'> {
    const controlHost = (this.text('CONTROL_HOST') ?? '127.0.0.1').trim().replace(/^\[(.*)\]$/, '$1')
    const controlPort = this.whole('CONTROL_PORT', 8484, 0, 65_535)
    const controlToken = this.text('CONTROL_TOKEN')
    if (!/^[\w.:%-]+$/.test(controlHost)) {
      this.#problem(
        'CONTROL_HOST',
        'not a host name or address',
        'Set it to 127.0.0.1, or to an address to listen on.',
      )
    } else if (side === 'server' && controlToken === undefined && !isLoopback(controlHost)) {
      const reason = `missing, and CONTROL_HOST (${controlHost}) is open to other machines`
      this.#problem('CONTROL_TOKEN', reason, 'Set a long random token, or CONTROL_HOST=127.0.0.1.')
    }
    // What RFC 6750 lets stand in an Authorization header.
    if (controlToken !== undefined && !/^[\w.~+/-]+=*$/.test(controlToken)) {
      const remedy = 'Use letters, digits and - . _ ~ + / only, such as the output of `openssl rand -hex 32`.'
      this.#problem('CONTROL_TOKEN', 'has characters that a bearer token cannot have', remedy)
    }
    const givenUrl = this.text('CONTROL_URL')?.trim().replace(/\/+$/, '')
    if (givenUrl !== undefined && (!/^https?:\/\/[^/]/i.test(givenUrl) || !URL.canParse(givenUrl))) {
      this.#problem('CONTROL_URL', 'not an http:// or https:// URL', 'Set it to where the daemon listens.')
    }
    const controlUrl = givenUrl ?? urlOf(controlHost, controlPort)
    return { controlHost, controlPort, controlUrl, controlToken }
  }

  /** `SLIPWAY_*` names that nothing reads, each with the nearest one that exists. */
  unknownNames(): string[] {
    const known: readonly string[] = [...SETTINGS, ...HOOK_NAMES]
    return Object.keys(this.#values)
      .filter((name) => name.startsWith('SLIPWAY_') && !known.includes(name.slice('SLIPWAY_'.length)))
      .map((name) => {
        const near = nearest(name.slice('SLIPWAY_'.length).toUpperCase(), known)
        return `${name} is unknown and ignored${near ? `; did you mean SLIPWAY_${near}?` : ''}`
      })
  }

  throwIfWrong(): void {
    if (this.#problems.length === 0) return
    const lines = this.#problems.map(({ name, reason, remedy }) => `${name}: ${reason}. ${remedy}`)
    throw new Failure({
      code: 'configuration',
      message: lines.length === 1 ? lines[0]! : [`${lines.length} settings are wrong`, ...lines].join('\n  '),
      remedy:
        'Settings stand in the environment, in .env or in the arguments; the --help of a command lists them.',
      exit: 2,
      facts: { problems: this.#problems },
    })
  }

  #problem(name: string, reason: string, remedy: string): void {
    this.#problems.push({ name, reason, remedy })
  }

  #numeric(name: Setting, preset: number, min: number, max: number, form: RegExp, kind: string): number {
    const text = this.text(name)?.trim()
    if (text === undefined) return preset
    const value = Number(text)
    const wrong = !form.test(text)
      ? `is not a ${kind}`
      : value < min || value > max
        ? 'is out of range'
        : undefined
    if (wrong) {
      this.#problem(
        name,
        `"${text}" ${wrong}`,
        `Set a ${kind} from ${min} to ${max}; the default is ${preset}.`,
      )
    }
    return wrong ? preset : value
  }

  #dotenv(file: string): Record<string, string | undefined> {
    try {
      return parseEnv(readFileSync(file, 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      this.#problem(file, `cannot be read (${messageOf(error)})`, 'Make it readable, or take it away.')
      return {}
    }
  }
}

/** Where a client on this machine reaches a server that is bound to `host`. */
export function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//i.test(text)
}

/** By what the driver does with it: WHATWG parsing, then percent-decoding of user and password. */
function isReadable(url: string): boolean {
  try {
    const { username, password, pathname, hash } = new URL(url)
    for (const part of [username, password, pathname]) decodeURIComponent(part)
    // A bare # in the password cuts the URL there.
    return hash === ''
  } catch {
    return false
  }
}
