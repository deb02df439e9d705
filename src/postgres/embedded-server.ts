/**
 * The processes of a trial server: made by initdb, found when it runs, started when it does not, stopped.
 * No lock is held between processes that do this at the same time: each step is one that only one can win.
 */
import { randomBytes, randomInt } from 'node:crypto'
import {
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Failure } from '../core/errors.ts'
import { type Account, type Binaries, run } from './embedded-place.ts'

/** A trial server as it lies on disk. */
export interface Cluster {
  readonly dir: string
  readonly dataDir: string
  readonly logFile: string
  readonly binaries: Binaries
  readonly account: Account | undefined
  readonly password: string
  readonly onLog: (line: string) => void
}

/** Modest, safe for data: a trial should show what a real server does. `max_wal_size` bounds its disk. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '128MB',
  max_wal_size: '512MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] ',
} as const

const START_SECONDS = 120
/** Below the usual ephemeral range, so that no outgoing connection takes the port while the server is down. */
const PORTS = { from: 20_000, to: 32_000 } as const

/** Makes the cluster beside its place and moves it there whole: a killed initdb leaves nothing half made. */
export async function initialise(cluster: Cluster): Promise<void> {
  const version = await readFile(join(cluster.dataDir, 'PG_VERSION'), 'utf8').catch(() => undefined)
  const major = cluster.binaries.version.split('.')[0]
  if (version !== undefined) {
    if (version.trim() === major) return
    throw new Failure({
      code: 'embedded_version',
      message: `${cluster.dataDir} belongs to PostgreSQL ${version.trim()}, the embedded one is ${major}.`,
      remedy: `Move ${cluster.dataDir} away to begin anew, or set POSTGRES_URL to a server of that version.`,
    })
  }
  const home = join(cluster.dataDir, '..')
  await sweep(home)
  const making = join(home, `initdb-${process.pid}-${randomBytes(4).toString('hex')}`)
  const passwordFile = `${making}.password`
  try {
    await mkdir(making, { mode: 0o700 })
    await writeFile(passwordFile, `${cluster.password}\n`, { mode: 0o600, flag: 'wx' })
    for (const path of [making, passwordFile]) await giveAway(path, cluster.account)
    const { code, output } = await run(
      cluster.binaries.initdb,
      [
        ...['-D', making, '--username=postgres', `--pwfile=${passwordFile}`],
        ...['--auth-local=scram-sha-256', '--auth-host=scram-sha-256', '--encoding=UTF8'],
        // The built-in provider: the same order and case rules on every system, whatever its locales.
        ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
        ...Object.entries(SETTINGS).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
      ],
      cluster.account,
    )
    if (code !== 0) {
      throw new Failure({
        code: 'embedded_initdb',
        message: `initdb could not make ${cluster.dataDir}: ${lastLines(output)}`,
        remedy: 'Check that the disk has room (some 100 MB) and that STATE_DIR can be written to.',
      })
    }
    await rename(making, cluster.dataDir).then(
      () => cluster.onLog(`PostgreSQL ${cluster.binaries.version} for trials made in ${cluster.dataDir}`),
      (error: NodeJS.ErrnoException) => {
        // Somebody else has made it meanwhile, with the same password.
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
      },
    )
  } finally {
    await rm(passwordFile, { force: true })
    await rm(making, { recursive: true, force: true })
  }
}

/** Removes what a killed process left of an unfinished initdb. */
async function sweep(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const pid = /^initdb-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid)))
      await rm(join(home, name), { recursive: true, force: true })
  }
}

/** Starts the server unless it runs, and waits until it takes connections. */
export async function start(cluster: Cluster): Promise<{ port: number; startedHere: boolean }> {
  for (let attempt = 1; ; attempt++) {
    const running = await findRunning(cluster)
    if (running !== undefined) return { port: running, startedHere: false }
    const port = await choosePort(cluster)
    const logged = await prepareLog(cluster)
    const { code, output } = await run(
      cluster.binaries.pgCtl,
      [
        'start',
        '-D',
        cluster.dataDir,
        '-l',
        cluster.logFile,
        '-w',
        '-t',
        `${START_SECONDS}`,
        '-o',
        `-p ${port}`,
      ],
      cluster.account,
    )
    if (code === 0) return { port, startedHere: true }
    const reason = (await readFile(cluster.logFile, 'utf8').catch(() => '')).slice(logged) || output
    // Started by somebody else meanwhile, a port taken meanwhile, backends of a killed server still going.
    const passing = /lock file .* already exists|could not bind|shared memory block .* still in use/i
    if (attempt === 10 || !passing.test(reason)) throw cannotStart(cluster, lastLines(reason))
    await sleep(200 * attempt)
  }
}

function cannotStart(cluster: Cluster, reason: string): Failure {
  return new Failure({
    code: 'embedded_start',
    message: `The trial server in ${cluster.dataDir} does not start: ${reason}`,
    remedy: `See ${cluster.logFile}; moving ${cluster.dataDir} away begins anew.`,
  })
}

/** The port of the server that runs on this data directory, once it answers; undefined when none runs. */
async function findRunning(cluster: Cluster): Promise<number | undefined> {
  const until = Date.now() + START_SECONDS * 1000
  for (;;) {
    const file = join(cluster.dataDir, 'postmaster.pid')
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n')
    const pid = Number(lines[0])
    if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined
    if (!(await mayBeServer(pid, cluster.dataDir))) {
      // A killed server's number was given to another process: PostgreSQL would refuse to start.
      cluster.onLog(`${file} is left over from a server that was killed: removed`)
      await rm(file, { force: true })
      return undefined
    }
    const port = Number(lines[3])
    if (Number.isInteger(port) && port > 0 && (await answers(cluster, port))) return port
    if (Date.now() > until) throw cannotStart(cluster, `process ${pid} holds it and does not answer`)
    await sleep(100)
  }
}

async function answers(cluster: Cluster, port: number): Promise<boolean> {
  try {
    return await withClient(cluster, port, async (client) => {
      const { rows } = await client.query('SHOW data_directory')
      return rows[0].data_directory === cluster.dataDir
    })
  } catch (error) {
    if ((error as { code?: unknown }).code !== '28P01') return false
    throw new Failure({
      code: 'embedded_password',
      message: `The trial server in ${cluster.dataDir} does not take the password kept in ${join(cluster.dir, 'password')}.`,
      remedy: `Put the right password into that file, or move ${cluster.dataDir} away to begin anew.`,
      cause: error,
    })
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

/**
 * False only when the process is known to be something else, or dead and not yet reaped. The working
 * directory of a server is its data directory, also after that was moved.
 */
async function mayBeServer(pid: number, dataDir: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  if (command !== undefined) {
    if (!command.includes('postgres')) return false
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
    return directory === undefined || directory === dataDir
  }
  const ps = await run('ps', ['-o', 'command=', '-p', `${pid}`], undefined)
  return ps.code !== 0 || ps.output.includes('postgres')
}

async function choosePort(cluster: Cluster): Promise<number> {
  const file = join(cluster.dir, 'port')
  const kept = Number(await readFile(file, 'utf8').catch(() => ''))
  if (kept > 0 && (await isFree(kept))) return kept
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(PORTS.from, PORTS.to)
    if (!(await isFree(port))) continue
    if (kept > 0) cluster.onLog(`port ${kept} is taken: the trial server moves to ${port}`)
    await writeFile(`${file}.new`, `${port}\n`)
    await rename(`${file}.new`, file)
    return port
  }
  throw cannotStart(cluster, `no free port between ${PORTS.from} and ${PORTS.to}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

/** The log exists and belongs to the server before it starts; returns its length. One old log is kept. */
async function prepareLog({ logFile, account }: Cluster): Promise<number> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  )
  if (size > 10_000_000) await rename(logFile, `${logFile}.1`)
  await (await open(logFile, 'a', 0o600)).close()
  await giveAway(logFile, account)
  return size > 10_000_000 ? 0 : size
}

/** Stops the server and waits for its end; harmless when none runs. */
export async function stop(cluster: Cluster, mode: 'fast' | 'immediate'): Promise<void> {
  const { code, output } = await run(
    cluster.binaries.pgCtl,
    ['stop', '-D', cluster.dataDir, '-m', mode, '-w', '-t', '60'],
    cluster.account,
  )
  if (code === 0 || /no server running|PID file .* does not exist|No such process/i.test(output)) return
  throw new Failure({
    code: 'embedded_stop',
    message: `The trial server in ${cluster.dataDir} does not stop: ${lastLines(output)}`,
    remedy: `See ${cluster.logFile}.`,
  })
}

/** Work on one connection to the database `postgres`, as the superuser. */
export async function withClient<T>(
  cluster: Cluster,
  port: number,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: urlOf(cluster, port, 'postgres'),
    connectionTimeoutMillis: 5000,
    application_name: 'slipway-embedded',
  })
  // A connection that breaks rejects the query; without a listener it would end the process as well.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** With the password. */
export function urlOf(cluster: Cluster, port: number, database: string): string {
  return `postgres://postgres:${cluster.password}@127.0.0.1:${port}/${encodeURIComponent(database)}`
}

async function giveAway(path: string, account: Account | undefined): Promise<void> {
  if (account) await chown(path, account.uid, account.gid)
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' / ')
}
