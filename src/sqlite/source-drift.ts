/** Whether somebody else's change of the schema, while PostgreSQL leads, has left the moved tables as they were. */
import { createHash } from 'node:crypto'
import type { SourceDrift } from '../core/reverse.ts'
import { fencedTables } from './fence-sql.ts'
import { readNoteMap } from './notes.ts'
import type { Sqlite } from './open.ts'
import { asciiLower, foreignChanges, schemaVersion } from './own-schema.ts'

/**
 * The text of these tables and their indexes. VACUUM, ANALYZE and other people's tables leave it as it is; triggers do
 * not count, since slipway sets them aside and makes them again.
 */
export function shapeHash(database: Sqlite, tables: readonly string[]): string {
  const rows = database
    .prepare(
      `SELECT type, name, coalesce(sql, '') FROM main.sqlite_schema
       WHERE type IN ('table', 'index') AND tbl_name COLLATE NOCASE IN (SELECT value FROM json_each(?))
       ORDER BY type, name`,
    )
    .raw()
    .all(JSON.stringify(tables)) as string[][]
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex').slice(0, 32)
}

/** Ask within the transaction that acts on it. */
export function sourceDrift(database: Sqlite, tables: readonly string[]): SourceDrift | undefined {
  if (foreignChanges(database) === 0n) return undefined
  const version = String(schemaVersion(database))
  const notes = readNoteMap(database)
  const fenced = fencedTables(database)
  const closed = tables.every((table) => fenced.has(asciiLower(table)))
  const harmless = closed && notes?.get('shape') === shapeHash(database, tables)
  const reason = `the schema of the source was changed (schema_version ${version}, expected ${notes?.get('schema_version')})`
  return { version, harmless, reason }
}
