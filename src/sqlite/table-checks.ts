import Database from 'better-sqlite3'
import type { Orphans, TableChecks } from '../core/assess/inputs.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { sourceTable } from './introspect.ts'
import { isSqliteError, type Sqlite } from './open.ts'

/** Rows that break a foreign key are counted up to here. */
const MOST_ORPHANS = 10_000
const MOST_DAMAGE = 10
const EXAMPLES = 3

/** The checks of SQLite itself on one table, each a read transaction of its own; `tables` are all that there are. */
export function checkTable(
  database: Sqlite,
  probe: WriteProbe,
  table: SourceTable,
  tables: readonly string[],
): TableChecks {
  return {
    ...probe.tryWrites(table),
    orphans: findOrphans(database, table, new Set(tables.map((name) => name.toLowerCase()))),
    damage: quickCheck(database, table),
  }
}

function findOrphans(database: Sqlite, table: SourceTable, there: ReadonlySet<string>): Orphans[] {
  if (table.foreignKeys.length === 0) return []
  const found = new Map<bigint, { count: number; examples: string[] }>()
  let seen = 0
  try {
    const rows = database
      .prepare('SELECT rowid, fkid FROM pragma_foreign_key_check(?)')
      .raw()
      .iterate(table.name) as IterableIterator<[bigint | null, bigint]>
    for (const [rowid, id] of rows) {
      // Without its parent every row is an orphan, and that is another finding.
      if (!there.has(table.foreignKeys[Number(id)]?.parent.toLowerCase() ?? '')) continue
      const entry = found.get(id) ?? { count: 0, examples: [] }
      found.set(id, entry)
      entry.count++
      if (rowid !== null && entry.examples.length < EXAMPLES)
        entry.examples.push(`${table.rowidColumn ?? 'rowid'}=${rowid}`)
      if (++seen === MOST_ORPHANS) break
    }
  } catch (error) {
    if (!isSqliteError(error)) throw error
    // A collation of the application, or a parent that is not unique: both are findings of their own.
    return []
  }
  const ids = [...found.keys()].sort((a, b) => Number(a - b))
  return ids.map((id) => {
    // The inventory lists foreign keys in the order of their ids.
    const key = table.foreignKeys[Number(id)]
    const { count, examples } = found.get(id) as { count: number; examples: string[] }
    return {
      columns: key?.columns ?? [],
      parent: key?.parent ?? '',
      count,
      more: seen === MOST_ORPHANS,
      examples,
    }
  })
}

/** Structure of the table's pages, and what NOT NULL and STRICT promise. */
function quickCheck(database: Sqlite, table: SourceTable): string[] {
  try {
    const lines = database
      .prepare(`PRAGMA quick_check(${quote(table.name)})`)
      .pluck()
      .all()
      .slice(0, MOST_DAMAGE) as string[]
    return lines.filter((line) => line !== 'ok')
  } catch (error) {
    if (!isSqliteError(error)) throw error
    const message = (error as Error).message
    return /no such (collation|function)|unknown function/.test(message) ? [] : [message]
  }
}

/** What a schema calls and this process does not have. */
interface Found {
  readonly functions: Set<string>
  readonly collations: Set<string>
}

/**
 * Compiles writes on a table without running them, on a connection of its own: its schema may call functions that
 * only the application registers (trap V26). Those are registered here by name alone, so that the next one is found.
 */
export class WriteProbe implements Disposable {
  readonly #path: string
  #open: Sqlite | undefined

  constructor(path: string) {
    this.#path = path
  }

  get #database(): Sqlite {
    if (this.#open === undefined) {
      this.#open = new Database(this.#path, { readonly: true, fileMustExist: true, timeout: 1_000 })
      // A foreign key that cannot work is a finding of its own.
      this.#open.pragma('foreign_keys = 0')
    }
    return this.#open
  }

  tryWrites(table: SourceTable): Pick<TableChecks, 'functions' | 'collations' | 'refusal'> {
    const names = table.columns.filter((column) => !column.generated).map((column) => quote(column.name))
    const all = sourceTable(table.name)
    const found: Found = { functions: new Set(), collations: new Set() }
    const refusals = [
      // Generated columns too: nobody else here asks for them.
      this.#compile(`SELECT * FROM ${all}`, found),
      this.#compile(`INSERT INTO ${all} DEFAULT VALUES`, found),
      this.#compile(`UPDATE ${all} SET ${names.map((name) => `${name} = ${name}`).join(', ')}`, found),
      this.#compile(`DELETE FROM ${all}`, found),
    ]
    this.#forget(found.functions)
    this.#tryChecks(table, found)
    return {
      functions: [...found.functions].sort(),
      collations: [...found.collations].sort(),
      refusal: refusals.find((refusal) => refusal !== undefined),
    }
  }

  /** A connection that may not write reads no CHECK constraints: an empty table of the same SQL has them. */
  #tryChecks(table: SourceTable, found: Found): void {
    if (!/\bCHECK\b/i.test(table.sql)) return
    const memory = new Database(':memory:')
    try {
      for (const name of found.functions) register(memory, name)
      compile(memory, () => memory.exec(table.sql), found)
    } finally {
      memory.close()
    }
  }

  /** Why a view cannot be read here; undefined where it can. */
  tryView(name: string): string | undefined {
    const found: Found = { functions: new Set(), collations: new Set() }
    const refusal = this.#compile(`SELECT * FROM ${sourceTable(name)}`, found)
    this.#forget(found.functions)
    const missing = [...found.functions, ...found.collations]
    return missing.length > 0 ? `it calls ${missing.join(', ')}, which only the application has` : refusal
  }

  #compile(sql: string, found: Found): string | undefined {
    const database = this.#database
    return compile(database, () => database.prepare(sql), found)
  }

  /** What one table needed is asked for again by the next. */
  #forget(functions: ReadonlySet<string>): void {
    if (functions.size > 0) this[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.#open?.close()
    this.#open = undefined
  }
}

/** Tries until nothing is missing any more but what cannot be made up; returns what else SQLite says. */
function compile(database: Sqlite, attempt: () => unknown, found: Found): string | undefined {
  for (;;) {
    try {
      attempt()
      return undefined
    } catch (error) {
      if (!isSqliteError(error)) throw error
      const message = (error as Error).message
      const collation = /no such collation sequence: (.+)$/.exec(message)?.[1]
      if (collation !== undefined) {
        found.collations.add(collation)
        return undefined
      }
      // What SQLite says to a table that is ordered by an unknown collation; a write to it names the collation.
      if (/no query solution/.test(message)) return undefined
      const name = /(?:no such|unknown) function: ([^(]+)/.exec(message)?.[1]?.trim()
      if (name === undefined || found.functions.has(name)) return message
      found.functions.add(name)
      register(database, name)
    }
  }
}

function register(database: Sqlite, name: string): void {
  database.function(name, { varargs: true, deterministic: true }, () => null)
}
