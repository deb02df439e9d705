/**
 * Triggers of the moved tables while SQLite does not lead: what the way back writes must fire neither the
 * application's nor capture. They are kept in the note `aside` with their text, in the order in which they were made,
 * which is the reverse of the order in which they fire (trap H25).
 */
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import { requireNoteMap, writeNotes } from './notes.ts'
import { isSqliteError, type Sqlite } from './open.ts'
import { CAPTURE, compileError, FENCE } from './own-schema.ts'

export interface AsideTrigger {
  readonly name: string
  readonly table: string
  readonly sql: string
  /** One of capture's; the others are the application's. */
  readonly capture: boolean
}

export function readAside(database: Sqlite): AsideTrigger[] {
  return JSON.parse(requireNoteMap(database).get('aside') ?? '[]') as AsideTrigger[]
}

/** Triggers on these tables that are in the schema now, without those of the fence, oldest first. */
export function readTriggers(database: Sqlite, tables: readonly string[]): AsideTrigger[] {
  const rows = database
    .prepare(
      `SELECT name, tbl_name AS "table", sql, (${CAPTURE}) AS capture FROM main.sqlite_schema
       WHERE type = 'trigger' AND NOT (${FENCE})
         AND tbl_name COLLATE NOCASE IN (SELECT value FROM json_each(?))
       ORDER BY rowid`,
    )
    .all(JSON.stringify(tables)) as { name: string; table: string; sql: string; capture: bigint | number }[]
  return rows.map((row) => ({ ...row, capture: Number(row.capture) === 1 }))
}

/** Sets every trigger of the tables aside, in the transaction that is open; the caller accounts for the schema. */
export function setTriggersAside(database: Sqlite, tables: readonly string[]): void {
  const triggers = readTriggers(database, tables)
  // A file that was opened by hand may still have some: they are older.
  const before = readAside(database).filter(({ name }) => !triggers.some((trigger) => trigger.name === name))
  for (const { name } of triggers) database.exec(`DROP TRIGGER main.${quote(name)}`)
  writeNotes(database, { aside: JSON.stringify([...before, ...triggers]) })
}

/**
 * Makes the triggers that are set aside again, in their order, in the transaction that is open. Those of capture go
 * with a table that is gone; where one of the application's cannot be made, or the schema was changed by somebody
 * (`changed`) and writes no longer compile with it, it throws Failure `trigger_not_restored`.
 */
export function restoreTriggers(
  database: Sqlite,
  options: { readonly capture: boolean; readonly changed: boolean },
): void {
  const wanted = readAside(database).filter(({ capture }) => options.capture || !capture)
  const suspects = options.changed ? sound(database, wanted) : new Map<string, string>()
  for (const trigger of wanted) {
    if (trigger.capture && !isTable(database, trigger.table)) continue
    try {
      database.exec(trigger.sql)
    } catch (error) {
      if (!isSqliteError(error)) throw error
      throw notRestored(database, trigger.name, (error as Error).message)
    }
  }
  for (const [table, column] of suspects) {
    const error = compileError(database, table, column)
    // Our own build takes "text" for a name only, which an older one of the application need not (trap H19).
    if (error === undefined || !/^no such (column|table)/.test(error) || /string literal/.test(error))
      continue
    const names = wanted.filter((trigger) => trigger.table === table && !trigger.capture)
    throw notRestored(database, names.map(({ name }) => name).join(', '), error)
  }
  writeNotes(database, { aside: undefined })
}

/** Tables with a trigger of the application whose writes compile without it, and a column of each. */
function sound(database: Sqlite, triggers: readonly AsideTrigger[]): Map<string, string> {
  const tables = new Set(triggers.filter(({ capture }) => !capture).map(({ table }) => table))
  const found = new Map<string, string>()
  for (const table of tables) {
    const column = database
      .prepare('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 LIMIT 1')
      .pluck()
      .get(table) as string | undefined
    if (column === undefined || compileError(database, table, column) !== undefined) continue
    found.set(table, column)
  }
  return found
}

function isTable(database: Sqlite, name: string): boolean {
  return (
    database
      .prepare(`SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`)
      .get(name) !== undefined
  )
}

function notRestored(database: Sqlite, name: string, reason: string): Failure {
  const one = name.split(', ')[0] ?? name
  const giveUp = `UPDATE _slipway_control SET value = (SELECT json_group_array(json(one.value)) FROM json_each(_slipway_control.value) AS one WHERE json_extract(one.value, '$.name') <> '${one.replaceAll("'", "''")}') WHERE name = 'aside'`
  return new Failure({
    code: 'trigger_not_restored',
    exit: 1,
    status: 409,
    message: `the trigger ${name} of the application cannot be put back (${reason}): its table was changed behind the fence, which stays`,
    remedy: `Give the table back what the trigger needs; or give the trigger up and make it anew afterwards: sqlite3 ${database.name} "${giveUp}"`,
    facts: { trigger: name },
  })
}
