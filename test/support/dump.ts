/**
 * A logical dump of a SQLite file: everything that `uninstall` must leave as it was. The schema as
 * `sqlite_schema` lists it (its order decides the firing order of triggers), the pragmas that stay in the file,
 * and every row of every table by rowid or key, each value as `typeof:hex`. Shares no code with `src`.
 */
import Database from 'better-sqlite3'

export interface Dump {
  /** `type|name|tbl_name|sql`, in the order of `sqlite_schema`. */
  readonly schema: readonly string[]
  readonly pragmas: Readonly<Record<string, string>>
  /** Rows by table, `sqlite_sequence` and `sqlite_stat1` included. */
  readonly rows: Readonly<Record<string, readonly string[]>>
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** `journal_mode` is told apart from the content: read it with `journalMode`. */
export function dump(path: string): Dump {
  const database = new Database(path, { readonly: true, timeout: 10_000 })
  try {
    database.defaultSafeIntegers(true)
    database.exec('BEGIN')
    const schema = database
      .prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid')
      .raw(true)
    const pragmas = [
      'user_version',
      'application_id',
      'encoding',
      'auto_vacuum',
      'page_size',
      'integrity_check',
    ]
    const rows: Record<string, string[]> = {}
    for (const table of storedTables(database)) rows[table] = rowsOf(database, table)
    return {
      schema: (schema.all() as unknown[][]).map((row) => row.join('|')),
      pragmas: Object.fromEntries(
        pragmas.map((name) => [name, String(database.pragma(name, { simple: true }))]),
      ),
      rows,
    }
  } finally {
    database.close()
  }
}

export function journalMode(path: string): string {
  const database = new Database(path, { readonly: true, timeout: 10_000 })
  try {
    return String(database.pragma('journal_mode', { simple: true }))
  } finally {
    database.close()
  }
}

/** Ordinary and shadow tables; a virtual table's content lies in its shadow tables. */
function storedTables(database: Database.Database): string[] {
  const list = database
    .prepare(
      `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') ORDER BY name`,
    )
    .all() as { name: string }[]
  return list.map(({ name }) => name).filter((name) => !/^sqlite_(temp_)?schema$/i.test(name))
}

function rowsOf(database: Database.Database, table: string): string[] {
  const info = database.prepare('SELECT name, pk, hidden FROM pragma_table_xinfo(?)').all(table) as {
    name: string
    pk: bigint
    hidden: bigint
  }[]
  const columns = info.filter(({ hidden }) => hidden !== 1n).map(({ name }) => name)
  const withoutRowid = database
    .prepare(`SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?`)
    .pluck()
    .get(table)
  const taken = new Set(columns.map((name) => name.toLowerCase()))
  const rowid = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name))
  const keys =
    withoutRowid === 1n || rowid === undefined
      ? info
          .filter(({ pk }) => pk > 0n)
          .sort((a, b) => Number(a.pk - b.pk))
          .map(({ name }) => quoted(name))
      : [rowid]
  const values = columns.map((name) => `typeof(${quoted(name)})||':'||hex(${quoted(name)})`)
  // hex() of a REAL would go through its text: the bits come natively instead.
  const reals = columns.map((name) => `CASE typeof(${quoted(name)}) WHEN 'real' THEN ${quoted(name)} END`)
  const select = [
    ...(withoutRowid === 1n || rowid === undefined ? [] : [`'#'||${rowid}`]),
    ...values,
    ...reals,
  ]
  const order = keys.length === 0 ? '' : ` ORDER BY ${keys.join(', ')}`
  const statement = database.prepare(`SELECT ${select.join(', ')} FROM ${quoted(table)}${order}`).raw(true)
  const lines: string[] = []
  for (const row of statement.iterate() as IterableIterator<(string | number | null)[]>) {
    const fields = row.slice(0, row.length - columns.length)
    const bits = row
      .slice(row.length - columns.length)
      .flatMap((value) => (value === null ? [] : [bitsOf(Number(value))]))
    lines.push([...fields, ...bits].join('|'))
  }
  return lines
}

function bitsOf(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}
