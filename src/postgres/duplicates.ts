import type pg from 'pg'
import { literal, quote } from '../core/quote.ts'
import type { DuplicatesPolicy, TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { decodedSql, keyTextSql, shownKeySql } from './key-text.ts'
import type { Quarantine } from './quarantine.ts'
import { quoteList, sameKey, targetColumns } from './stage.ts'

/** A unique of the target that two rows of the source may both claim. */
export interface JudgedUnique {
  readonly name: string
  /** SQL of each column or expression, with its collation; the columns are not qualified. */
  readonly parts: readonly string[]
  readonly where: string | undefined
  /** Columns of the target that it looks at. */
  readonly columns: readonly string[]
  /** True where every part is a plain column. */
  readonly plain: boolean
}

/**
 * The uniques of a table that are not its key, as they are at this moment: somebody may have made one since the start.
 * One that looks at columns which the source does not have cannot be judged beforehand.
 */
export async function judgedUniques(client: pg.ClientBase, table: TableSpec): Promise<JudgedUnique[]> {
  const { rows } = await client.query(
    `SELECT i.relname AS name, pg_get_expr(x.indpred, x.indrelid) AS where, x.indexprs IS NULL AS plain,
            (SELECT array_agg('(' || pg_get_indexdef(x.indexrelid, k, true) || ')' || coalesce(
                      (SELECT format(' COLLATE %I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
                       WHERE c.oid = x.indcollation[k - 1]), '') ORDER BY k) FROM generate_series(1, x.indnkeyatts) k) AS parts,
            ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = x.indrelid AND (
                    a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1])
                    OR (x.indexprs IS NOT NULL OR x.indpred IS NOT NULL) AND a.attnum IN (
                      SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                        AND d.refobjid = x.indrelid AND d.refobjsubid > 0))) AS columns
     FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
     WHERE x.indrelid = to_regclass($1) AND x.indisunique AND x.indisvalid ORDER BY i.relname`,
    [targetName(table)],
  )
  const known = new Set(targetColumns(table))
  const keys = table.key.columns.map((column) => column.target)
  return rows
    .map((row): JudgedUnique => ({ ...row, where: row.where ?? undefined }))
    .filter((unique) => unique.columns.every((column) => known.has(column)))
    .filter((unique) => !(unique.plain && keys.every((key) => unique.columns.includes(key))))
}

/** SQL of "this row takes part": the condition of a partial unique, and NULLs, which never collide. */
function claims(unique: JudgedUnique): string {
  const there = unique.parts.map((part) => `${part} IS NOT NULL`)
  return [...(unique.where === undefined ? [] : [`(${unique.where})`]), ...there].join(' AND ')
}

/** SQL of the values as text, e.g. `["a", "b"]`, NULL where the row takes no part. */
function valuesSql(unique: JudgedUnique): string {
  return `CASE WHEN ${claims(unique)} THEN jsonb_build_array(${unique.parts.map((part) => `(${part})::text`).join(', ')}) END`
}

interface Stages {
  readonly rows: string
  readonly gone: string
}

const NODES = 'pg_temp.slipway_node'

/**
 * Decides which of the rows that claim one value stays: those of the stage among each other, and against rows of the
 * target that the batch does not touch. The order is that of the keys (`first`: the lowest wins, `last`: the highest);
 * `fail` lets stay what is there. A row stays if no row before it in that order stays and holds one of its values: so
 * what stays is a function of the rows alone, whenever and together with whichever others each arrived.
 *
 * Losers go into the quarantine, out of the stage, and out of the target. Returns how many rows left the stage.
 */
export async function judge(
  client: pg.ClientBase,
  quarantine: Quarantine,
  table: TableSpec,
  uniques: readonly JudgedUnique[],
  stages: Stages,
): Promise<number> {
  if (uniques.length === 0) return 0
  const policy = table.duplicates ?? 'fail'
  await client.query(
    `CREATE TEMP TABLE slipway_node ON COMMIT DROP AS ${nodesSql(table, uniques, stages, policy)}`,
  )
  await client.query(`DO ${literal(decideBody(uniques))}`)
  const { rows } = await client.query(`SELECT EXISTS (SELECT 1 FROM ${NODES} WHERE state = 2) AS lost`)
  let left = 0
  if (rows[0].lost) {
    for (const [index, unique] of uniques.entries())
      await quarantine.put(client, table.name, losersSql(table, unique, index, policy))
    const keys = table.key.columns.map((column) => column.target)
    await client.query(
      `INSERT INTO ${stages.gone} (${quoteList(keys)}) SELECT ${quoteList(keys)} FROM ${NODES} WHERE state = 2`,
    )
    const out = await client.query(
      `DELETE FROM ${stages.rows} s USING ${NODES} n WHERE n.state = 2 AND n.sw_new AND ${sameKey(table, 's', 'n')}`,
    )
    left = out.rowCount ?? 0
  }
  await client.query(`DROP TABLE ${NODES}`)
  return left
}

/** Text by its bytes: the order of a locale is not the same on every server. */
function keyOrder(table: TableSpec, policy: DuplicatesPolicy): string {
  return table.key.columns
    .map((column) => {
      const order = /^(text|character)/.test(column.type) ? ' COLLATE "C"' : ''
      return `${quote(column.target)}${order}${policy === 'last' ? ' DESC' : ''}`
    })
    .join(', ')
}

function nodesSql(
  table: TableSpec,
  uniques: readonly JudgedUnique[],
  { rows, gone }: Stages,
  policy: DuplicatesPolicy,
): string {
  const target = targetName(table)
  const keys = table.key.columns.map((column) => column.target)
  const columns = [...new Set([...keys, ...uniques.flatMap((unique) => unique.columns)])]
  const of = (alias: string, names: readonly string[]): string =>
    names.map((name) => `${alias}.${quote(name)}`).join(', ')
  // Rows of the target that a new row collides with, by way of the target's own index.
  const met = uniques.map((unique) => {
    const parts = unique.parts.join(', ')
    return `SELECT ${quoteList(keys)} FROM ${target} WHERE ${claims(unique)} AND (${parts}) IN (SELECT ${parts} FROM ${rows} WHERE ${claims(unique)})`
  })
  // Where nothing is guessed, a row that holds its values already comes before one that has just got them.
  const held = columns
    .filter((name) => !keys.includes(name))
    .map((name) => `t.${quote(name)}::text IS NOT DISTINCT FROM s.${quote(name)}::text`)
  const standing =
    policy === 'fail'
      ? `coalesce((SELECT CASE WHEN ${held.join(' AND ') || 'true'} THEN 1 ELSE 2 END FROM ${target} t WHERE ${sameKey(table, 't', 's')} LIMIT 1), 3)`
      : '0'
  const groups = uniques.map(
    (unique, i) =>
      `${valuesSql(unique)} AS v${i}, CASE WHEN ${claims(unique)} THEN dense_rank() OVER (ORDER BY ${claims(unique)}, ${unique.parts.join(', ')}) END AS g${i}`,
  )
  return `
    SELECT row_number() OVER (ORDER BY sw_class, ${keyOrder(table, policy)}) AS rank, sw_new, ${quoteList(keys)},
           ${groups.join(', ')}, 0 AS state, NULL::bigint AS winner, NULL::int AS lost
    FROM (
      SELECT true AS sw_new, ${standing} AS sw_class, ${of('s', columns)} FROM ${rows} s
      UNION ALL
      SELECT false, 0, ${of('t', columns)} FROM ${target} t JOIN (${met.join(' UNION ')}) m ON ${sameKey(table, 't', 'm')}
      WHERE NOT EXISTS (SELECT 1 FROM ${rows} s WHERE ${sameKey(table, 's', 't')})
        AND NOT EXISTS (SELECT 1 FROM ${gone} s WHERE ${sameKey(table, 's', 't')})
    ) x`
}

/**
 * In each round every row that comes first in all its groups stays, and the others of those groups go. It is what
 * going through the rows one by one in their order would give.
 */
function decideBody(uniques: readonly JudgedUnique[]): string {
  const best = uniques.map((_, i) => `(g${i} IS NULL OR rank = min(rank) OVER (PARTITION BY g${i}))`)
  const lose = uniques.map(
    (_, i) => `
      UPDATE ${NODES} n SET state = 2, winner = w.rank, lost = ${i}
      FROM ${NODES} w WHERE n.state = 0 AND w.state = 1 AND w.g${i} = n.g${i};`,
  )
  return `
    BEGIN
      LOOP
        UPDATE ${NODES} n SET state = 1
        FROM (SELECT rank, ${best.join(' AND ')} AS best FROM ${NODES} WHERE state = 0) b
        WHERE b.rank = n.rank AND b.best;
        EXIT WHEN NOT FOUND;
        ${lose.join('')}
      END LOOP;
    END`
}

function losersSql(table: TableSpec, unique: JudgedUnique, index: number, policy: DuplicatesPolicy): string {
  const only = unique.plain && unique.columns.length === 1 ? unique.columns[0] : undefined
  const column = table.columns.find((each) => each.target === only)?.name
  const why =
    policy === 'fail'
      ? `'PostgreSQL keeps one row per value of ' || ${literal(unique.name)} || ', and ' || ${shownKeySql(table, 'w')} || ' has this one'`
      : `'the plan keeps the ${policy} row per value of ' || ${literal(unique.name)} || ', which is ' || ${shownKeySql(table, 'w')}`
  return `
    SELECT ${keyTextSql(table, 'n')}, ${shownKeySql(table, 'n')}, 'duplicate', ${column === undefined ? 'NULL::text' : literal(column)}, ${why},
           (SELECT string_agg(quote_literal(left(v, 100)), ', ') FROM jsonb_array_elements_text(n.v${index}) v), ${policy === 'fail'},
           jsonb_build_object('unique', ${literal(unique.name)}::text, 'of', ${keyTextSql(table, 'w')}, 'values', w.v${index})
    FROM ${NODES} n JOIN ${NODES} w ON w.rank = n.winner WHERE n.state = 2 AND n.lost = ${index}`
}

/**
 * Rows that lost against a row which is gone now, or holds the value no more, are due: the next batch brings them
 * again. `among`: stages with the keys that were touched; without it every duplicate of the table is looked at.
 */
export async function release(
  client: pg.ClientBase,
  quarantine: Quarantine,
  table: TableSpec,
  uniques: readonly JudgedUnique[],
  among: readonly string[] | undefined,
): Promise<void> {
  const keys = table.key.columns.map((column) => column.target)
  const decoded = decodedSql(table.key.columns, `d.facts->>'of'`)
  const touched =
    among === undefined
      ? `SELECT d.facts->>'of' AS sw_key, ${decoded.map((sql, i) => `${sql} AS ${quote(keys[i] as string)}`).join(', ')}
         FROM slipway.quarantine d WHERE d.migration = $1 AND d.direction = 'forward' AND d.tbl = $2 AND d.kind = 'duplicate'`
      : among
          .map((stage) => `SELECT ${keyTextSql(table, 's')} AS sw_key, ${quoteList(keys)} FROM ${stage} s`)
          .join(' UNION ALL ')
  const values = uniques.map((unique, i) => `${valuesSql(unique)} AS v${i}`)
  const held =
    uniques.length === 0
      ? 'false'
      : `CASE q.facts->>'unique' ${uniques.map((unique, i) => `WHEN ${literal(unique.name)} THEN t.v${i}`).join(' ')} END = q.facts->'values'`
  await client.query(
    `UPDATE slipway.quarantine q SET due = true FROM (${touched}) k
     WHERE q.migration = $1 AND q.direction = 'forward' AND q.tbl = $2 AND q.kind = 'duplicate' AND NOT q.due
       AND md5(q.facts->>'of') = md5(k.sw_key) AND q.facts->>'of' = k.sw_key
       AND NOT EXISTS (SELECT 1 FROM (SELECT ${[quoteList(keys), ...values].join(', ')} FROM ${targetName(table)}) t
                       WHERE ${sameKey(table, 't', 'k')} AND ${held})`,
    [quarantine.migration, table.name],
  )
}

/** Whether the table has any: most never do. */
export async function hasDuplicates(
  client: pg.ClientBase,
  quarantine: Quarantine,
  table: TableSpec,
): Promise<boolean> {
  const { rows } = await client.query({
    name: 'slipway_duplicates_any',
    text: `SELECT EXISTS (SELECT 1 FROM slipway.quarantine WHERE migration = $1 AND direction = 'forward' AND tbl = $2 AND kind = 'duplicate') AS some`,
    values: [quarantine.migration, table.name],
  })
  return rows[0].some
}
