import { createHash } from 'node:crypto'
import { type CreateTable, readCreateTable } from '../core/ddl/create-table.ts'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { Inventory, SourceForeignKey, SourceIndex, SourceTable } from '../core/source-schema.ts'
import type { Sqlite } from './open.ts'

/** Bookkeeping of well-known migration tools: it belongs to each engine and is not copied (trap V22). */
const BOOKKEEPING = new Set([
  'knex_migrations',
  'knex_migrations_lock',
  'alembic_version',
  'django_migrations',
  'schema_migrations',
  'ar_internal_metadata',
  '__diesel_schema_migrations',
  '_prisma_migrations',
  '_sqlx_migrations',
  'flyway_schema_history',
  'databasechangelog',
  'databasechangeloglock',
  'goose_db_version',
  'migrations_lock',
  '__drizzle_migrations',
  '__efmigrationshistory',
  'phinxlog',
  'refinery_schema_history',
  'seaql_migrations',
  'typeorm_metadata',
  'sequelizemeta',
])

const OWN_TABLES = new Set(['_slipway_changelog', '_slipway_control'])

function globToRegExp(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`, 'i')
}

/**
 * Everything that is to be moved, read in one transaction. `include` empty means all but bookkeeping; `wanted` are
 * tables that are no bookkeeping whatever their name.
 */
export function introspect(
  database: Sqlite,
  include: readonly string[],
  exclude: readonly string[],
  wanted: ReadonlySet<string> = new Set(),
): Inventory {
  return database.transaction(() => {
    const schemaVersion = database.pragma('schema_version', { simple: true }) as bigint
    const included = include.map(globToRegExp)
    const excluded = exclude.map(globToRegExp)
    const tables: SourceTable[] = []
    const skipped: { name: string; reason: string }[] = []
    const rows = database
      .prepare(
        `SELECT name, type, wr, strict, (SELECT sql FROM sqlite_schema s WHERE s.name = l.name AND s.type = 'table') AS sql
         FROM pragma_table_list l WHERE schema = 'main' ORDER BY name`,
      )
      .all() as { name: string; type: string; wr: bigint; strict: bigint; sql: string | null }[]
    for (const row of rows) {
      if (row.type === 'shadow' || /^sqlite_/i.test(row.name) || OWN_TABLES.has(row.name)) continue
      const reason = skipReason(row, included, excluded, wanted)
      if (reason !== undefined) skipped.push({ name: row.name, reason })
      else tables.push(readTable(database, row.name, row.wr === 1n, row.strict === 1n))
    }
    for (const [index, glob] of included.entries()) {
      if (tables.some((table) => glob.test(table.name))) continue
      throw new Failure({
        code: 'no_such_table',
        exit: 2,
        message: `TABLES names ${include[index]}, and the source has no such table that could be moved`,
        remedy: `It has ${rows
          .filter((row) => row.type === 'table')
          .map((row) => row.name)
          .join(', ')}.`,
      })
    }
    return { tables, skipped, schemaVersion }
  })()
}

/** What to use instead, by the module of a virtual table. */
const INSTEAD: readonly (readonly [module: RegExp, remedy: string])[] = [
  [/^fts[345]/i, 'for full text use a tsvector column with a GIN index, or pg_trgm'],
  [/^(rtree|geopoly)/i, 'for places use a GiST index, or PostGIS'],
]

function virtualReason(sql: string | null): string {
  const module = /\bUSING\s+["`[]?(\w+)/i.exec(sql ?? '')?.[1] ?? 'unknown'
  const remedy =
    INSTEAD.find(([name]) => name.test(module))?.[1] ?? 'make its counterpart in PostgreSQL yourself'
  return `a virtual table (${module}) has no triggers and no rows of its own; ${remedy}`
}

function skipReason(
  row: { name: string; type: string; sql: string | null },
  included: readonly RegExp[],
  excluded: readonly RegExp[],
  wanted: ReadonlySet<string>,
): string | undefined {
  if (row.type === 'virtual') return virtualReason(row.sql)
  if (row.type === 'view') return 'a view is yours to make again in PostgreSQL'
  if (included.length > 0 && !included.some((glob) => glob.test(row.name))) return 'not in TABLES'
  if (excluded.some((glob) => glob.test(row.name))) return 'in EXCLUDE_TABLES'
  if (included.length === 0 && !wanted.has(row.name) && BOOKKEEPING.has(row.name.toLowerCase())) {
    return "bookkeeping of the application's migrations belongs to each engine"
  }
  return undefined
}

function readTable(database: Sqlite, name: string, withoutRowid: boolean, strict: boolean): SourceTable {
  const own = database
    .prepare(`SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?`)
    .get(name) as { sql: string }
  const xinfo = database
    .prepare(
      'SELECT name, type, "notnull" AS nn, dflt_value AS d, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1',
    )
    .all(name) as { name: string; type: string; nn: bigint; d: string | null; pk: bigint; hidden: bigint }[]
  const text = readCreateTable(own.sql)
  const columns = xinfo.map((column) => {
    const read = text?.columns.find((one) => one.name.toLowerCase() === column.name.toLowerCase())
    return {
      name: column.name,
      declared: column.type,
      notNull: column.nn === 1n,
      defaultSql: column.d,
      primary: Number(column.pk),
      generated: column.hidden === 2n || column.hidden === 3n,
      generatedSql: read?.generatedSql,
      stored: column.hidden === 3n,
      collation: read?.collation ?? 'BINARY',
    }
  })
  const taken = new Set(columns.map((column) => column.name.toLowerCase()))
  const indexes = readIndexes(database, name)
  const primary = columns.filter((column) => column.primary > 0)
  // An INTEGER PRIMARY KEY is the rowid and has no index of its own; `INTEGER PRIMARY KEY DESC` has one.
  const rowidColumn =
    !withoutRowid && primary.length === 1 && !indexes.some((index) => index.origin === 'pk')
      ? primary[0]?.name
      : undefined
  return {
    name,
    columns,
    withoutRowid,
    strict,
    autoincrement: rowidColumn !== undefined && /\bAUTOINCREMENT\b/i.test(own.sql),
    indexes,
    foreignKeys: readForeignKeys(database, name, text),
    checks: text?.checks,
    conflicts: text?.conflicts ?? [],
    triggers: database
      .prepare(
        `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name NOT GLOB '_slipway_*'`,
      )
      .pluck()
      .all(name) as string[],
    rowid: withoutRowid ? undefined : ['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(alias)),
    rowidColumn,
    sql: own.sql,
    fingerprint: fingerprint(database, name),
  }
}

function readIndexes(database: Sqlite, table: string): SourceIndex[] {
  const list = database
    .prepare('SELECT name, "unique" AS u, origin, partial FROM pragma_index_list(?) ORDER BY seq')
    .all(table) as { name: string; u: bigint; origin: 'c' | 'u' | 'pk'; partial: bigint }[]
  return list.map((index) => {
    const sql = (
      database.prepare(`SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?`).get(index.name) as
        | { sql: string | null }
        | undefined
    )?.sql
    const text = sql == null ? undefined : splitIndexSql(sql)
    const parts = database
      .prepare(
        'SELECT seqno, cid, name, "desc" AS d, coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno',
      )
      .all(index.name) as { seqno: bigint; cid: bigint; name: string | null; d: bigint; coll: string }[]
    return {
      name: index.name,
      unique: index.u === 1n,
      origin: index.origin,
      parts: parts.map((part) => ({
        column: part.cid === -2n ? undefined : (part.name ?? undefined),
        expression: part.cid === -2n ? text?.parts[Number(part.seqno)] : undefined,
        collation: part.coll,
        descending: part.d === 1n,
      })),
      where: index.partial === 1n ? text?.where : undefined,
    }
  })
}

/** Cuts `CREATE INDEX … ON t (a, f(b) DESC) WHERE …` into its parts: no pragma tells them (trap V11). */
export function splitIndexSql(sql: string): { parts: string[]; where: string | undefined } {
  const parts: string[] = []
  let depth = 0
  let start = -1
  let end = -1
  for (let i = 0; i < sql.length && end < 0; i++) {
    const char = sql[i] as string
    const close = char === '[' ? ']' : char
    if (char === "'" || char === '"' || char === '`' || char === '[') {
      i = sql.indexOf(close, i + 1)
      if (i < 0) break
    } else if (char === '-' && sql[i + 1] === '-') {
      const line = sql.indexOf('\n', i)
      i = line < 0 ? sql.length : line
    } else if (char === '/' && sql[i + 1] === '*') {
      i = sql.indexOf('*/', i) + 1
    } else if (char === '(') {
      if (depth++ === 0) start = i + 1
    } else if (char === ',' && depth === 1) {
      parts.push(sql.slice(start, i))
      start = i + 1
    } else if (char === ')' && --depth === 0) {
      parts.push(sql.slice(start, i))
      end = i
    }
  }
  const where = /^\s*WHERE\s+([\s\S]+)$/i.exec(sql.slice(end + 1))?.[1]
  return {
    parts: parts.map((part) =>
      part
        .trim()
        .replace(/\s+(ASC|DESC)$/i, '')
        .replace(/\s+COLLATE\s+\S+$/i, ''),
    ),
    where,
  }
}

function readForeignKeys(database: Sqlite, table: string, text: CreateTable | undefined): SourceForeignKey[] {
  const rows = database
    .prepare(
      'SELECT id, "table" AS parent, "from" AS child, "to" AS parentColumn, on_update AS u, on_delete AS d FROM pragma_foreign_key_list(?) ORDER BY id, seq',
    )
    .all(table) as {
    id: bigint
    parent: string
    child: string
    parentColumn: string | null
    u: string
    d: string
  }[]
  const byId = Map.groupBy(rows, (row) => row.id)
  return [...byId.values()].map((group) => {
    const first = group[0] as (typeof rows)[number]
    const implicit = group.some((row) => row.parentColumn === null)
    const parentColumns = implicit
      ? (
          database
            .prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk')
            .all(first.parent) as { name: string }[]
        ).map((row) => row.name)
      : group.map((row) => row.parentColumn as string)
    const columns = group.map((row) => row.child)
    const read = text?.foreignKeys.find((key) =>
      sameNames([key.parent, ...key.columns], [first.parent, ...columns]),
    )
    return {
      name: read?.name,
      deferred: read?.deferred ?? false,
      columns,
      parent: first.parent,
      parentColumns,
      onUpdate: first.u,
      onDelete: first.d,
    }
  })
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return (
    some.length === others.length && some.every((name, i) => name.toLowerCase() === others[i]?.toLowerCase())
  )
}

/**
 * What the schema says of a table: its own row, its indexes' and its triggers', with their places in
 * sqlite_schema, so that a table or a trigger that was dropped and made again with the same text differs too.
 */
export function fingerprint(database: Sqlite, table: string): string {
  const rows = database
    .prepare(
      `SELECT rowid AS place, type, name, rootpage, sql FROM sqlite_schema
       WHERE tbl_name = ? COLLATE NOCASE AND type <> 'view' ORDER BY type, name`,
    )
    .raw()
    .all(table) as unknown[][]
  const hash = createHash('sha256')
  for (const row of rows) hash.update(row.map(String).join('\0')).update('\n')
  return hash.digest('hex').slice(0, 32)
}

/** `main."t"`, for reads that must not be caught by a temporary table of the same name. */
export function sourceTable(name: string): string {
  return quote('main', name)
}

/** The highest rowid that AUTOINCREMENT ever gave, by table. */
export function readSequences(database: Sqlite): Map<string, bigint> {
  const exists = database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'`).get()
  if (exists === undefined) return new Map()
  return new Map(database.prepare('SELECT name, seq FROM sqlite_sequence').raw().all() as [string, bigint][])
}
