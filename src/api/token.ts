/** The token that the daemon makes where none is configured, in a file that only its owner can read. */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Failure, messageOf } from '../core/errors.ts'

export function tokenPath(stateDir: string): string {
  return path.join(stateDir, 'token')
}

/** The token of the file, or undefined where there is none or it may not be read. */
export async function readToken(stateDir: string): Promise<string | undefined> {
  try {
    return (await readFile(tokenPath(stateDir), 'utf8')).trim() || undefined
  } catch {
    return undefined
  }
}

/** Reads the token, or makes it. Throws a Failure where the folder cannot be written. */
export async function ensureToken(stateDir: string): Promise<string> {
  const file = tokenPath(stateDir)
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 })
    for (;;) {
      const existing = await readToken(stateDir)
      if (existing !== undefined) {
        await chmod(file, 0o600)
        return existing
      }
      await create(file, randomBytes(32).toString('base64url'))
    }
  } catch (error) {
    throw new Failure({
      code: 'state_dir',
      message: `${file} cannot be made: ${messageOf(error)}`,
      remedy: 'Make STATE_DIR writable for this user, or set CONTROL_TOKEN.',
      cause: error,
    })
  }
}

/** Whole or not at all, and never over a file that somebody else has just made: a link fails then. */
async function create(file: string, token: string): Promise<void> {
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  await writeFile(draft, `${token}\n`, { mode: 0o600, flag: 'wx' })
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    // Empty: a leftover that holds no token. Otherwise another daemon was faster, and its token is read next.
    if ((await readFile(file, 'utf8')).trim() === '') await rm(file, { force: true })
  } finally {
    await rm(draft, { force: true })
  }
}
