import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { quote } from '../core/quote.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, openReader, type Sqlite, sourceFailure } from './open.ts'

/** Rows of a child that one statement looks at: a few milliseconds, in which nothing else of this process runs. */
const SLICE = 10_000

const LAST_ROWID = 2n ** 63n - 1n

/** Rows of a table without a parent. */
export interface ForeignKeyViolations {
  readonly table: string
  readonly parent: string
  readonly columns: readonly string[]
  readonly count: number
}

/**
 * What PRAGMA foreign_key_check finds, counted by foreign key: while PostgreSQL leads none is looked at, and SQLite will
 * not tell of them by itself after the rollback. In slices of the child's rows, each a read of its own, so that neither
 * the log nor this process is held up for long; a table WITHOUT ROWID is looked at in one go. Only keys with violations
 * are listed. A parent that has no such unique columns throws as SQLite does, a Failure `source_failed`.
 */
export async function foreignKeyViolations(
  path: string,
  tables: readonly string[],
  signal: AbortSignal,
): Promise<ForeignKeyViolations[]> {
  const database = openReader(path)
  try {
    const found: ForeignKeyViolations[] = []
    for (const table of tables) {
      for (const key of keysOf(database, table)) {
        const count = await countOrphans(database, table, key, signal)
        if (count > 0) found.push({ table, parent: key.parent, columns: key.columns, count })
      }
    }
    return found
  } catch (error) {
    throw isSqliteError(error) ? sourceFailure(path, error) : error
  } finally {
    database.close()
  }
}

interface ForeignKey {
  readonly id: bigint
  readonly parent: string
  readonly columns: readonly string[]
  readonly parentColumns: readonly string[]
}

function keysOf(database: Sqlite, table: string): ForeignKey[] {
  const rows = database
    .prepare(
      `SELECT id, "table" AS parent, "from" AS child, "to" AS column, seq FROM pragma_foreign_key_list(?, 'main') ORDER BY id, seq`,
    )
    .all(table) as { id: bigint; parent: string; child: string; column: string | null }[]
  return [...Map.groupBy(rows, ({ id }) => id)].map(([id, parts]) => {
    const { parent } = parts[0] as (typeof parts)[number]
    const primary = database
      .prepare(`SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0 ORDER BY pk`)
      .pluck()
      .all(parent) as string[]
    return {
      id,
      parent,
      columns: parts.map(({ child }) => child),
      parentColumns: parts.map(({ column }, index) => column ?? primary[index] ?? ''),
    }
  })
}

async function countOrphans(
  database: Sqlite,
  table: string,
  key: ForeignKey,
  signal: AbortSignal,
): Promise<number> {
  const rowid = rowidOf(database, table)
  const there = database
    .prepare(`SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE`)
    .get(key.parent)
  if (rowid === undefined || there === undefined) return countAtOnce(database, table, key)
  // As SQLite looks parents up: by the parent's collation, with the parent's affinity on the child's value.
  const same = key.columns.map((column, i) => `p.${quote(key.parentColumns[i] ?? '')} = +c.${quote(column)}`)
  const set = key.columns.map((column) => `c.${quote(column)} IS NOT NULL`)
  const slice = database
    .prepare(
      `SELECT max(r), count(*), count(*) FILTER (WHERE orphan) FROM (
         SELECT c.${quote(rowid)} AS r, ${set.join(' AND ')}
                AND NOT EXISTS (SELECT 1 FROM ${sourceTable(key.parent)} AS p WHERE ${same.join(' AND ')}) AS orphan
         FROM ${sourceTable(table)} AS c WHERE c.${quote(rowid)} >= ? ORDER BY c.${quote(rowid)} LIMIT ${SLICE})`,
    )
    .raw()
  const first = database
    .prepare(`SELECT min(${quote(rowid)}) FROM ${sourceTable(table)}`)
    .pluck()
    .get() as bigint | null
  if (first === null) return 0
  let count = 0
  for (let from = first; ; ) {
    signal.throwIfAborted()
    const [last, rows, orphans] = slice.get(from) as [bigint | null, bigint, bigint]
    count += Number(orphans)
    if (last === null || rows < SLICE || last === LAST_ROWID) return count
    from = last + 1n
    await yieldToOthers()
  }
}

function countAtOnce(database: Sqlite, table: string, { id }: ForeignKey): number {
  const count = database
    .prepare(`SELECT count(*) FROM pragma_foreign_key_check(?, 'main') WHERE fkid = ?`)
    .pluck()
    .get(table, id)
  return Number(count)
}

/** A name of the rowid that no column shadows. */
function rowidOf(database: Sqlite, table: string): string | undefined {
  const without = database
    .prepare(`SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?`)
    .pluck()
    .get(table)
  if (without !== 0n) return undefined
  const names = database.prepare(`SELECT lower(name) FROM pragma_table_xinfo(?, 'main')`).pluck().all(table)
  return ['rowid', '_rowid_', 'oid'].find((name) => !names.includes(name))
}
