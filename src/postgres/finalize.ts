/** The end of a migration on PostgreSQL: the way back goes, and nothing of slipway stands in a write's way any more. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { type Control, displaced } from './control.ts'
import { takeTriggersOff, withPartitions } from './dormant.ts'
import { lockRefused, lockTimes, tablesBusy } from './gate-lock.ts'

/** Between two tries: whoever waited behind ours goes on. */
const GAP_MS = 100
/** For all tables; what is left then is done by the next call. */
const PATIENCE_MS = 60_000

export interface Ending {
  readonly connection: Connection
  readonly control: Control
  /** control.id. */
  readonly id: number
  readonly tables: readonly TableSpec[]
  readonly signal: AbortSignal
}

/**
 * From here on no rollback begins. Compare-and-set by the holder; true where it was so already. Throws Failure
 * `wrong_phase` (409) while PostgreSQL does not lead at rest.
 */
export async function enterFinalized({ connection, control }: Ending): Promise<boolean> {
  return await connection.transaction(async (client) => {
    const { rows } = await client.query(
      'SELECT holder, authority, epoch::int, phase FROM slipway.control WHERE migration = $1 FOR NO KEY UPDATE',
      [control.migration],
    )
    const found = rows[0]
    if (found?.holder !== control.holder || found.epoch !== control.epoch) throw displaced()
    if (found.phase === 'finalized') return true
    if (found.authority !== 'postgres' || found.phase !== 'switched_over') {
      throw new Failure({
        code: 'wrong_phase',
        status: 409,
        exit: 1,
        message: `a migration is finalized in phase switched_over, and this one is in phase ${found.phase}`,
        remedy: 'See: slipway status',
      })
    }
    await client.query(
      `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)`,
    )
    await client.query(`UPDATE slipway.control SET phase = 'finalized', unsafe = '{}' WHERE migration = $1`, [
      control.migration,
    ])
    return false
  })
}

/**
 * Gate and capture off every table, one table a transaction, by short tries for its lock: readers and writers of the
 * application are never kept waiting for long. Safe to run again. Throws Failure `target_busy` where a table stays
 * locked.
 */
export async function takeWayBackOff(ending: Ending): Promise<void> {
  const { connection, id, tables, signal } = ending
  const times = await connection.use(lockTimes)
  const deadline = performance.now() + PATIENCE_MS
  for (const name of await connection.use((client) => withPartitions(client, tables))) {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      try {
        await connection.transaction(async (client) => {
          // An autovacuum makes room for whoever has waited longer than the deadlock timeout.
          const wait = tries % 5 === 0 ? times.patient : times.slice
          await client.query(`SET LOCAL lock_timeout = ${wait}`)
          await takeTriggersOff(client, name)
        })
        break
      } catch (error) {
        if (!lockRefused(error)) throw error
        if (performance.now() > deadline) throw await connection.use((client) => tablesBusy(client, [name]))
        await sleep(GAP_MS, undefined, { signal })
      }
    }
  }
  await connection.transaction((client) => forgetWayBack(client, id))
}

/** The functions of capture, and what it has logged. The triggers are gone. */
export async function forgetWayBack(client: pg.ClientBase, id: number): Promise<void> {
  const { rows } = await client.query(
    `SELECT p.oid::regprocedure::text AS name FROM pg_proc p
     WHERE p.pronamespace = to_regnamespace('slipway') AND (p.proname LIKE $1 OR p.proname = $2)`,
    [`capture\\_${id}\\_%`, `ring_${id}`],
  )
  for (const { name } of rows) await client.query(`DROP FUNCTION ${name}`)
  await client.query(`DROP SEQUENCE IF EXISTS slipway.${quote(`bell_${id}`)}`)
  await client.query('DELETE FROM slipway.changelog WHERE migration = $1', [id])
  await client.query('DELETE FROM slipway.captured WHERE migration = $1', [id])
}
