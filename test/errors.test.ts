/**
 * Whatever a person gets wrong: one line that begins with `error:`, what to do about it, the contract's exit
 * code, no stack trace, and no password.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  BIN,
  type Environment,
  freePort,
  Process,
  REPOSITORY,
  type Result,
  Slipway,
  Workspace,
} from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { createDatabase, type TestDatabase } from './support/postgres.ts'
import { postgres13, startPostgres13 } from './support/postgres-13.ts'

let workspace: Workspace
let database: TestDatabase
let good: string

beforeAll(async () => {
  workspace = new Workspace()
  database = await createDatabase()
  good = workspace.file('good.db')
  await execute(good, [
    'PRAGMA journal_mode = WAL',
    'CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)',
    `INSERT INTO t VALUES (1, 'x')`,
  ])
})

afterAll(async () => {
  await database.drop()
  workspace[Symbol.dispose]()
})

async function run(args: readonly string[], env: Environment = {}): Promise<Result> {
  const slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath: good,
    postgresUrl: database.url,
    env,
  })
  return await slipway.run(args, { ms: 40_000 })
}

interface Expected {
  readonly code: number
  /** What the message names. */
  readonly says: readonly RegExp[]
  /** What the remedy advises. */
  readonly remedy: RegExp
}

function expectClear(result: Result, expected: Expected): void {
  const shown = `exit ${result.code} ${result.signal ?? ''}\n${result.stdout}\n${result.stderr}`
  expect(result.code, shown).toBe(expected.code)
  const lines = result.stderr.split('\n').filter((line) => line !== '')
  expect(
    lines.filter((line) => line.startsWith('error: ')),
    shown,
  ).toHaveLength(1)
  const message = result.stderr.slice(result.stderr.indexOf('error: '))
  for (const pattern of expected.says) expect(message).toMatch(pattern)
  const remedy = /^remedy: .+/m.exec(message)?.[0] ?? ''
  expect(remedy, shown).toMatch(expected.remedy)
  // No stack, no defect, no secret.
  expect(shown).not.toMatch(/^\s+at .+[:)]\d*\)?$/m)
  expect(shown).not.toMatch(/node:internal|\bdefect\b|UnhandledPromise|\[object Object\]/)
  const secrets = [
    ...(process.env.TEST_POSTGRES_URL ? [new URL(process.env.TEST_POSTGRES_URL).password] : []),
    'wrong-secret',
  ]
  for (const secret of secrets.filter((text) => text !== '')) expect(shown).not.toContain(secret)
}

describe('the source', () => {
  const sources: [what: string, make: (path: string) => void, says: RegExp, remedy: RegExp][] = [
    ['no such file', () => {}, /no file/i, /path|SQLITE_PATH|name/i],
    [
      'a text file',
      (path) => writeFileSync(path, 'dear diary,\n'.repeat(1000)),
      /not a (SQLite )?database/i,
      /SQLITE_PATH|file|path/i,
    ],
    [
      'a truncated database',
      (path) => {
        execFileSync('python3', [
          '-c',
          `import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)')
db.executemany('INSERT INTO t (b) VALUES (?)', [('x' * 500,)] * 1000)
db.commit()`,
          path,
        ])
        truncateSync(path, 200 * 1024 + 100)
      },
      /truncated|damaged|malformed|corrupt/i,
      /backup|recover/i,
    ],
    ['an empty file', (path) => writeFileSync(path, ''), /empty/i, /./],
  ]

  test.for(sources)('%s', async ([what, make, says, remedy]) => {
    const path = workspace.file(`${what.replaceAll(' ', '-')}.db`)
    make(path)
    const before = existsSync(path) ? readFileSync(path) : undefined
    for (const command of ['snapshot', 'start']) {
      expectClear(await run([command], { SQLITE_PATH: path }), {
        code: 3,
        says: [says, new RegExp(path)],
        remedy,
      })
    }
    // Refused means untouched; above all, nothing was made where nothing was.
    expect(existsSync(path) ? readFileSync(path) : undefined).toEqual(before)
  })

  test('a directory', async () => {
    const result = await run(['snapshot'], { SQLITE_PATH: workspace.path })
    expectClear(result, { code: 3, says: [/directory/i], remedy: /file|SQLITE_PATH/i })
  })

  test('not in WAL mode', async () => {
    const path = workspace.file('delete-mode.db')
    await execute(path, ['CREATE TABLE t (a INTEGER PRIMARY KEY)'])
    for (const command of ['snapshot', 'start']) {
      const result = await run([command], { SQLITE_PATH: path })
      expectClear(result, { code: 3, says: [/WAL|journal/], remedy: /--enable-wal/ })
    }
  })
})

describe('the target', () => {
  test('PostgreSQL is down', async () => {
    const url = new URL(database.url)
    url.port = String(await freePort())
    const result = await run(['snapshot'], { POSTGRES_URL: url.href })
    expectClear(result, {
      code: 3,
      says: [/PostgreSQL/, new RegExp(url.port)],
      remedy: /runs|POSTGRES_URL|server/,
    })
  })

  test('wrong password', async () => {
    const role = await database.createRole()
    const url = new URL(role.url)
    url.password = 'wrong-secret'
    const result = await run(['snapshot'], { POSTGRES_URL: url.href })
    expectClear(result, { code: 3, says: [/password/i, new RegExp(role.name)], remedy: /POSTGRES_URL/ })
  })

  test('no such database', async () => {
    const url = new URL(database.url)
    url.pathname = '/nowhere'
    const result = await run(['snapshot'], { POSTGRES_URL: url.href })
    expectClear(result, { code: 3, says: [/nowhere/], remedy: /create|POSTGRES_URL/i })
  })

  test('a role without CREATE', async () => {
    const role = await database.createRole()
    const result = await run(['snapshot'], { POSTGRES_URL: role.url })
    expectClear(result, {
      code: 3,
      says: [/right|permission|privilege/i, new RegExp(role.name)],
      remedy: /GRANT CREATE ON/,
    })
    // The GRANTs in the remedy are the exact ones: with them it works.
    const client = await database.connect()
    for (const [grant] of result.stderr.matchAll(/GRANT [^;]+;/g)) await client.query(grant)
    const second = await run(['snapshot'], { POSTGRES_URL: role.url })
    expect(second.code, second.stderr).toBe(0)
  })

  test('PostgreSQL 13', { timeout: 150_000 }, async (context) => {
    const binaries = await postgres13()
    if ('missing' in binaries) return context.skip(`no PostgreSQL 13 here: ${binaries.missing}`)
    await using server = await startPostgres13(binaries.native)
    const result = await run(['snapshot'], { POSTGRES_URL: server.url })
    expectClear(result, { code: 3, says: [/13\.\d+/, /14/], remedy: /newer|upgrade/i })
  })
})

describe('the command line and the settings', () => {
  test('an unknown command, with a suggestion', async () => {
    expectClear(await run(['snapshto']), { code: 2, says: [/snapshto/], remedy: /snapshot\?/ })
  })

  test('an unknown option', async () => {
    expectClear(await run(['snapshot', '--enable-wall']), {
      code: 2,
      says: [/--enable-wall/],
      remedy: /--enable-wal\?/,
    })
  })

  test('a port that is taken', async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as { port: number }
    try {
      const result = await run(['start'], { CONTROL_PORT: String(port) })
      expectClear(result, {
        code: 3,
        says: [new RegExp(String(port)), /taken|in use/i],
        remedy: /CONTROL_PORT/,
      })
    } finally {
      server.close()
    }
  })

  test('CONTROL_PORT=12abc', async () => {
    const result = await run(['start'], { CONTROL_PORT: '12abc' })
    expectClear(result, { code: 2, says: [/CONTROL_PORT/, /12abc/, /whole number/], remedy: /./ })
  })

  test('a host that is not loopback without a token', async () => {
    const result = await run(['start'], { CONTROL_HOST: '0.0.0.0' })
    expectClear(result, { code: 2, says: [/CONTROL_TOKEN/, /0\.0\.0\.0/], remedy: /./ })
  })

  test('SQLITE_PATH and POSTGRES_URL missing: both are named', async () => {
    for (const command of ['snapshot', 'start', 'uninstall']) {
      const result = await run([command], { SQLITE_PATH: undefined, POSTGRES_URL: undefined })
      expectClear(result, { code: 2, says: [/SQLITE_PATH/, /POSTGRES_URL/], remedy: /\.env/ })
    }
  })

  test('no daemon to ask: exit 5', async () => {
    for (const args of [['lag'], ['status'], ['replication', 'pause']]) {
      expectClear(await run(args), { code: 5, says: [/127\.0\.0\.1/], remedy: /start|CONTROL/ })
    }
  })

  test('Node 20 runs the bin', async (context) => {
    const old = olderNode()
    if (old === undefined) return context.skip('no Node older than 24 on this machine')
    const result = await new Process(old, [BIN, 'snapshot'], {
      cwd: workspace.path,
      env: { PATH: process.env.PATH },
    }).end(20_000)
    expect(result.code, result.stderr).toBeGreaterThan(0)
    expect(result.stderr).toMatch(/^error: .*Node(\.js)? 24/m)
    expect(result.stderr).toMatch(/^remedy: .+/m)
    expect(result.stderr).not.toMatch(/^\s+at /m)
    expect(result.stderr.split('\n').filter((line) => line !== '')).toHaveLength(2)
  })
})

/** A Node outside this repository that is too old for slipway. */
function olderNode(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  for (const folder of folders) {
    const path = join(folder, 'node')
    if (path.startsWith(REPOSITORY) || !existsSync(path)) continue
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' })
    if (Number(/^v(\d+)/.exec(version)?.[1]) < 24) return path
  }
  return undefined
}
