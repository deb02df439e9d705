import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { Authority, Phase } from '../core/operator.ts'

/** What the file tells: who leads, since when, and how the application connects to it. */
export interface AuthorityNote {
  readonly authority: Authority
  readonly epoch: number
  readonly phase: Phase
  /** ISO 8601: since when the authority leads. */
  readonly since: string
}

type FileSettings = Pick<Config, 'authorityFile' | 'appSqliteUrl' | 'appPostgresUrl' | 'sqlitePath'>

/** Only the owner: the URL may hold a password. */
const MODE = 0o600

/**
 * Replaces AUTHORITY_FILE, where it is set: readers see the old one or the new one, whole, also after a power loss.
 * `databaseUrl` is APP_SQLITE_URL or APP_POSTGRES_URL verbatim, and left out where that one is not set or nobody leads.
 * A file that says the same already is left alone, and so is one of a later epoch: a daemon that slept must not take
 * it back. Returns whether it was written. Throws a Failure `authority_file`.
 */
export async function writeAuthority(settings: FileSettings, note: AuthorityNote): Promise<boolean> {
  const path = settings.authorityFile
  if (path === undefined) return false
  try {
    const there = await readNote(path, settings.sqlitePath)
    if (there !== undefined && there.epoch > note.epoch && there.since >= note.since) return false
    const text = textOf(settings, note)
    if (there?.text === text && there.mode === MODE) return false
    await replace(path, text)
    return true
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure({
      code: 'authority_file',
      message: `AUTHORITY_FILE ${path} cannot be written (${messageOf(error)})`,
      remedy: 'Make its folder, and let this user write there: the file is replaced, not changed.',
      cause: error,
    })
  }
}

function textOf(settings: FileSettings, { authority, epoch, phase, since }: AuthorityNote): string {
  const urls = { sqlite: settings.appSqliteUrl, postgres: settings.appPostgresUrl, none: undefined }
  const databaseUrl = urls[authority]
  const note = { authority, epoch, phase, since, ...(databaseUrl === undefined ? {} : { databaseUrl }) }
  return `${JSON.stringify(note, null, 2)}\n`
}

interface There {
  readonly text: string
  readonly mode: number
  readonly epoch: number
  readonly since: string
}

/** Whatever is not one of ours stays: the path may be a mistake. */
async function readNote(path: string, sqlitePath: string): Promise<There | undefined> {
  // Opened by anything but SQLite, the database would lose this process's locks (trap H7).
  const foreign = [sqlitePath, `${sqlitePath}-wal`, `${sqlitePath}-shm`]
  if (foreign.includes(path)) throw refused(path, 'is the database')
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return undefined
  const database = await stat(sqlitePath).catch(() => undefined)
  if (!found.isFile() || (database?.dev === found.dev && database.ino === found.ino))
    throw refused(path, 'is something else already')
  const text = await readFile(path, 'utf8')
  if (text.trim() === '') return undefined
  try {
    const { authority, epoch, since } = JSON.parse(text) as Record<string, unknown>
    if (typeof authority === 'string' && typeof epoch === 'number' && typeof since === 'string')
      return { text, mode: found.mode & 0o777, epoch, since }
  } catch {
    // Said below.
  }
  throw refused(path, 'is something else already')
}

function refused(path: string, why: string): Failure {
  return new Failure({
    code: 'authority_file',
    exit: 2,
    message: `AUTHORITY_FILE ${path} ${why}, and was left as it is`,
    remedy: 'Name a file of its own, which slipway makes: AUTHORITY_FILE=/run/app/authority.json',
  })
}

async function replace(path: string, text: string): Promise<void> {
  const folder = dirname(path)
  const draft = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.new`)
  try {
    const file = await open(draft, 'wx', MODE)
    try {
      // The process's umask may have taken more away.
      await file.chmod(MODE)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
