import type pg from 'pg'
import { isGeneric } from '../core/codec.ts'
import { literal, quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { keyTextSql, shownKeySql } from './key-text.ts'
import { quoteList, sameKey, targetColumns } from './stage.ts'

/** Rows that are tried in one go; one that is refused costs a try of each row of its block. */
const BLOCK = 500

/** Class 22 (the value), 23 (a constraint), 54 (too large for a page): faults of a row, not of the server. */
const FAULTS = 'data_exception OR integrity_constraint_violation OR program_limit_exceeded'

export function isFaultOfRow(state: string | undefined): boolean {
  return state !== undefined && /^(22|23|54|42704)/.test(state)
}

/**
 * Why a type refuses a text, or NULL. With `back` the value must also be written back as it came: `90 minutes` is an
 * interval, and PostgreSQL would keep `01:30:00`.
 */
export const REFUSAL = `
  CREATE OR REPLACE FUNCTION pg_temp.slipway_refusal(value text, type text, back boolean) RETURNS text LANGUAGE plpgsql AS $refusal$
  DECLARE stored text;
  BEGIN
    EXECUTE format('SELECT format(''%%s'', $1::%s)', type) INTO stored USING value;
    IF back AND value IS NOT NULL AND stored IS DISTINCT FROM value THEN
      RETURN 'PostgreSQL would store it as ' || quote_literal(left(stored, 100));
    END IF;
    RETURN NULL;
  EXCEPTION WHEN ${FAULTS} THEN
    RETURN SQLERRM;
  END $refusal$`

/** What was refused in this step: `place` in the stage of rows, or NULL where the row never came so far. */
export const REFUSED_TABLE = `
  CREATE TEMP TABLE IF NOT EXISTS slipway_refused
    (place tid, key text, shown text, state text, col text, con text, reason text, value text)`
export const REFUSED = `${REFUSED_TABLE} ON COMMIT DELETE ROWS`

/** A column of a stage and its type there. */
interface StageColumn {
  readonly name: string
  readonly type: string
  /** The text must come back as it was: the codec has not judged it, or a cast would cut it in silence. */
  readonly back: boolean
}

/** The target's own types, also behind a name that the plan simplifies (domains). */
async function stageColumns(client: pg.ClientBase, table: TableSpec, rows: string): Promise<StageColumn[]> {
  const result = await client.query(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [rows],
  )
  const generic = new Set(table.columns.filter((column) => isGeneric(column)).map((column) => column.target))
  return result.rows.map(
    (row): StageColumn => ({
      ...row,
      back: generic.has(row.name) || /^(character|bit)\b.*\(\d+\)$/.test(row.type),
    }),
  )
}

/**
 * Rows from the stage of texts into the stage of the target's types, block by block; what PostgreSQL refuses, or would
 * change, goes into `slipway_refused`, and its key among the `gone`.
 */
export async function castRows(
  client: pg.ClientBase,
  table: TableSpec,
  stages: { readonly text: string; readonly rows: string; readonly gone: string },
): Promise<void> {
  const columns = await stageColumns(client, table, stages.rows)
  await client.query(`DO ${literal(castBody(table, columns, stages))}`)
}

function castBody(
  table: TableSpec,
  columns: readonly StageColumn[],
  { text, rows, gone }: { readonly text: string; readonly rows: string; readonly gone: string },
): string {
  const cast = (column: StageColumn): string => `s.${quote(column.name)}::${column.type}`
  const insert = `INSERT INTO ${rows} (${quoteList(columns.map((column) => column.name))}) SELECT ${columns.map(cast).join(', ')} FROM ${text} s WHERE s.ctid`
  const changed = columns
    .filter((column) => column.back)
    .map((column) => changedSql(cast(column), `s.${quote(column.name)}`))
  const check = (place: string): string =>
    changed.length === 0
      ? ''
      : `IF EXISTS (SELECT 1 FROM ${text} s WHERE s.ctid ${place} AND (${changed.join(' OR ')})) THEN RAISE data_exception; END IF;`
  const keys = table.key.columns.map((column) => column.target)
  const typed = keys.map(
    (name) => `${cast(columns.find((c) => c.name === name) as StageColumn)} AS ${quote(name)}`,
  )
  const values = columns.map(
    (column, n) =>
      `(${n}, ${literal(column.name)}, s.${quote(column.name)}, ${literal(column.type)}, ${column.back})`,
  )
  return `
    -- Names that no column has: plpgsql would take one for the other.
    DECLARE sw_block tid[]; sw_one tid; sw_code text; sw_message text;
    BEGIN
      FOR sw_block IN ${blocksSql(text)} LOOP
        BEGIN
          ${insert} = ANY (sw_block);
          ${check('= ANY (sw_block)')}
        EXCEPTION WHEN ${FAULTS} THEN
          FOREACH sw_one IN ARRAY sw_block LOOP
            BEGIN
              ${insert} = sw_one;
              ${check('= sw_one')}
            EXCEPTION WHEN ${FAULTS} THEN
              GET STACKED DIAGNOSTICS sw_code = RETURNED_SQLSTATE, sw_message = MESSAGE_TEXT;
              INSERT INTO ${gone} (${quoteList(keys)}) SELECT ${typed.join(', ')} FROM ${text} s WHERE s.ctid = sw_one;
              INSERT INTO pg_temp.slipway_refused (key, shown, state, col, reason, value)
              SELECT ${keyTextSql(table, 'k')}, ${shownKeySql(table, 'k')}, sw_code, c.name, coalesce(c.why, sw_message), quote_literal(left(c.value, 100))
              FROM ${text} s CROSS JOIN LATERAL (SELECT ${typed.join(', ')}) k LEFT JOIN LATERAL (
                SELECT v.name, v.value, pg_temp.slipway_refusal(v.value, v.type, v.back) AS why
                FROM (VALUES ${values.join(', ')}) v (n, name, value, type, back)
                WHERE pg_temp.slipway_refusal(v.value, v.type, v.back) IS NOT NULL ORDER BY v.n LIMIT 1) c ON true
              WHERE s.ctid = sw_one;
            END;
          END LOOP;
        END;
      END LOOP;
    END`
}

/** SQL: PostgreSQL would write a value back in another form. By its output function: inet::text is another one. */
export function changedSql(value: string, text: string): string {
  return `(${text} IS NOT NULL AND format('%s', ${value}) <> ${text})`
}

function blocksSql(stage: string): string {
  return `SELECT array_agg(place) FROM (SELECT ctid AS place, (row_number() OVER () - 1) / ${BLOCK} AS n FROM ${stage}) b GROUP BY n`
}

/**
 * Tries what a change of the target would do, row by row where it has to, and takes it back: the rows that the target
 * refuses are then in `slipway_refused`. The old rows go first, so that values which rows exchange do not collide.
 * `inserts` are the statements that insert the rows of the stage `s` that the appended condition selects.
 */
export async function tryRows(
  client: pg.ClientBase,
  table: TableSpec,
  stages: { readonly rows: string; readonly gone: string },
  inserts: readonly string[],
): Promise<void> {
  const target = targetName(table)
  const insert = (where: string): string => inserts.map((sql) => `${sql} AND s.ctid ${where};`).join('\n')
  const source = new Set(targetColumns(table))
  if (table.key.kind === 'rowid') source.add(HIDDEN_KEY)
  const body = `
    DECLARE
      sw_block tid[]; sw_one tid; sw_code text; sw_name text; sw_con text; sw_message text;
      sw_places tid[] := '{}'; sw_codes text[] := '{}'; sw_names text[] := '{}'; sw_cons text[] := '{}'; sw_messages text[] := '{}';
    BEGIN
      BEGIN
        DELETE FROM ${target} t USING ${stages.gone} s WHERE ${sameKey(table, 't', 's')};
        DELETE FROM ${target} t USING ${stages.rows} s WHERE ${sameKey(table, 't', 's')};
        SET CONSTRAINTS ALL IMMEDIATE;
        FOR sw_block IN ${blocksSql(stages.rows)} LOOP
          BEGIN
            ${insert('= ANY (sw_block)')}
          EXCEPTION WHEN ${FAULTS} THEN
            FOREACH sw_one IN ARRAY sw_block LOOP
              BEGIN
                ${insert('= sw_one')}
              EXCEPTION WHEN ${FAULTS} THEN
                GET STACKED DIAGNOSTICS sw_code = RETURNED_SQLSTATE, sw_name = COLUMN_NAME, sw_con = CONSTRAINT_NAME, sw_message = MESSAGE_TEXT;
                sw_places := sw_places || sw_one; sw_codes := sw_codes || sw_code; sw_names := sw_names || sw_name;
                sw_cons := sw_cons || sw_con; sw_messages := sw_messages || left(sw_message, 500);
              END;
            END LOOP;
          END;
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'SW001';
      EXCEPTION WHEN SQLSTATE 'SW001' THEN
      END;
      INSERT INTO pg_temp.slipway_refused
      SELECT s.ctid, ${keyTextSql(table, 's')}, ${shownKeySql(table, 's')}, r.code, c.col, nullif(r.con, ''), r.message,
             CASE WHEN c.col = ANY (${literal(`{${[...source].map(arrayItem).join(',')}}`)}::text[]) THEN quote_literal(left(to_json(s)->>c.col, 100)) END
      FROM unnest(sw_places, sw_codes, sw_names, sw_cons, sw_messages) r (place, code, name, con, message)
      JOIN ${stages.rows} s ON s.ctid = r.place
      CROSS JOIN LATERAL (SELECT coalesce(nullif(r.name, ''), (
        SELECT a.attname::text FROM pg_constraint n JOIN pg_attribute a ON a.attrelid = n.conrelid AND a.attnum = n.conkey[1]
        WHERE n.conrelid = to_regclass(${literal(target)}) AND n.conname = r.con AND cardinality(n.conkey) = 1)) AS col) c;
    END`
  await client.query(`DO ${literal(body)}`)
}

function arrayItem(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

/** The refused rows leave the stage; their keys are among those that go. */
export async function dropRefused(
  client: pg.ClientBase,
  table: TableSpec,
  { rows, gone }: { readonly rows: string; readonly gone: string },
): Promise<number> {
  const keys = quoteList(table.key.columns.map((column) => column.target))
  const { rowCount } = await client.query(
    `WITH out AS (DELETE FROM ${rows} s USING pg_temp.slipway_refused r WHERE s.ctid = r.place RETURNING ${table.key.columns.map((column) => `s.${quote(column.target)}`).join(', ')})
     INSERT INTO ${gone} (${keys}) SELECT ${keys} FROM out`,
  )
  return rowCount ?? 0
}
