/**
 * PostgreSQL for tests: a database of its own for each file on the server of the run, or a whole server for
 * tests that stop, kill or restore one.
 *
 *     await using database = await createDatabase()
 *     const client = await database.connect()
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { inject } from 'vitest'
import { quote } from '../../src/core/quote.ts'
import { type EmbeddedServer, openEmbedded } from '../../src/postgres/embedded.ts'
import { serverDirectory } from './postgres-server.ts'

const execute = promisify(execFile)

export interface TestRole {
  readonly name: string
  /** Connects as this role to the database it was made for. */
  readonly url: string
}

export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  /** Of a superuser. */
  readonly url: string
  /** A connected client of the superuser, ended by `drop` at the latest. */
  connect(): Promise<pg.Client>
  /** An ordinary role that may log in and nothing else; `options` goes into CREATE ROLE. Dropped by `drop`. */
  createRole(options?: string): Promise<TestRole>
  drop(): Promise<void>
}

/** A new, empty database on the server of the run. */
export async function createDatabase(): Promise<TestDatabase> {
  return databaseOn(inject('postgresUrl'))
}

/** On another server than that of the run. */
export async function databaseOn(serverUrl: string): Promise<TestDatabase> {
  const name = `t_${randomBytes(6).toString('hex')}`
  const url = withPath(serverUrl, name)
  const clients: pg.Client[] = []
  const roles: string[] = []
  await administer(serverUrl, (admin) =>
    admin.query(`CREATE DATABASE ${quote(name)} TEMPLATE template0 ENCODING 'UTF8'`),
  )

  const drop = async () => {
    await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)))
    await administer(serverUrl, async (admin) => {
      await admin.query(`DROP DATABASE IF EXISTS ${quote(name)} WITH (FORCE)`)
      for (const role of roles.splice(0)) await admin.query(`DROP ROLE IF EXISTS ${quote(role)}`)
    })
  }
  return {
    name,
    url,
    async connect() {
      const client = await connected(url)
      clients.push(client)
      return client
    },
    async createRole(options = '') {
      const role = `r_${randomBytes(6).toString('hex')}`
      const password = randomBytes(12).toString('hex')
      await administer(serverUrl, (admin) =>
        admin.query(`CREATE ROLE ${quote(role)} LOGIN PASSWORD '${password}' ${options}`),
      )
      roles.push(role)
      const roleUrl = new URL(url)
      roleUrl.username = role
      roleUrl.password = password
      return { name: role, url: roleUrl.href }
    },
    drop,
    [Symbol.asyncDispose]: drop,
  }
}

export interface OwnServer extends AsyncDisposable {
  /** Of a superuser; the same after each `start`. */
  readonly url: string
  readonly port: number
  readonly dataDir: string
  /** Of the server process; undefined while it is down. */
  pid(): Promise<number | undefined>
  /** `immediate` is a crash. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
  /** Copies the data directory as it is, owners included; returns the copy. Stop the server first. */
  saveData(): Promise<string>
  /** Puts such a copy back. Stop the server first. */
  restoreData(copy: string): Promise<void>
  /** A connected client of the superuser. */
  connect(): Promise<pg.Client>
  destroy(): Promise<void>
}

/** A server for one test alone. Always the embedded one, whatever TEST_POSTGRES says: its files are touched. */
export async function startOwnServer(database = 'test'): Promise<OwnServer> {
  const dir = await serverDirectory()
  const copies: string[] = []
  const open = () => openEmbedded({ dir, database, onLog: () => undefined })
  let server: EmbeddedServer = await open()
  const { url, port, dataDir } = server

  const destroy = async () => {
    await server.stop('immediate')
    for (const path of [dir, ...copies]) await rm(path, { recursive: true, force: true })
  }
  return {
    url,
    port,
    dataDir,
    async pid() {
      const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => undefined)
      return text === undefined ? undefined : Number(text.split('\n')[0])
    },
    stop: (mode) => server.stop(mode),
    async start() {
      server = await open()
      if (server.port !== port) throw new Error(`port ${port} was taken while the server was down`)
    },
    async saveData() {
      const copy = await mkdtemp(join(tmpdir(), `slipway-test-${process.pid}-`))
      copies.push(copy)
      await execute('cp', ['-a', `${dataDir}/.`, copy])
      return copy
    },
    async restoreData(copy) {
      await rm(dataDir, { recursive: true, force: true })
      await execute('cp', ['-a', copy, dataDir])
      await chmod(dataDir, 0o700)
    },
    connect: () => connected(url),
    destroy,
    [Symbol.asyncDispose]: destroy,
  }
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // A server that is stopped under a test must not end the test's process.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function administer(url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = await connected(url)
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}

function withPath(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}
