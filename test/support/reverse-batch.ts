/** Batches of the way back as PostgreSQL would hand them out, and the plans of their tables. */
import type { ReverseBatch, ReversePosition, RowPatch } from '../../src/core/reverse.ts'
import type { ColumnSpec, KeySpec, TableSpec } from '../../src/core/table.ts'

/** `id integer`, or with a codec or format: `['at', { type: 'date' }]`. */
export type ColumnText =
  | string
  | readonly [name: string, rule: Omit<ColumnSpec, 'name' | 'target' | 'notNull'>]

export interface SpecOptions {
  readonly kind?: KeySpec['kind']
  /** Names; for a table without a key `['rowid']`. */
  readonly key?: readonly string[]
  readonly rowid?: string | undefined
}

export function spec(name: string, columns: readonly ColumnText[], options: SpecOptions = {}): TableSpec {
  const list = columns.map((column): ColumnSpec => {
    const [own, rule] =
      typeof column === 'string'
        ? [column.split(' ')[0] as string, { type: column.split(' ').slice(1).join(' ') }]
        : column
    return { name: own, target: own, notNull: false, ...rule }
  })
  const { kind = 'primary', key = [list[0]?.name as string] } = options
  return {
    name,
    schema: 'public',
    target: name,
    owned: true,
    rowid: 'rowid' in options ? options.rowid : 'rowid',
    columns: list,
    key: {
      kind,
      columns: key.map((each) => {
        const column = list.find((one) => one.name === each)
        return column === undefined
          ? { name: each, target: '_slipway_rowid', type: 'bigint' }
          : { name: each, target: each, type: column.type, codec: column.codec }
      }),
    },
  }
}

/** Columns by name; null is NULL. A new row needs all of them. */
export type Values = Readonly<Record<string, string | null>>

export interface TableChange {
  readonly table: TableSpec
  readonly gone?: readonly string[]
  readonly patches?: readonly RowPatch[]
}

function indexed(table: TableSpec, values: Values): [number, string | null][] {
  return Object.entries(values).map(([name, text]) => {
    const place = table.columns.findIndex((column) => column.name === name)
    if (place < 0) throw new Error(`no column ${name}`)
    return [place, text]
  })
}

export function patch(table: TableSpec, key: string, values: Values): RowPatch {
  return { key, isNew: false, values: indexed(table, values), misfits: [] }
}

export function row(table: TableSpec, key: string, values: Values): RowPatch {
  return { key, isNew: true, values: indexed(table, values), misfits: [] }
}

async function* pages<T>(rows: readonly T[], size: number): AsyncIterable<readonly T[]> {
  for (let at = 0; at < rows.length; at += size) yield rows.slice(at, at + size)
}

export function batchOf(
  from: ReversePosition,
  to: ReversePosition,
  changes: readonly TableChange[],
  page = 1000,
): ReverseBatch {
  return {
    from,
    to,
    changes: 0,
    tables: changes.map(({ table, gone = [], patches = [] }) => ({
      table,
      gone: () => pages(gone, page),
      patches: () => pages(patches, page),
    })),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

export const START: ReversePosition = { snapshot: '10:10:', token: 'start' }
