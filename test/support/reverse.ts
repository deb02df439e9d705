/** A SQLite file as a switchover leaves it, and the writer of the way back on it. */
import { execFileSync } from 'node:child_process'
import Database from 'better-sqlite3'
import type { ReverseBatch } from '../../src/core/reverse.ts'
import { ReverseWriter } from '../../src/sqlite/reverse-writer.ts'
import { Workspace } from './daemon.ts'
import { batchOf, START, type TableChange } from './reverse-batch.ts'

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
  database.exec('CREATE TABLE IF NOT EXISTS _slipway_control (name TEXT PRIMARY KEY, value TEXT)')
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
