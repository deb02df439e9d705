import { existsSync } from 'node:fs'
import type { UninstallOptions, UninstallOutcome } from '../cli/work.ts'
import { standingOf } from '../core/authority.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY } from '../core/table.ts'
import { displaced } from '../postgres/control.ts'
import type { ControlState } from '../postgres/control-state.ts'
import {
  readDormant,
  tablesThere,
  takeTriggersOff,
  targetName,
  wakeUp,
  withPartitions,
} from '../postgres/dormant.ts'
import { forgetWayBack } from '../postgres/finalize.ts'
import { advanceIdentities } from '../postgres/identities.ts'
import { forgetIndexes } from '../postgres/indexes.ts'
import { uninstallCapture } from '../sqlite/capture.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { checkFile, checkWritable, openReader } from '../sqlite/open.ts'
import { findNotes } from '../sqlite/recover.ts'
import { openTarget, type TargetSession } from './session.ts'

/** Takes everything of slipway out of both engines; the copied rows stay in PostgreSQL. */
export async function uninstall(config: Config, options: UninstallOptions): Promise<UninstallOutcome> {
  const path = config.sqlitePath
  // A finalized migration has no use for the file, and somebody may have put it away.
  const gone = !existsSync(path) && !options.sqliteOnly
  if (!gone) {
    checkFile(path)
    checkWritable(path)
  }
  await using target = await openTarget(config, (line) => options.observer.step(line))
  const postgres = options.sqliteOnly
    ? { removed: [], warnings: ['PostgreSQL was not asked and is as it was'] }
    : await cleaned(target, path)
  if (gone) return { sqlite: [], postgres: postgres.removed, warnings: postgres.warnings }
  const fenced = findNotes(path).authority === 'postgres'
  const sqlite = await uninstallCapture(path)
  const opened = fenced
    ? [
        `${path} is open to writes again, and stale: PostgreSQL has led since. Put it away, so that nobody writes to it by mistake`,
      ]
    : []
  return {
    sqlite: sqlite.removed,
    postgres: postgres.removed,
    warnings: [...opened, ...postgres.warnings, ...sqlite.warnings],
  }
}

function sequencesOf(path: string): Map<string, bigint> {
  const reader = openReader(path)
  try {
    return readSequences(reader)
  } finally {
    reader.close()
  }
}

/** Without PostgreSQL nobody knows whether a daemon runs: then a person has to say that SQLite alone is meant. */
async function cleaned(target: TargetSession, path: string): ReturnType<typeof cleanTarget> {
  try {
    return await cleanTarget(target, path)
  } catch (error) {
    if (!(error instanceof Failure) || error.policy !== 'transient') throw error
    throw new Failure({
      code: 'target_unreachable',
      exit: error.exit,
      message: `refused: ${error.message}`,
      remedy:
        'Start PostgreSQL first. If it is gone for good: stop the daemon, then slipway uninstall --sqlite-only',
      cause: error,
    })
  }
}

async function cleanTarget(
  target: TargetSession,
  path: string,
): Promise<{ removed: string[]; warnings: string[] }> {
  const { control, connection } = target
  const state = await control.read()
  if (state?.phase !== 'finalized') checkFile(path)
  if (state === undefined) return { removed: [], warnings: [] }
  if (state.authority !== 'sqlite' && state.phase !== 'finalized') {
    throw new Failure({
      code: 'wrong_authority',
      exit: 1,
      message: `refused: ${state.authority} has the authority (phase ${state.phase}), and the way back would be lost`,
      remedy: 'Roll back first (slipway rollback), or end the migration (slipway finalize).',
    })
  }
  if (state.phase !== 'finalized') refuseUnsettled(path, state)
  const answer = await control.acquire(target.lock)
  if (!answer.held) {
    throw new Failure({
      code: 'held_elsewhere',
      exit: 1,
      message: `refused: another slipway (${answer.by}) is working on this migration`,
      remedy: 'Stop the daemon first, then run slipway uninstall again.',
    })
  }
  const removed: string[] = []
  const warnings = await connection.transaction(async (client) => {
    await lockRow(client, target, state)
    const tables = await tablesThere(client, state.tables)
    const back = await wakeUp(client, await readDormant(client, control.migration))
    for (const name of await withPartitions(client, tables)) {
      if ((await takeTriggersOff(client, name)) > 0) removed.push(`gate of ${name}`)
    }
    await forgetWayBack(client, state.id)
    for (const table of tables) {
      if (table.key.kind !== 'rowid') continue
      await client.query(`ALTER TABLE ${targetName(table)} DROP COLUMN IF EXISTS ${quote(HIDDEN_KEY)}`)
    }
    await forgetIndexes(client, tables)
    // Who goes on with PostgreSQL from here finds it ready to take new rows. Where it leads its sequences are in use.
    if (state.authority === 'sqlite') await advanceIdentities(client, tables, sequencesOf(path))
    await client.query('DELETE FROM slipway.control WHERE migration = $1', [control.migration])
    await client.query(`DROP SEQUENCE IF EXISTS slipway.${quote(`gate_${state.id}`)}`)
    removed.push(`migration ${control.migration}`)
    const { rows } = await client.query('SELECT count(*)::int AS n FROM slipway.control')
    if (rows[0].n === 0) {
      await client.query('DROP SCHEMA slipway CASCADE')
      removed.push('schema slipway')
    }
    return back
  })
  return { removed, warnings }
}

/** A change of authority that was begun and not ended: SQLite may not have every row yet. */
function refuseUnsettled(path: string, state: ControlState): void {
  const standing = standingOf(findNotes(path), state)
  if (standing.kind === 'sqlite') return
  throw new Failure({
    code: 'wrong_authority',
    exit: 1,
    message:
      standing.kind === 'divided'
        ? `refused: ${standing.reason}`
        : 'refused: a change of authority was begun and not ended, so SQLite may not have every row yet',
    remedy:
      standing.kind === 'divided'
        ? standing.remedy
        : 'Start the daemon, which ends it by itself, and see slipway status.',
  })
}

type Client = Parameters<Parameters<TargetSession['connection']['transaction']>[0]>[0]

/** As the holder, on the row as it was read. */
async function lockRow(client: Client, { control }: TargetSession, state: ControlState): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM slipway.control WHERE migration = $1 AND holder = $2 AND epoch = $3 AND authority = $4 AND phase = $5
     FOR UPDATE`,
    [control.migration, control.holder, state.epoch, state.authority, state.phase],
  )
  if (rowCount !== 1) throw displaced()
}
