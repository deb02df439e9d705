import { createHash } from 'node:crypto'
import type pg from 'pg'
import { Failure, messageOf } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import { literal, quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { sqlstate } from './connection.ts'
import { targetName } from './dormant.ts'
import { type IndexPlan, indexPlans } from './index-plans.ts'

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

/** What the index says of itself, so that a person's own is never taken for one of ours. */
const MARK = 'slipway '

function markOf(plan: IndexPlan): string {
  const shape = JSON.stringify([plan.name, plan.unique, plan.parts, plan.where ?? null])
  return `${MARK}${createHash('sha256').update(shape).digest('hex').slice(0, 16)}`
}

/** CREATE INDEX under the name that it gets in the target. */
export function createIndexSql(table: TableSpec, plan: IndexPlan, name = shortName(plan.name)): string {
  const where = plan.where === undefined ? '' : ` WHERE ${plan.where}`
  return `CREATE ${plan.unique ? 'UNIQUE ' : ''}INDEX ${quote(name)} ON ${targetName(table)} (${plan.parts.join(', ')})${where}`
}

/** Another name for an index whose own is taken: index names are one space per schema in PostgreSQL. */
export function otherName(table: TableSpec, plan: IndexPlan): string {
  const wanted = shortName(plan.name)
  return withHash(wanted, `${table.target} ${plan.name} ${plan.parts.join(', ')}`)
}

/** Makes an index unless it is there, and returns its name. */
export async function createIndex(client: pg.ClientBase, table: TableSpec, plan: IndexPlan): Promise<string> {
  const names = [shortName(plan.name), otherName(table, plan)]
  for (const name of names) {
    const { rows } = await client.query(
      `SELECT x.indrelid IS NOT DISTINCT FROM to_regclass($3) AND obj_description(c.oid, 'pg_class') = $4 AS mine
       FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid
       WHERE c.relnamespace = to_regnamespace($1) AND c.relname = $2`,
      [quote(table.schema), name, targetName(table), markOf(plan)],
    )
    if (rows[0]?.mine === true) return name
    if (rows.length > 0) continue
    await client.query(createIndexSql(table, plan, name))
    await client.query(`COMMENT ON INDEX ${quote(table.schema, name)} IS ${literal(markOf(plan))}`)
    return name
  }
  throw new Failure({
    code: 'target_index',
    message: `${targetName(table)}: the names ${names.join(' and ')} are taken, so index ${plan.name} cannot be made`,
    remedy: `Rename what has these names in ${table.schema}; slipway tries again by itself.`,
  })
}

/** Indexes of ours on a table, by their mark. */
async function ownIndexes(client: pg.ClientBase, table: TableSpec): Promise<Map<string, string>> {
  const { rows } = await client.query(
    `SELECT c.relname AS name, obj_description(c.oid, 'pg_class') AS mark FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
     WHERE x.indrelid = to_regclass($1) AND obj_description(c.oid, 'pg_class') LIKE $2`,
    [targetName(table), `${MARK}%`],
  )
  return new Map(rows.map((row) => [row.mark, row.name]))
}

/**
 * After a change of the source's schema: makes the indexes of a table of ours that are missing, and drops those of
 * ours that the source no longer has; a person's own are left alone. Runs in the caller's transaction. What the rows
 * do not allow is left out and told.
 */
export async function syncIndexes(
  client: pg.ClientBase,
  source: SourceTable,
  spec: TableSpec,
  /** plain: unique ones follow when the catch-up is done, since until then two rows may hold one value. */
  make: 'all' | 'plain' = 'all',
): Promise<{
  readonly created: readonly string[]
  readonly dropped: readonly string[]
  readonly findings: readonly Finding[]
}> {
  const { indexes, findings } = indexPlans(source, spec)
  const told = [...findings]
  const have = await ownIndexes(client, spec)
  const wanted = new Set(indexes.map(markOf))
  const dropped: string[] = []
  for (const [mark, name] of have) {
    if (wanted.has(mark)) continue
    await client.query(`DROP INDEX ${quote(spec.schema, name)}`)
    dropped.push(name)
  }
  const created: string[] = []
  for (const plan of indexes) {
    if (have.has(markOf(plan)) || (make === 'plain' && plan.unique)) continue
    const name = await tryIndex(client, spec, plan)
    if (typeof name === 'string') created.push(name)
    else told.push(name)
  }
  return { created, dropped, findings: told }
}

/** Makes an index in a savepoint: its name, or why the rows do not allow it. */
export async function tryIndex(
  client: pg.ClientBase,
  table: TableSpec,
  plan: IndexPlan,
): Promise<string | Finding> {
  await client.query('SAVEPOINT slipway_index')
  try {
    const name = await createIndex(client, table, plan)
    await client.query('RELEASE SAVEPOINT slipway_index')
    return name
  } catch (error) {
    if (!indexCannotHold(error)) throw error
    await client.query('ROLLBACK TO SAVEPOINT slipway_index')
    return {
      code: 'index_refused',
      severity: 'warns',
      table: table.name,
      message: `${table.name}: ${plan.unique ? 'unique index' : 'index'} ${plan.name} is left out: ${messageOf(error)}`,
      remedy: 'PostgreSQL cannot hold the present rows in it: change them in SQLite, or do without.',
    }
  }
}

/** Takes the marks off the indexes: from here on they are the application's. */
export async function forgetIndexes(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<void> {
  for (const table of tables) {
    for (const name of (await ownIndexes(client, table)).values())
      await client.query(`COMMENT ON INDEX ${quote(table.schema, name)} IS NULL`)
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
