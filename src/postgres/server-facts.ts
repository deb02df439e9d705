import type { ExistingTable, ServerFacts } from '../core/assess/inputs.ts'
import { quote } from '../core/quote.ts'
import type { Connection } from './connection.ts'
import { introspectTarget } from './introspect.ts'

/**
 * What a server says of itself and of a schema. Reads only, in sessions that may do nothing else; `checkTarget` has
 * said before that it is a server for us. `phase` is that of this migration, where it has begun.
 */
export async function readServerFacts(
  connection: Connection,
  schema: string,
  phase: string | undefined,
): Promise<ServerFacts> {
  const tables = await introspectTarget(connection, schema)
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT current_setting('server_version') AS version, to_regnamespace($1) IS NOT NULL AS "schemaExists",
              (SELECT array_agg(extname::text ORDER BY extname) FROM pg_extension) AS extensions,
              current_setting('max_prepared_transactions')::int AS prepared`,
      [quote(schema)],
    )
    const keys = await client.query(
      `SELECT c.relname AS "table", p.relname AS parent,
              (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(con.conkey) WITH ORDINALITY k(attnum, n)
               JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns
       FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_class p ON p.oid = con.confrelid
       WHERE con.contype = 'f' AND c.relnamespace = to_regnamespace($1)`,
      [quote(schema)],
    )
    const checks = await client.query(
      `SELECT c.relname AS "table", count(*)::int AS n FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
       WHERE con.contype = 'c' AND c.relnamespace = to_regnamespace($1) GROUP BY 1`,
      [quote(schema)],
    )
    const facts = rows[0]
    return {
      server: connection.server,
      schema,
      version: facts.version,
      schemaExists: facts.schemaExists,
      extensions: facts.extensions ?? [],
      maxPreparedTransactions: facts.prepared,
      phase,
      tables: tables.map(
        (table): ExistingTable => ({
          table,
          foreignKeys: keys.rows
            .filter((row) => row.table === table.name)
            .map(({ parent, columns }) => ({ parent, columns })),
          checks: checks.rows.find((row) => row.table === table.name)?.n ?? 0,
        }),
      ),
    }
  })
}
