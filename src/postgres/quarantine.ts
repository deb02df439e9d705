import type pg from 'pg'
import { showKey } from '../core/key.ts'
import type { QuarantineEntry, QuarantineReport } from '../core/operator.ts'
import type { KeySet, SetAside } from '../core/ports.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { decodedSql, keyTextSql } from './key-text.ts'
import { REFUSAL, REFUSED } from './sift.ts'
import { quoteList } from './stage.ts'

/** Keys that one answer holds at the most. */
const KEYS = 10_000
/** Keys that one batch is asked to try again. */
const DUE = 1_000
/** Keys that are looked up one by one. */
const FEW = 20_000
const COUNT_MS = 1_000

/** Rows of this transaction that left the quarantine, and rows that came into it; emptied by each commit. */
const SCRATCH = `
  CREATE TEMP TABLE IF NOT EXISTS slipway_left (tbl text, key text, since timestamptz, attempts int) ON COMMIT DELETE ROWS;
  CREATE TEMP TABLE IF NOT EXISTS slipway_new (tbl text, key text, shown text, blocking boolean, level int) ON COMMIT DELETE ROWS;
  ${REFUSED}; ${REFUSAL}`

/**
 * The rows of one migration that the target cannot hold. Everything happens in the caller's transaction, so that a row
 * is either in the target or here, and never in neither or both.
 */
export class Quarantine {
  readonly migration: string
  #generation = -1
  #moved = { left: 0, put: 0 }
  #counted: { readonly rows: number; readonly at: number } | undefined

  constructor(migration: string) {
    this.migration = migration
  }

  /** A transaction begins. */
  begin(): void {
    this.#moved = { left: 0, put: 0 }
  }

  /** Rows that left and rows that were put in since `begin`. */
  get moved(): { readonly left: number; readonly put: number } {
    return this.#moved
  }

  /** Makes the scratch tables in a new session. After a rollback: `forget`. */
  async prepare(client: pg.ClientBase, generation: number): Promise<void> {
    if (this.#generation === generation) return
    await client.query(SCRATCH)
    this.#generation = generation
  }

  forget(): void {
    this.#generation = -1
    this.#counted = undefined
  }

  async isEmpty(client: pg.ClientBase): Promise<boolean> {
    const { rows } = await client.query({
      name: 'slipway_quarantine_any',
      text: `SELECT NOT EXISTS (SELECT 1 FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward') AS empty`,
      values: [this.migration],
    })
    return rows[0].empty
  }

  /**
   * Every touched key leaves, whatever comes of it now: the keys of stage tables, which hold so many `rows`, and
   * `others`.
   */
  async touch(
    client: pg.ClientBase,
    table: TableSpec,
    {
      stages,
      rows,
      others = [],
    }: { readonly stages: readonly string[]; readonly rows: number; readonly others?: readonly string[] },
  ): Promise<void> {
    const keys = [
      ...stages.map((stage) => `SELECT ${keyTextSql(table, 's')} AS key FROM ${stage} s`),
      'SELECT unnest($3::text[]) AS key',
    ].join(' UNION ALL ')
    const here = `q.migration = $1 AND q.direction = 'forward' AND q.tbl = $2 AND md5(q.key) = md5(k.key) AND q.key = k.key`
    // The planner knows nothing of a stage: for a few keys it would read the whole quarantine.
    const found =
      rows + others.length > FEW
        ? `SELECT q.ctid FROM slipway.quarantine q JOIN (${keys}) k ON ${here}`
        : `SELECT f.ctid FROM (${keys}) k CROSS JOIN LATERAL (SELECT q.ctid FROM slipway.quarantine q WHERE ${here} OFFSET 0) f`
    const { rowCount } = await client.query(
      `WITH gone AS (
         DELETE FROM slipway.quarantine WHERE ctid = ANY (ARRAY(${found})) RETURNING tbl, key, since, attempts)
       INSERT INTO pg_temp.slipway_left SELECT * FROM gone`,
      [this.migration, table.name, others],
    )
    this.#moved.left += rowCount ?? 0
  }

  /**
   * Puts rows in: `select` yields key, shown, kind, col, reason, value, blocking, facts. What was here before this
   * transaction keeps its age and is counted on. Returns how many.
   */
  async put(
    client: pg.ClientBase,
    table: string,
    select: string,
    { level = 0, values = [] }: { readonly level?: number; readonly values?: readonly unknown[] } = {},
  ): Promise<number> {
    const { rowCount } = await client.query(
      `WITH put AS (
         INSERT INTO slipway.quarantine AS q (migration, tbl, key, shown, kind, col, reason, value, blocking, facts, since, attempts)
         SELECT $1, $2, a.key, a.shown, a.kind, a.col, left(a.reason, 500), a.value, a.blocking, a.facts,
                coalesce(l.since, clock_timestamp()), coalesce(l.attempts, 0) + 1
         FROM (${select}) a (key, shown, kind, col, reason, value, blocking, facts)
         LEFT JOIN LATERAL (SELECT since, attempts FROM pg_temp.slipway_left
                            WHERE tbl = $2 AND key = a.key LIMIT 1) l ON true
         ON CONFLICT (migration, direction, tbl, md5(key)) DO UPDATE SET shown = excluded.shown, kind = excluded.kind,
           col = excluded.col, reason = excluded.reason, value = excluded.value, blocking = excluded.blocking,
           facts = excluded.facts, due = false, last = excluded.last, attempts = q.attempts + 1
         RETURNING tbl, key, shown, blocking)
       INSERT INTO pg_temp.slipway_new SELECT *, $3::int FROM put`,
      [this.migration, table, level, ...values],
    )
    this.#moved.put += rowCount ?? 0
    return rowCount ?? 0
  }

  /** Rows that the source found no form for. */
  async putMisfits(client: pg.ClientBase, table: TableSpec, asides: readonly SetAside[]): Promise<void> {
    const column = (of: (aside: SetAside) => string | null): (string | null)[] => asides.map(of)
    await this.put(
      client,
      table.name,
      `SELECT k, s, 'misfit', c, r, v, true, NULL::jsonb
       FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) u (k, s, c, r, v)`,
      {
        values: [
          column((aside) => aside.key),
          column((aside) => storable(showKey(table.key.columns, aside.key))),
          column((aside) => aside.column || null),
          column((aside) => storable(aside.reason)),
          column((aside) => (aside.column === '' ? null : storable(aside.value))),
        ],
      },
    )
  }

  /** Takes the keys of a stage, those that the target can hold, from encoded ones. */
  async stageKeys(
    client: pg.ClientBase,
    table: TableSpec,
    stage: string,
    keys: readonly string[],
  ): Promise<void> {
    const columns = table.key.columns.map((column) => column.target)
    const decoded = decodedSql(table.key.columns, 'a.key')
    const named = decoded.map((sql, index) => `${sql} AS ${quoteList([columns[index] as string])}`)
    const whole = columns.map((name) => `${quoteList([name])} IS NOT NULL`).join(' AND ')
    await client.query(
      `INSERT INTO ${stage} (${quoteList(columns)})
       SELECT ${quoteList(columns)} FROM (SELECT ${named.join(', ')} FROM unnest($1::text[]) a (key)) d WHERE ${whole}`,
      [keys],
    )
  }

  /** Those of the keys that are not set aside. */
  async unknown(client: pg.ClientBase, table: TableSpec, keys: readonly string[]): Promise<string[]> {
    const { rows } = await client.query(
      `SELECT k.key FROM unnest($3::text[]) k (key) WHERE NOT EXISTS (SELECT 1 FROM slipway.quarantine q
         WHERE q.migration = $1 AND q.direction = 'forward' AND q.tbl = $2 AND md5(q.key) = md5(k.key) AND q.key = k.key)`,
      [this.migration, table.name, keys],
    )
    return rows.map((row) => row.key)
  }

  /** Takes the rows that are set aside out of a stage, e.g. before it is compared with the target. Returns how many. */
  async takeOut(client: pg.ClientBase, table: TableSpec, stage: string): Promise<number> {
    if (await this.isEmpty(client)) return 0
    const key = keyTextSql(table, 's')
    const { rowCount } = await client.query(
      `DELETE FROM ${stage} s USING slipway.quarantine q
       WHERE q.migration = $1 AND q.direction = 'forward' AND q.tbl = $2 AND md5(q.key) = md5(${key}) AND q.key = ${key}`,
      [this.migration, table.name],
    )
    return rowCount ?? 0
  }

  /** In all; counted again when rows moved, and from time to time, since others may move some. */
  async count(client: pg.ClientBase): Promise<number> {
    const { left, put } = this.#moved
    if (left + put > 0 || this.#counted === undefined || Date.now() - this.#counted.at > COUNT_MS) {
      const { rows } = await client.query(
        `SELECT count(*)::int AS n FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward'`,
        [this.migration],
      )
      this.#counted = { rows: rows[0].n, at: Date.now() }
    }
    return this.#counted.rows
  }

  /** Rows that may fit now; they stay due until a batch brings them again. */
  async due(client: pg.ClientBase): Promise<KeySet[]> {
    const { rows } = await client.query(
      `SELECT tbl, key FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward' AND due LIMIT ${DUE}`,
      [this.migration],
    )
    return byTable(rows)
  }

  /** The copy begins: nothing of an earlier one counts. */
  async clear(client: pg.ClientBase): Promise<void> {
    await client.query(`DELETE FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward'`, [
      this.migration,
    ])
  }
}

/** PostgreSQL's text has no U+0000. */
function storable(text: string): string {
  return text.replaceAll('\0', '\\0').toWellFormed()
}

function byTable(rows: readonly { readonly tbl: string; readonly key: string }[]): KeySet[] {
  const sets = new Map<string, string[]>()
  for (const { tbl, key } of rows) {
    const keys = sets.get(tbl) ?? []
    keys.push(key)
    sets.set(tbl, keys)
  }
  return [...sets].map(([table, keys]) => ({ table, keys }))
}

/** Keys that are set aside, those first that were not tried for the longest time; 10,000 at the most. */
export async function quarantinedKeys(connection: Connection, migration: string): Promise<KeySet[]> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT tbl, key FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward' ORDER BY last, tbl, key LIMIT ${KEYS}`,
      [migration],
    )
    return byTable(rows)
  })
}

/** Rows that are set aside, per table by its name in the source: for /lag and the metric. */
export async function quarantineCounts(
  connection: Connection,
  migration: string,
): Promise<{ readonly table: string; readonly rows: number }[]> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT tbl AS "table", count(*)::int AS rows FROM slipway.quarantine WHERE migration = $1 GROUP BY tbl ORDER BY tbl`,
      [migration],
    )
    return rows
  })
}

/** Rows that a switchover waits for, by table. */
export async function quarantineBlocking(
  connection: Connection,
  migration: string,
): Promise<{ readonly table: string; readonly rows: number }[]> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT tbl AS "table", count(*)::int AS rows FROM slipway.quarantine
       WHERE migration = $1 AND direction = 'forward' AND blocking GROUP BY tbl ORDER BY tbl`,
      [migration],
    )
    return rows
  })
}

/** The answer of `GET /quarantine`: `limit` entries at the most. */
export async function readQuarantine(
  connection: Connection,
  migration: string,
  limit: number,
): Promise<QuarantineReport> {
  return await connection.use(async (client) => {
    const tables = await client.query(
      `SELECT tbl AS "table", count(*)::int AS rows, count(*) FILTER (WHERE blocking)::int AS blocking
       FROM slipway.quarantine WHERE migration = $1 GROUP BY tbl ORDER BY tbl COLLATE "C"`,
      [migration],
    )
    const { rows } = await client.query(
      `SELECT q.tbl, coalesce(t.target, q.tbl) AS target, q.shown, q.col, q.kind, q.reason, q.value, q.blocking, q.since, q.last, q.attempts
       FROM slipway.quarantine q LEFT JOIN (
         SELECT s->>'name' AS name, s->>'target' AS target FROM slipway.control c, jsonb_array_elements(c.tables) s WHERE c.migration = $1
       ) t ON t.name = q.tbl
       WHERE q.migration = $1 ORDER BY q.tbl COLLATE "C", length(q.shown), q.shown COLLATE "C" LIMIT $2`,
      [migration, limit],
    )
    const sum = (of: 'rows' | 'blocking'): number => tables.rows.reduce((all, row) => all + row[of], 0)
    return {
      direction: 'forward',
      total: sum('rows'),
      blocking: sum('blocking'),
      tables: tables.rows.map((row) => ({ table: row.table, rows: row.rows })),
      entries: rows.map(
        (row): QuarantineEntry => ({
          table: row.tbl,
          target: row.target,
          key: row.shown,
          column: row.col,
          kind: row.kind,
          reason: row.reason,
          value: row.value,
          blocking: row.blocking,
          since: row.since.toISOString(),
          last: row.last.toISOString(),
          attempts: row.attempts,
        }),
      ),
    }
  })
}
