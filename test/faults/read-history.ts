/** Reads what an engine holds in the end. */
import Database from 'better-sqlite3'
import pg from 'pg'
import type { Acknowledged, Engine, History } from './history.ts'

/** The same SQL for both engines. */
const QUERIES = {
  entries: 'SELECT writer, n, engine, epoch, prev, payload FROM ledger',
  journal: 'SELECT id, writer, n FROM journal',
  events: 'SELECT writer, n FROM events WHERE writer > 0',
  tallies: 'SELECT name, total, last FROM tallies',
  balance: 'SELECT sum(balance) AS balance FROM accounts',
  orphans: `SELECT count(*) AS orphans FROM files
             WHERE folder_id IS NOT NULL AND folder_id NOT IN (SELECT id FROM folders)`,
} as const

type Row = Readonly<Record<string, string | number>>
type Held = Omit<History, 'acknowledged' | 'doubtful'>

export interface Place {
  readonly sqlitePath: string
  readonly postgresUrl: string
}

export async function readHistory(
  engine: Engine,
  place: Place,
  known: Pick<History, 'acknowledged' | 'doubtful'>,
): Promise<History> {
  return { ...known, ...(engine === 'sqlite' ? sqliteHolds(place) : await postgresHolds(place)) }
}

function sqliteHolds({ sqlitePath }: Place): Held {
  const db = new Database(sqlitePath, { readonly: true, timeout: 10_000 })
  try {
    return db.transaction(() => held((sql) => db.prepare(sql).all() as Row[]))()
  } finally {
    db.close()
  }
}

async function postgresHolds({ postgresUrl }: Place): Promise<Held> {
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    const answers = new Map<string, Row[]>()
    for (const sql of Object.values(QUERIES)) answers.set(sql, (await client.query<Row>(sql)).rows)
    await client.query('COMMIT')
    return held((sql) => answers.get(sql)!)
  } finally {
    await client.end()
  }
}

function held(ask: (sql: string) => readonly Row[]): Held {
  return {
    entries: ask(QUERIES.entries).map((row) => ({
      writer: Number(row.writer),
      n: Number(row.n),
      engine: String(row.engine),
      epoch: Number(row.epoch),
      prev: Number(row.prev),
      payload: String(row.payload),
    })),
    journal: ask(QUERIES.journal).map((row) => ({
      id: Number(row.id),
      writer: Number(row.writer),
      n: Number(row.n),
    })),
    events: ask(QUERIES.events).map((row) => ({ writer: Number(row.writer), n: Number(row.n) })),
    tallies: ask(QUERIES.tallies).map((row) => ({
      writer: Number(String(row.name).replace('writer ', '')),
      total: Number(row.total),
      last: Number(row.last),
    })),
    balance: Number(ask(QUERIES.balance)[0]?.balance),
    orphans: Number(ask(QUERIES.orphans)[0]?.orphans),
  }
}

/** Acknowledgements of all writers as one list. */
export function flat(lists: readonly (readonly Acknowledged[])[]): readonly Acknowledged[] {
  return lists.flat()
}

/** Storage class and bytes of every cell that nobody writes. */
export function untouched(sqlitePath: string): readonly string[] {
  const db = new Database(sqlitePath, { readonly: true, timeout: 10_000 })
  try {
    const cells = ['id', 'title', 'score', 'seen', 'doc', 'raw']
      .map((column) => `typeof(${column}) || ':' || hex(${column})`)
      .join(` || ' ' || `)
    return db.prepare(`SELECT ${cells} FROM profiles ORDER BY id`).pluck().all() as string[]
  } finally {
    db.close()
  }
}
