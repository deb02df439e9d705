/** What the way back has to know of a table in SQLite, beyond its plan. */
import { type Affinity, affinityOf } from '../core/codec/decode.ts'
import { Failure } from '../core/errors.ts'
import type { TableSpec } from '../core/table.ts'
import type { Sqlite } from './open.ts'

export interface TableShape {
  /** Of the data columns, in their order in the plan. */
  readonly affinities: readonly Affinity[]
  /** Of the key's columns. */
  readonly keyAffinities: readonly Affinity[]
  /** For each column of the key its place among the data columns; undefined for a hidden one. */
  readonly keyPlaces: readonly (number | undefined)[]
  /** A name of the rowid that is no column of the plan: a row that is written anew keeps it. */
  readonly rowid: string | undefined
}

/** Throws a Failure `source_drift` where a table or a column of the plan is not there. */
export function readShape(database: Sqlite, table: TableSpec): TableShape {
  const strict = database
    .prepare(`SELECT strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name = ?`)
    .pluck()
    .get(table.name) as bigint | undefined
  const columns = database
    .prepare(`SELECT name, type, pk FROM pragma_table_xinfo(?, 'main')`)
    .all(table.name) as { name: string; type: string; pk: bigint }[]
  if (strict === undefined) throw drifted(`the table ${table.name} is not in the source any more`)
  const affinity = (name: string): Affinity => {
    const found = columns.find((column) => column.name === name)
    if (found === undefined) throw drifted(`the source has no column ${table.name}.${name} any more`)
    // STRICT keeps the class of each value of such a column.
    return strict === 1n && /^any$/i.test(found.type) ? 'BLOB' : affinityOf(found.type)
  }
  const hidden = table.key.kind === 'rowid'
  const own = database
    .prepare(`SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk'`)
    .get(table.name)
  const primary = columns.filter(({ pk }) => pk > 0n)
  // An INTEGER PRIMARY KEY has no index of its own: it is the rowid, and a column of the plan.
  const isRowid = primary.length === 1 && own === undefined
  return {
    affinities: table.columns.map(({ name }) => affinity(name)),
    keyAffinities: table.key.columns.map(({ name }) => (hidden ? 'INTEGER' : affinity(name))),
    keyPlaces: table.key.columns.map(({ name }) => {
      const place = table.columns.findIndex((column) => column.name === name)
      return hidden || place < 0 ? undefined : place
    }),
    rowid: hidden || isRowid ? undefined : table.rowid,
  }
}

export function drifted(reason: string): Failure {
  return new Failure({
    code: 'source_drift',
    message: `${reason}, while PostgreSQL leads`,
    remedy:
      'The way back is not safe any more: undo the change in SQLite, or stay on PostgreSQL (slipway finalize).',
  })
}
