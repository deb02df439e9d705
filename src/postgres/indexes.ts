import { createHash } from 'node:crypto'
import type pg from 'pg'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { sqlstate } from './connection.ts'
import { targetName } from './dormant.ts'

/** An index of a table of ours, to be made after the copy. */
export interface IndexPlan {
  readonly name: string
  readonly unique: boolean
  /** SQL of each column or expression. */
  readonly parts: readonly string[]
}

/** PostgreSQL cuts longer names in silence (trap V14): a hash keeps two of them apart. */
export function shortName(name: string): string {
  if (Buffer.byteLength(name) <= 63) return name
  return withHash(name, name)
}

function withHash(name: string, of: string): string {
  const hash = createHash('sha256').update(of).digest('hex').slice(0, 8)
  let head = name
  while (Buffer.byteLength(head) > 54) head = head.slice(0, -1)
  return `${head}_${hash}`
}

/**
 * What an index can fail by although the values themselves are right: too long a value for a page (54000), no order
 * for the type (42704), values that PostgreSQL calls equal and SQLite does not (23505). Rows matter more than an index.
 */
const CANNOT_HOLD: ReadonlySet<string> = new Set(['54000', '42704', '23505'])

export function indexCannotHold(error: unknown): boolean {
  return CANNOT_HOLD.has(sqlstate(error) ?? '')
}

/**
 * Makes an index unless it is there. Index names are one space per schema in PostgreSQL, and per table set in SQLite:
 * a name that another relation has gets a hash.
 */
export async function createIndex(client: pg.ClientBase, table: TableSpec, plan: IndexPlan): Promise<void> {
  const wanted = shortName(plan.name)
  for (const name of [wanted, withHash(wanted, `${table.target} ${plan.name}`)]) {
    const { rows } = await client.query(
      `SELECT x.indrelid IS NOT DISTINCT FROM to_regclass($3) AND NOT x.indisprimary AS mine
       FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid
       WHERE c.relnamespace = to_regnamespace($1) AND c.relname = $2`,
      [quote(table.schema), name, targetName(table)],
    )
    if (rows[0]?.mine === true) return
    if (rows.length > 0) continue
    await client.query(
      `CREATE ${plan.unique ? 'UNIQUE ' : ''}INDEX ${quote(name)} ON ${targetName(table)} (${plan.parts.join(', ')})`,
    )
    return
  }
}

/**
 * Drops what a batch cannot pass: the index that the error names, or, where it names none, every index of the table but
 * its key. Returns the names; empty where there was nothing to drop.
 */
export async function dropIndexes(
  client: pg.ClientBase,
  table: TableSpec,
  named: string | undefined,
): Promise<string[]> {
  const { rows } = await client.query(
    `SELECT c.relname AS name FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
     WHERE x.indrelid = to_regclass($1) AND NOT x.indisprimary AND ($2::text IS NULL OR c.relname = $2)`,
    [targetName(table), named ?? null],
  )
  for (const row of rows) await client.query(`DROP INDEX ${quote(table.schema, row.name)}`)
  return rows.map((row) => row.name)
}
