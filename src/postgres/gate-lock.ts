import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { sqlstate } from './connection.ts'
import type { HeldSession } from './held-session.ts'

/** Class of the gate's advisory lock; the other half is control.id. Also in triggers/postgres/gate_function.sql. */
export const GATE_LOCK = 7_514
/** Between two tries: those who waited behind ours go on. */
const GAP_MS = 15
/** How long one try waits at most. While it does, whoever comes later waits behind it. */
const LONGEST_TRY_MS = 300
/** For the answer itself, after the server's own timeout. */
export const ANSWER_MS = 500

export interface LockTimes {
  /** One try for a lock, ms: below the deadlock timeout, so that no application is ever the victim (trap H18). */
  readonly slice: number
  /** Longer than the deadlock timeout, ms: after that an autovacuum makes room. Never inside a pause. */
  readonly patient: number
}

export async function lockTimes(client: pg.ClientBase): Promise<LockTimes> {
  const { rows } = await client.query(
    `SELECT setting::int AS ms FROM pg_settings WHERE name = 'deadlock_timeout'`,
  )
  const deadlock: number = rows[0]?.ms ?? 1_000
  return {
    slice: Math.max(1, Math.min(LONGEST_TRY_MS, Math.floor(deadlock * 0.6))),
    patient: deadlock + 300,
  }
}

/** True where a lock was not to be had, and trying again makes sense. */
export function lockRefused(error: unknown): boolean {
  return ['55P03', '40P01'].includes(sqlstate(error) ?? '')
}

export interface Closing {
  /** control.id. */
  readonly id: number
  /** SQL that begins the transaction; sent again with each try. */
  readonly begin: string
  readonly times: LockTimes
  /** `performance.now()` at which it is given up. */
  readonly deadline: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Begins a transaction that holds the gate's lock exclusively: no writer is in flight, and none gets in until it ends.
 * Short tries, since two writers may wait for one another through us. Throws Failure `writers_in_flight`.
 */
export async function closeGate(session: HeldSession, closing: Closing): Promise<void> {
  const { id, begin, times, deadline, signal } = closing
  for (;;) {
    const left = deadline - performance.now()
    const slice = Math.max(1, Math.floor(Math.min(times.slice, left)))
    const sql = `${begin}; SET LOCAL lock_timeout = ${slice}; SELECT pg_advisory_xact_lock(${GATE_LOCK}, ${id})`
    try {
      await session.run(Math.max(left, 0) + ANSWER_MS, (client) => client.query(sql), signal)
      return
    } catch (error) {
      if (!lockRefused(error)) throw error
      await session.run(ANSWER_MS, (client) => client.query('ROLLBACK'))
    }
    if (performance.now() + GAP_MS >= deadline) {
      throw await session.run(ANSWER_MS, (client) => writersInFlight(client, id))
    }
    await sleep(GAP_MS, undefined, signal === undefined ? {} : { signal })
  }
}

interface Writer {
  readonly pid: number | null
  readonly application: string | null
  readonly role: string | null
  readonly seconds: number | null
  readonly gid: string | null
}

/** Who holds the gate's lock. Of another role's sessions an ordinary role does not see the age. */
async function writersInFlight(client: pg.ClientBase, id: number): Promise<Failure> {
  const { rows } = await client.query<Writer>(
    `SELECT l.pid, a.application_name AS application, coalesce(a.usename, p.owner)::text AS role, p.gid,
            round(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)), 1)::float8 AS seconds
     FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     -- One that is prepared has no process; its other lock tells its number.
     LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
       AND x.virtualtransaction = l.virtualtransaction
     LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
     WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 2 AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.pid IS DISTINCT FROM pg_backend_pid()
     ORDER BY seconds DESC NULLS LAST LIMIT 5`,
    [GATE_LOCK, id],
  )
  const prepared = rows.find((row) => row.gid !== null)
  return new Failure({
    code: 'writers_in_flight',
    policy: 'transient',
    status: 504,
    message: `transactions that write to moved tables did not end in time: ${rows.map(describe).join('; ') || 'they have just ended'}`,
    remedy:
      prepared === undefined
        ? 'End the longest of them (see pg_stat_activity), or wait for it, and try again.'
        : `COMMIT PREPARED or ROLLBACK PREPARED '${prepared.gid}' (see pg_prepared_xacts), and try again.`,
    facts: { writers: rows },
  })
}

function describe({ pid, application, role, seconds, gid }: Writer): string {
  const age = seconds === null ? '' : ` for ${seconds} s`
  if (gid !== null) return `prepared transaction "${gid}" of ${role}${age}`
  return `pid ${pid} (${application || 'no application_name'}, ${role})${age}`
}

/** Who has locks on these tables, as a Failure `target_busy`. `names`: qualified and quoted. */
export async function tablesBusy(client: pg.ClientBase, names: readonly string[]): Promise<Failure> {
  const { rows } = await client.query(
    `SELECT l.pid, l.relation::regclass::text AS "table", a.backend_type AS kind, a.application_name AS application,
            array_agg(DISTINCT l.mode) AS modes,
            round(extract(epoch FROM clock_timestamp() - a.xact_start), 1)::float8 AS seconds
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
       AND l.relation IN (SELECT to_regclass(n) FROM unnest($1::text[]) n)
     GROUP BY 1, 2, 3, 4, a.xact_start ORDER BY array_agg(DISTINCT l.mode) = '{AccessShareLock}', seconds DESC NULLS LAST LIMIT 5`,
    [names],
  )
  const who = rows.map(
    (row) =>
      `pid ${row.pid} (${row.kind === 'client backend' ? row.application || 'no application_name' : row.kind}) on ${row.table}${row.seconds === null ? '' : ` for ${row.seconds} s`}`,
  )
  return new Failure({
    code: 'target_busy',
    policy: 'transient',
    status: 504,
    message: `the constraints and triggers of the target could not come back in time: its tables are locked by ${who.join('; ') || 'somebody who has just ended'}`,
    remedy: 'Wait for VACUUM, index builds and long transactions on these tables, and try again.',
    facts: { blockers: rows },
  })
}
