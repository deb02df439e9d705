import type { FileFacts, SchemaExtras } from '../core/assess/inputs.ts'
import { readControl } from './capture.ts'
import { readFacts, type Sqlite } from './open.ts'
import { readWal } from './wal.ts'
import { lastWriter, walResetWarning } from './writer-version.ts'

/** What the file says of itself; refuses one that is damaged or shorter than it says. */
export async function readFileFacts(database: Sqlite, path: string): Promise<FileFacts> {
  const { journalMode, encoding, pageSize, pages } = readFacts(database, path)
  const pragma = (name: string): string => String(database.pragma(name, { simple: true }))
  const writer = await lastWriter(path)
  return {
    path,
    bytes: pages * pageSize,
    walBytes: readWal(path).fileBytes,
    pageSize,
    freePages: Number(pragma('freelist_count')),
    journalMode,
    encoding,
    autoVacuum: ['none', 'full', 'incremental'][Number(pragma('auto_vacuum'))] ?? 'none',
    userVersion: pragma('user_version'),
    applicationId: pragma('application_id'),
    sqliteVersion: String(database.prepare('SELECT sqlite_version()').pluck().get()),
    writerVersion: writer?.version,
    writerBug: writer && walResetWarning(writer),
    captured: readControl(database) !== undefined,
  }
}

/** Views, triggers and virtual tables; the application's alone. */
export function readExtras(database: Sqlite): SchemaExtras {
  const listed = database
    .prepare(`SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name`)
    .all() as { name: string; type: string }[]
  const schema = database
    .prepare(
      `SELECT type, name, tbl_name AS "table", coalesce(sql, '') AS sql FROM sqlite_schema
       WHERE name NOT GLOB '_slipway_*' ORDER BY rowid`,
    )
    .all() as { type: string; name: string; table: string; sql: string }[]
  const shadows = listed.filter((row) => row.type === 'shadow').map((row) => row.name)
  const virtual = listed
    .filter((row) => row.type === 'virtual')
    .map(({ name }) => {
      const sql = schema.find((row) => row.type === 'table' && row.name === name)?.sql ?? ''
      const module = /\bUSING\s+["`[]?(\w+)/i.exec(sql)?.[1] ?? 'unknown'
      return { name, module, shadows: shadows.filter((shadow) => shadow.startsWith(`${name}_`)) }
    })
  return {
    views: schema.filter((row) => row.type === 'view').map(({ name, sql }) => ({ name, sql })),
    triggers: schema
      .filter((row) => row.type === 'trigger')
      .map(({ name, table, sql }) => ({ name, table, sql })),
    virtual,
    tables: listed.filter((row) => row.type === 'table' || row.type === 'virtual').map((row) => row.name),
  }
}
