import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { Seq } from '../core/position.ts'
import { literal, quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

/** The moment that a person asked for. */
export type Moment =
  | { readonly kind: 'latest' }
  | { readonly kind: 'position'; readonly position: Seq }
  /** As PostgreSQL reads it. */
  | { readonly kind: 'time'; readonly time: string }

/** No entry has it. */
const BEYOND = '9223372036854775807'

/** What the control row says of the history, in the snapshot of the rebuilding transaction. */
interface Ground {
  readonly phase: string
  readonly authority: string
  readonly applied: Seq
  readonly from: Seq | undefined
  /** Entries up to this id lead to states that cannot be rebuilt. */
  readonly after: string
  readonly since: string
  readonly tables: readonly TableSpec[]
}

export interface Rebuilt {
  /** The position that was asked for. */
  readonly position: Seq
  /** The batch that made the state which the target showed then. */
  readonly batch: Seq
  readonly tables: readonly { readonly table: string; readonly target: string; readonly rows: number }[]
}

/**
 * Builds the tables as they were at a moment, in a schema of their own: today's rows of the keys that were not
 * changed since, and of all others the row as it was before the first change since. One transaction, on the server
 * alone. Throws a Failure where the moment is out of reach or the schema is taken.
 */
export async function rebuild(
  client: pg.ClientBase,
  options: {
    readonly migration: string
    readonly moment: Moment
    readonly into: string
    readonly progress: (text: string) => void
    readonly signal: AbortSignal
  },
): Promise<Rebuilt> {
  const { migration, into, progress, signal } = options
  const { tables: expected } = await readGround(client, migration)
  refuseReserved(into, expected)
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  try {
    // Before the snapshot is taken: a TRUNCATE of later would show an empty table to an older snapshot (trap H16).
    if (expected.length > 0)
      await client.query(`LOCK TABLE ${expected.map(targetName).join(', ')} IN ACCESS SHARE MODE`)
    const ground = await readGround(client, migration)
    if (JSON.stringify(ground.tables) !== JSON.stringify(expected)) throw changedMeanwhile()
    const position = await resolve(client, migration, ground, options.moment)
    const batch = await batchOf(client, migration, ground, position)
    await makeSchema(client, into)
    const tables: Rebuilt['tables'][number][] = []
    for (const table of ground.tables) {
      signal.throwIfAborted()
      const rows = await rebuildTable(client, migration, ground, position, table, into)
      tables.push({ table: table.name, target: table.target, rows })
      progress(`${quote(into, table.target)}: ${rows} rows`)
    }
    await client.query('COMMIT')
    return { position, batch, tables }
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

async function readGround(client: pg.ClientBase, migration: string): Promise<Ground> {
  const there = await client.query(`SELECT to_regclass('slipway.history') IS NOT NULL AS there`)
  const { rows } = there.rows[0].there
    ? await client.query(
        `SELECT c.phase, c.authority, c.tables, c.history_from AS from, c.history_after AS after,
                c.history_since::text AS since, p.seq FROM slipway.control c
         LEFT JOIN slipway.checkpoint p ON p.migration = c.migration AND p.direction = 'forward'
         WHERE c.migration = $1`,
        [migration],
      )
    : { rows: [] }
  const row = rows[0]
  if (row === undefined) {
    throw new Failure({
      code: 'migration_unknown',
      exit: 1,
      message: `there is no migration "${migration}" on this server`,
      remedy: 'Name it as the daemon does: MIGRATION_NAME, or SQLITE_PATH, whose stem it is.',
    })
  }
  return {
    phase: row.phase,
    authority: row.authority,
    applied: BigInt(row.seq ?? 0),
    from: row.from === null ? undefined : BigInt(row.from),
    // Without a floor no entry leads anywhere: those that there are may be of another numbering of positions.
    after: row.from === null ? BEYOND : row.after,
    since: row.from === null ? '' : row.since,
    tables: row.tables,
  }
}

function refuseReserved(into: string, tables: readonly TableSpec[]): void {
  const taken = ['slipway', 'public', 'information_schema', ...tables.map((table) => table.schema)]
  const reason =
    into === ''
      ? 'has no name'
      : Buffer.byteLength(into) > 63
        ? 'has a name of more than 63 bytes'
        : taken.includes(into) || into.startsWith('pg_')
          ? 'is in use'
          : undefined
  if (reason === undefined) return
  throw new Failure({
    code: 'replay_schema',
    exit: 2,
    message: `the schema "${into}" ${reason}: a past state needs one of its own`,
    remedy: 'Name one that does not exist yet: --into past',
  })
}

function changedMeanwhile(): Failure {
  return new Failure({
    code: 'replay_overtaken',
    exit: 1,
    message: 'the tables were planned anew at this moment',
    remedy: 'Run the command again.',
  })
}

/** The position of a moment, if it can be reached. */
async function resolve(
  client: pg.ClientBase,
  migration: string,
  ground: Ground,
  moment: Moment,
): Promise<Seq> {
  const { applied, from, phase, authority } = ground
  if (authority !== 'sqlite') {
    throw new Failure({
      code: 'wrong_authority',
      exit: 1,
      message: `the migration is in phase ${phase}: PostgreSQL takes writes of its own, which no history has`,
      remedy: 'Roll back first (slipway rollback), or restore a backup of PostgreSQL elsewhere.',
    })
  }
  if (from === undefined && phase !== 'replicating') {
    throw new Failure({
      code: 'replay_too_early',
      exit: 1,
      message: `the migration is in phase ${phase}: PostgreSQL shows no state of the source yet`,
      remedy: 'Wait for phase replicating (slipway status); the history begins there.',
    })
  }
  const reach =
    from === undefined
      ? `only ${applied}, where PostgreSQL stands, since nothing was noted (HISTORY=on notes each change)`
      : `from ${from} (reached at ${ground.since} or before) to ${applied}`
  const refused = (what: string): Failure =>
    new Failure({
      code: 'replay_out_of_reach',
      exit: 1,
      message: `${what}: states that can be rebuilt: ${reach}`,
      remedy: 'Give a position between the two, a time, or: --at latest',
      facts: { from: (from ?? applied).toString(), to: applied.toString() },
    })
  if (moment.kind === 'latest') return applied
  if (moment.kind === 'position') {
    if (moment.position > applied) throw refused(`position ${moment.position} is not applied yet`)
    if (moment.position < (from ?? applied))
      throw refused(`position ${moment.position} is before the history`)
    return moment.position
  }
  const { rows } = await client.query(
    `SELECT $3::timestamptz > clock_timestamp() AS future, $3::timestamptz < $4::timestamptz AS early,
       (SELECT position FROM slipway.history WHERE migration = $1 AND id > $2 AND at <= $3 ORDER BY id DESC LIMIT 1)`,
    [migration, ground.after, moment.time, ground.since === '' ? null : ground.since],
  )
  const { future, early, position } = rows[0]
  if (future) throw refused(`${moment.time} is still to come`)
  if (from === undefined || early) throw refused(`${moment.time} is before the history`)
  return position === null ? from : BigInt(position)
}

/** The newest batch up to a position that changed anything. */
async function batchOf(
  client: pg.ClientBase,
  migration: string,
  ground: Ground,
  position: Seq,
): Promise<Seq> {
  const { rows } = await client.query(
    `SELECT max(newest.position) AS position FROM unnest($2::text[]) tbl CROSS JOIN LATERAL
       (SELECT max(h.position) AS position FROM slipway.history h
        WHERE h.migration = $1 AND h.tbl = tbl AND h.position <= $3 AND h.id > $4) newest`,
    [migration, ground.tables.map((table) => table.name), position.toString(), ground.after],
  )
  return rows[0].position === null ? (ground.from ?? position) : BigInt(rows[0].position)
}

async function makeSchema(client: pg.ClientBase, into: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = n.oid)
         OR EXISTS (SELECT 1 FROM pg_proc WHERE pronamespace = n.oid)
         OR EXISTS (SELECT 1 FROM pg_type WHERE typnamespace = n.oid) AS filled
     FROM pg_namespace n WHERE n.nspname = $1`,
    [into],
  )
  if (rows.length === 0) await client.query(`CREATE SCHEMA ${quote(into)}`)
  else if (rows[0].filled) {
    throw new Failure({
      code: 'replay_schema',
      exit: 1,
      message: `the schema "${into}" exists and is not empty`,
      remedy: `Name another one, or drop it first: DROP SCHEMA ${quote(into)} CASCADE;`,
    })
  }
}

interface Column {
  readonly name: string
  readonly type: string
  readonly generated: boolean
}

async function rebuildTable(
  client: pg.ClientBase,
  migration: string,
  { after }: Ground,
  position: Seq,
  table: TableSpec,
  into: string,
): Promise<number> {
  const from = targetName(table)
  const to = quote(into, table.target)
  const columns = await columnsOf(client, from)
  await client.query(`CREATE TABLE ${to} (LIKE ${from} INCLUDING DEFAULTS INCLUDING GENERATED)`)
  await dropSequenceDefaults(client, to)
  const past = (source: string, { name, type }: Column): string => `(${source} ->> ${literal(name)})::${type}`
  const keys = table.key.columns.map((key, index) => {
    const column = columns.find((candidate) => candidate.name === key.target)
    if (column === undefined) throw changedMeanwhile()
    return { name: quote(column.name), alias: `k${index}`, value: past('h.key', column) }
  })
  const written = columns.filter((column) => !column.generated)
  // The first change since tells how the row was; keys are compared as values of their type, as its unique does.
  const { rowCount } = await client.query(
    `WITH undone AS (
       SELECT DISTINCT ON (${keys.map((_, index) => index + 1).join(', ')})
              ${keys.map(({ value, alias }) => `${value} AS ${alias}`).join(', ')}, h.op, h.before
       FROM slipway.history h
       WHERE h.migration = $1 AND h.direction = 'forward' AND h.tbl = $2 AND h.position > $3 AND h.id > $4
       ORDER BY ${keys.map((_, index) => index + 1).join(', ')}, h.id
     )
     INSERT INTO ${to} (${written.map(({ name }) => quote(name)).join(', ')}) OVERRIDING SYSTEM VALUE
     SELECT ${written.map(({ name }) => `t.${quote(name)}`).join(', ')} FROM ${from} t
     WHERE NOT EXISTS (SELECT 1 FROM undone u WHERE ${keys.map(({ name, alias }) => `u.${alias} = t.${name}`).join(' AND ')})
     UNION ALL
     SELECT ${written.map((column) => past('u.before', column)).join(', ')} FROM undone u WHERE u.op <> 'insert'`,
    [migration, table.name, position.toString(), after],
  )
  await addKey(client, from, to)
  return rowCount ?? 0
}

async function columnsOf(client: pg.ClientBase, table: string): Promise<Column[]> {
  const { rows } = await client.query(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attgenerated <> '' AS generated
     FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  )
  return rows
}

/** They would take numbers from the target's own sequences, and keep the target's tables from being dropped. */
async function dropSequenceDefaults(client: pg.ClientBase, table: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT a.attname AS name FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     WHERE d.adrelid = $1::regclass AND a.attgenerated = '' AND pg_get_expr(d.adbin, d.adrelid) ~ 'nextval\\('`,
    [table],
  )
  for (const { name } of rows) await client.query(`ALTER TABLE ${table} ALTER ${quote(name)} DROP DEFAULT`)
}

/** The primary key, which is also a proof: no key came out twice. */
async function addKey(client: pg.ClientBase, from: string, to: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE conrelid = $1::regclass AND contype = 'p'`,
    [from],
  )
  for (const { name, definition } of rows)
    await client.query(`ALTER TABLE ${to} ADD CONSTRAINT ${quote(name)} ${definition}`)
}
