import type pg from 'pg'
import { planGenerated } from '../core/ddl/generated.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { addColumnSql, columnLines, dropColumnSql } from './schema.ts'

/** Generated columns of a table with their expressions as PostgreSQL writes them back. */
async function readGenerated(client: pg.ClientBase, table: string): Promise<Map<string, string>> {
  const { rows } = await client.query(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) || ' ' || pg_get_expr(d.adbin, d.adrelid) AS shape
     FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass($1) AND a.attgenerated <> '' AND NOT a.attisdropped`,
    [table],
  )
  return new Map(rows.map((row) => [row.name, row.shape]))
}

/**
 * Drops the generated columns of a table of ours that the source no longer has, or has with another expression: before
 * plain columns go, which they may build on. What they are like in PostgreSQL's own words an empty table tells.
 */
export async function dropStaleGenerated(
  client: pg.ClientBase,
  source: SourceTable,
  spec: TableSpec,
): Promise<string[]> {
  const have = await readGenerated(client, targetName(spec))
  if (have.size === 0) return []
  const shape = `pg_temp.${quote('slipway_shape')}`
  await client.query(`CREATE TEMP TABLE slipway_shape (${columnLines(source, spec).join(', ')})`)
  const wanted = await readGenerated(client, shape)
  await client.query(`DROP TABLE ${shape}`)
  const stale = [...have].filter(([name, is]) => wanted.get(name) !== is).map(([name]) => name)
  for (const name of stale) await client.query(dropColumnSql(spec, name))
  return stale
}

/** Adds those that are missing, once the plain columns are there. */
export async function addMissingGenerated(
  client: pg.ClientBase,
  source: SourceTable,
  spec: TableSpec,
): Promise<string[]> {
  const have = await readGenerated(client, targetName(spec))
  const missing = planGenerated(source, spec).made.filter(({ name }) => !have.has(name))
  for (const { name } of missing) {
    const sql = addColumnSql(source, spec, name)
    if (sql !== undefined) await client.query(sql)
  }
  return missing.map(({ name }) => name)
}
