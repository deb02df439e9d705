/**
 * Triggers of the moved tables while SQLite does not lead: what the way back writes must fire neither the
 * application's nor capture. They are kept in the note `aside` with their text, in the order in which they were made,
 * which is the reverse of the order in which they fire (trap H25).
 */
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import { requireNoteMap, writeNotes } from './notes.ts'
import { isSqliteError, type Sqlite } from './open.ts'
import { asciiLower, CAPTURE, compileError, FENCE } from './own-schema.ts'

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
 * Makes the triggers that are set aside again, in their order, in the transaction that is open. Where one of the
 * application's cannot be made, or the schema was changed by somebody (`changed`) and writes no longer compile with
 * it, it throws Failure `trigger_not_restored`. Those of capture that no longer fit are left out: after a foreign
 * change it is installed anew, and must not fail the application's writes until then.
 */
export function restoreTriggers(
  database: Sqlite,
  options: { readonly capture: boolean; readonly changed: boolean },
): void {
  const aside = readAside(database).filter(({ capture }) => options.capture || !capture)
  // Made meanwhile, they come after those that were there before.
  const later = readTriggers(
    database,
    aside.map(({ table }) => table),
  )
  for (const { name } of later) database.exec(`DROP TRIGGER main.${quote(name)}`)
  const wanted = [...aside.filter(({ name }) => !later.some((one) => one.name === name)), ...later]
  const suspects = options.changed ? sound(database, wanted) : []
  for (const trigger of wanted) {
    if (trigger.capture && !isTable(database, trigger.table)) continue
    try {
      database.exec(trigger.sql)
    } catch (error) {
      if (!isSqliteError(error)) throw error
      throw notRestored(database, trigger.name, (error as Error).message)
    }
  }
  for (const suspect of suspects) refuseBroken(database, suspect)
  writeNotes(database, { aside: undefined })
}

interface Suspect {
  readonly table: string
  readonly column: string
  readonly triggers: readonly AsideTrigger[]
}

/** Tables whose writes compile without their triggers. */
function sound(database: Sqlite, triggers: readonly AsideTrigger[]): Suspect[] {
  const found: Suspect[] = []
  for (const [table, ofTable] of Map.groupBy(triggers, (trigger) => asciiLower(trigger.table))) {
    const column = database
      .prepare('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 LIMIT 1')
      .pluck()
      .get(table) as string | undefined
    if (column === undefined || compileError(database, table, column) !== undefined) continue
    found.push({ table, column, triggers: ofTable })
  }
  return found
}

function refuseBroken(database: Sqlite, { table, column, triggers }: Suspect): void {
  if (compileError(database, table, column) === undefined) return
  for (const { name, capture } of triggers) {
    if (capture) database.exec(`DROP TRIGGER main.${quote(name)}`)
  }
  const error = compileError(database, table, column)
  // Our own build takes "text" for a name only, which an older one of the application need not (trap H19); and it does
  // not have the application's functions.
  if (error === undefined || !/^no such (column|table)/.test(error) || /string literal/.test(error)) return
  const names = triggers.filter(({ capture }) => !capture).map(({ name }) => name)
  throw notRestored(database, names.join(', '), error)
}

export function isTable(database: Sqlite, name: string): boolean {
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
