import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { literal, quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { type Dormant, targetName } from './dormant.ts'

/** `slipway_rehearsal_` and eight hexadecimal digits. */
const PREFIX = 'slipway_rehearsal_'

/** First number of the advisory locks by which a rehearsal shows that it lives. */
const LOCK = 0x51195

/** A schema that exists for one rehearsal. */
export interface Scratch extends AsyncDisposable {
  readonly schema: string
}

function lockOf(schema: string): number {
  return Number.parseInt(schema.slice(PREFIX.length), 16) | 0
}

/**
 * Makes a schema of a name that nobody has, and holds a lock of its own while it lives, in the session of `keeper`.
 * Disposing drops it with everything in it, after `end` has closed what worked there. What an earlier rehearsal left
 * behind when it was killed goes first.
 */
export async function makeScratch(
  keeper: Connection,
  id: string,
  end: () => Promise<void>,
  warn: (text: string) => void,
): Promise<Scratch> {
  const schema = `${PREFIX}${id}`
  await keeper.use(async (client) => {
    const { rows } = await client.query(
      `SELECT has_database_privilege(current_database(), 'CREATE') AS may, current_user AS role, current_database() AS database`,
    )
    if (!rows[0].may) {
      throw new Failure({
        code: 'target_rights',
        message: `the role ${rows[0].role} may not create a schema for the rehearsal in the database ${rows[0].database}`,
        remedy: `As a superuser or the owner run: GRANT CREATE ON DATABASE ${quote(rows[0].database)} TO ${quote(rows[0].role)};`,
      })
    }
    await dropLeftovers(client, warn)
    await client.query('SELECT pg_advisory_lock($1, $2)', [LOCK, lockOf(schema)])
    await client.query(`CREATE SCHEMA ${quote(schema)}`)
  })
  return {
    schema,
    [Symbol.asyncDispose]: async () => {
      await end()
      await keeper.use((client) => dropSchema(client, schema))
    },
  }
}

/** Schemas of rehearsals that nobody runs any more. */
async function dropLeftovers(client: pg.ClientBase, warn: (text: string) => void): Promise<void> {
  const { rows } = await client.query(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname ~ $1 AND pg_has_role(nspowner, 'USAGE')`,
    [`^${PREFIX}[0-9a-f]{8}$`],
  )
  for (const { name } of rows) {
    const lock = await client.query('SELECT pg_try_advisory_lock($1, $2) AS free', [LOCK, lockOf(name)])
    if (!lock.rows[0].free) continue
    await dropSchema(client, name)
    await client.query('SELECT pg_advisory_unlock($1, $2)', [LOCK, lockOf(name)])
    warn(`dropped ${name}, which a rehearsal that was killed had left behind`)
  }
}

/** Table by table: one transaction over thousands of them may need more locks than the server has. */
async function dropSchema(client: pg.ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')`,
    [quote(schema)],
  )
  for (const { name } of rows) await client.query(`DROP TABLE IF EXISTS ${quote(schema, name)} CASCADE`)
  await client.query(`DROP SCHEMA IF EXISTS ${quote(schema)} CASCADE`)
}

/**
 * A table like one that the application's own migrations made: columns, defaults, identities, CHECKs and indexes, but
 * neither rows nor triggers, which do not act while SQLite leads. Sequences are its own, so that the application's do
 * not move.
 */
export async function makeLike(client: pg.ClientBase, original: TableSpec, schema: string): Promise<void> {
  const copy = quote(schema, original.target)
  await client.query(`CREATE TABLE ${copy} (LIKE ${targetName(original)} INCLUDING ALL)`)
  const { rows } = await client.query(
    `SELECT a.attname AS name FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass($1) AND a.attgenerated = '' AND pg_get_expr(d.adbin, d.adrelid) ~* '\\mnextval\\('`,
    [copy],
  )
  for (const [index, { name }] of rows.entries()) {
    const sequence = quote(schema, `${original.target.slice(0, 20)}_${index}_seq`)
    await client.query(`CREATE SEQUENCE ${sequence}`)
    await client.query(
      `ALTER TABLE ${copy} ALTER COLUMN ${quote(name)} SET DEFAULT nextval(${literal(sequence)}::regclass)`,
    )
  }
}

/** The foreign keys of the application's tables, for their copies: to a copy where the parent has one. */
export async function foreignKeysLike(
  client: pg.ClientBase,
  originals: readonly TableSpec[],
  schema: string,
): Promise<Dormant[]> {
  const { rows } = await client.query(
    `SELECT con.conname AS name, c.relname AS child, p.relname AS parent, con.confrelid = ANY ($1::regclass[]) AS copied,
            pg_get_constraintdef(con.oid) AS definition, con.confrelid::regclass::text AS shown,
            format('%I.%I', pn.nspname, p.relname) AS original
     FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
     JOIN pg_class p ON p.oid = con.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
     WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid = ANY ($1::regclass[])
     ORDER BY c.relname, con.conname`,
    [originals.map(targetName)],
  )
  return rows.map((row): Dormant => {
    const table = quote(schema, row.child)
    const parent = row.copied ? quote(schema, row.parent) : row.original
    const definition = row.definition
      .replace(` REFERENCES ${row.shown}(`, () => ` REFERENCES ${parent}(`)
      .replace(/ NOT VALID$/, '')
    const wake = `ALTER TABLE ${table} ADD CONSTRAINT ${quote(row.name)} ${definition} NOT VALID`
    return { table, kind: 'foreign_key', name: row.name, wake }
  })
}
