/** What the guards of a change of authority ask of PostgreSQL. Reads only, and takes no lock that anybody waits for. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { ForeignTransaction, TargetGuardFacts } from '../core/guard-facts.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { withPartitions } from './dormant.ts'
import { GATE_LOCK } from './gate-lock.ts'

/** Between the two looks at a transaction whose age the role may not see. */
const LOOK_AGAIN_MS = 300
/** Over pg_class c and pg_namespace n. */
const QUALIFIED = `format('%I.%I', n.nspname, c.relname)`
const PROBES = 3
const POLL_MS = 2

interface TargetProbe {
  readonly migration: string
  /** Of the control row. */
  readonly id: number
  /** This process, whose own sessions are in nobody's way. */
  readonly holder: string
  readonly tables: readonly TableSpec[]
  readonly signal: AbortSignal
}

export async function readTargetGuardFacts(
  connection: Connection,
  probe: TargetProbe,
): Promise<TargetGuardFacts> {
  const names = await connection.use((client) => withPartitions(client, probe.tables))
  let found = await connection.use((client) => transactions(client, probe, names))
  if (found.some(({ seconds }) => seconds === null)) {
    // Only those that are there at both looks are old, as far as anybody can tell.
    await sleep(LOOK_AGAIN_MS, undefined, { signal: probe.signal })
    const again = await connection.use((client) => transactions(client, probe, names))
    const there = new Set(found.map(({ virtual }) => virtual))
    found = again.filter(({ seconds, virtual }) => seconds !== null || there.has(virtual))
  }
  return await connection.use(async (client) => {
    const prepared = await client.query(
      'SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 100',
    )
    const unlogged = await client.query(
      `SELECT ${QUALIFIED} AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.oid = ANY ($1::regclass[]) AND c.relpersistence <> 'p' ORDER BY 1`,
      [names],
    )
    const asleep = await client.query(
      `SELECT count(*)::int AS n FROM slipway.dormant JOIN slipway.control c USING (migration)
       WHERE migration = $1 AND NOT c.awake`,
      [probe.migration],
    )
    return {
      transactions: found.map(({ virtual: _, ...shown }) => shown),
      prepared: prepared.rows.map((row) => row.gid),
      unlogged: unlogged.rows.map((row) => row.name),
      roundTripMs: await roundTrip(client),
      dormant: asleep.rows[0].n,
    }
  })
}

interface Found extends ForeignTransaction {
  /** Names the transaction for as long as it lives. */
  readonly virtual: string
}

/**
 * Transactions of others that the pause would have to wait for: writers in flight, which share the gate's lock, and
 * whoever holds a lock on a moved table that the decision's own would wait for; readers are in nobody's way. An
 * autovacuum gives way by itself, unless it prevents wraparound.
 */
async function transactions(
  client: pg.ClientBase,
  { id, holder }: TargetProbe,
  names: readonly string[],
): Promise<Found[]> {
  const { rows } = await client.query(
    `SELECT l.virtualtransaction AS virtual, a.pid, coalesce(nullif(a.application_name, ''), 'a client') AS client,
            coalesce(a.usename, 'the server') AS role, coalesce(a.state, 'hidden') AS state,
            extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,
            bool_or(l.locktype = 'advisory') AS writes,
            a.backend_type = 'autovacuum worker' OR a.query ~* '^\\s*vacuum\\M' AS vacuum,
            array_agg(DISTINCT ${QUALIFIED}) FILTER (WHERE l.locktype = 'relation') AS tables
     FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       LEFT JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE l.granted AND a.datname = current_database() AND l.pid <> pg_backend_pid()
       AND NOT starts_with(a.application_name, $3)
       AND ((l.locktype = 'advisory' AND l.classid = ${GATE_LOCK} AND l.objid = $1::int::oid AND l.objsubid = 2)
         OR (l.locktype = 'relation' AND l.relation = ANY ($2::regclass[]) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')))
       AND (a.usename IS NOT NULL OR a.query LIKE '%(to prevent wraparound)')
     GROUP BY l.virtualtransaction, a.pid, a.application_name, a.usename, a.state, a.xact_start, a.backend_type, a.query
     ORDER BY a.xact_start NULLS FIRST, a.pid LIMIT 100`,
    [id, names, `slipway ${holder} `],
  )
  return rows.map((row) => ({
    virtual: row.virtual,
    who: `${row.client} as ${row.role} (pid ${row.pid})`,
    state: row.state,
    seconds: row.seconds,
    why: row.writes ? 'writes through the gate' : row.vacuum ? 'is a VACUUM' : 'holds a lock',
    tables: row.tables ?? [],
  }))
}

/** The shortest of a few, ms. */
async function roundTrip(client: pg.ClientBase): Promise<number> {
  const times: number[] = []
  for (let probe = 0; probe < PROBES; probe++) {
    const startedAt = performance.now()
    await client.query('SELECT 1')
    times.push(performance.now() - startedAt)
  }
  return Math.min(...times)
}

/**
 * How long writers in flight need to end, ms: what a rollback would wait for, since later ones wait for it. Looked at
 * and not locked. Ends after `mostMs`.
 */
export async function probeWriters(
  connection: Connection,
  id: number,
  mostMs: number,
  signal: AbortSignal,
): Promise<number> {
  const startedAt = performance.now()
  const writing = async (): Promise<string[]> =>
    await connection.use(async (client) => {
      const { rows } = await client.query(
        `SELECT virtualtransaction AS virtual FROM pg_locks WHERE locktype = 'advisory' AND classid = ${GATE_LOCK}
           AND objid = $1::int::oid AND objsubid = 2 AND granted AND pid IS NOT NULL
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        [id],
      )
      return rows.map((row) => row.virtual)
    })
  let left = await writing()
  while (left.length > 0 && performance.now() - startedAt < mostMs) {
    await sleep(POLL_MS, undefined, { signal })
    const now = new Set(await writing())
    left = left.filter((virtual) => now.has(virtual))
  }
  return performance.now() - startedAt
}
