/**
 * How fast are changes applied? Slipway drains a changelog that has filled up while it was paused; the peer
 * takes the same keys, which somebody has told it, reads their rows from SQLite and writes them by multi-row
 * upserts. Both end with the same table, and that is checked.
 */
import Database from 'better-sqlite3'
import type pg from 'pg'
import { type Article, article } from '../src/demo/generator.ts'
import { Random } from '../src/demo/random.ts'
import type { Answer } from './report.ts'
import { Slipway } from './slipway.ts'
import { connected, type Sizes, type Stage, timed } from './stage.ts'

const COLUMNS = ['id', ...Object.keys(article(0, 0))]
/** As many as the protocol's 65,535 parameters allow, in round figures. */
const UPSERT_ROWS = 5_000
/** Rows per transaction of the application. */
const TRANSACTION_ROWS = 100
const INSERTED = 0.2

export async function measureApply(
  stage: Stage,
  sizes: Sizes,
  tell: (line: string) => void,
): Promise<Answer> {
  const sqlitePath = await stage.newsroom('apply.db', sizes.rows)
  const postgresUrl = await stage.createDatabase()
  const times = { slipway: [] as number[], upserts: [] as number[] }
  await using slipway = await Slipway.create({ dir: stage.dir, sqlitePath, postgresUrl })
  await slipway.snapshot()
  await slipway.start()
  const sqlite = new Database(sqlitePath, { timeout: 5_000 })
  await connected(postgresUrl, async (client) => {
    await client.query('CREATE TABLE peer (LIKE articles INCLUDING ALL)')
    await client.query('INSERT INTO peer SELECT * FROM articles')
    await client.query('ANALYZE peer')
    for (let round = 1; round <= sizes.repeat; round++) {
      await slipway.pause()
      const keys = change(sqlite, sizes, round)
      const bySlipway = async () => {
        await client.query('CHECKPOINT')
        const drain = async () => {
          await slipway.resume()
          await slipway.applied()
        }
        times.slipway.push(await timed(drain))
      }
      const byUpserts = async () => {
        await client.query('CHECKPOINT')
        times.upserts.push(await timed(() => upsert(sqlite, client, keys)))
      }
      // Whoever comes second finds warm caches.
      for (const turn of round % 2 === 1 ? [bySlipway, byUpserts] : [byUpserts, bySlipway]) await turn()
      await assertEqual(client)
      tell(
        `  round ${round}: slipway ${times.slipway.at(-1)!.toFixed(2)} s, upserts ${times.upserts.at(-1)!.toFixed(2)} s`,
      )
    }
  })
  sqlite.close()
  return {
    question: `Changes applied to a table of ${sizes.rows.toLocaleString('en-US')} rows`,
    amount: sizes.changes,
    unit: 'changes',
    slipway: {
      name: 'slipway',
      seconds: times.slipway,
      note: 'from POST /replication/resume until /lag shows everything applied',
    },
    peers: [
      {
        name: 'multi-row upserts',
        seconds: times.upserts,
        note: `reads the rows of known keys, INSERT … ON CONFLICT of ${UPSERT_ROWS} rows a statement and commit, through pg`,
      },
    ],
  }
}

/** Updates and inserts articles in many small transactions; returns the keys, each once. */
function change(sqlite: Database.Database, sizes: Sizes, round: number): readonly number[] {
  const random = new Random(round, 7)
  const insert = sqlite.prepare(
    `INSERT INTO articles (${COLUMNS.slice(1).join(', ')}) VALUES (${COLUMNS.slice(1)
      .map((name) => `@${name}`)
      .join(', ')})`,
  )
  const update = sqlite.prepare(
    'UPDATE articles SET content = @content, content_hash = @content_hash, updated_at = @updated_at WHERE id = @id',
  )
  const keys = new Set<number>()
  const one = () => {
    const row: Article = article(1_000 + round, keys.size)
    if (random.chance(INSERTED)) return keys.add(Number(insert.run(row).lastInsertRowid))
    let id = random.whole(1, sizes.rows)
    while (keys.has(id)) id = (id % sizes.rows) + 1
    update.run({ ...row, id })
    return keys.add(id)
  }
  while (keys.size < sizes.changes) {
    const goal = Math.min(sizes.changes, keys.size + TRANSACTION_ROWS)
    sqlite
      .transaction(() => {
        while (keys.size < goal) one()
      })
      .immediate()
  }
  return [...keys]
}

async function upsert(sqlite: Database.Database, client: pg.Client, keys: readonly number[]): Promise<void> {
  for (let at = 0; at < keys.length; at += UPSERT_ROWS) {
    const part = keys.slice(at, at + UPSERT_ROWS)
    const rows = sqlite
      .prepare(`SELECT ${COLUMNS.join(', ')} FROM articles WHERE id IN (SELECT value FROM json_each(?))`)
      .raw()
      .all(JSON.stringify(part)) as unknown[][]
    await client.query({ name: `upsert ${rows.length}`, text: upsertText(rows.length), values: rows.flat() })
  }
}

function upsertText(rows: number): string {
  const values = Array.from({ length: rows }, (_, row) => {
    const parameters = COLUMNS.map((_name, column) => `$${row * COLUMNS.length + column + 1}`)
    return `(${parameters.join(', ')})`
  })
  const set = COLUMNS.slice(1).map((name) => `${name} = excluded.${name}`)
  return `INSERT INTO peer (${COLUMNS.join(', ')}) VALUES ${values.join(', ')}
    ON CONFLICT (id) DO UPDATE SET ${set.join(', ')}`
}

async function assertEqual(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `SELECT (SELECT count(*) FROM (TABLE articles EXCEPT TABLE peer) a)
          + (SELECT count(*) FROM (TABLE peer EXCEPT TABLE articles) b) AS different`,
  )
  if (rows[0].different !== '0')
    throw new Error(`${rows[0].different} rows differ: the work was not the same`)
}
