import { type Affinity, affinityOf } from '../core/codec/decode.ts'
import type { Sqlite } from './open.ts'

/** Affinities of a table's columns by their names. STRICT keeps the class of each value of an ANY column. */
export function readAffinities(database: Sqlite, table: string): ReadonlyMap<string, Affinity> {
  const columns = database.prepare(`SELECT name, type FROM pragma_table_xinfo(?, 'main')`).all(table) as {
    name: string
    type: string
  }[]
  const strict = database
    .prepare(`SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?`)
    .pluck()
    .get(table)
  const of = (type: string): Affinity => (strict === 1n && /^any$/i.test(type) ? 'BLOB' : affinityOf(type))
  return new Map(columns.map(({ name, type }) => [name, of(type)]))
}
