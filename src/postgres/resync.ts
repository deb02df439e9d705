import type pg from 'pg'
import type { Drift, TableChange } from '../core/drift.ts'
import type { PlannedTable } from '../core/plan.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { noteOwnConstraints } from './constraints.ts'
import type { Control } from './control.ts'
import { hangGate, putToSleep, remember, takeGateOff, targetName, withPartitions } from './dormant.ts'
import { addMissingGenerated, dropStaleGenerated } from './generated.ts'
import { createIndex, syncIndexes } from './indexes.ts'
import { addColumnSql, createTableSql, dropColumnSql, finishPlan, readGrants } from './schema.ts'

interface Resync {
  readonly drift: Drift
  /** Head of the changelog when capture was installed again: changes are replayed from here. */
  readonly s0: Checkpoint
  readonly installation: string
  /** Why the tables are in doubt. */
  readonly reason: string
  readonly warn: (text: string) => void
}

/**
 * Brings the target's tables in line with a changed source, without copying what is there: columns and tables come and
 * go, everything is marked as in doubt, and replay begins at the new installation of capture. What differs is found
 * and mended by verify in the catch-up. One transaction: a killed resync leaves the old state, and is done again.
 */
export async function resync(connection: Connection, control: Control, work: Resync): Promise<void> {
  const { drift, s0, installation, reason, warn } = work
  const { migration } = control
  const planned = drift.changes.map(({ table }) => table)
  await connection.transaction(async (client) => {
    await control.admit(client, 'update')
    const { rows } = await client.query('SELECT id FROM slipway.control WHERE migration = $1', [migration])
    const existing = planned.filter(({ spec }) => !spec.owned).map(({ spec }) => spec)
    const asleep = existing.length > 0 ? await putToSleep(client, existing) : []
    for (const change of drift.changes) await changeTable(client, migration, change, warn)
    for (const name of await withPartitions(client, drift.gone)) {
      await takeGateOff(client, name)
      warn(`${name} is no longer part of the migration: it keeps the rows that it has and is not followed`)
    }
    for (const sleeper of asleep) await remember(client, migration, sleeper)
    await noteOwnConstraints(client, migration, planned)
    await hangGate(
      client,
      rows[0].id,
      planned.map(({ spec }) => spec),
    )
    const names = planned.map(({ spec }) => spec.name)
    await client.query('DELETE FROM slipway.copy_part WHERE migration = $1 AND tbl <> ALL ($2)', [
      migration,
      names,
    ])
    await client.query('DELETE FROM slipway.quarantine WHERE migration = $1 AND tbl <> ALL ($2)', [
      migration,
      names,
    ])
    // What changed while nobody looked may fit now, or be gone: verify passes over what is set aside.
    await client.query('UPDATE slipway.quarantine SET due = true WHERE migration = $1', [migration])
    await client.query(
      `INSERT INTO slipway.copy_part (migration, tbl, part, done)
       SELECT $1, n, 0, true FROM unnest($2::text[]) n
       WHERE NOT EXISTS (SELECT 1 FROM slipway.copy_part p WHERE p.migration = $1 AND p.tbl = n)`,
      [migration, names],
    )
    await client.query(
      `INSERT INTO slipway.checkpoint (migration, direction, seq, mark, newest) VALUES ($1, 'forward', $2, $3, $2)
       ON CONFLICT (migration, direction) DO UPDATE SET seq = excluded.seq, mark = excluded.mark, newest = excluded.newest`,
      [migration, s0.seq.toString(), s0.mark],
    )
    await client.query(
      `UPDATE slipway.control SET phase = 'catching_up', tables = $2, installation = $3, dirty = $4, history_from = NULL
       WHERE migration = $1`,
      [
        migration,
        JSON.stringify(planned.map(({ spec }) => spec)),
        installation,
        JSON.stringify(Object.fromEntries(names.map((name) => [name, reason]))),
      ],
    )
  })
}

async function changeTable(
  client: pg.ClientBase,
  migration: string,
  change: TableChange,
  warn: (text: string) => void,
): Promise<void> {
  const { source, spec } = change.table
  const name = targetName(spec)
  if (change.kind === 'new' || change.kind === 'remade') {
    await client.query('DELETE FROM slipway.quarantine WHERE migration = $1 AND tbl = $2', [
      migration,
      spec.name,
    ])
    if (spec.owned) await makeTable(client, change.table)
  } else if (spec.owned && !(await makeMissing(client, change.table))) {
    // What builds on a column goes before it; an index of a dropped unique would refuse rows of the source.
    await dropStaleGenerated(client, source, spec)
    if (change.kind === 'altered') await alterColumns(client, change)
    await addMissingGenerated(client, source, spec)
    const { findings } = await syncIndexes(client, source, spec, 'plain')
    for (const { message } of findings) warn(message)
  }
  if (!spec.owned && spec.key.kind === 'rowid')
    await client.query(`ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${quote(HIDDEN_KEY)} bigint`)
}

async function alterColumns(
  client: pg.ClientBase,
  { table, added, dropped, nullable }: Extract<TableChange, { kind: 'altered' }>,
): Promise<void> {
  const { source, spec } = table
  for (const column of dropped) await client.query(dropColumnSql(spec, column.target))
  for (const column of added) {
    const sql = addColumnSql(source, spec, column.name)
    if (sql !== undefined) await client.query(sql)
  }
  for (const column of nullable)
    await client.query(`ALTER TABLE ${targetName(spec)} ALTER COLUMN ${quote(column.target)} DROP NOT NULL`)
}

/** An empty table with its key and its plain indexes; rights that were given on the old one are given again. */
async function makeTable(client: pg.ClientBase, { source, spec }: PlannedTable): Promise<void> {
  const name = targetName(spec)
  const grants = await readGrants(client, name)
  await client.query(`DROP TABLE IF EXISTS ${name}`)
  await client.query(createTableSql(source, spec))
  for (const grant of grants) await client.query(grant)
  const finish = finishPlan(source, spec)
  if (finish.key !== undefined) await client.query(finish.key)
  for (const index of finish.indexes) if (!index.unique) await createIndex(client, spec, index)
}

/** Somebody dropped a table of ours: true where it had to be made again. */
async function makeMissing(client: pg.ClientBase, table: PlannedTable): Promise<boolean> {
  const { rows } = await client.query('SELECT to_regclass($1) IS NULL AS gone', [targetName(table.spec)])
  if (rows[0].gone) await makeTable(client, table)
  return rows[0].gone
}

/** For people: what happens to which table. */
export function describeDrift(drift: Drift): string[] {
  const told = drift.changes.flatMap((change): string[] => {
    const of = change.table.spec.name
    const list = (columns: readonly { name: string }[]): string => columns.map(({ name }) => name).join(', ')
    if (change.kind === 'new') return [`${of} is new`]
    if (change.kind === 'remade') return [`${of} is made anew: its key or its types changed`]
    if (change.kind === 'same') return []
    return [
      ...(change.added.length > 0 ? [`${of} has new columns: ${list(change.added)}`] : []),
      ...(change.dropped.length > 0 ? [`${of} lost columns: ${list(change.dropped)}`] : []),
      ...(change.nullable.length > 0 ? [`${of} takes NULL in ${list(change.nullable)}`] : []),
    ]
  })
  return [...told, ...drift.gone.map((table: TableSpec) => `${table.name} is gone`)]
}
