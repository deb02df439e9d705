import type pg from 'pg'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

/** A column that a sequence feeds, as an identity, a serial, or by a default that only names the sequence. */
interface Fed {
  readonly column: string
  /** Object identifier. */
  readonly sequence: string
}

/**
 * Puts every sequence that feeds a column of these tables above its highest value: COPY moves none of them, and the
 * first insert of the application would take a key that is there already. An empty table starts at 1 (trap V15). A
 * sequence may feed several columns, and need not belong to one of them (trap V24).
 */
export async function advanceIdentities(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
  /** `sqlite_sequence` of the source by table: it may be ahead of the highest key that is left (trap V24). */
  used: ReadonlyMap<string, bigint>,
): Promise<void> {
  const highest = new Map<string, bigint>()
  for (const table of tables) {
    for (const { column, sequence } of await fedColumns(client, table)) {
      const { rows } = await client.query(
        `SELECT coalesce(floor(max(${quote(column)})), 0)::bigint AS top FROM ${targetName(table)}`,
      )
      const tops = [BigInt(rows[0].top), used.get(table.name) ?? 0n, highest.get(sequence) ?? 0n]
      highest.set(
        sequence,
        tops.reduce((a, b) => (a > b ? a : b)),
      )
    }
  }
  for (const [sequence, top] of highest) {
    // One that counts down, or that has no number left above the highest, is as the application made it.
    await client.query(
      `SELECT setval(seqrelid::regclass, greatest($2::bigint + 1, seqmin), false) FROM pg_sequence
       WHERE seqrelid = $1::oid AND seqincrement > 0 AND $2::bigint < seqmax`,
      [sequence, top.toString()],
    )
  }
}

/**
 * Numeric columns of a table with the sequences that feed them. A default names its sequence as a regclass constant,
 * which is a dependency, or as a text, which PostgreSQL looks up at each insert: then only its own words tell.
 */
async function fedColumns(client: pg.ClientBase, table: TableSpec): Promise<Fed[]> {
  const { rows } = await client.query(
    `SELECT a.attname AS column, pg_get_serial_sequence($1, a.attname)::regclass::oid::text AS owned,
            pg_get_expr(d.adbin, d.adrelid) AS value
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND (SELECT coalesce(nullif(t.typbasetype, 0), t.oid) FROM pg_type t WHERE t.oid = a.atttypid)
           IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)`,
    [targetName(table)],
  )
  const fed: Fed[] = []
  for (const { column, owned, value } of rows) {
    const named = await sequenceOf(client, table, value)
    for (const sequence of new Set([owned, named])) if (sequence != null) fed.push({ column, sequence })
  }
  return fed
}

/** `nextval('x'::regclass)` or `nextval(('x'::text)::regclass)`, as PostgreSQL writes a default back. */
const NEXTVAL = /\bnextval\(\(*'((?:[^']|'')+)'/i

async function sequenceOf(
  client: pg.ClientBase,
  table: TableSpec,
  value: string | null,
): Promise<string | undefined> {
  const name = NEXTVAL.exec(value ?? '')?.[1]?.replaceAll("''", "'")
  if (name === undefined) return undefined
  // A name without a schema is looked up by the application's search path, which most likely has the table's schema.
  const { rows } = await client.query(
    `SELECT c.oid::text AS sequence FROM pg_class c WHERE c.relkind = 'S'
       AND c.oid = coalesce(to_regclass($1), to_regclass($2 || '.' || $1))`,
    [name, quote(table.schema)],
  )
  return rows[0]?.sequence
}
