/**
 * What `slipway recover` does to PostgreSQL: a person has decided who leads, and the control row follows, in an epoch
 * that neither side has seen. One durable transaction, by the holder, on the row as it was read.
 */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import type { ReversePosition } from '../core/reverse.ts'
import type { UsedIds } from '../core/switching.ts'
import { rehearseWake } from './awake.ts'
import type { Connection } from './connection.ts'
import { type Control, displaced } from './control.ts'
import type { ControlState } from './control-state.ts'
import { asleepOf, readDormant, tablesThere } from './dormant.ts'
import { targetFingerprint } from './fingerprint.ts'
import { closeGate, lockTimes } from './gate-lock.ts'
import { HeldSession } from './held-session.ts'
import { giveHiddenKeys } from './hidden-key.ts'
import { advanceIdentities, lastIds } from './identities.ts'

/** Writers in flight are waited for as long as this: nothing that PostgreSQL accepts after it is closed may be lost. */
const WRITERS_MS = 10_000
const STATEMENT_MS = 60_000
const DURABLE = `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)`

interface Recovery {
  readonly connection: Connection
  readonly control: Control
  /** As it was read, which must be found again. */
  readonly state: ControlState
  readonly epoch: number
}

/**
 * SQLite leads: the gate is closed, writers in flight have ended. What was moved is compared whole before it counts as
 * replicated, since nobody knows what is different. Returns the ids that PostgreSQL gave out. Throws Failure
 * `writers_in_flight` where a transaction does not end.
 */
export async function closeTarget({ connection, control, state, epoch }: Recovery): Promise<UsedIds> {
  const times = await connection.use(lockTimes)
  const session = await HeldSession.take(connection, WRITERS_MS)
  try {
    await closeGate(session, {
      id: state.id,
      begin: `BEGIN; ${DURABLE}; SET LOCAL statement_timeout = ${STATEMENT_MS}`,
      times,
      deadline: performance.now() + WRITERS_MS,
    })
    return await session.run(STATEMENT_MS, async (client) => {
      await expect(client, control, state)
      const used = await lastIds(client, await tablesThere(client, state.tables))
      // A copy that was not finished goes on; a finished one is compared. Without the installation that it belongs to
      // the next start installs capture again, and takes every table for doubtful.
      await client.query(
        `UPDATE slipway.control SET authority = 'sqlite', epoch = $2, attempt = attempt + 1, since = clock_timestamp(),
           phase = CASE WHEN phase IN ('new', 'snapshotting') THEN phase ELSE 'catching_up' END,
           installation = CASE WHEN phase IN ('new', 'snapshotting') THEN installation ELSE '' END,
           reverse_start = NULL, fingerprint = '', unsafe = '{}', pauses = '{}'
         WHERE migration = $1`,
        [control.migration, epoch],
      )
      await client.query(`SELECT setval('slipway.gate_${state.id}', ${2 * epoch}); COMMIT`)
      control.enterEpoch(epoch)
      return used
    })
  } finally {
    await session.release()
  }
}

/** A position whose token no server has, for SQLite's note: the way back begins with a comparison of everything. */
export async function unprovenPosition(connection: Connection): Promise<ReversePosition> {
  return await connection.use(async (client) => {
    const { rows } = await client.query('SELECT pg_current_snapshot()::text AS snapshot')
    return { snapshot: rows[0].snapshot, token: `recovered-${randomBytes(12).toString('base64url')}` }
  })
}

/**
 * PostgreSQL leads: identities above what either side gave out, what sleeps comes back, the gate opens. Returns what did
 * not come back. `reason` stands in /status until everything was compared.
 */
export async function openTarget(
  { connection, control, state, epoch }: Recovery,
  used: UsedIds,
  reason: string,
): Promise<readonly string[]> {
  return await connection.transaction(async (client) => {
    await client.query(DURABLE)
    await expect(client, control, state)
    const tables = await tablesThere(client, state.tables)
    await giveHiddenKeys(client, tables)
    const given = new Map(await lastIds(client, tables))
    for (const [table, id] of used) if (id > (given.get(table) ?? 0n)) given.set(table, id)
    await advanceIdentities(client, tables, given)
    const sleepers = await asleepOf(client, await readDormant(client, control.migration))
    const { warnings } = await rehearseWake(client, sleepers)
    await client.query(
      `INSERT INTO slipway.token (migration, token) VALUES ($1, $2)
       ON CONFLICT (migration) DO UPDATE SET token = excluded.token`,
      [control.migration, randomBytes(18).toString('base64url')],
    )
    await client.query(
      `UPDATE slipway.control SET authority = 'postgres', epoch = $2, attempt = attempt + 1, since = clock_timestamp(),
         phase = 'switched_over', reverse_start = pg_current_snapshot()::text, fingerprint = $3, awake = true,
         unsafe = jsonb_build_object('recovered', $4::text), pauses = '{}', dirty = '{}'
       WHERE migration = $1`,
      [control.migration, epoch, await targetFingerprint(client, state.tables), reason],
    )
    // Of an epoch to come: without the COMMIT it opens nothing.
    await client.query(`SELECT setval('slipway.gate_${state.id}', ${2 * epoch + 1})`)
    return warnings
  })
}

/** The control row is locked, ours, and as it was read. */
async function expect(client: pg.ClientBase, control: Control, state: ControlState): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM slipway.control WHERE migration = $1 AND holder = $2 AND authority = $3 AND epoch = $4 AND attempt = $5
     FOR NO KEY UPDATE`,
    [control.migration, control.holder, state.authority, state.epoch, state.attempt],
  )
  if (rowCount !== 1) throw displaced()
}
