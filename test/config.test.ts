import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadClientConfig, loadConfig } from '../src/config.ts'
import { Failure } from '../src/core/errors.ts'

const NO_DOTENV = path.join(tmpdir(), 'no-such-folder', '.env')
const NEEDED = { SQLITE_PATH: 'news.db', POSTGRES_URL: 'postgres://u:pw@h/news' }

function load(env: Record<string, string>, positionals: string[] = [], dotenvPath = NO_DOTENV) {
  return loadConfig({ env, positionals, dotenvPath })
}

function failure(run: () => unknown): Failure {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('no failure')
}

function dotenv(text: string): string {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'slipway-config-')), '.env')
  writeFileSync(file, text)
  return file
}

describe('where a value comes from', () => {
  test('defaults of the contract', () => {
    const { config, warnings } = load(NEEDED)
    expect(config).toEqual({
      sqlitePath: path.resolve('news.db'),
      postgresUrl: NEEDED.POSTGRES_URL,
      postgresSchema: 'public',
      migrationName: 'news',
      stateDir: path.resolve('.slipway'),
      backupDir: path.resolve('.slipway/backups'),
      tables: [],
      excludeTables: [],
      controlHost: '127.0.0.1',
      controlPort: 8484,
      controlUrl: 'http://127.0.0.1:8484',
      controlToken: undefined,
      planFile: path.resolve('slipway.plan.json'),
      planFileNamed: false,
      verifyMaxAgeSeconds: 3600,
      history: false,
      historyRetentionSeconds: 2_592_000,
      maxPauseMs: 2000,
      authorityFile: undefined,
      appSqliteUrl: undefined,
      appPostgresUrl: undefined,
      hookCommand: undefined,
      hookTimeoutMs: 10_000,
      maxLagSeconds: 5,
      pollMs: 250,
      chunkRows: 20_000,
      batchRows: 5000,
      snapshotWorkers: 2,
      maxWalMb: 64,
      changelogRetentionSeconds: 3600,
      logLevel: 'info',
      logFormat: undefined,
    })
    expect(warnings).toEqual([])
  })

  const file = () => dotenv('BATCH_ROWS=10\nSLIPWAY_CHUNK_ROWS=20\nPOLL_MS=30\nMAX_WAL_MB="40"\n')
  test.each([
    ['.env counts', {}, 'batchRows', 10],
    ['the environment beats .env', { BATCH_ROWS: '11' }, 'batchRows', 11],
    ['SLIPWAY_X in .env beats X in the environment', { CHUNK_ROWS: '21' }, 'chunkRows', 20],
    ['SLIPWAY_X in the environment beats SLIPWAY_X in .env', { SLIPWAY_CHUNK_ROWS: '22' }, 'chunkRows', 22],
    ['SLIPWAY_X beats X', { SLIPWAY_POLL_MS: '33', POLL_MS: '34' }, 'pollMs', 33],
    ['an empty value takes that of .env away', { MAX_WAL_MB: '' }, 'maxWalMb', 64],
    ['an empty SLIPWAY_X lets X count', { SLIPWAY_POLL_MS: '' }, 'pollMs', 30],
  ] as const)('%s', (_, env, name, value) => {
    expect(load({ ...NEEDED, ...env }, [], file()).config[name]).toBe(value)
  })

  test('arguments beat all', () => {
    const env = { ...NEEDED, SLIPWAY_SQLITE_PATH: 'b.db' }
    const { config } = load(env, ['c.db', 'postgresql://h/c'])
    expect(config).toMatchObject({ sqlitePath: path.resolve('c.db'), postgresUrl: 'postgresql://h/c' })
  })

  test('a lone PostgreSQL URL is taken for what it is', () => {
    const { config } = load(NEEDED, ['postgres://h/c'])
    expect(config).toMatchObject({ sqlitePath: path.resolve('news.db'), postgresUrl: 'postgres://h/c' })
  })

  test('lists, enumerated values in any case, and what is derived', () => {
    const { config } = load({
      SQLITE_PATH: '/srv/app.v2.db',
      POSTGRES_URL: 'EMBEDDED',
      TABLES: ' articles, dlq ,,pending_*',
      LOG_LEVEL: 'DEBUG',
      LOG_FORMAT: 'Pretty',
      STATE_DIR: '/var/slipway',
      CONTROL_HOST: '::',
      CONTROL_TOKEN: 'abc',
    })
    expect(config).toMatchObject({
      postgresUrl: 'embedded',
      tables: ['articles', 'dlq', 'pending_*'],
      logLevel: 'debug',
      logFormat: 'pretty',
      migrationName: 'app.v2',
      backupDir: '/var/slipway/backups',
      controlUrl: 'http://[::1]:8484',
    })
  })
})

describe('what is wrong', () => {
  test('everything at once, exit 2', () => {
    const env = { CONTROL_PORT: '12abc', LOG_LEVEL: 'loud', CONTROL_HOST: '0.0.0.0' }
    const error = failure(() => load(env))
    expect(error).toMatchObject({ code: 'configuration', exit: 2 })
    for (const name of ['SQLITE_PATH', 'POSTGRES_URL', 'CONTROL_PORT', 'LOG_LEVEL', 'CONTROL_TOKEN']) {
      expect(error.message).toContain(`${name}: `)
    }
    expect(error.facts.problems).toHaveLength(5)
    expect(error.remedy).toBeTruthy()
  })

  test.each([
    ['CONTROL_PORT', '12abc'],
    ['CONTROL_PORT', '65536'],
    ['CONTROL_PORT', '0x10'],
    ['BATCH_ROWS', '1e3'],
    ['BATCH_ROWS', '1.5'],
    ['BATCH_ROWS', '-1'],
    ['MAX_LAG_SECONDS', 'Infinity'],
    ['SNAPSHOT_WORKERS', '99'],
    ['LOG_FORMAT', 'xml'],
    ['POSTGRES_SCHEMA', 'pg_catalog'],
    ['POSTGRES_SCHEMA', 'slipway'],
    ['POSTGRES_SCHEMA', 'ä'.repeat(32)],
    ['MIGRATION_NAME', 'x'.repeat(64)],
    ['CONTROL_HOST', 'a b'],
    ['CONTROL_URL', 'localhost:8484'],
    ['CONTROL_URL', 'ftp://h'],
    ['SQLITE_PATH', 'sqlite:///srv/news.db'],
    ['SQLITE_PATH', ':memory:'],
    ['POSTGRES_URL', 'mysql://h/db'],
    ['POSTGRES_URL', 'postgres+psycopg://h/db'],
  ])('%s=%s', (name, value) => {
    const error = failure(() => load({ ...NEEDED, [name]: value }))
    expect(error.message).toMatch(new RegExp(`^${name}: .*\\. [A-Z]`))
    expect(error.message).not.toContain('\n')
  })

  test.each([
    'postgers://u:hunter22@h/db',
    'postgres://u:hunter22#x@h/db',
    'postgres://u:hunter22%@h/db',
    'postgres://u:hunter22@h:port/db',
  ])('a wrong URL is not shown, since it holds a password', (url) => {
    const error = failure(() => load({ ...NEEDED, POSTGRES_URL: url }))
    expect(JSON.stringify([error.message, error.remedy, error.facts])).not.toContain('hunter22')
    expect(error.cause).toBeUndefined()
  })

  test('a token that no header can carry is not shown', () => {
    const error = failure(() => load({ ...NEEDED, CONTROL_TOKEN: 'top secret' }))
    expect(error.message).toMatch(/^CONTROL_TOKEN: /)
    expect(error.message).not.toContain('top secret')
  })

  test.each(['0.0.0.0', '192.168.1.7', 'db.example', '::'])('%s without a token', (host) => {
    const error = failure(() => load({ ...NEEDED, CONTROL_HOST: host }))
    expect(error.message).toMatch(/^CONTROL_TOKEN: /)
    expect(load({ ...NEEDED, CONTROL_HOST: host, CONTROL_TOKEN: 'abc' }).config.controlHost).toBe(host)
  })

  test.each(['localhost', '127.0.0.1', '127.8.9.1', '::1', '[::1]'])('%s needs none', (host) => {
    expect(load({ ...NEEDED, CONTROL_HOST: host }).config.controlToken).toBeUndefined()
  })

  test('a .env that cannot be read', () => {
    const folder = path.join(path.dirname(dotenv('')), 'folder')
    mkdirSync(folder)
    expect(failure(() => load(NEEDED, [], folder)).message).toContain(folder)
  })
})

describe('names that nothing reads', () => {
  test('are told with the nearest one', () => {
    const { warnings } = load({ ...NEEDED, SLIPWAY_POSTGRE_URL: 'x', SLIPWAY_QWERTZUIOP: 'y' })
    expect(warnings).toEqual([
      'SLIPWAY_POSTGRE_URL is unknown and ignored; did you mean SLIPWAY_POSTGRES_URL?',
      'SLIPWAY_QWERTZUIOP is unknown and ignored',
    ])
  })

  test('names of later issues, of hooks and of other programs are none of them', () => {
    const env = { SLIPWAY_HISTORY: 'on', SLIPWAY_HOOK_COMMAND: 'x', SLIPWAY_EPOCH: '3', POSTGRE_URL: 'x' }
    expect(load({ ...NEEDED, ...env }).warnings).toEqual([])
  })
})

describe('commands that only ask the daemon', () => {
  test('need no database, and do not mind what does not concern them', () => {
    const env = { CONTROL_PORT: '9000', BATCH_ROWS: 'many', CONTROL_HOST: '0.0.0.0' }
    const config = loadClientConfig({ env, dotenvPath: NO_DOTENV })
    expect(config).toMatchObject({ controlUrl: 'http://127.0.0.1:9000', controlToken: undefined })
  })

  test('CONTROL_URL says where', () => {
    const config = loadClientConfig({ env: { CONTROL_URL: 'https://h/slipway/' }, dotenvPath: NO_DOTENV })
    expect(config.controlUrl).toBe('https://h/slipway')
  })
})
