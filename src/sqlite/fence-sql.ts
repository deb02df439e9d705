import { quote } from '../core/quote.ts'
import { renderTemplate } from '../core/template.ts'
import { NOW, template } from './capture-sql.ts'
import { pauseNotes, pausesOf, requireNoteMap, STANDING, writeNotes } from './notes.ts'
import type { Sqlite } from './open.ts'
import { asciiLower, FENCE } from './own-schema.ts'

const EVENTS = ['INSERT', 'UPDATE', 'DELETE'] as const

/** The CREATE TRIGGER statements of one table's fence; `taken` are names in lower case that somebody has. */
function fenceSql(text: string, table: string, taken: ReadonlySet<string>): string[] {
  return EVENTS.map((event) => {
    // No name of capture ends like this, whatever the table is called.
    let name = `_slipway_${table}_${event.toLowerCase()}_fence`
    while (taken.has(name.toLowerCase())) name += '_'
    const values = { name: quote(name), event, table: quote(table), now: NOW }
    return renderTemplate(text, values).get('fence') as string
  })
}

/** Names of tables, in lower case, on which the whole fence is. */
export function fencedTables(database: Sqlite): ReadonlySet<string> {
  const rows = database
    .prepare(
      `SELECT lower(tbl_name) FROM main.sqlite_schema WHERE type = 'trigger' AND ${FENCE}
       GROUP BY lower(tbl_name) HAVING count(*) >= ${EVENTS.length}`,
    )
    .pluck()
    .all() as string[]
  return new Set(rows)
}

/** Puts the fence on tables that have none, in the transaction that is open; the caller accounts for the schema. */
export function createFence(database: Sqlite, tables: readonly string[]): void {
  const fenced = fencedTables(database)
  const missing = tables.filter((table) => !fenced.has(asciiLower(table)))
  if (missing.length === 0) return
  const taken = new Set(
    database.prepare('SELECT lower(name) FROM main.sqlite_schema').pluck().all() as string[],
  )
  const text = template('fence')
  for (const table of missing) database.exec(fenceSql(text, table, taken).join(';\n'))
}

/** Takes the fence off every table; returns the names of the tables. */
export function dropFence(database: Sqlite): string[] {
  const rows = database
    .prepare(
      `SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'trigger' AND ${FENCE} ORDER BY rowid`,
    )
    .raw()
    .all() as [string, string][]
  for (const [name] of rows) database.exec(`DROP TRIGGER main.${quote(name)}`)
  return [...new Set(rows.map(([, table]) => table))]
}

/**
 * Lets writes of this connection pass, in the write transaction that is open: nobody else sees it before COMMIT, and
 * `closeFence` comes before that.
 */
export function openFence(database: Sqlite): void {
  if (!database.inTransaction) throw new Error('the fence is opened inside a transaction only')
  requireNoteMap(database)
  writeNotes(database, { fence: '0', pause: undefined })
}

/** Refuses again, fence and pauses, as it was before `openFence`. */
export function closeFence(database: Sqlite): void {
  const pauses = pausesOf(requireNoteMap(database), Date.now())
  writeNotes(database, { fence: STANDING, ...pauseNotes(pauses) })
}
