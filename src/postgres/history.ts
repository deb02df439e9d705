import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { ChangesReport, HistoryEntry } from '../core/operator.ts'
import { type Seq, seqToJson } from '../core/position.ts'
import { literal, quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import type { Connection } from './connection.ts'
import type { Admission } from './control.ts'
import { targetName } from './dormant.ts'
import { sameKey, targetColumns } from './stage.ts'

/**
 * A row whose text is longer than this is noted without its images: jsonb ends at 255 MB, and the server holds
 * several copies of an image while it makes one.
 */
const IMAGE_BYTES = 64 * 1024 * 1024
/** Rows that one transaction of `pruneHistory` deletes. */
const PRUNE_ROWS = 5_000
/** A page of changes ends with the row that passes this many bytes. */
const PAGE_BYTES = 8 * 1024 * 1024

/** Types whose text is short whatever the value. */
const SHORT =
  /^(smallint|integer|bigint|real|double precision|numeric|boolean|date|time|timestamp|interval|uuid|oid)\b(?!.*\[\])/

/** What a step is about to do to one table of the target. */
export interface Changes {
  readonly migration: string
  readonly direction: 'forward' | 'reverse'
  /** Of the batch, or where the target stands when a repair changes it. */
  readonly position: Seq
  readonly table: TableSpec
  /** The table as it is in the target: columns that the source does not have belong to the image of an old row. */
  readonly shape?: TargetTable | undefined
  /** Stage table with the key columns of rows that will go. */
  readonly gone?: string | undefined
  /** Stage table with all columns of the rows that will be there, of the target's own types. */
  readonly rows?: string | undefined
}

/**
 * Notes what a step will change, with the rows as they were and as they will be, in the step's own transaction:
 * to be called before the target is touched and after the stages are filled. A row that is equal already, and a
 * key that the target does not have, are no change. Images are jsonb objects of strings: each column as PostgreSQL
 * writes it, so that no value passes through a number of JSON. Returns how many changes were noted.
 */
export async function recordHistory(client: pg.ClientBase, changes: Changes): Promise<number> {
  const { migration, direction, position, table, gone, rows } = changes
  const values = [migration, direction, position.toString(), table.name]
  let entries = 0
  let cut = 0
  const statements = [
    ...(gone === undefined ? [] : [goneSql(changes, gone)]),
    ...(rows === undefined ? [] : [rowsSql(changes, rows)]),
  ]
  for (const select of statements) {
    const result = await client.query(
      `WITH noted AS (
         INSERT INTO slipway.history (migration, direction, position, tbl, op, key, before, after)
         SELECT $1::text, $2::text, $3::bigint, $4::text, ${select}
         RETURNING op <> 'insert' AND before IS NULL AS cut)
       SELECT count(*)::int AS entries, count(*) FILTER (WHERE cut)::int AS cut FROM noted`,
      values,
    )
    entries += result.rows[0].entries
    cut += result.rows[0].cut
  }
  // The way back over this change is lost, the one from here on is not.
  if (cut > 0) await setFloor(client, migration, position, 'history_from IS NOT NULL')
  return entries
}

function goneSql({ table, shape }: Changes, stage: string): string {
  const before = image('t', old(table, shape), table, shape)
  return `'delete', ${keyOf(table, 't')}, ${before}, NULL::jsonb
    FROM ${stage} s JOIN ${targetName(table)} t ON ${sameKey(table, 't', 's')}`
}

function rowsSql({ table, shape }: Changes, stage: string): string {
  const written = targetColumns(table)
  const all = old(table, shape)
  const extra = all.filter((name) => !written.includes(name))
  const before = image('t', all, table, shape)
  // A target's own columns keep their values in an update; what an insert gives them is not known yet.
  const kept =
    extra.length === 0 ? '' : ` || CASE WHEN ${IS_NEW} THEN '{}' ELSE ${plainImage('t', extra)} END`
  // By the bytes: equality of types like numeric, citext or json says less, or does not exist.
  const same = (alias: string): string =>
    `ROW(${written.map((name) => `${alias}.${quote(name)}`).join(', ')})::record`
  return `CASE WHEN ${IS_NEW} THEN 'insert' ELSE 'update' END, ${keyOf(table, 's')},
      CASE WHEN NOT ${IS_NEW} THEN ${before} END, ${image('s', written, table, shape)}${kept}
    FROM ${stage} s LEFT JOIN ${targetName(table)} t ON ${sameKey(table, 't', 's')}
    WHERE ${IS_NEW} OR ${same('t')} *<> ${same('s')}`
}

/** The outer join found no row of the target. */
const IS_NEW = '(t.tableoid IS NULL)'

/** Columns of an image of an old row: generated ones are computed again from the others. */
function old(table: TableSpec, shape: TargetTable | undefined): string[] {
  return shape === undefined
    ? targetColumns(table)
    : shape.columns.filter((column) => !column.generated).map((column) => column.name)
}

function keyOf(table: TableSpec, alias: string): string {
  return plainImage(
    alias,
    table.key.columns.map((column) => column.target),
  )
}

/** `jsonb_object(ARRAY['a', …], ARRAY[t."a"::text, …])` */
function plainImage(alias: string, names: readonly string[]): string {
  const values = names.map((name) => `${alias}.${quote(name)}::text`)
  return `jsonb_object(ARRAY[${names.map(literal).join(', ')}], ARRAY[${values.join(', ')}]::text[])`
}

/** An image, or NULL where it would be too long. */
function image(
  alias: string,
  names: readonly string[],
  table: TableSpec,
  shape: TargetTable | undefined,
): string {
  const types = new Map<string, string>([
    ...table.key.columns.map((column): [string, string] => [column.target, column.type]),
    ...table.columns.map((column): [string, string] => [column.target, column.type]),
    ...(shape?.columns ?? []).map((column): [string, string] => [column.name, column.type]),
  ])
  // octet_length asks text and bytea for their size without fetching the value.
  const sizes = names
    .filter((name) => !SHORT.test(types.get(name) ?? ''))
    .map((name) => {
      const value = `${alias}.${quote(name)}`
      return types.get(name) === 'bytea'
        ? `2 * coalesce(octet_length(${value}), 0)::bigint`
        : `coalesce(octet_length(${value}::text), 0)`
    })
  const whole = plainImage(alias, names)
  return sizes.length === 0
    ? whole
    : `CASE WHEN 0::bigint + ${sizes.join(' + ')} <= ${IMAGE_BYTES} THEN ${whole} END`
}

/**
 * Keeps the floor true: to be called once in every transaction of the holder that changes rows, before
 * `recordHistory`. A history begins with the first batch in phase replicating, since before it the target shows no
 * state of the source; it ends with the first batch that is applied without being noted.
 */
export async function keepFloor(
  client: pg.ClientBase,
  migration: string,
  history: boolean,
  { phase, historyFrom, checkpoint }: Pick<Admission, 'phase' | 'historyFrom' | 'checkpoint'>,
): Promise<void> {
  if (!history && historyFrom !== undefined) await resetHistory(client, migration)
  if (!history || historyFrom !== undefined || phase !== 'replicating') return
  await setFloor(client, migration, checkpoint.seq, 'history_from IS NULL')
}

async function setFloor(client: pg.ClientBase, migration: string, from: Seq, where: string): Promise<void> {
  await client.query(
    `UPDATE slipway.control SET history_from = $2, history_since = clock_timestamp(),
       history_after = (SELECT coalesce(max(id), 0) FROM slipway.history WHERE migration = $1)
     WHERE migration = $1 AND ${where}`,
    [migration, from.toString()],
  )
}

/**
 * From here on no earlier state can be rebuilt: the tables were copied anew, changed in their columns, or changed by
 * something that was not noted. The entries stay, as a log. In the transaction that does it.
 */
export async function resetHistory(client: pg.ClientBase, migration: string): Promise<void> {
  await client.query(
    `UPDATE slipway.control SET history_from = NULL, history_after = NULL, history_since = NULL
     WHERE migration = $1 AND history_from IS NOT NULL`,
    [migration],
  )
}

/**
 * Deletes entries that are older than `seconds`, the oldest first, and raises the floor with them, in short
 * transactions. Returns how many went. Harmless beside another one of its kind.
 */
export async function pruneHistory(
  connection: Connection,
  migration: string,
  seconds: number,
  signal?: AbortSignal,
): Promise<number> {
  for (let total = 0; ; ) {
    const step = await connection.transaction(async (client) => {
      const { rows } = await client.query(
        `WITH old AS (
           SELECT id FROM (SELECT id, at FROM slipway.history WHERE migration = $1 ORDER BY id LIMIT $3) first
           WHERE at < clock_timestamp() - make_interval(secs => $2)
         ), gone AS (
           DELETE FROM slipway.history h USING old WHERE h.migration = $1 AND h.id = old.id
           RETURNING h.id, h.position, h.at
         )
         SELECT id, position, at::text, (SELECT count(*)::int FROM gone) AS n FROM gone ORDER BY id DESC LIMIT 1`,
        [migration, seconds, PRUNE_ROWS],
      )
      const last = rows[0]
      if (last === undefined) return 0
      // Last of all: a batch that is being applied holds the row, and must not wait for the deletes.
      await client.query(
        `UPDATE slipway.control SET history_from = greatest(history_from, $2), history_after = $3, history_since = $4
         WHERE migration = $1 AND history_from IS NOT NULL AND history_after < $3`,
        [migration, last.position, last.id, last.at],
      )
      return last.n as number
    })
    total += step
    if (step < PRUNE_ROWS || signal?.aborted === true) return total
  }
}

/** An image's weight in an answer. */
const WEIGHT = `coalesce(octet_length(h.before::text), 0) + coalesce(octet_length(h.after::text), 0)`

/**
 * The next changes after an entry's id, at most `limit`, fewer where rows are large: an answer is held in memory.
 * `history`: whether changes are being noted (HISTORY). Throws a Failure for an id that is none.
 */
export async function readChanges(
  connection: Connection,
  migration: string,
  after: string,
  limit: number,
  history: boolean,
): Promise<ChangesReport> {
  if (!/^\d{1,18}$/.test(after)) {
    throw new Failure({
      code: 'bad_request',
      status: 400,
      exit: 2,
      message: `after=${after.slice(0, 40)} is not the id of a change`,
      remedy: 'Begin with after=0, then give the "next" of the answer before.',
    })
  }
  return await connection.use(async (client) => {
    const columns = 'h.id, h.position, h.direction, h.tbl, h.op, h.at, h.key, h.before, h.after'
    // Row by row, so that no more rows are looked at than the answer can hold.
    const { rows } = await client.query(
      `WITH RECURSIVE page AS (
         (SELECT ${columns}, 1 AS n, ${WEIGHT} AS bytes FROM slipway.history h
          WHERE h.migration = $1 AND h.id > $2::bigint ORDER BY h.id LIMIT 1)
         UNION ALL
         SELECT next.* FROM page p CROSS JOIN LATERAL
           (SELECT ${columns}, p.n + 1, p.bytes + ${WEIGHT} FROM slipway.history h
            WHERE h.migration = $1 AND h.id > p.id ORDER BY h.id LIMIT 1) next
         WHERE p.n < $3::int AND p.bytes < $4::int
       )
       SELECT p.*, EXISTS (SELECT 1 FROM slipway.history h
         WHERE h.migration = $1 AND h.id > (SELECT max(id) FROM page)) AS more
       FROM page p ORDER BY id`,
      [migration, after, Math.max(1, limit), PAGE_BYTES],
    )
    const changes = rows.map(
      (row): HistoryEntry => ({
        position: seqToJson(BigInt(row.position)),
        id: seqToJson(BigInt(row.id)),
        table: row.tbl,
        op: row.op,
        direction: row.direction,
        at: row.at.toISOString(),
        key: row.key,
        before: row.before,
        after: row.after,
      }),
    )
    const last = changes.at(-1)
    return {
      history: history ? 'on' : 'off',
      changes,
      next: last !== undefined && rows[0].more ? last.id : null,
    }
  })
}
