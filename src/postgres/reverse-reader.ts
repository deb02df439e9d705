import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type {
  ReverseExtras,
  ReverseLag,
  ReversePosition,
  ReverseReadResult,
  ReverseSource,
  RowImages,
} from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import { type Connection, sqlstate } from './connection.ts'
import { targetName } from './dormant.ts'
import { StoredBatch } from './reverse-batch.ts'
import { isExpected, mendDrift, readExpected, readShape } from './reverse-drift.ts'
import { type Changed, ReversePages, type Work } from './reverse-pages.ts'
import {
  parseSnapshot,
  pendingSql,
  type SnapshotParts,
  type StoredToken,
  TokenMaker,
  unproven,
} from './reverse-position.ts'
import { ReverseWake } from './reverse-wake.ts'

/** Changes that `lag` counts at the most. */
const COUNTED = 1_000_000
/** Rows that one prune deletes at the most. */
const PRUNE_ROWS = 50_000
const PRUNE_SOON_MS = 2_000
/** Reads that find something new to lock, or to mend, each time. */
const ROUNDS = 20

export interface ReverseReaderOptions {
  /** Batches are read here: a session that nobody else uses. */
  readonly connection: Connection
  /** Lag, pruning and the bell: also asked while a batch is read. */
  readonly observer: Connection
  readonly listener: Connection
  readonly migration: string
  /** Of the control row. */
  readonly id: number
  /** This process, and the epoch in which PostgreSQL leads: anything else in the control row, and nothing is read. */
  readonly holder: string
  readonly epoch: number
  readonly tables: readonly TableSpec[]
  /** Drift that is known, of an earlier process. */
  readonly told?: string | undefined
  readonly retentionSeconds: number
  readonly pruneEveryMs: number
}

/** What one look at the control row, the token and the changelog says. */
interface Look {
  readonly stored: StoredToken | undefined
  /** Names in the source of tables with changes that the position does not show. */
  readonly pending: readonly string[]
}

/** The reverse change source: keys by the difference of two snapshots, rows read late in the newer one. */
export class ReverseReader implements ReverseSource, AsyncDisposable {
  readonly #options: ReverseReaderOptions
  readonly #pages: ReversePages
  readonly #wake: ReverseWake
  readonly #tokens = new TokenMaker()
  #told: string
  #batch: StoredBatch | undefined
  #last: ReversePosition | undefined
  #batches = 0
  #pruneAt: number

  constructor(options: ReverseReaderOptions) {
    this.#options = options
    this.#told = options.told ?? ''
    this.#pages = new ReversePages(options.connection, options.migration, options.tables)
    this.#wake = new ReverseWake(options.listener, options.id)
    this.#pruneAt = Date.now() + options.pruneEveryMs
  }

  get connected(): boolean {
    return this.#options.connection.connected
  }

  async read(
    after: ReversePosition,
    images: RowImages,
    signal: AbortSignal,
    extras: ReverseExtras = {},
  ): Promise<ReverseReadResult> {
    signal.throwIfAborted()
    this.#last = after
    this.#batch?.close()
    const { tables } = this.#options
    const named = new Set(extras.whole ?? [])
    const everything = tables.every(({ name }) => named.has(name))
    const asked = named.size > 0 || (extras.also ?? []).some(({ keys }) => keys.length > 0)
    const from = parseSnapshot(after.snapshot)
    const extraTables = [...named, ...(extras.also ?? []).map(({ table }) => table)]
    let locks = new Set<string>()
    for (let round = 0; round < ROUNDS; round++) {
      const look = await this.#options.connection.use((client) => this.#look(client, from))
      const reason = everything ? undefined : unproven(after, look.stored)
      if (reason !== undefined || look.stored === undefined) {
        return { kind: 'forgotten', reason: reason ?? 'PostgreSQL has no token of the way back' }
      }
      if (look.pending.length === 0 && !asked) {
        if (await this.#isAsExpected()) return this.#empty()
      } else {
        locks = new Set([...locks, ...look.pending, ...extraTables])
        const found = await this.#readBatch(after, from, { images, signal, extras, locks })
        if (found instanceof StoredBatch) return await this.#full(found)
        if (found !== 'drift') {
          locks = found
          continue
        }
      }
      const { reasons, fatal, altered } = await this.#mend()
      const told = reasons.join('; ')
      if (fatal) return { kind: 'drift', reason: told, fatal, altered }
      if (told !== this.#told) {
        this.#told = told
        return { kind: 'drift', reason: told, fatal, altered }
      }
    }
    throw new Failure({
      code: 'reverse_unsettled',
      policy: 'transient',
      message: 'the tables on PostgreSQL change faster than they can be read: it is tried again',
    })
  }

  #empty(): ReverseReadResult {
    this.#batches = 0
    return { kind: 'empty' }
  }

  async #full(batch: StoredBatch): Promise<ReverseReadResult> {
    this.#batch = batch
    // One batch is no stream yet: the next change may be long in coming.
    if (++this.#batches === 3) await this.#wake.quiet()
    return { kind: 'batch', batch }
  }

  /** One statement, which writes nothing: an idle reader costs no more. */
  async #look(client: pg.ClientBase, from: SnapshotParts): Promise<Look> {
    const { migration, holder, epoch } = this.#options
    const { rows } = await client.query({
      name: 'slipway_reverse_look',
      text: `
        SELECT t.token, t.earlier, t.pruned::text AS pruned,
               coalesce((SELECT json_agg(DISTINCT p.tbl) FROM ${pendingSql('l.tbl', 'c.id', '$4', '$5')} p), '[]') AS pending
        FROM slipway.control c LEFT JOIN slipway.token t USING (migration)
        WHERE c.migration = $1 AND c.holder = $2 AND c.epoch = $3 AND c.authority = 'postgres'`,
      values: [migration, holder, epoch, from.xmax, from.running],
    })
    const row = rows[0]
    if (row === undefined) {
      throw new Failure({
        code: 'displaced',
        policy: 'transient',
        message: 'another slipway took over, or PostgreSQL does not lead any more: nothing was read',
        remedy: 'Nothing to do: this one waits as a standby.',
      })
    }
    const stored = row.token === null ? undefined : (row as StoredToken)
    const known = new Set(this.#options.tables.map(({ name }) => name))
    return { stored, pending: row.pending.filter((name: string) => known.has(name)) }
  }

  async #isAsExpected(): Promise<boolean> {
    const { connection, id, tables } = this.#options
    return await connection.use(async (client) =>
      isExpected(await readShape(client, tables), await readExpected(client, id)),
    )
  }

  async #mend(): ReturnType<typeof mendDrift> {
    const { connection, id, tables } = this.#options
    return await connection.transaction(async (client) => {
      await client.query(`SET LOCAL lock_timeout = '2s'`)
      return await mendDrift(client, id, tables)
    })
  }

  /** The batch; or what has to be locked as well; or that the tables are not as expected. */
  async #readBatch(
    after: ReversePosition,
    from: SnapshotParts,
    work: Omit<Work, 'id' | 'from' | 'snapshot' | 'changed'> & {
      readonly locks: ReadonlySet<string>
      readonly images: RowImages
    },
  ): Promise<StoredBatch | Set<string> | 'drift'> {
    const { connection, id, tables, migration } = this.#options
    return await connection.use(async (client) => {
      try {
        const locked = tables.filter(({ name }) => work.locks.has(name))
        if (!(await begin(client, locked))) {
          await client.query('ROLLBACK')
          return 'drift'
        }
        const snapshot = (await client.query('SELECT pg_current_snapshot()::text AS s')).rows[0].s as string
        const { stored } = await this.#look(client, from)
        if (stored === undefined) throw new Error('the token row is gone')
        const counts = await client.query(
          `SELECT p.tbl, count(*)::int AS n, bool_or(p.op = 'T') AS truncated, bool_or(p.key @> '[null]') AS keyless
           FROM ${pendingSql('l.tbl, l.op, l.xid, l.key', '$1', '$2', '$3')} p WHERE pg_visible_in_snapshot(p.xid, $4) GROUP BY 1`,
          [id, from.xmax, from.running, snapshot],
        )
        const found = counts.rows.filter(({ tbl }) => tables.some(({ name }) => name === tbl))
        if (found.some(({ tbl }) => !work.locks.has(tbl))) {
          await client.query('ROLLBACK')
          return new Set([...work.locks, ...found.map(({ tbl }) => tbl as string)])
        }
        if (!isExpected(await readShape(client, tables), await readExpected(client, id))) {
          await client.query('ROLLBACK')
          return 'drift'
        }
        const changed = new Map(found.map(({ tbl, ...row }) => [tbl as string, row as Changed]))
        const { extras } = work
        const watched = (extras.watched?.() ?? []).filter(({ table }) => changed.has(table))
        const told = { ...extras, also: [...(extras.also ?? []), ...watched] }
        const parts = await this.#pages.compute(client, {
          ...work,
          ...{ extras: told, id, from, snapshot, changed },
        })
        const { token, earlier } = this.#tokens.next(stored, connection.generation)
        await client.query('UPDATE slipway.token SET token = $2, earlier = $3 WHERE migration = $1', [
          migration,
          token,
          earlier,
        ])
        await client.query('COMMIT')
        return new StoredBatch({
          connection,
          generation: connection.generation,
          from: after,
          to: { snapshot, token },
          changes: found.reduce((sum, { n }) => sum + n, 0),
          tables: parts,
        })
      } catch (error) {
        this.#pages.forget()
        await client.query('ROLLBACK').catch(() => connection.cut())
        throw error
      }
    })
  }

  async lag(after: ReversePosition): Promise<ReverseLag> {
    const { xmax, running } = parseSnapshot(after.snapshot)
    return await this.#options.observer.use(async (client) => {
      const { rows } = await client.query({
        name: 'slipway_reverse_lag',
        text: `
          SELECT count(*)::int AS pending, extract(epoch FROM min(p.at)) * 1000 AS "oldestAt", pg_current_snapshot()::text AS head
          FROM (SELECT q.at FROM ${pendingSql('l.at', '$1', '$2', '$3')} q LIMIT ${COUNTED}) p`,
        values: [this.#options.id, xmax, running],
      })
      const { pending, oldestAt, head } = rows[0]
      return { pending, oldestAt: oldestAt === null ? undefined : Number(oldestAt), head }
    })
  }

  async wake(ms: number, signal: AbortSignal): Promise<void> {
    await this.#wake.wait(ms, signal, async () => {
      const last = this.#last
      return last !== undefined && (await this.lag(last)).pending > 0
    })
  }

  /** Prunes in bulk and rarely. A server that is busy is left alone: the next round comes. */
  async acknowledge(applied: ReversePosition): Promise<void> {
    if (Date.now() < this.#pruneAt) return
    const { id, migration, retentionSeconds, pruneEveryMs, observer } = this.#options
    this.#pruneAt = Date.now() + pruneEveryMs
    const { xmin } = parseSnapshot(applied.snapshot)
    const pruned = await observer.transaction(async (client) => {
      await client.query('SET LOCAL synchronous_commit = off')
      const { rows } = await client.query(
        `WITH oldest AS MATERIALIZED (
           SELECT ctid AS place, at FROM slipway.changelog WHERE migration = $1 AND xid < $2::xid8 ORDER BY xid LIMIT ${PRUNE_ROWS}),
         gone AS (
           DELETE FROM slipway.changelog WHERE ctid = ANY (ARRAY(
             SELECT place FROM oldest WHERE at < clock_timestamp() - $3 * interval '1 second')) RETURNING xid)
         SELECT count(*)::int AS n, max(xid::text::numeric)::text AS newest FROM gone`,
        [id, xmin, retentionSeconds],
      )
      const { n, newest } = rows[0]
      if (n > 0) {
        await client.query(
          'UPDATE slipway.token SET pruned = $2::xid8 WHERE migration = $1 AND (pruned IS NULL OR pruned < $2::xid8)',
          [migration, newest],
        )
      }
      return n as number
    })
    // More is old than one prune takes: the rest goes soon, or the changelog would outgrow its retention.
    if (pruned === PRUNE_ROWS) this.#pruneAt = Date.now() + PRUNE_SOON_MS
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#batch?.close()
    const { connection, observer, listener } = this.#options
    await Promise.all([connection.close(), observer.close(), listener.close()])
  }
}

/**
 * The tables are locked before the snapshot is taken, which neither LOCK nor SET does: a TRUNCATE or a rewriting ALTER
 * TABLE that comes in between would show empty tables, and keys read late would become deletes (trap H16). False where
 * one is not there.
 */
async function begin(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<boolean> {
  const lock =
    tables.length === 0 ? '' : `; LOCK TABLE ${tables.map(targetName).join(', ')} IN ACCESS SHARE MODE`
  try {
    // The stages have no statistics, and the target is found by its key: nothing else is worth its start.
    await client.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '3s'; SET LOCAL synchronous_commit = on;
       SET LOCAL random_page_cost = 1.1; SET LOCAL jit = off${lock}`,
    )
    return true
  } catch (error) {
    if (['42P01', '42809', '3F000'].includes(sqlstate(error) ?? '')) return false
    throw error
  }
}
