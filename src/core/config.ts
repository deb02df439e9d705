/** Configuration as the program uses it; `src/config.ts` reads it from arguments, environment and `.env`. */
export interface Config {
  /** Absolute path of the application's database file. */
  readonly sqlitePath: string
  /** A `postgres://` or `postgresql://` URL, or the word `embedded`. A secret: never printed whole. */
  readonly postgresUrl: string
  readonly postgresSchema: string
  readonly migrationName: string
  /** Absolute. */
  readonly stateDir: string
  readonly backupDir: string
  /** Names or globs; empty: all. */
  readonly tables: readonly string[]
  readonly excludeTables: readonly string[]
  readonly controlHost: string
  readonly controlPort: number
  readonly controlUrl: string
  /** Undefined: made into `stateDir/token`. A secret. */
  readonly controlToken: string | undefined
  /** Absolute. Where it was not named and does not exist, there is no plan: see `planFileNamed`. */
  readonly planFile: string
  readonly planFileNamed: boolean
  /** A pause that has not come to its decision by then is undone. */
  readonly maxPauseMs: number
  /** Absolute; undefined: no such file is written. */
  readonly authorityFile: string | undefined
  /** What the application connects with; they go verbatim into the authority file. Secrets. */
  readonly appSqliteUrl: string | undefined
  readonly appPostgresUrl: string | undefined
  /** A command line for the shell; may hold a secret. */
  readonly hookCommand: string | undefined
  readonly hookTimeoutMs: number
  readonly maxLagSeconds: number
  readonly verifyMaxAgeSeconds: number
  readonly history: boolean
  readonly historyRetentionSeconds: number
  readonly pollMs: number
  readonly chunkRows: number
  readonly batchRows: number
  readonly snapshotWorkers: number
  readonly maxWalMb: number
  readonly changelogRetentionSeconds: number
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** `undefined` where the environment does not say: pretty on a terminal, else json. */
  readonly logFormat: 'json' | 'pretty' | undefined
}
