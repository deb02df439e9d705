import { quote } from '../core/quote.ts'
import type { Sqlite } from './open.ts'

/** Comments, strings and quoted names, in which a word means nothing. */
const NO_WORDS = /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/g

/**
 * Raises what AUTOINCREMENT remembers above the ids that the other engine gave out, so that no id is given twice. Other
 * tables take the highest rowid there is, as they always did. Nothing is written where nothing is lacking: the file
 * stays as it was.
 */
export function raiseSequences(database: Sqlite, used: ReadonlyMap<string, bigint>): void {
  const find = database.prepare(
    `SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`,
  )
  for (const [wanted, id] of used) {
    const table = find.raw().get(wanted) as [string, string] | undefined
    if (table === undefined || !/\bAUTOINCREMENT\b/i.test(table[1].replace(NO_WORDS, ' '))) continue
    const [name] = table
    const remembered = database
      .prepare('SELECT max(CAST(seq AS INTEGER)) FROM main.sqlite_sequence WHERE name = ?')
      .pluck()
      .get(name) as bigint | null
    if (id <= (remembered ?? highest(database, name))) continue
    const { changes } = database
      .prepare('UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?')
      .run(id, name)
    if (changes === 0)
      database.prepare('INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)').run(name, id)
  }
}

function highest(database: Sqlite, table: string): bigint {
  const key = database
    .prepare('SELECT name FROM pragma_table_info(?) WHERE pk = 1')
    .pluck()
    .get(table) as string
  const sql = `SELECT max(${quote(key)}) FROM ${quote('main', table)}`
  return (database.prepare(sql).pluck().get() as bigint | null) ?? 0n
}
