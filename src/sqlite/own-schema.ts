/** What of the source's schema is slipway's own, and how a change of it is told from anybody else's. */
import { createHash } from 'node:crypto'
import { quote } from '../core/quote.ts'
import { authorityOf, readNoteMap, requireNoteMap, writeNotes } from './notes.ts'
import { isSqliteError, type Sqlite } from './open.ts'

/** Triggers of capture, and none of an application that likes our names. */
export const CAPTURE = `name GLOB '_slipway_*' AND sql LIKE '%INTO _slipway_changelog%'`

/** Triggers of the fence, likewise. */
export const FENCE = `name GLOB '_slipway_*_fence*' AND sql LIKE '%FROM _slipway_control WHERE name IN (''fence'', ''pause'')%'`

/** As SQLite compares names: its own letters alone. */
export function asciiLower(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** The triggers of capture that are there now, hashed. */
export function inventoryHash(database: Sqlite): string {
  const rows = database
    .prepare(`SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND ${CAPTURE} ORDER BY name`)
    .raw()
    .all() as [string, string][]
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex').slice(0, 32)
}

export function schemaVersion(database: Sqlite): bigint {
  return database.pragma('schema_version', { simple: true }) as bigint
}

/**
 * Changes of the schema that are neither ours nor known: 0 where the note equals what is there. Every foreign change
 * moves it, and no change that `changeOwnSchema` makes does.
 */
export function foreignChanges(database: Sqlite): bigint {
  const note = readNoteMap(database)?.get('schema_version')
  return note === undefined ? 0n : schemaVersion(database) - BigInt(note)
}

/**
 * Makes a change of the schema that is slipway's own, in the transaction that is open: the notes move along by as much
 * as it moved SQLite's counter, so that a foreign change before it stays as visible as one after it.
 */
export function changeOwnSchema(database: Sqlite, change: () => void): void {
  const notes = requireNoteMap(database)
  const noted = notes.get('schema_version')
  const version = schemaVersion(database)
  const intact = notes.get('inventory') === inventoryHash(database)
  change()
  if (noted === undefined) return
  const moved = schemaVersion(database) - version
  writeNotes(database, {
    schema_version: String(BigInt(noted) + moved),
    ...(intact ? { inventory: inventoryHash(database) } : {}),
  })
}

/**
 * Why capture may have missed something: undefined where it is the installation that the caller knows, and nobody but
 * slipway changed the schema since. Ask within the read transaction whose changes it shall vouch for.
 */
export function captureDrift(database: Sqlite, installation: string): string | undefined {
  const notes = readNoteMap(database)
  if (notes === undefined) return "slipway's notes are gone from the source"
  if (notes.get('installation') !== installation) return 'capture was installed anew'
  const version = schemaVersion(database)
  const noted = notes.get('schema_version') ?? ''
  if (String(version) !== noted) {
    return `the schema of the source was changed (schema_version ${version}, expected ${noted})`
  }
  // Opened by hand: applications write, and the triggers that would log it are not there.
  if (notes.has('aside') && authorityOf(notes).authority === 'sqlite') {
    return 'the triggers of the source are still set aside'
  }
  return undefined
}

/** What SQLite says to writes of each kind on a table, triggers included; undefined where all compile. */
export function compileError(database: Sqlite, table: string, column: string): string | undefined {
  const name = quote('main', table)
  try {
    database.prepare(`INSERT INTO ${name} DEFAULT VALUES`)
    database.prepare(`UPDATE ${name} SET ${quote(column)} = ${quote(column)}`)
    database.prepare(`DELETE FROM ${name}`)
    return undefined
  } catch (error) {
    if (!isSqliteError(error)) throw error
    return (error as Error).message
  }
}
