/**
 * The PostgreSQL of a test run, chosen here and nowhere else: `TEST_POSTGRES=embedded` (default), `url` (with
 * TEST_POSTGRES_URL of a superuser), or `testcontainers`. What was asked for is used or the run fails: there
 * is no silent fall-back (trap R10). Vitest calls the default export once before all files.
 */
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { openEmbedded } from '../../src/postgres/embedded.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a superuser, database `postgres`. */
    postgresUrl: string
  }
}

interface RunServer {
  readonly url: string
  stop(): Promise<void>
}

const DIRECTORY = /^slipway-test-(\d+)-/

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await chosenServer()
  project.provide('postgresUrl', server.url)
  return () => server.stop()
}

async function chosenServer(): Promise<RunServer> {
  const choice = process.env.TEST_POSTGRES?.toLowerCase() || 'embedded'
  switch (choice) {
    case 'embedded':
      return embeddedServer()
    case 'url':
      return serverOfUrl(process.env.TEST_POSTGRES_URL)
    case 'testcontainers':
      return containerServer()
    default:
      throw new Error(`TEST_POSTGRES=${choice}: it must be embedded, url or testcontainers`)
  }
}

async function embeddedServer(): Promise<RunServer> {
  await sweepServers()
  const dir = await serverDirectory()
  const server = await openEmbedded({ dir, database: 'postgres', onLog: () => undefined })
  // Tests kill processes, never the machine: what the kernel holds is safe, and the run is faster.
  await query(server.url, 'ALTER SYSTEM SET fsync = off')
  await query(server.url, 'SELECT pg_reload_conf()')
  return {
    url: server.url,
    async stop() {
      await server.stop('fast')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function serverOfUrl(url: string | undefined): Promise<RunServer> {
  if (!url) throw new Error('TEST_POSTGRES=url needs TEST_POSTGRES_URL, the URL of a superuser')
  const [row] = await query(url, 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user')
  if (!row?.rolsuper) throw new Error('TEST_POSTGRES_URL: the role has to be a superuser (tests make roles)')
  return { url, stop: () => Promise.resolve() }
}

async function containerServer(): Promise<RunServer> {
  const { getContainerRuntimeClient } = await import('testcontainers')
  await getContainerRuntimeClient().catch((cause: unknown) => {
    throw new Error('TEST_POSTGRES=testcontainers: no container engine answers; start one, or unset it', {
      cause,
    })
  })
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
  const container = await new PostgreSqlContainer(process.env.TEST_POSTGRES_IMAGE || 'postgres:18').start()
  return {
    url: container.getConnectionUri(),
    stop: async () => {
      await container.stop()
    },
  }
}

/** A new folder that the account of the server may enter, marked with our process id for `sweepServers`. */
export async function serverDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `slipway-test-${process.pid}-`))
  await chmod(dir, 0o755)
  return dir
}

/** Ends and removes the servers of test runs that were killed. */
async function sweepServers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = DIRECTORY.exec(name)?.[1]
    if (owner === undefined || isAlive(Number(owner))) continue
    const dir = join(tmpdir(), name)
    const data = join(dir, 'data')
    const pid = Number((await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
    if (pid > 0 && (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === data) process.kill(pid, 'SIGQUIT')
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
