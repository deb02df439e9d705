import type pg from 'pg'
import { literal, quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { shortName } from './indexes.ts'

/**
 * A default for the hidden key of tables without one: while PostgreSQL leads the application inserts rows, and knows
 * nothing of that column. A sequence that anybody may draw from, since the application's role need not be the owner; it
 * goes with the column. Safe to run again.
 */
export async function giveHiddenKeys(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<void> {
  for (const table of tables) {
    if (table.key.kind !== 'rowid') continue
    const name = targetName(table)
    const { rows } = await client.query(
      `SELECT EXISTS (SELECT 1 FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE d.adrelid = to_regclass($1) AND a.attname = $2) AS given,
         pg_get_serial_sequence($1, $2) AS sequence`,
      [name, HIDDEN_KEY],
    )
    if (rows[0].given) continue
    const sequence =
      rows[0].sequence ?? quote(table.schema, shortName(`${table.target}_${HIDDEN_KEY.slice(1)}_seq`))
    if (rows[0].sequence === null)
      await client.query(`CREATE SEQUENCE ${sequence} OWNED BY ${name}.${quote(HIDDEN_KEY)}`)
    await client.query(`GRANT USAGE ON SEQUENCE ${sequence} TO PUBLIC`)
    await client.query(
      `ALTER TABLE ${name} ALTER COLUMN ${quote(HIDDEN_KEY)} SET DEFAULT nextval(${literal(sequence)}::regclass)`,
    )
  }
}
