import type { UninstallOptions, UninstallOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY } from '../core/table.ts'
import { readDormant, takeGateOff, targetName, wakeUp, withPartitions } from '../postgres/dormant.ts'
import { advanceIdentities } from '../postgres/identities.ts'
import { forgetIndexes } from '../postgres/indexes.ts'
import { uninstallCapture } from '../sqlite/capture.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { checkFile, checkWritable, openReader } from '../sqlite/open.ts'
import { openTarget, type TargetSession } from './session.ts'

/** Takes everything of slipway out of both engines; the copied rows stay in PostgreSQL. */
export async function uninstall(config: Config, options: UninstallOptions): Promise<UninstallOutcome> {
  checkFile(config.sqlitePath)
  checkWritable(config.sqlitePath)
  await using target = await openTarget(config, (line) => options.observer.step(line))
  const postgres = options.sqliteOnly
    ? { removed: [], warnings: ['PostgreSQL was not asked and is as it was'] }
    : await cleaned(target, sequencesOf(config.sqlitePath))
  const sqlite = await uninstallCapture(config.sqlitePath)
  return {
    sqlite: sqlite.removed,
    postgres: postgres.removed,
    warnings: [...postgres.warnings, ...sqlite.warnings],
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
async function cleaned(
  target: TargetSession,
  used: ReadonlyMap<string, bigint>,
): ReturnType<typeof cleanTarget> {
  try {
    return await cleanTarget(target, used)
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
  used: ReadonlyMap<string, bigint>,
): Promise<{ removed: string[]; warnings: string[] }> {
  const { control, connection } = target
  const state = await control.read()
  if (state === undefined) return { removed: [], warnings: [] }
  if (state.authority !== 'sqlite' && state.phase !== 'finalized') {
    throw new Failure({
      code: 'wrong_authority',
      exit: 1,
      message: `refused: ${state.authority} has the authority (phase ${state.phase}), and the way back would be lost`,
      remedy: 'Roll back first (slipway rollback), or end the migration (slipway finalize).',
    })
  }
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
    await control.admit(client, 'update')
    const back = await wakeUp(client, await readDormant(client, control.migration))
    for (const name of await withPartitions(client, await existing(client, state.tables))) {
      await takeGateOff(client, name)
      removed.push(`gate of ${name}`)
    }
    for (const table of await existing(client, state.tables)) {
      if (table.key.kind !== 'rowid') continue
      await client.query(`ALTER TABLE ${targetName(table)} DROP COLUMN IF EXISTS ${quote(HIDDEN_KEY)}`)
    }
    await forgetIndexes(client, await existing(client, state.tables))
    // Who goes on with PostgreSQL from here finds it ready to take new rows.
    await advanceIdentities(client, await existing(client, state.tables), used)
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

type Client = Parameters<Parameters<TargetSession['connection']['transaction']>[0]>[0]

/** Tables that are still there: a person may have dropped some. */
async function existing<T extends { readonly schema: string; readonly target: string }>(
  client: Client,
  tables: readonly T[],
): Promise<T[]> {
  const { rows } = await client.query(
    'SELECT n, to_regclass(n) IS NOT NULL AS there FROM unnest($1::text[]) AS n',
    [tables.map((table) => quote(table.schema, table.target))],
  )
  const there = new Set(rows.filter((row) => row.there).map((row) => row.n))
  return tables.filter((table) => there.has(quote(table.schema, table.target)))
}
