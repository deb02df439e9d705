import type pg from 'pg'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { withPartitions } from './dormant.ts'

/**
 * What the role lacks for the way back, each a sentence that ends with the statement which gives it; empty where nothing
 * is missing. For a guard: asked before the switchover, when there is still time.
 */
export async function reverseRights(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
): Promise<readonly string[]> {
  const names = await withPartitions(client, tables)
  const { rows } = await client.query(
    `SELECT r::text AS name, current_user AS role, pg_get_userbyid(c.relowner) AS owner, n.nspname AS schema,
            has_schema_privilege(n.oid, 'USAGE') AS reached,
            pg_has_role(c.relowner, 'USAGE') AS mine,
            has_table_privilege(c.oid, 'SELECT') AS readable,
            c.relrowsecurity AND NOT (SELECT s.rolsuper OR s.rolbypassrls FROM pg_roles s WHERE s.rolname = current_user)
              AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')) AS hidden
     FROM unnest($1::text[]) r JOIN pg_class c ON c.oid = r::regclass JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1`,
    [names],
  )
  const missing: string[] = []
  for (const row of rows) {
    const role = quote(row.role)
    if (!row.reached)
      missing.push(
        `${row.role} may not use the schema ${row.schema}: GRANT USAGE ON SCHEMA ${quote(row.schema)} TO ${role};`,
      )
    if (!row.mine)
      missing.push(
        `${row.name} belongs to ${row.owner}, and only its owner makes triggers that nobody can pass by: GRANT ${quote(row.owner)} TO ${role};`,
      )
    else if (!row.readable)
      missing.push(`${row.role} may not read ${row.name}: GRANT SELECT ON ${row.name} TO ${role};`)
    if (row.hidden)
      missing.push(
        `row-level security hides rows of ${row.name} from ${row.role}: ALTER ROLE ${role} BYPASSRLS;`,
      )
  }
  const facts = await client.query(
    `SELECT current_user AS role, current_database() AS database,
            has_database_privilege(current_database(), 'TEMPORARY') AS stages,
            has_schema_privilege('slipway', 'CREATE') AND has_schema_privilege('slipway', 'USAGE') AS functions`,
  )
  const { role, database, stages, functions } = facts.rows[0]
  if (!stages)
    missing.push(
      `${role} may not make temporary tables: GRANT TEMPORARY ON DATABASE ${quote(database)} TO ${quote(role)};`,
    )
  if (!functions)
    missing.push(
      `${role} may not make functions in the schema slipway: GRANT CREATE, USAGE ON SCHEMA slipway TO ${quote(role)};`,
    )
  return missing
}
