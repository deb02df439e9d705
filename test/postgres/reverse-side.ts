/** The way back without the rest: PostgreSQL leads, a SQLite file follows, and a small target of the test applies. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type pg from 'pg'
import { bindDecoded } from '../../src/core/codec/decode.ts'
import { decodeKey } from '../../src/core/key.ts'
import { quote } from '../../src/core/quote.ts'
import type {
  ReverseBatch,
  ReverseExtras,
  ReversePosition,
  ReverseReadResult,
  RowPatch,
} from '../../src/core/reverse.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import { targetFingerprint } from '../../src/postgres/fingerprint.ts'
import { migrateOwnSchema } from '../../src/postgres/migrate.ts'
import { installReverseCapture } from '../../src/postgres/reverse-capture.ts'
import { ReverseReader } from '../../src/postgres/reverse-reader.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'
import { SqliteImages } from '../../src/sqlite/images.ts'
import { Workspace } from '../support/daemon.ts'
import { createDatabase } from '../support/postgres.ts'
import type { Scenario } from '../support/scenario.ts'

export const MIGRATION = 'app'

interface Options {
  readonly source: string
  readonly target: string
  readonly tables: readonly TableSpec[]
  /** Of a server of its own; a database of the run's server otherwise. */
  readonly url?: string
  readonly chunkRows?: number
  readonly retentionSeconds?: number
}

/** As the decision would leave it. */
async function decide(
  connection: Connection,
  tables: readonly TableSpec[],
): Promise<{ readonly id: number; readonly start: ReversePosition }> {
  return await connection.transaction(async (client) => {
    const [row] = (await client.query('SELECT id FROM slipway.control')).rows
    await installReverseCapture(client, row.id, tables)
    await client.query(
      `UPDATE slipway.control SET authority = 'postgres', epoch = 2, holder = 'test', phase = 'switched_over', fingerprint = $1`,
      [await targetFingerprint(client, tables)],
    )
    // Open: 2 × epoch + 1.
    await client.query(`SELECT setval('slipway.gate_${row.id}', 5)`)
    await client.query(`INSERT INTO slipway.token (migration, token) VALUES ($1, 'decision')`, [MIGRATION])
    const [snapshot] = (await client.query('SELECT pg_current_snapshot()::text AS s')).rows
    return { id: row.id, start: { snapshot: snapshot.s, token: 'decision' } }
  })
}

/** What a batch brought, all pages together. */
export interface Told {
  readonly changes: number
  readonly gone: Readonly<Record<string, readonly string[]>>
  readonly patches: Readonly<Record<string, readonly RowPatch[]>>
}

export class ReverseSide implements AsyncDisposable {
  readonly url: string
  readonly path: string
  readonly sqlite: Database.Database
  readonly images: SqliteImages
  readonly tables: readonly TableSpec[]
  readonly id: number
  reader: ReverseReader
  position: ReversePosition
  readonly #clients: pg.Client[] = []
  readonly #drop: () => Promise<void>
  readonly #workspace: Workspace
  readonly #retentionSeconds: number

  private constructor(
    options: Options,
    own: {
      url: string
      drop: () => Promise<void>
      workspace: Workspace
      id: number
      start: ReversePosition
      path?: string
    },
  ) {
    this.url = own.url
    this.id = own.id
    this.position = own.start
    this.tables = options.tables
    this.#drop = own.drop
    this.#workspace = own.workspace
    this.#retentionSeconds = options.retentionSeconds ?? 3600
    this.path = own.path ?? own.workspace.file('app.db')
    this.sqlite = new Database(this.path)
    this.sqlite.defaultSafeIntegers(true)
    registerFunctions(this.sqlite)
    this.sqlite.pragma('journal_mode = WAL')
    this.sqlite.exec(options.source)
    this.sqlite.exec(
      'CREATE TABLE IF NOT EXISTS _slipway_changelog (seq INTEGER PRIMARY KEY, tbl, op, at, nonce, k0, k1, k2)',
    )
    this.images = new SqliteImages({
      path: this.path,
      encoding: 'UTF-8',
      spoolFolder: join(own.workspace.path, 'spool'),
      chunkRows: options.chunkRows ?? 1_000,
    })
    this.reader = this.openReader()
  }

  /** As the decision would leave it: capture, the gate open, PostgreSQL leading in epoch 2, and where the way back starts. */
  static async create(options: Options): Promise<ReverseSide> {
    const database = options.url === undefined ? await createDatabase() : undefined
    const url = options.url ?? (database?.url as string)
    const connection = new Connection(url, sessionName('test', 'control'))
    try {
      await migrateOwnSchema(connection, url)
      const control = new Control(connection, MIGRATION, 'test')
      await control.create('/app.db', 'public')
      await connection.use((client) => client.query(options.target))
      const { id, start } = await decide(connection, options.tables)
      const drop = async (): Promise<void> => await database?.drop()
      return new ReverseSide(options, { url, drop, workspace: new Workspace(), id, start })
    } finally {
      await connection.close()
    }
  }

  /** Of a migration whose daemon has been stopped at lag zero. */
  static async adopt(scenario: Scenario): Promise<ReverseSide> {
    const connection = new Connection(scenario.database.url, sessionName('test', 'control'))
    try {
      const [row] = await scenario.postgres<{ tables: TableSpec[] }>('SELECT tables FROM slipway.control')
      const tables = row?.tables ?? []
      const own = await decide(connection, tables)
      const { url } = scenario.database
      const options = { source: '', target: '', tables }
      const drop = async (): Promise<void> => undefined
      return new ReverseSide(options, { url, drop, workspace: new Workspace(), path: scenario.path, ...own })
    } finally {
      await connection.close()
    }
  }

  openReader(epoch = 2): ReverseReader {
    const session = (purpose: string): Connection => new Connection(this.url, sessionName('test', purpose))
    return new ReverseReader({
      connection: session('reverse'),
      observer: session('observer'),
      listener: session('listener'),
      migration: MIGRATION,
      id: this.id,
      holder: 'test',
      epoch,
      tables: this.tables,
      retentionSeconds: this.#retentionSeconds,
      pruneEveryMs: 0,
    })
  }

  /** A session of the application. */
  async connect(): Promise<pg.Client> {
    const { default: driver } = await import('pg')
    const client = new driver.Client({ connectionString: this.url })
    client.on('error', () => undefined)
    await client.connect()
    this.#clients.push(client)
    return client
  }

  async sql<T extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    const client = await this.connect()
    try {
      return (await client.query(text, values.length > 0 ? values : undefined)).rows
    } finally {
      await client.end()
    }
  }

  async read(extras: ReverseExtras = {}): Promise<ReverseReadResult> {
    return await this.reader.read(this.position, this.images, new AbortController().signal, extras)
  }

  /** Reads a batch, which has to be one, applies it, and tells what it brought. */
  async follow(extras: ReverseExtras = {}): Promise<Told> {
    const result = await this.read(extras)
    if (result.kind !== 'batch') throw new Error(`no batch: ${JSON.stringify(result)}`)
    return await this.apply(result.batch)
  }

  async apply(batch: ReverseBatch): Promise<Told> {
    const gone: Record<string, string[]> = {}
    const patches: Record<string, RowPatch[]> = {}
    for (const part of batch.tables) {
      const { name } = part.table
      gone[name] = []
      patches[name] = []
      for await (const page of part.gone()) gone[name].push(...page)
      for await (const page of part.patches()) patches[name].push(...page)
    }
    this.sqlite.transaction(() => {
      for (const { table } of batch.tables) {
        for (const key of gone[table.name] ?? []) this.#delete(table, key)
        for (const patch of patches[table.name] ?? []) this.#patch(table, patch)
      }
    })()
    this.position = batch.to
    await batch[Symbol.asyncDispose]()
    return { changes: batch.changes, gone, patches }
  }

  #where(table: TableSpec): string {
    return table.key.columns
      .map(({ name }) => `${quote(name)} = ? COLLATE BINARY AND ${quote(name)} COLLATE BINARY = ?`)
      .join(' AND ')
  }

  #delete(table: TableSpec, key: string): void {
    const values = decodeKey(key).flatMap((value) => [value, value])
    this.sqlite.prepare(`DELETE FROM ${quote(table.name)} WHERE ${this.#where(table)}`).run(...values)
  }

  #patch(table: TableSpec, { key, isNew, values }: RowPatch): void {
    if (values.length === 0) return
    const hidden = isNew && table.key.kind === 'rowid'
    const names = [
      ...(hidden ? ['rowid'] : []),
      ...values.map(([index]) => quote(table.columns[index]?.name ?? '')),
    ]
    const bound = [
      ...(hidden ? decodeKey(key) : []),
      ...values.map(([index, text]) => {
        const column = table.columns[index]
        if (column === undefined) throw new Error(`no column ${index}`)
        const affinity = this.images.affinity(table, column.name)
        return text === null ? null : (bindDecoded(column, text, affinity) ?? text)
      }),
    ]
    if (isNew) {
      const marks = names.map(() => '?').join(', ')
      this.sqlite
        .prepare(`INSERT INTO ${quote(table.name)} (${names.join(', ')}) VALUES (${marks})`)
        .run(...bound)
      return
    }
    const found = this.sqlite
      .prepare(
        `UPDATE ${quote(table.name)} SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE ${this.#where(table)}`,
      )
      .run(...bound, ...decodeKey(key).flatMap((value) => [value, value]))
    if (found.changes !== 1) throw new Error(`${table.name}: no row ${key}`)
  }

  rows(sql: string): unknown[][] {
    return this.sqlite.prepare(sql).raw().all() as unknown[][]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reader[Symbol.asyncDispose]()
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)))
    this.images[Symbol.dispose]()
    this.sqlite.close()
    await this.#drop()
    this.#workspace[Symbol.dispose]()
  }
}
