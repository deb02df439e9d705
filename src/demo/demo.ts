/**
 * `slipway demo`: the whole story on one machine, with real processes. This file makes the stage and takes it
 * down again, whatever happens; `story.ts` is the play.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openKnex } from '../app/connection.ts'
import { migrateApp } from '../app/migrate.ts'
import { messageOf } from '../core/errors.ts'
import { DEMO_ROWS, makeNewsroom, NEWSROOM_TABLES } from './newsroom.ts'
import { Children } from './processes.ts'
import { reportLines, succeeded } from './report.ts'
import { type Scene, Story } from './story.ts'

export interface DemoOptions {
  /** Keep everything running after the report, until the signal. */
  readonly stay: boolean
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  readonly print: (line: string) => void
  readonly openEmbedded: (options: {
    readonly dir: string
    readonly database: string
    readonly onLog: (line: string) => void
  }) => Promise<{ readonly url: string; stop(): Promise<void> }>
}

const SEED = 2026
/** Leaves time to clear up before three minutes are over. */
const DEADLINE_MS = 150_000

/** Resolves with the exit code: 0 when all data is equal and no write failed, 1 otherwise, 130 when interrupted. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const began = performance.now()
  const say = (text: string) =>
    options.print(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}`)
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), DEADLINE_MS)
  const signal = AbortSignal.any([options.signal, late.signal])
  const dir = await mkdtemp(join(tmpdir(), 'slipway-demo-'))

  let code = 1
  try {
    code = await perform(options, { dir, say, signal }, () => clearTimeout(timer))
  } catch (error) {
    if (options.signal.aborted) code = 130
    else options.print(`The demo failed: ${late.signal.aborted ? 'out of time: ' : ''}${messageOf(error)}`)
  } finally {
    clearTimeout(timer)
  }
  if (code === 1) options.print(`Kept for a look: ${dir} (logs in ${join(dir, 'logs')})`)
  else await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  return code
}

async function perform(
  options: DemoOptions,
  stage: Pick<Scene, 'dir' | 'say' | 'signal'>,
  onReport: () => void,
): Promise<number> {
  const { dir, say, signal } = stage
  // PostgreSQL may run under another account than ours.
  await chmod(dir, 0o755)
  await mkdir(join(dir, 'logs'))

  const sqlitePath = join(dir, 'newsroom.db')
  await makeNewsroom({ path: sqlitePath, seed: SEED, rows: DEMO_ROWS })
  const rows = NEWSROOM_TABLES.map((table) => `${DEMO_ROWS[table].toLocaleString('en-US')} ${table}`)
  say(`A newsroom on SQLite: ${rows.join(', ')}`)
  signal.throwIfAborted()

  const server = await options.openEmbedded({ dir: join(dir, 'postgres'), database: 'newsroom', onLog: say })
  try {
    const knex = openKnex({ engine: 'postgres', url: server.url })
    await migrateApp(knex).finally(() => knex.destroy())
    say("A trial PostgreSQL with the newsroom's empty tables, made by its own migrations")

    // Ended before the server: they use it.
    await using children = new Children()
    const story = new Story({ ...stage, children, sqlitePath, postgresUrl: server.url, seed: SEED + 1 })
    const facts = await story.tell()
    if (!options.stay) await story.end()
    for (const line of reportLines(facts)) options.print(line)
    onReport()
    if (options.stay) await story.stay(options.print, options.signal)
    return succeeded(facts) ? 0 : 1
  } finally {
    await server.stop()
  }
}
