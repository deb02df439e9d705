/**
 * Where a trial server can live and under which account: PostgreSQL refuses to run as root, and an account
 * without rights may see neither a checkout under /root nor the data beside it (trap R4).
 */
import { type SpawnOptions, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  access,
  chmod,
  constants,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, parse, relative } from 'node:path'
import { Failure, messageOf } from '../core/errors.ts'

/** An account for server processes; undefined where a type allows it: that of this process. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface Binaries {
  readonly initdb: string
  readonly pgCtl: string
  readonly postgres: string
  /** As the binary says it, e.g. `18.4`. */
  readonly version: string
}

export interface Outcome {
  /** Undefined when the program could not be run at all. */
  readonly code: number | undefined
  /** Standard output and standard error, in the order in which they came. */
  readonly output: string
}

/** What server processes see of our environment: nothing that could hold a secret or steer libpq. */
const PASSED_ON = ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH']

/** Runs a program under an account, in the C locale, away from a working directory that it may not read. */
export function run(file: string, args: readonly string[], account: Account | undefined): Promise<Outcome> {
  const env: Record<string, string> = { LC_ALL: 'C' }
  for (const name of PASSED_ON) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  const options: SpawnOptions = { env, cwd: parse(file).root || '/', stdio: ['ignore', 'pipe', 'pipe'] }
  return new Promise((resolve) => {
    let output = ''
    const collect = (chunk: Buffer) => {
      output += chunk.toString('utf8')
    }
    const child = spawn(file, args, account ? { ...options, uid: account.uid, gid: account.gid } : options)
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    child.once('error', (error) => resolve({ code: undefined, output: messageOf(error) }))
    child.once('close', (code) => resolve({ code: code ?? undefined, output: output.trim() }))
  })
}

/**
 * The account for the server: undefined unless this process is root. A cluster that is there already keeps
 * its owner; a new one belongs to `postgres`, or to `nobody`.
 */
export async function chooseAccount(dataDir: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(dataDir).catch(() => undefined)
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = await Promise.all([
      run('id', ['-u', name], undefined),
      run('id', ['-g', name], undefined),
    ])
    if (uid.code === 0 && gid.code === 0) return { uid: Number(uid.output), gid: Number(gid.output) }
  }
  throw new Failure({
    code: 'embedded_no_account',
    message: 'PostgreSQL refuses to run as root, and there is neither a user "postgres" nor "nobody".',
    remedy: 'Run slipway as an ordinary user, or set POSTGRES_URL to a server of your own.',
  })
}

/**
 * The folder that holds `data` and the server's log: `dir`, or a place that the account can enter. Where data
 * are already, they are used or nothing is: a second, empty cluster would pass for the first one emptied.
 */
export async function chooseHome(
  dir: string,
  account: Account | undefined,
  onLog: (line: string) => void,
): Promise<string> {
  if (!account) return dir
  const home = fallbackHome(dir)
  const here = await stat(join(dir, 'data')).catch(() => undefined)
  const there = await stat(join(home, 'data')).catch(() => undefined)
  if (here || !there) {
    if (await canEnter(dir, account)) return dir
    if (here) throw closed(dir, account)
  }
  await ownDirectory(home)
  if (!(await canEnter(home, account))) throw closed(`${dir} and ${home}`, account)
  onLog(`${dir} is or was closed to the user under which PostgreSQL runs: its data are kept in ${home}`)
  return home
}

function closed(places: string, account: Account): Failure {
  return new Failure({
    code: 'embedded_no_home',
    message: `PostgreSQL refuses to run as root, and the user ${account.uid}, under which it has to run, may not enter ${places}.`,
    remedy: 'Let other users enter that folder (chmod o+rx), or set POSTGRES_URL to a server of your own.',
  })
}

/** Where the data of a `dir` go that the server's account cannot enter. */
export function fallbackHome(dir: string): string {
  return join('/var/tmp', `slipway-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`)
}

/**
 * Binaries that the account can run: the package's own, else a copy of them made once per version in a
 * readable place. Links that the package's install script should have made are made here where they miss.
 */
export async function chooseBinaries(
  packaged: Omit<Binaries, 'version'>,
  account: Account | undefined,
  onLog: (line: string) => void,
): Promise<Binaries> {
  const native = dirname(dirname(packaged.postgres))
  await completeLinks(native)
  await makeExecutable(packaged)
  const here = await versionOf(packaged.postgres, account)
  if (here.version) return { ...packaged, version: here.version }

  const ours = await versionOf(packaged.postgres, undefined)
  if (!account || !ours.version) throw cannotRun(packaged.postgres, account && ours.version ? here : ours)
  const name = `slipway-postgres-${ours.version}-${process.platform}-${process.arch}`
  for (const parent of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    if (!(await canEnter(parent, account))) continue
    const copy = join(parent, name)
    await copyOnce(native, copy)
    const postgres = join(copy, 'bin', basename(packaged.postgres))
    const there = await versionOf(postgres, account)
    if (!there.version) continue
    onLog(`${native} is closed to the user under which PostgreSQL runs: a copy in ${copy} is used`)
    return {
      initdb: join(copy, 'bin', basename(packaged.initdb)),
      pgCtl: join(copy, 'bin', basename(packaged.pgCtl)),
      postgres,
      version: there.version,
    }
  }
  throw cannotRun(packaged.postgres, here)
}

/** The account must be able to read and enter a folder, with all that lies above it. */
async function canEnter(dir: string, account: Account): Promise<boolean> {
  const { code, output } = await run('/bin/sh', ['-c', 'cd "$1" && test -r .', 'sh', dir], account)
  if (code === undefined) {
    throw new Failure({
      code: 'embedded_no_account',
      message: `PostgreSQL refuses to run as root, and no program can be run as user ${account.uid} (${output}).`,
      remedy: 'Run slipway as an ordinary user, or set POSTGRES_URL to a server of your own.',
    })
  }
  return code === 0
}

async function versionOf(postgres: string, account: Account | undefined) {
  const { code, output } = await run(postgres, ['--version'], account)
  return { version: code === 0 ? /(\d+[\w.]*)\s*$/.exec(output)?.[1] : undefined, output }
}

function cannotRun(postgres: string, outcome: { output: string }): Failure {
  return new Failure({
    code: 'embedded_not_runnable',
    message: `The embedded PostgreSQL does not run on this system: ${outcome.output || postgres}`,
    remedy: 'Set POSTGRES_URL to a server of your own (PostgreSQL 14 or newer).',
  })
}

/** npm packages carry no symbolic links; the package lists them, and its install script may not have run. */
async function completeLinks(native: string): Promise<void> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const root = dirname(native)
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    const link = join(root, target)
    if (await lstat(link).catch(() => undefined)) continue
    // A read-only folder shows soon enough: the binary will not run.
    await symlink(relative(dirname(link), join(root, source)), link).catch(() => undefined)
  }
}

async function makeExecutable(binaries: Omit<Binaries, 'version'>): Promise<void> {
  for (const file of [binaries.initdb, binaries.pgCtl, binaries.postgres]) {
    await access(file, constants.X_OK).catch(() => chmod(file, 0o755).catch(() => undefined))
  }
}

async function copyOnce(native: string, copy: string): Promise<void> {
  if (await lstat(copy).catch(() => undefined)) return assertOurs(copy)
  const making = await mkdtemp(`${copy}-`)
  try {
    await cp(native, making, { recursive: true, verbatimSymlinks: true })
    await openToAll(making)
    // Another process may have been faster: then its copy is there, and not empty.
    await rename(making, copy).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
  await assertOurs(copy)
}

async function openToAll(dir: string): Promise<void> {
  await chmod(dir, 0o755)
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue
    const path = join(entry.parentPath, entry.name)
    const executable = entry.isDirectory() || basename(entry.parentPath) === 'bin'
    await chmod(path, executable ? 0o755 : 0o644)
  }
}

async function ownDirectory(dir: string): Promise<void> {
  await mkdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await assertOurs(dir)
  await chmod(dir, 0o755)
}

/** These folders lie where everybody may write: what somebody else put there is not run or trusted. */
async function assertOurs(dir: string): Promise<void> {
  const found = await lstat(dir)
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return
  throw new Failure({
    code: 'embedded_foreign_directory',
    message: `${dir} was not made by slipway, or others may write to it.`,
    remedy: `Look at ${dir} and remove it, then try again.`,
  })
}
