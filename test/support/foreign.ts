/** SQL in the application's place: a Python process with its own, older SQLite (`statements.py`). */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Process } from './daemon.ts'

const SCRIPT = join(import.meta.dirname, 'statements.py')

/** SQL alone, or with parameters; bytes as `{ hex }`, doubles that JSON lacks as `{ real }`, 64 bits as `{ integer }`. */
export type Parameter = null | number | string | { hex: string } | { real: string } | { integer: string }
export type Statement = string | readonly [sql: string, parameters: readonly Parameter[]]

export interface Outcome {
  readonly rows: readonly (readonly unknown[])[]
  /** The cursor's rowcount: what the application hears of `changes()`. */
  readonly changes: number
  readonly rowid: number | null
  readonly ms: number
  readonly error?: { readonly class: string; readonly name: string; readonly message: string }
}

export interface ForeignOptions {
  readonly pragmas?: Readonly<Record<string, number | string>>
}

/** Runs the statements on one connection; an error of one does not stop the rest. */
export async function attempt(
  path: string,
  statements: readonly Statement[],
  options: ForeignOptions = {},
): Promise<Outcome[]> {
  const python = new Process('python3', [SCRIPT, path])
  const list = statements.map((one) => (typeof one === 'string' ? [one, []] : one))
  python.child.stdin?.end(JSON.stringify({ pragmas: options.pragmas ?? {}, statements: list }))
  const result = await python.end(120_000)
  if (result.code !== 0) throw new Error(`statements.py failed\n${result.stderr}`)
  return JSON.parse(result.stdout) as Outcome[]
}

/**
 * The files as they lie there, while no writer commits: what a file-level backup or a volume's snapshot holds.
 * Unlike VACUUM INTO and the backup API it keeps everything, SQLite's schema cookie too.
 */
export async function copyFiles(path: string, to: string): Promise<void> {
  await execute(path, ['BEGIN IMMEDIATE', ['COPY_FILES', [to]], 'ROLLBACK'])
}

/** Puts such a copy in the place of the database, under another inode. */
export function replaceFiles(copy: string, path: string): void {
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true })
  if (existsSync(`${copy}-wal`)) renameSync(`${copy}-wal`, `${path}-wal`)
  renameSync(copy, path)
}

/** `attempt`, where none may fail. */
export async function execute(
  path: string,
  statements: readonly Statement[],
  options: ForeignOptions = {},
): Promise<Outcome[]> {
  const outcomes = await attempt(path, statements, options)
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.error !== undefined) {
      throw new Error(`${JSON.stringify(statements[index])}: ${outcome.error.name} ${outcome.error.message}`)
    }
  }
  return outcomes
}
