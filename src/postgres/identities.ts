import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

/** A column that a sequence feeds, as an identity, a serial, or by a default that only names the sequence. */
interface Feed {
  readonly table: TableSpec
  readonly column: string
  /** Object identifier. */
  readonly sequence: string
}

/**
 * Puts every sequence that feeds a column of these tables above its highest value: COPY moves none of them, and the
 * first insert of the application would take a key that is there already. An empty table starts at 1 (trap V15). A
 * sequence may feed several columns, and need not belong to one of them (trap V24). Few statements, whatever the number
 * of tables: in a switchover writers wait for it.
 */
export async function advanceIdentities(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
  /** `sqlite_sequence` of the source by table: it may be ahead of the highest key that is left (trap V24). */
  used: ReadonlyMap<string, bigint>,
): Promise<void> {
  const feeds = await feedsOf(client, tables)
  if (feeds.length === 0) return
  const { rows } = await client.query(
    feeds
      .map(
        ({ table, column }, i) =>
          `SELECT ${i} AS place, coalesce(floor((SELECT max(${quote(column)}) FROM ${targetName(table)})), 0)::bigint AS top`,
      )
      .join(' UNION ALL '),
  )
  const tops = new Map(rows.map((row) => [row.place as number, BigInt(row.top)]))
  const highest = new Map<string, bigint>()
  feeds.forEach(({ table, sequence }, i) => {
    const known = [tops.get(i) ?? 0n, used.get(table.name) ?? 0n, highest.get(sequence) ?? 0n]
    highest.set(
      sequence,
      known.reduce((a, b) => (a > b ? a : b)),
    )
  })
  // One that counts down, or that has no number left above the highest, is as the application made it.
  await client.query(
    `SELECT setval(seqrelid::regclass, greatest(v.top + 1, seqmin), false)
     FROM unnest($1::oid[], $2::bigint[]) AS v(sequence, top) JOIN pg_sequence ON seqrelid = v.sequence
     WHERE seqincrement > 0 AND v.top < seqmax`,
    [[...highest.keys()], [...highest.values()].map(String)],
  )
}

/**
 * Both of the above need rights on each sequence; one that belongs to no column may belong to another role. Throws
 * Failure `target_rights` with the GRANTs that are missing.
 */
export async function checkSequenceRights(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
): Promise<void> {
  const feeds = await feedsOf(client, tables)
  const { rows } = await client.query(
    `SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name, current_user AS role
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])
       AND NOT (has_sequence_privilege(c.oid, 'UPDATE') AND has_sequence_privilege(c.oid, 'SELECT'))`,
    [feeds.map((feed) => feed.sequence)],
  )
  if (rows.length === 0) return
  const grants = rows.map(({ name, role }) => `GRANT SELECT, UPDATE ON SEQUENCE ${name} TO ${quote(role)};`)
  throw new Failure({
    code: 'target_rights',
    message: `the role ${rows[0].role} may not set ${rows.map(({ name }) => name).join(', ')}, which a moved table takes its ids from`,
    remedy: `As the owner or a superuser run: ${grants.join(' ')}`,
    facts: { grants },
  })
}

/** The last ids that the sequences of the tables' keys have given out, by the tables' names in the source. */
export async function lastIds(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
): Promise<Map<string, bigint>> {
  const feeds = (await feedsOf(client, tables)).filter(
    ({ table, column }) =>
      table.key.kind !== 'rowid' && table.key.columns.length === 1 && table.key.columns[0]?.target === column,
  )
  const { rows } = await client.query(
    'SELECT s::text AS sequence, pg_sequence_last_value(s::regclass)::text AS last FROM unnest($1::oid[]) s',
    [feeds.map((feed) => feed.sequence)],
  )
  const last = new Map(rows.map((row) => [row.sequence as string, BigInt(row.last ?? 0)]))
  const used = new Map<string, bigint>()
  for (const { table, sequence } of feeds) {
    const id = last.get(sequence) ?? 0n
    if (id > (used.get(table.name) ?? 0n)) used.set(table.name, id)
  }
  return used
}

/**
 * Numeric columns of the tables with the sequences that feed them. A default names its sequence as a regclass constant,
 * which is a dependency, or as a text, which PostgreSQL looks up at each insert: then only its own words tell.
 */
async function feedsOf(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<Feed[]> {
  const { rows } = await client.query(
    `SELECT t.place::int - 1 AS place, a.attname AS column, pg_get_expr(d.adbin, d.adrelid) AS value,
            pg_get_serial_sequence(t.name, a.attname)::regclass::oid::text AS owned
     FROM unnest($1::text[]) WITH ORDINALITY t(name, place)
     JOIN pg_attribute a ON a.attrelid = to_regclass(t.name)
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND (SELECT coalesce(nullif(y.typbasetype, 0), y.oid) FROM pg_type y WHERE y.oid = a.atttypid)
           IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
     ORDER BY t.place, a.attnum`,
    [tables.map(targetName)],
  )
  const columns = rows.flatMap(({ place, column, owned, value }) => {
    const table = tables[place]
    if (table === undefined) return []
    return [{ table, column: column as string, owned: owned as string | null, name: sequenceName(value) }]
  })
  const named = await sequencesOf(client, columns)
  return columns.flatMap(({ table, column, owned }, i) =>
    [...new Set([owned, named[i]])].flatMap((sequence) =>
      sequence == null ? [] : [{ table, column, sequence }],
    ),
  )
}

/** `nextval('x'::regclass)` or `nextval(('x'::text)::regclass)`, as PostgreSQL writes a default back. */
const NEXTVAL = /\bnextval\(\(*'((?:[^']|'')+)'/i

function sequenceName(value: string | null): string | undefined {
  return NEXTVAL.exec(value ?? '')?.[1]?.replaceAll("''", "'")
}

async function sequencesOf(
  client: pg.ClientBase,
  columns: readonly { readonly table: TableSpec; readonly name: string | undefined }[],
): Promise<(string | null)[]> {
  if (columns.every(({ name }) => name === undefined)) return []
  // A name without a schema is looked up by the application's search path, which most likely has the table's schema.
  const { rows } = await client.query(
    `SELECT (SELECT c.oid::text FROM pg_class c WHERE c.relkind = 'S'
             AND c.oid = coalesce(to_regclass(v.name), to_regclass(v.schema || '.' || v.name))) AS sequence
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS v(name, schema, place) ORDER BY v.place`,
    [columns.map(({ name }) => name ?? null), columns.map(({ table }) => quote(table.schema))],
  )
  return rows.map((row) => row.sequence)
}
