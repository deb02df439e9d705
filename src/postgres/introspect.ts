import { quote } from '../core/quote.ts'
import type { TargetTable, TargetUnique } from '../core/target-schema.ts'
import type { Connection } from './connection.ts'

/** The ordinary and partitioned tables of a schema, as planning needs them. */
export async function introspectTarget(connection: Connection, schema: string): Promise<TargetTable[]> {
  return await connection.use(async (client) => {
    const tables = await client.query(
      `SELECT c.oid, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, current_user AS role, pg_has_role(c.relowner, 'USAGE') AS mine
       FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') ORDER BY c.relname`,
      [quote(schema)],
    )
    const result: TargetTable[] = []
    for (const table of tables.rows) {
      const columns = await client.query(
        `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS "notNull",
                atthasdef AND attgenerated = '' AS "hasDefault", attidentity <> '' AS identity, attidentity = 'a' AS "identityAlways",
                atttypid::regtype::text <> 'citext' AND coalesce((SELECT collisdeterministic FROM pg_collation c WHERE c.oid = attcollation), true) AS exact, attgenerated <> '' AS generated
         FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
        [table.oid],
      )
      const uniques = await client.query(
        `SELECT i.relname AS name, x.indisprimary AS primary, NOT x.indimmediate AS deferrable,
                pg_get_expr(x.indpred, x.indrelid) AS where, x.indexprs IS NULL AS plain,
                (SELECT array_agg(pg_get_indexdef(x.indexrelid, k, true) ORDER BY k) FROM generate_series(1, x.indnkeyatts) k) AS parts,
                (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, n)
                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.n <= x.indnkeyatts) AS columns
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
         WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid`,
        [table.oid],
      )
      // Somebody else's table may not be readable: then its owner is the problem that is reported.
      const filled = table.mine
        ? (await client.query(`SELECT EXISTS (SELECT 1 FROM ${quote(schema, table.name)}) AS filled`)).rows[0]
            .filled
        : false
      result.push({
        schema,
        name: table.name,
        columns: columns.rows,
        uniques: uniques.rows.map(
          (row): TargetUnique => ({
            name: row.name,
            parts: row.parts,
            columns: row.plain ? row.columns : undefined,
            where: row.where ?? undefined,
            deferrable: row.deferrable,
            primary: row.primary,
          }),
        ),
        empty: !filled,
        mine: table.mine,
        owner: table.owner,
        role: table.role,
      })
    }
    return result
  })
}

/** Names in a schema that are taken by something other than a table: views, sequences, indexes, types of rows. */
export async function otherRelations(connection: Connection, schema: string): Promise<Set<string>> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind NOT IN ('r', 'p')`,
      [quote(schema)],
    )
    return new Set(rows.map((row) => row.name))
  })
}
