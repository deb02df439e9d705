import type pg from 'pg'
import { quote } from '../core/quote.ts'
import type { TargetColumn, TargetTable, TargetTrigger, TargetUnique } from '../core/target-schema.ts'
import type { Connection } from './connection.ts'

/** Rows of a table that are counted before it is called a full one. */
const COUNTED_ROWS = 1_000_000

/** A domain is told by what it is made of, however many domains are between. */
const COLUMNS = `
  SELECT attname AS name, format_type(atttypid, atttypmod) AS type,
         attnotnull OR coalesce(domain.not_null, false) AS "notNull",
         (atthasdef AND attgenerated = '') OR coalesce(domain.has_default, false) AS "hasDefault", attidentity <> '' AS identity,
         attidentity = 'a' AS "identityAlways",
         coalesce(domain.base, format_type(atttypid, atttypmod)) !~ '(^|\\.)citext$' AND coalesce((SELECT collisdeterministic FROM pg_collation c WHERE c.oid = attcollation), true) AS exact,
         attgenerated <> '' AS generated, pg_get_expr(d.adbin, d.adrelid) AS "defaultSql", domain.base,
         (SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = coalesce(domain.base_oid, atttypid)) AS labels,
         has_column_privilege(attrelid, attnum, 'INSERT') AND has_column_privilege(attrelid, attnum, 'UPDATE') AS writable,
         domain.checks
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
  LEFT JOIN LATERAL (
    WITH RECURSIVE chain AS (
      SELECT t.oid, t.typbasetype, t.typtypmod, t.typnotnull, t.typdefault, 1 AS depth FROM pg_type t WHERE t.oid = atttypid AND t.typtype = 'd'
      UNION ALL SELECT t.oid, t.typbasetype, t.typtypmod, t.typnotnull, t.typdefault, depth + 1
      FROM chain JOIN pg_type t ON t.oid = chain.typbasetype WHERE t.typtype = 'd')
    SELECT (array_agg(format_type(typbasetype, typtypmod) ORDER BY depth DESC))[1] AS base,
           (array_agg(typbasetype ORDER BY depth DESC))[1] AS base_oid,
           bool_or(typnotnull) AS not_null, bool_or(typdefault IS NOT NULL) AS has_default,
           (SELECT array_agg(pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.contype = 'c' AND k.contypid = ANY (array_agg(chain.oid))) AS checks
    FROM chain) domain ON true
  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`

/** The lowest bits of tgtype: 4 INSERT, 16 UPDATE; a trigger on DELETE alone computes nothing. */
const TRIGGERS = `
  SELECT tgname AS name, tgtype & 16 > 0 AS updates, p.prosrc || ' ' || pg_get_triggerdef(t.oid) AS body,
         (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = tgrelid AND attnum = ANY (tgattr::int2[])) AS columns
  FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
  WHERE tgrelid = $1 AND NOT tgisinternal AND tgname NOT LIKE ' slipway%' AND tgtype & 20 > 0 ORDER BY tgname`

/** The ordinary and partitioned tables of a schema, as planning needs them. */
export async function introspectTarget(connection: Connection, schema: string): Promise<TargetTable[]> {
  return await connection.use(async (client) => {
    const tables = await client.query(
      `SELECT c.oid, c.relname AS name, pg_get_userbyid(c.relowner) AS owner, current_user AS role, pg_has_role(c.relowner, 'USAGE') AS mine,
              relrowsecurity AND relforcerowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS "rowSecurity",
              (SELECT array_agg(DISTINCT n.nspname || '.' || r.relname) FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
               WHERE k.confrelid = c.oid AND k.conrelid <> c.oid AND k.contype = 'f') AS "referencedBy",
              (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY conname) FROM pg_constraint k WHERE conrelid = c.oid AND contype = 'c') AS checks
       FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') ORDER BY c.relname`,
      [quote(schema)],
    )
    const result: TargetTable[] = []
    for (const table of tables.rows) {
      const columns = await client.query(COLUMNS, [table.oid])
      const triggers = await client.query(TRIGGERS, [table.oid])
      const uniques = await readUniques(client, table.oid)
      // Somebody else's table may not be readable: then its owner is the problem that is reported.
      const counted = table.mine
        ? await client.query(
            `SELECT count(*)::int AS n FROM (SELECT 1 FROM ${quote(schema, table.name)} LIMIT ${COUNTED_ROWS}) AS held`,
          )
        : undefined
      const rows = counted?.rows[0].n as number | undefined
      result.push({
        schema,
        name: table.name,
        columns: columns.rows.map(columnOf),
        uniques,
        empty: (rows ?? 0) === 0,
        rows,
        triggers: triggers.rows.map(
          (row): TargetTrigger => ({
            name: row.name,
            updateOf: row.updates ? (row.columns ?? []) : undefined,
            body: row.body,
          }),
        ),
        checks: [
          ...new Set<string>([
            ...(table.checks ?? []),
            ...columns.rows.flatMap((column) => column.checks ?? []),
          ]),
        ],
        rowSecurity: table.rowSecurity,
        referencedBy: table.referencedBy ?? [],
        mine: table.mine,
        owner: table.owner,
        role: table.role,
      })
    }
    return result
  })
}

/** The unique indexes of a table, by its oid. */
export async function readUniques(client: pg.ClientBase, table: number): Promise<TargetUnique[]> {
  const { rows } = await client.query(
    `SELECT i.relname AS name, x.indisprimary AS primary, NOT x.indimmediate AS deferrable,
                pg_get_expr(x.indpred, x.indrelid) AS where, x.indexprs IS NULL AS plain,
                coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false) AS "nullsEqual",
                (SELECT array_agg(pg_get_indexdef(x.indexrelid, k, true) ORDER BY k) FROM generate_series(1, x.indnkeyatts) k) AS parts,
                (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, n)
                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.n <= x.indnkeyatts) AS columns
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
         WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid`,
    [table],
  )
  return rows.map((row) => ({
    name: row.name,
    parts: row.parts,
    columns: row.plain ? row.columns : undefined,
    where: row.where ?? undefined,
    deferrable: row.deferrable,
    primary: row.primary,
    nullsEqual: row.nullsEqual,
  }))
}

function columnOf({ checks: _checks, defaultSql, base, labels, ...column }: TargetRow): TargetColumn {
  return {
    ...column,
    ...(defaultSql === null ? {} : { defaultSql }),
    ...(base === null ? {} : { base }),
    ...(labels === null ? {} : { labels }),
  }
}

interface TargetRow extends Omit<TargetColumn, 'defaultSql' | 'base' | 'labels'> {
  readonly defaultSql: string | null
  readonly base: string | null
  readonly labels: readonly string[] | null
  readonly checks: readonly string[] | null
}

/** Names in a schema that are taken by something other than a table: views, sequences, indexes, types. */
export async function otherRelations(connection: Connection, schema: string): Promise<Set<string>> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind NOT IN ('r', 'p')
       UNION SELECT typname FROM pg_type WHERE typnamespace = to_regnamespace($1) AND typtype IN ('e', 'd', 'r', 'm')`,
      [quote(schema)],
    )
    return new Set(rows.map((row) => row.name))
  })
}
