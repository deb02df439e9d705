/**
 * What sleeps while SQLite leads acts while PostgreSQL does: it comes back in the decision, is validated after it, and
 * is put to sleep again after a rollback. See dormant.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { messageOf } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { sqlstate } from './connection.ts'
import { type Control, displaced } from './control.ts'
import { type Dormant, putToSleep, readDormant, remember } from './dormant.ts'
import { targetFingerprint } from './fingerprint.ts'
import { ANSWER_MS, type LockTimes, lockRefused, tablesBusy } from './gate-lock.ts'
import type { HeldSession } from './held-session.ts'

const GAP_MS = 15
/** Outside a pause nobody waits but slipway itself; each try is short all the same. */
const OUTSIDE_MS = 30_000

export interface Rehearsed {
  /** Those that come back. */
  readonly able: readonly Dormant[]
  /** What does not, and why. */
  readonly warnings: readonly string[]
}

/** Wakes everything in a transaction that is rolled back by the caller: what fails then would have failed in the pause. */
export async function rehearseWake(client: pg.ClientBase, sleepers: readonly Dormant[]): Promise<Rehearsed> {
  const able: Dormant[] = []
  const warnings: string[] = []
  for (const sleeper of sleepers) {
    await client.query('SAVEPOINT slipway_wake')
    try {
      await client.query(sleeper.wake)
      able.push(sleeper)
    } catch (error) {
      if (lockRefused(error)) throw error
      await client.query('ROLLBACK TO SAVEPOINT slipway_wake')
      warnings.push(
        `${sleeper.kind} ${sleeper.name} of ${sleeper.table} does not come back: ${messageOf(error)}`,
      )
    }
  }
  return { able, warnings }
}

export interface Waking {
  readonly sleepers: readonly Dormant[]
  /** Qualified and quoted, for people: whose locks are looked at. */
  readonly tables: readonly string[]
  readonly times: LockTimes
  /** `performance.now()` at which it is given up. */
  readonly deadline: number
}

/**
 * Brings them back in the transaction that is open, in one message and a savepoint. A lock that is not to be had, since
 * VACUUM or a reader has the table, is asked for again with short tries, so that nobody waits behind us for long. Throws
 * Failure `target_busy`.
 */
export async function wakeNow(session: HeldSession, waking: Waking): Promise<void> {
  if (waking.sleepers.length === 0) return
  for (;;) {
    const left = Math.max(1, waking.deadline - performance.now())
    const slice = Math.floor(Math.min(waking.times.slice, left))
    const sql = [
      'SAVEPOINT slipway_wake',
      `SET LOCAL lock_timeout = ${Math.max(1, slice)}`,
      ...waking.sleepers.map((sleeper) => sleeper.wake),
      'RELEASE SAVEPOINT slipway_wake',
    ].join(';\n')
    try {
      await session.run(left + ANSWER_MS, (client) => client.query(sql))
      return
    } catch (error) {
      if (!lockRefused(error)) throw error
      await session.run(ANSWER_MS, (client) => client.query('ROLLBACK TO SAVEPOINT slipway_wake'))
    }
    if (performance.now() + GAP_MS >= waking.deadline)
      throw await session.run(ANSWER_MS, (client) => tablesBusy(client, waking.tables))
    await sleep(GAP_MS)
  }
}

export interface Aftermath {
  readonly connection: Connection
  readonly control: Control
  readonly tables: readonly TableSpec[]
  readonly times: LockTimes
}

/**
 * After a switchover, outside the pause: the constraints that came back NOT VALID are validated, each in a transaction
 * of its own. A CHECK that rows break is left out, since it would refuse the next change of such a row; a foreign key
 * that they break stays NOT VALID. Safe to run again. Returns what is not whole.
 */
export async function validateAwake(after: Aftermath): Promise<string[]> {
  const { connection, control } = after
  const sleepers = await connection.use((client) => readDormant(client, control.migration))
  const warnings: string[] = []
  for (const { table, kind, name } of sleepers) {
    if (kind === 'trigger') continue
    const pending = await connection.use(async (client) => {
      const { rows } = await client.query(
        'SELECT convalidated AS valid FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2',
        [table, name],
      )
      return rows[0]?.valid === false
    })
    if (!pending) continue
    try {
      // It reads the whole table: the control row stays free meanwhile.
      await patiently(after, 'postgres', 'look', (client) =>
        client.query(`ALTER TABLE ${table} VALIDATE CONSTRAINT ${quote(name)}`),
      )
    } catch (error) {
      if (!/^23/.test(sqlstate(error) ?? '')) throw error
      if (kind !== 'own_check') {
        warnings.push(`foreign key ${name} of ${table} stays NOT VALID: ${messageOf(error)}`)
        continue
      }
      await patiently(after, 'postgres', 'lock', (client) => leaveOut(client, after, table, name))
      warnings.push(`CHECK ${name} of ${table} is left out: ${messageOf(error)}`)
    }
  }
  return warnings
}

/** The fingerprint follows our own DDL only where it was right until then: foreign DDL must not hide behind it. */
async function leaveOut(
  client: pg.ClientBase,
  { control, tables }: Aftermath,
  table: string,
  name: string,
): Promise<void> {
  await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
  const before = await targetFingerprint(client, tables)
  await client.query(`ALTER TABLE ${table} DROP CONSTRAINT IF EXISTS ${quote(name)}`)
  const after = await targetFingerprint(client, tables)
  const { rows } = await client.query(
    'UPDATE slipway.control SET fingerprint = $3 WHERE migration = $1 AND fingerprint = $2 RETURNING id',
    [control.migration, before, after],
  )
  // What the way back has accepted since (postgres/reverse-drift.ts).
  await client.query(
    'UPDATE slipway.captured SET fingerprint = $3 WHERE migration = $1 AND fingerprint = $2',
    [rows[0]?.id ?? null, before, after],
  )
}

/**
 * After a rollback, outside the pause and before anything is applied: foreign keys and CHECKs of ours are dropped and
 * user triggers disabled, those too that came while PostgreSQL led. The notes that bring them back stay. Safe to run
 * again.
 */
export async function sleepAgain(after: Aftermath): Promise<void> {
  const { control, tables } = after
  await patiently(after, 'sqlite', 'lock', async (client) => {
    for (const { table, kind, name } of await readDormant(client, control.migration)) {
      if (kind !== 'own_check' && kind !== 'own_foreign_key') continue
      await client.query(`ALTER TABLE IF EXISTS ${table} DROP CONSTRAINT IF EXISTS ${quote(name)}`)
    }
    for (const sleeper of await putToSleep(client, tables)) await remember(client, control.migration, sleeper)
    await client.query('UPDATE slipway.control SET awake = false WHERE migration = $1', [control.migration])
  })
}

/** A transaction of the holder in this authority, tried again while locks are not to be had. */
async function patiently(
  { connection, control, times }: Aftermath,
  authority: 'sqlite' | 'postgres',
  strength: 'look' | 'lock',
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const deadline = performance.now() + OUTSIDE_MS
  for (let tries = 1; ; tries++) {
    try {
      return await connection.transaction(async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${times.slice}`)
        const { rowCount } = await client.query(
          `SELECT 1 FROM slipway.control WHERE migration = $1 AND holder = $2 AND epoch = $3 AND authority = $4
           ${strength === 'lock' ? 'FOR NO KEY UPDATE' : ''}`,
          [control.migration, control.holder, control.epoch, authority],
        )
        if (rowCount !== 1) throw displaced()
        // An autovacuum makes room for whoever has waited longer than the deadlock timeout.
        if (tries % 5 === 0) await client.query(`SET LOCAL lock_timeout = ${times.patient}`)
        await work(client)
      })
    } catch (error) {
      if (!lockRefused(error) || performance.now() > deadline) throw error
      await sleep(100)
    }
  }
}
