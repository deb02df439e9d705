import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { renderTemplate } from '../core/template.ts'
import type { Connection } from './connection.ts'
import { postgresTemplate } from './migrate.ts'

/** `"schema"."table"` of a spec. */
export function targetName(table: TableSpec): string {
  return quote(table.schema, table.target)
}

/** A constraint or trigger that does not act for now, and the DDL that brings it back. */
export interface Dormant {
  /** Qualified and quoted. */
  readonly table: string
  /** own_…: of a table that slipway made, which never acted yet. */
  readonly kind: 'foreign_key' | 'own_foreign_key' | 'own_check' | 'trigger'
  readonly name: string
  readonly wake: string
}

/** The sleepers of a migration, as noted. */
export async function readDormant(client: pg.ClientBase, migration: string): Promise<Dormant[]> {
  const { rows } = await client.query(
    'SELECT tbl AS "table", kind, name, wake FROM slipway.dormant WHERE migration = $1 ORDER BY tbl, name',
    [migration],
  )
  return rows
}

/**
 * While SQLite leads, the target's own foreign keys and triggers must not act: a cascade would delete rows that
 * are not in a batch, an `updated_at` trigger would change a value (trap H9). Foreign keys that touch a moved
 * table are dropped, their DDL kept; user triggers are disabled, their mode kept. Both in one transaction with
 * the notes that bring them back.
 */
export async function putToSleep(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<Dormant[]> {
  const asleep: Dormant[] = []
  const names = await withPartitions(client, tables)
  const keys = await client.query(
    `SELECT con.conname AS name, format('%I.%I', n.nspname, c.relname) AS tbl, pg_get_constraintdef(con.oid) AS definition,
            pg_has_role(c.relowner, 'USAGE') AS mine, pg_get_userbyid(c.relowner) AS owner, current_user AS role
     FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE con.contype = 'f' AND con.conparentid = 0
       AND (con.conrelid = ANY ($1::regclass[]) OR con.confrelid = ANY ($1::regclass[]))`,
    [names],
  )
  const foreign = keys.rows.find((row) => !row.mine)
  if (foreign !== undefined) {
    throw new Failure({
      code: 'target_rights',
      message: `the foreign key ${foreign.name} of ${foreign.tbl} would act on moved rows, and that table belongs to ${foreign.owner}`,
      remedy: `As its owner or a superuser: GRANT ${quote(foreign.owner)} TO ${quote(foreign.role)}; or drop the foreign key for the time of the migration.`,
    })
  }
  for (const row of keys.rows) {
    const valid = row.definition.replace(/ NOT VALID$/, '')
    const wake = `ALTER TABLE ${row.tbl} ADD CONSTRAINT ${quote(row.name)} ${valid} NOT VALID`
    asleep.push({ table: row.tbl, kind: 'foreign_key', name: row.name, wake })
    await client.query(`ALTER TABLE ${row.tbl} DROP CONSTRAINT ${quote(row.name)}`)
  }
  const triggers = await client.query(
    `SELECT t.tgname AS name, format('%I.%I', n.nspname, c.relname) AS tbl, t.tgenabled AS mode
     FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgrelid = ANY ($1::regclass[])
       AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname NOT LIKE ' slipway%'`,
    [names],
  )
  const modes: Readonly<Record<string, string>> = {
    O: 'ENABLE TRIGGER',
    A: 'ENABLE ALWAYS TRIGGER',
    R: 'ENABLE REPLICA TRIGGER',
  }
  for (const row of triggers.rows) {
    const wake = `ALTER TABLE ONLY ${row.tbl} ${modes[row.mode]} ${quote(row.name)}`
    asleep.push({ table: row.tbl, kind: 'trigger', name: row.name, wake })
    await client.query(`ALTER TABLE ONLY ${row.tbl} DISABLE TRIGGER ${quote(row.name)}`)
  }
  return asleep
}

/** Those that do not act now: after a switchover what the notes list is in the tables. */
export async function asleepOf(client: pg.ClientBase, sleepers: readonly Dormant[]): Promise<Dormant[]> {
  const { rows } = await client.query(
    `SELECT n FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY s(tbl, kind, name, n)
     WHERE CASE WHEN kind = 'trigger'
       THEN EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(tbl) AND tgname = name AND tgenabled <> 'D')
       ELSE EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(tbl) AND conname = name) END`,
    [sleepers.map(({ table }) => table), sleepers.map(({ kind }) => kind), sleepers.map(({ name }) => name)],
  )
  const awake = new Set(rows.map((row) => Number(row.n) - 1))
  return sleepers.filter((_, index) => !awake.has(index))
}

/** Notes a sleeper where a later process finds it. */
export async function remember(
  client: pg.ClientBase,
  migration: string,
  { table, kind, name, wake }: Dormant,
): Promise<void> {
  await client.query(
    `INSERT INTO slipway.dormant (migration, tbl, kind, name, wake) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (migration, tbl, kind, name) DO UPDATE SET wake = excluded.wake`,
    [migration, table, kind, name, wake],
  )
}

/**
 * Brings everything back that does not act yet, each in its own savepoint: a foreign key that the rows break comes back
 * NOT VALID and is named; a CHECK that they break is left out, since it would refuse the next change of such a row.
 * Returns what could not be brought back whole.
 */
export async function wakeUp(client: pg.ClientBase, sleepers: readonly Dormant[]): Promise<string[]> {
  const warnings: string[] = []
  const attempt = async (what: string, sql: string): Promise<boolean> => {
    await client.query('SAVEPOINT slipway_wake')
    try {
      await client.query(sql)
      await client.query('RELEASE SAVEPOINT slipway_wake')
      return true
    } catch (error) {
      await client.query('ROLLBACK TO SAVEPOINT slipway_wake')
      warnings.push(`${what}: ${(error as Error).message}`)
      return false
    }
  }
  const asleep = new Set(await asleepOf(client, sleepers))
  for (const row of sleepers) {
    const awake = !asleep.has(row)
    const back =
      awake || (await attempt(`${row.kind} ${row.name} of ${row.table} did not come back`, row.wake))
    if (!back || row.kind === 'trigger') continue
    const check = row.kind === 'own_check'
    const valid = await attempt(
      check
        ? `CHECK ${row.name} of ${row.table} is left out`
        : `foreign key ${row.name} of ${row.table} stays NOT VALID`,
      `ALTER TABLE ${row.table} VALIDATE CONSTRAINT ${quote(row.name)}`,
    )
    if (check && !valid) await client.query(`ALTER TABLE ${row.table} DROP CONSTRAINT ${quote(row.name)}`)
  }
  return warnings
}

/** Hangs the gate on the tables and all their partitions; safe to run again. */
export async function hangGate(
  client: pg.ClientBase,
  id: number,
  tables: readonly TableSpec[],
): Promise<void> {
  for (const name of await withPartitions(client, tables)) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS n FROM pg_trigger WHERE tgrelid = $1::regclass AND tgname IN (' slipway_gate', ' slipway_gate_truncate') AND tgenabled = 'A'`,
      [name],
    )
    if (rows[0].n === 2) continue
    await takeGateOff(client, name)
    for (const sql of renderTemplate(postgresTemplate('gate'), { table: name, id: String(id) }).values())
      await client.query(sql)
  }
}

export async function takeGateOff(client: pg.ClientBase, name: string): Promise<void> {
  await client.query(`DROP TRIGGER IF EXISTS " slipway_gate" ON ${name}`)
  await client.query(`DROP TRIGGER IF EXISTS " slipway_gate_truncate" ON ${name}`)
}

/** Every trigger of ours on one table goes, gate and capture; those of a partition that come from its parent go with that. */
export async function takeTriggersOff(client: pg.ClientBase, name: string): Promise<number> {
  const { rows } = await client.query(
    `SELECT quote_ident(tgname) AS trigger FROM pg_trigger
     WHERE tgrelid = to_regclass($1) AND starts_with(tgname, ' slipway_') AND tgparentid = 0`,
    [name],
  )
  for (const { trigger } of rows) await client.query(`DROP TRIGGER ${trigger} ON ${name}`)
  return rows.length
}

/** Tables that are still there: a person may have dropped some. */
export async function tablesThere<T extends Pick<TableSpec, 'schema' | 'target'>>(
  client: pg.ClientBase,
  tables: readonly T[],
): Promise<T[]> {
  const { rows } = await client.query(
    'SELECT to_regclass(name) IS NOT NULL AS there FROM unnest($1::text[]) WITH ORDINALITY t(name, n) ORDER BY n',
    [tables.map((table) => quote(table.schema, table.target))],
  )
  return tables.filter((_, index) => rows[index]?.there === true)
}

/** The tables with their partitions and the tables that inherit from them, in quotes; those that are gone are left out. */
export async function withPartitions(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<string[]> {
  const { rows } = await client.query(
    `WITH RECURSIVE family AS (
       SELECT to_regclass(n)::oid AS relid FROM unnest($1::text[]) n WHERE to_regclass(n) IS NOT NULL
       UNION SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.relid)
     SELECT format('%I.%I', n.nspname, c.relname) AS name FROM family f
     JOIN pg_class c ON c.oid = f.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') ORDER BY 1`,
    [tables.map(targetName)],
  )
  return rows.map((row) => row.name)
}

/**
 * Looks for what should be closed or asleep and is not: a partition made later, a table made anew, a trigger switched
 * off, a foreign key that the application's next migration added. Rows may have come in or been changed meanwhile, so
 * the answer is a reason to copy anew; undefined where all is well.
 */
export async function findBreach(
  connection: Connection,
  tables: readonly TableSpec[],
): Promise<string | undefined> {
  return await connection.use(async (client) => {
    const gone = await client.query(
      'SELECT n AS name FROM unnest($1::text[]) n WHERE to_regclass(n) IS NULL',
      [tables.map(targetName)],
    )
    if (gone.rows.length > 0) return `${gone.rows[0].name} is gone from PostgreSQL`
    const names = await withPartitions(client, tables)
    const { rows } = await client.query(
      `SELECT format('%s had no gate against other writers', r) AS what FROM unnest($1::regclass[]) r
       WHERE (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = r AND t.tgenabled = 'A'
              AND t.tgname IN (' slipway_gate', ' slipway_gate_truncate')) < 2
       UNION ALL SELECT format('the trigger %s of %s was on', t.tgname, t.tgrelid::regclass) FROM pg_trigger t
       WHERE t.tgrelid = ANY ($1::regclass[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname NOT LIKE ' slipway%'
       UNION ALL SELECT format('the foreign key %s of %s was there', con.conname, con.conrelid::regclass) FROM pg_constraint con
       WHERE con.contype = 'f' AND con.conparentid = 0
         AND (con.conrelid = ANY ($1::regclass[]) OR con.confrelid = ANY ($1::regclass[]))
       LIMIT 1`,
      [names],
    )
    return rows[0]?.what
  })
}
