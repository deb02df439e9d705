/** A target without a source: batches made by hand go through the real writer into a real PostgreSQL. */
import type pg from 'pg'
import { encodeKey } from '../../src/core/key.ts'
import type { QuarantineEntry } from '../../src/core/operator.ts'
import type { Applied, CopyRows, KeySet, SetAside, TableBatch } from '../../src/core/ports.ts'
import type { Checkpoint } from '../../src/core/position.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import { introspectTarget } from '../../src/postgres/introspect.ts'
import { migrateOwnSchema } from '../../src/postgres/migrate.ts'
import { readQuarantine } from '../../src/postgres/quarantine.ts'
import { BatchWriter } from '../../src/postgres/writer.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

export type Cell = string | number | bigint | null

/** COPY text of some rows. */
export function lines(rows: readonly (readonly Cell[])[]): CopyRows {
  const escaped = (text: string): string =>
    text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  const text = rows
    .map((row) => `${row.map((cell) => (cell === null ? '\\N' : escaped(String(cell)))).join('\t')}\n`)
    .join('')
  const block = Buffer.from(text)
  return { rows: rows.length, bytes: block.length, read: () => [block] }
}

/** A table with columns `name type`, the first of which is the key; not ours unless `more` says so. */
export function table(name: string, columns: readonly string[], more: Partial<TableSpec> = {}): TableSpec {
  const specs = columns.map((text) => {
    const [column = '', ...type] = text.split(' ')
    return { name: column, target: column, type: type.join(' '), notNull: false }
  })
  const [key] = specs
  return {
    name,
    schema: 'public',
    target: name,
    key: {
      kind: 'primary',
      columns: [{ name: key?.name ?? '', target: key?.target ?? '', type: key?.type ?? '' }],
    },
    columns: specs,
    rowid: undefined,
    owned: false,
    ...more,
  }
}

export interface Part {
  readonly table: TableSpec
  readonly rows?: readonly (readonly Cell[])[]
  readonly gone?: readonly (readonly Cell[])[]
  readonly aside?: readonly SetAside[]
}

export class Bench implements AsyncDisposable {
  readonly database: TestDatabase
  readonly connection: Connection
  readonly control: Control
  readonly client: pg.Client
  readonly warnings: string[] = []
  readonly #lock: Connection
  #tables: readonly TableSpec[] = []
  #at: Checkpoint = { seq: 0n, mark: '' }
  #writer: BatchWriter | undefined

  private constructor(
    database: TestDatabase,
    connection: Connection,
    lock: Connection,
    control: Control,
    client: pg.Client,
  ) {
    this.database = database
    this.connection = connection
    this.#lock = lock
    this.control = control
    this.client = client
  }

  static async open(ddl: string, tables: readonly TableSpec[]): Promise<Bench> {
    const database = await createDatabase()
    const connection = new Connection(database.url, sessionName('bench', 'control'))
    const lock = new Connection(database.url, sessionName('bench', 'lock'))
    await migrateOwnSchema(connection, database.url)
    const control = new Control(connection, 'bench', 'bench')
    await control.create('/somewhere/app.db', 'public')
    await control.acquire(lock)
    const client = await database.connect()
    await client.query(
      `INSERT INTO slipway.checkpoint (migration, direction, seq, mark) VALUES ('bench', 'forward', 0, '')`,
    )
    await client.query(ddl)
    const bench = new Bench(database, connection, lock, control, client)
    await bench.use(tables)
    return bench
  }

  /** The writer as of now: it knows these tables, as they are. */
  async use(tables: readonly TableSpec[]): Promise<void> {
    this.#tables = tables
    await this.control.note({ tables })
    const shapes = await introspectTarget(this.connection, 'public')
    this.#writer = new BatchWriter(
      this.connection,
      this.control,
      shapes,
      (text) => this.warnings.push(text),
      tables,
    )
  }

  get tables(): readonly TableSpec[] {
    return this.#tables
  }

  get writer(): BatchWriter {
    return this.#writer as BatchWriter
  }

  async apply(...parts: Part[]): Promise<Applied> {
    const to = { seq: this.#at.seq + 1n, mark: `m${this.#at.seq}` }
    const tables = parts.map(
      (part): TableBatch => ({
        table: part.table,
        aside: part.aside ?? [],
        gone: lines(part.gone ?? []),
        upserts: lines(part.rows ?? []),
      }),
    )
    const applied = await this.writer.apply({
      from: this.#at,
      to,
      changes: 1,
      tables,
      [Symbol.dispose]: () => undefined,
    })
    this.#at = to
    return applied
  }

  async rows(sql: string): Promise<unknown[][]> {
    const { rows } = await this.client.query({ text: sql, rowMode: 'array' })
    return rows
  }

  /** What is set aside, `table key`, in the order of the answer. */
  async entries(): Promise<readonly QuarantineEntry[]> {
    return (await readQuarantine(this.connection, 'bench', 100_000)).entries
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close()
    await this.#lock.close()
    await this.database.drop()
  }
}

/** Encoded integer keys of an answer, per table. */
export function keysOf(sets: readonly KeySet[], name: string): string[] {
  return sets.flatMap((set) => (set.table === name ? set.keys : []))
}

export function aside(key: bigint | string, column: string, reason: string, value: string): SetAside {
  return { key: encodeKey([key]), column, reason, value }
}
