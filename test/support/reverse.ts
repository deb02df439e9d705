/** A SQLite file as a switchover leaves it, and batches of the way back as PostgreSQL would hand them out. */
import { execFileSync } from 'node:child_process'
import Database from 'better-sqlite3'
import type { ReverseBatch, ReversePosition, RowPatch } from '../../src/core/reverse.ts'
import type { ColumnSpec, KeySpec, TableSpec } from '../../src/core/table.ts'
import { ReverseWriter } from '../../src/sqlite/reverse-writer.ts'
import { Workspace } from './daemon.ts'

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

/**
 * The notes of a file while PostgreSQL leads; the caller's fence, if any, is there already. `schema` runs first, as the
 * application's SQLite would.
 */
export function lead(path: string, schema: readonly string[], pragmas: readonly string[] = []): void {
  const database = new Database(path)
  database.pragma('foreign_keys = 0')
  for (const pragma of pragmas) database.pragma(pragma)
  database.pragma('journal_mode = WAL')
  for (const sql of schema) database.exec(sql)
  database.exec('CREATE TABLE _slipway_control (name TEXT PRIMARY KEY, value TEXT)')
  const note = database.prepare('INSERT INTO _slipway_control VALUES (?, ?)')
  for (const [name, value] of Object.entries({
    authority: 'postgres',
    epoch: '2',
    attempt: '1',
    position: START.snapshot,
    token: START.token,
    fence: '9007199254740991',
    schema_version: String(database.pragma('schema_version', { simple: true })),
  })) {
    note.run(name, value)
  }
  database.close()
}

/** As an application does that has a function `shout` and a collation of its own, which slipway does not have. */
export function applicationWrites(path: string, ...statements: readonly string[]): void {
  const script =
    'import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); ' +
    'db.create_function("shout", 1, lambda x: x, deterministic=True); ' +
    'db.create_collation("own", lambda a, b: (a > b) - (a < b)); [db.execute(sql) for sql in sys.argv[2:]]'
  execFileSync('python3', ['-c', script, path, ...statements])
}

/** A file in a folder of its own, and the writer on it. */
export class WayBack implements Disposable {
  readonly workspace = new Workspace()
  readonly path: string
  readonly warnings: string[] = []
  readonly writer: ReverseWriter
  #position = START
  #batches = 0

  constructor(schema: readonly string[], options: { readonly pragmas?: readonly string[] } = {}) {
    this.path = this.workspace.file('app.db')
    lead(this.path, schema, options.pragmas)
    this.writer = new ReverseWriter({
      path: this.path,
      warn: (text) => this.warnings.push(text),
    })
  }

  /** Applies changes as the next batch. */
  async apply(...changes: readonly TableChange[]): ReturnType<ReverseWriter['apply']> {
    return await this.applyInPages(changes, undefined)
  }

  async applyInPages(
    changes: readonly TableChange[],
    page: number | undefined,
  ): ReturnType<ReverseWriter['apply']> {
    const batch = this.next(changes, page)
    const applied = await this.writer.apply(batch)
    this.#position = batch.to
    return applied
  }

  next(changes: readonly TableChange[], page?: number): ReverseBatch {
    const n = ++this.#batches
    return batchOf(this.#position, { snapshot: `${10 + n}:${10 + n}:`, token: `token ${n}` }, changes, page)
  }

  /** On a connection of its own. */
  read<T = unknown[]>(sql: string, ...values: unknown[]): T[] {
    const database = new Database(this.path)
    try {
      return database
        .prepare(sql)
        .raw()
        .all(...values) as T[]
    } finally {
      database.close()
    }
  }

  /** As somebody who is not the application's own fence. */
  write(...statements: readonly string[]): void {
    const database = new Database(this.path)
    try {
      database.pragma('foreign_keys = 0')
      for (const sql of statements) database.exec(sql)
    } finally {
      database.close()
    }
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]()
    this.workspace[Symbol.dispose]()
  }
}
