/** Makes a newsroom's database file: the application's own migrations, filled by the generator. */
import Database from 'better-sqlite3'
import { openKnex } from '../app/connection.ts'
import { migrateApp } from '../app/migrate.ts'
import { article, deadLetter, digest, pendingPublication } from './generator.ts'

export const NEWSROOM_TABLES = ['articles', 'dlq', 'digests', 'pending_publications'] as const
export type NewsroomTable = (typeof NEWSROOM_TABLES)[number]
export type RowCounts = Readonly<Record<NewsroomTable, number>>

export const DEMO_ROWS: RowCounts = {
  articles: 10_000,
  dlq: 1_500,
  digests: 400,
  pending_publications: 1_100,
}

const GENERATORS: Readonly<Record<NewsroomTable, (seed: number, n: number) => object>> = {
  articles: article,
  dlq: deadLetter,
  digests: digest,
  pending_publications: pendingPublication,
}

export interface NewsroomOptions {
  /** A file that is not there yet. It is left in SQLite's default journal mode, as most applications do. */
  readonly path: string
  readonly seed: number
  readonly rows: RowCounts
}

export async function makeNewsroom({ path, seed, rows }: NewsroomOptions): Promise<void> {
  const knex = openKnex({ engine: 'sqlite', path })
  try {
    await migrateApp(knex)
  } finally {
    await knex.destroy()
  }
  const db = new Database(path)
  try {
    // Nobody else has the file yet; a crash here means that it is made anew.
    db.pragma('synchronous = OFF')
    for (const table of NEWSROOM_TABLES) fill(db, table, seed, rows[table])
  } finally {
    db.close()
  }
}

function fill(db: Database.Database, table: NewsroomTable, seed: number, count: number): void {
  const generate = GENERATORS[table]
  const insert = insertInto(db, table, Object.keys(generate(seed, 1)))
  db.transaction(() => {
    for (let n = 1; n <= count; n++) insert.run(generate(seed, n))
  })()
}

/** An INSERT with one named parameter a column. */
function insertInto(db: Database.Database, table: string, columns: readonly string[]): Database.Statement {
  const parameters = columns.map((column) => '@' + column)
  return db.prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${parameters.join(', ')})`)
}
