import { createHash } from 'node:crypto'
import type pg from 'pg'
import { literal, quote } from '../core/quote.ts'
import type { KeyColumn, TableSpec } from '../core/table.ts'
import { renderTemplate } from '../core/template.ts'
import { differs } from './compare.ts'
import { targetName } from './dormant.ts'
import { postgresTemplate } from './migrate.ts'

/** A table, or one of its partitions and children, and the triggers of ours that hang there. */
interface Member {
  readonly oid: number
  /** Qualified and quoted. */
  readonly name: string
  readonly partitioned: boolean
  /** A partition gets row triggers from its parent. */
  readonly inherits: boolean
  /** Quoted, where the function's maker is another role: it may make partitions, which takes the right to execute. */
  readonly owner: string | null
  readonly triggers: readonly { readonly name: string; readonly calls: string; readonly mode: string }[]
}

/** The channel on which writers wake the reader of a migration. */
export function wakeChannel(id: number): string {
  return `slipway_${id}`
}

/** The sequence that says whether the reader waits: 2 then, else 1. Not a row: writers must see it whatever their snapshot. */
export function bellName(id: number): string {
  return quote('slipway', `bell_${id}`)
}

/**
 * Capture on PostgreSQL: triggers on the tables, their partitions and children. Safe to run again: what is there stays.
 * While PostgreSQL leads, a table whose triggers had to be made, or were touched since, gets a marker as TRUNCATE leaves
 * one, so that it is compared whole. Returns those, by their names in the source. `id` is the control row's; run it in a
 * transaction. It takes SHARE ROW EXCLUSIVE locks where something is missing.
 */
export async function installReverseCapture(
  client: pg.ClientBase,
  id: number,
  tables: readonly TableSpec[],
): Promise<readonly string[]> {
  const { rows } = await client.query('SELECT authority FROM slipway.control WHERE id = $1', [id])
  const leads = rows[0]?.authority === 'postgres'
  const before = await storedMarks(client, id)
  const made = new Set<string>()
  for (const table of tables) if (await capture(client, id, table)) made.add(table.name)
  const marks = await captureMarks(client, tables)
  const doubtful = leads
    ? tables.filter(({ name }) => made.has(name) || (before !== undefined && before[name] !== marks[name]))
    : []
  await markWhole(
    client,
    id,
    doubtful.map(({ name }) => name),
  )
  await client.query(
    `INSERT INTO slipway.captured AS c (migration, marks) VALUES ($1, $2)
     ON CONFLICT (migration) DO UPDATE SET marks = excluded.marks, fingerprint = CASE WHEN $3 THEN c.fingerprint END`,
    [id, JSON.stringify(marks), leads],
  )
  return doubtful.map(({ name }) => name)
}

/** Everything of the reverse capture goes, what it has logged too. Run it in a transaction, outside the pause. */
export async function dropReverseCapture(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<void> {
  const functions = new Set<string>()
  for (const table of tables) {
    for (const member of await family(client, table)) {
      for (const trigger of member.triggers) {
        functions.add(trigger.calls)
        // Row triggers of partitions go with their parent's.
        if (trigger.name !== ROW || !member.inherits)
          await client.query(`DROP TRIGGER IF EXISTS ${quote(trigger.name)} ON ${member.name}`)
      }
    }
  }
  const ids = new Set([...functions].map((name) => Number(/_(\d+)(_|$)/.exec(name)?.[1])))
  for (const id of ids) {
    const { rows } = await client.query(
      `SELECT p.oid::regprocedure AS name FROM pg_proc p
       WHERE p.pronamespace = to_regnamespace('slipway') AND (p.proname LIKE $1 OR p.proname = $2)`,
      [`capture\\_${id}\\_%`, `ring_${id}`],
    )
    for (const { name } of rows) await client.query(`DROP FUNCTION ${name}`)
    await client.query(`DROP SEQUENCE IF EXISTS ${bellName(id)}`)
    await client.query('DELETE FROM slipway.changelog WHERE migration = $1', [id])
    await client.query('DELETE FROM slipway.captured WHERE migration = $1', [id])
  }
}

/** Says of tables that they are to be compared whole: their rows may have changed and no trigger heard of it. */
export async function markWhole(client: pg.ClientBase, id: number, names: readonly string[]): Promise<void> {
  if (names.length === 0) return
  await client.query(
    `INSERT INTO slipway.changelog (migration, tbl, op) SELECT $1, n, 'T' FROM unnest($2::text[]) n`,
    [id, names],
  )
}

/** The marks of the last installation; undefined before there was one. */
export async function storedMarks(
  client: pg.ClientBase,
  id: number,
): Promise<Readonly<Record<string, string>> | undefined> {
  const { rows } = await client.query('SELECT marks FROM slipway.captured WHERE migration = $1', [id])
  return rows[0]?.marks
}

/**
 * What the triggers are, by table: another text once one was dropped, switched off or made anew, also where it is back
 * by now, since the catalogue says which transaction wrote it.
 */
export async function captureMarks(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
): Promise<Readonly<Record<string, string>>> {
  const { rows } = await client.query({
    name: 'slipway_capture_marks',
    text: `
      WITH RECURSIVE family AS (
        SELECT n.name, to_regclass(n.target)::oid AS relid FROM unnest($1::text[], $2::text[]) n(name, target)
        UNION SELECT f.name, i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.relid)
      SELECT f.name, md5(string_agg(concat_ws(' ', f.relid, t.oid, t.xmin, t.tgname, t.tgenabled), ',' ORDER BY f.relid, t.tgname)) AS mark
      FROM family f LEFT JOIN pg_trigger t ON t.tgrelid = f.relid AND t.tgname LIKE ' slipway_capture%' GROUP BY f.name`,
    values: [tables.map((table) => table.name), tables.map(targetName)],
  })
  return Object.fromEntries(rows.map((row) => [row.name, row.mark]))
}

const ROW = ' slipway_capture'
const TRUNCATE = ' slipway_capture_truncate'
const WAKE = ' slipway_capture_wake'

/** True where something had to be made. */
async function capture(client: pg.ClientBase, id: number, table: TableSpec): Promise<boolean> {
  const ring = `slipway.ring_${id}`
  const rendered = (name: string, member: string): Map<string, string> =>
    renderTemplate(postgresTemplate('capture'), {
      id: String(id),
      table: member,
      function: name,
      name: literal(table.name),
      settings: settingsOf(table),
      new: loggedKey(table, 'NEW'),
      old: loggedKey(table, 'OLD'),
      moved: table.key.columns.map((column) => movedSql(column)).join(' OR '),
      ring,
      bell: bellName(id),
      channel: literal(wakeChannel(id)),
    })
  // Another key is another function: its name tells.
  const text = rendered('f', '').get('function') ?? ''
  const hash = createHash('sha256')
    .update(`${targetName(table)} ${text}`)
    .digest('hex')
    .slice(0, 16)
  const name = `slipway.capture_${id}_${hash}`
  const members = await family(client, table)
  let made = false
  const wanted = new Map([
    [ROW, name],
    [TRUNCATE, name],
    [WAKE, ring],
  ])
  await prepareFunctions(client, id, name, ring, rendered(name, ''))
  for (const member of members) {
    const sql = rendered(name, member.name)
    if (member.owner !== null)
      await client.query(`GRANT EXECUTE ON FUNCTION ${name}(), ${ring}() TO ${member.owner}`)
    for (const [trigger, calls] of wanted) {
      // Emptied are the partitions, each by itself; rows change in them as well, and wake from where they are named.
      if (trigger === TRUNCATE && member.partitioned) continue
      const there = member.triggers.find((one) => one.name === trigger)
      const cloned = trigger === ROW && member.inherits
      if (there?.calls === calls && there.mode === 'A') continue
      if (there?.calls !== calls && !cloned) {
        if (there !== undefined) await client.query(`DROP TRIGGER ${quote(trigger)} ON ${member.name}`)
        await client.query(sql.get(PARTS[trigger] as string) as string)
      }
      await client.query(`ALTER TABLE ONLY ${member.name} ENABLE ALWAYS TRIGGER ${quote(trigger)}`)
      made = true
    }
  }
  return made
}

const PARTS: Readonly<Record<string, string>> = { [ROW]: 'row', [TRUNCATE]: 'truncate', [WAKE]: 'wake' }

async function prepareFunctions(
  client: pg.ClientBase,
  id: number,
  name: string,
  ring: string,
  sql: ReadonlyMap<string, string>,
): Promise<void> {
  const { rows } = await client.query(
    'SELECT to_regprocedure($1) IS NOT NULL AS ring, to_regprocedure($2) IS NOT NULL AS own',
    [`${ring}()`, `${name}()`],
  )
  if (!rows[0].ring) {
    await client.query(`CREATE SEQUENCE IF NOT EXISTS ${bellName(id)}`)
    for (const part of ['ring', 'private_ring']) await client.query(sql.get(part) as string)
  }
  if (rows[0].own) return
  for (const part of ['function', 'private']) await client.query(sql.get(part) as string)
}

/** Parents before their partitions. */
async function family(client: pg.ClientBase, table: TableSpec): Promise<Member[]> {
  const { rows } = await client.query(
    `WITH RECURSIVE family AS (
       SELECT to_regclass($1)::oid AS relid, 0 AS depth WHERE to_regclass($1) IS NOT NULL
       UNION SELECT i.inhrelid, depth + 1 FROM pg_inherits i JOIN family f ON i.inhparent = f.relid)
     SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind = 'p' AS partitioned,
            c.relispartition AND f.depth > 0 AS inherits,
            CASE WHEN c.relowner <> current_user::regrole THEN quote_ident(pg_get_userbyid(c.relowner)) END AS owner,
            coalesce((SELECT json_agg(json_build_object('name', t.tgname, 'mode', t.tgenabled,
              'calls', pn.nspname || '.' || p.proname)) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
              JOIN pg_namespace pn ON pn.oid = p.pronamespace
              WHERE t.tgrelid = c.oid AND t.tgname LIKE ' slipway_capture%'), '[]') AS triggers
     FROM (SELECT relid, min(depth) AS depth FROM family GROUP BY relid) f
     JOIN pg_class c ON c.oid = f.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') ORDER BY f.depth, c.oid`,
    [targetName(table)],
  )
  return rows
}

/** Shortest digits that bring a double back, whatever the application's session says. */
function settingsOf(table: TableSpec): string {
  return table.key.columns.some(({ type }) => /^(double precision|real)$/.test(type))
    ? 'SET extra_float_digits = 1'
    : ''
}

function loggedKey(table: TableSpec, row: string): string {
  return `jsonb_build_array(${table.key.columns.map((column) => logged(column, `${row}.${quote(column.target)}`)).join(', ')})`
}

/** Spelled without the session's settings: JSON writes times as ISO 8601, and those of a zone with the session's. */
function logged({ type }: KeyColumn, x: string): string {
  if (type === 'bytea') return `encode(${x}, 'hex')`
  if (type.startsWith('timestamp') && type.endsWith('with time zone')) return `(${x} AT TIME ZONE 'UTC')`
  return x
}

/** SQL of a key's column out of what the triggers logged. */
export function fromLog({ type }: KeyColumn, key: string, index: number): string {
  const text = `(${key}->>${index})`
  if (type === 'bytea') return `decode(${text}, 'hex')`
  if (type.startsWith('timestamp') && type.endsWith('with time zone'))
    return `(${text}::timestamp AT TIME ZONE 'UTC')`
  return `${text}::${type}`
}

function movedSql({ type, target }: KeyColumn): string {
  return `(${differs(type, `OLD.${quote(target)}`, `NEW.${quote(target)}`)})`
}
