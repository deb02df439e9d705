import type { FileFacts, SchemaExtras } from '../core/assess/inputs.ts'
import { quote } from '../core/quote.ts'
import { readControl } from './capture.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, readFacts, type Sqlite } from './open.ts'
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

/** Views, triggers, virtual tables, and the collations of these tables' columns; the application's alone. */
export function readExtras(database: Sqlite, tables: readonly string[]): SchemaExtras {
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
    collations: tables.flatMap((table) => readCollations(database, table)),
  }
}

/** No pragma tells the collation of a column, but the program of a comparison names it. */
function readCollations(database: Sqlite, table: string): SchemaExtras['collations'] {
  const columns = database
    .prepare('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0')
    .pluck()
    .all(table) as string[]
  return columns.flatMap((column) => {
    try {
      const program = database
        .prepare(`EXPLAIN SELECT ${quote(column)} = '' FROM ${sourceTable(table)}`)
        .all() as { p4: string | null }[]
      const found = program.map((step) => /^(.+)-(?:8|16LE|16BE)$/.exec(step.p4 ?? '')?.[1])
      const collation = found.find((name) => name !== undefined && name.toUpperCase() !== 'BINARY')
      return collation === undefined ? [] : [{ table, column, collation: collation.toUpperCase() }]
    } catch (error) {
      const unknown = isSqliteError(error)
        ? /no such collation sequence: (.+)/.exec((error as Error).message)?.[1]
        : undefined
      if (unknown === undefined) throw error
      return [{ table, column, collation: unknown }]
    }
  })
}
