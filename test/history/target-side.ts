/** A migration without a source: the target's side alone, fed with hand-made batches. */
import type { Batch, CopyRows, TableBatch } from '../../src/core/ports.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import { introspectTarget } from '../../src/postgres/introspect.ts'
import { migrateOwnSchema } from '../../src/postgres/migrate.ts'
import { type Moment, type Rebuilt, rebuild } from '../../src/postgres/rebuild.ts'
import { BatchWriter } from '../../src/postgres/writer.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

export interface Change {
  readonly table: TableSpec
  /** Lines of COPY text. */
  readonly gone?: readonly string[]
  readonly rows?: readonly string[]
}

export const MIGRATION = 'app'

/** A table spec whose columns have the same names on both sides; the first `keys` columns are the key. */
export function spec(
  name: string,
  columns: Readonly<Record<string, string>>,
  options: { readonly keys?: number; readonly owned?: boolean; readonly schema?: string } = {},
): TableSpec {
  const list = Object.entries(columns).map(([column, type]) => ({ name: column, target: column, type }))
  return {
    name,
    schema: options.schema ?? 'public',
    target: name,
    key: { kind: 'primary', columns: list.slice(0, options.keys ?? 1) },
    columns: list.map((column) => ({ ...column, notNull: false })),
    rowid: 'rowid',
    owned: options.owned ?? false,
  }
}

export class TargetSide implements AsyncDisposable {
  readonly database: TestDatabase
  readonly connection: Connection
  readonly #control: Control
  readonly #tables: readonly TableSpec[]
  readonly #lock: Connection
  #position = 0n

  private constructor(
    database: TestDatabase,
    connection: Connection,
    control: Control,
    lock: Connection,
    tables: readonly TableSpec[],
  ) {
    this.database = database
    this.connection = connection
    this.#control = control
    this.#lock = lock
    this.#tables = tables
  }

  /** `ddl` makes the tables; the migration stands at position 0 in phase replicating. */
  static async create(ddl: string, tables: readonly TableSpec[]): Promise<TargetSide> {
    const database = await createDatabase()
    const connection = new Connection(database.url, sessionName('hand-made', 'control'))
    const lock = new Connection(database.url, sessionName('hand-made', 'lock'))
    const control = new Control(connection, MIGRATION, 'hand-made')
    await migrateOwnSchema(connection, database.url)
    await control.create('/app.db', 'public')
    await control.acquire(lock)
    const side = new TargetSide(database, connection, control, lock, tables)
    await side.sql(ddl)
    await side.sql(
      `INSERT INTO slipway.checkpoint (migration, direction, seq, mark) VALUES ('${MIGRATION}', 'forward', 0, '')`,
    )
    await side.sql(`UPDATE slipway.control SET phase = 'replicating', tables = $1`, [JSON.stringify(tables)])
    return side
  }

  async sql<T extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    return await this.connection.use(
      async (client) => (await client.query(text, values.length > 0 ? values : undefined)).rows,
    )
  }

  /** One batch, `step` positions further; returns its position. */
  async apply(
    changes: readonly Change[],
    options: { readonly history?: boolean; readonly step?: bigint } = {},
  ): Promise<bigint> {
    const shapes = await introspectTarget(this.connection, 'public')
    const writer = new BatchWriter(
      this.connection,
      this.#control,
      shapes,
      () => undefined,
      [],
      options.history ?? true,
    )
    const from = this.#position
    const to = from + (options.step ?? 10n)
    const batch: Batch = {
      from: { seq: from, mark: '' },
      to: { seq: to, mark: '' },
      changes: changes.length,
      tables: changes.map(
        ({ table, gone = [], rows = [] }): TableBatch => ({
          table,
          aside: [],
          gone: copyRows(gone),
          upserts: copyRows(rows),
        }),
      ),
      [Symbol.dispose]: () => undefined,
    }
    await writer.apply(batch)
    this.#position = to
    return to
  }

  /** Every row of the tables as text, ordered: what PostgreSQL says now, or in another schema. */
  async state(schema = 'public'): Promise<Record<string, string[]>> {
    const result: Record<string, string[]> = {}
    for (const { target } of this.#tables) {
      const rows = await this.sql<{ row: string }>(
        `SELECT t::text AS row FROM "${schema}"."${target}" t ORDER BY 1`,
      )
      result[target] = rows.map(({ row }) => row)
    }
    return result
  }

  async rebuild(at: bigint | string, into: string): Promise<Rebuilt> {
    const moment: Moment =
      typeof at === 'bigint'
        ? { kind: 'position', position: at }
        : at === 'latest'
          ? { kind: 'latest' }
          : { kind: 'time', time: at }
    return await this.connection.use((client) =>
      rebuild(client, {
        migration: MIGRATION,
        moment,
        into,
        progress: () => undefined,
        signal: new AbortController().signal,
      }),
    )
  }

  async floor(): Promise<string | null> {
    const [row] = await this.sql<{ history_from: string | null }>('SELECT history_from FROM slipway.control')
    return row?.history_from ?? null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.connection.close(), this.#lock.close()])
    await this.database.drop()
  }
}

function copyRows(lines: readonly string[]): CopyRows {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return { rows: lines.length, bytes: bytes.length, read: () => [bytes] }
}
