/**
 * How long does the first copy take? Slipway's whole `snapshot` command against COPY of text that is ready,
 * into a table of the same types, with the same indexes made afterwards: less work than any tool can do that
 * has to read SQLite first.
 */
import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import type pg from 'pg'
import { from, to } from 'pg-copy-streams'
import { hasPsql } from './machine.ts'
import type { Answer, Contender } from './report.ts'
import { Slipway } from './slipway.ts'
import { connected, type Sizes, type Stage, timed } from './stage.ts'

export async function measureCopy(stage: Stage, sizes: Sizes, tell: (line: string) => void): Promise<Answer> {
  const source = await stage.newsroom('copy.db', sizes.rows)
  const psql = await hasPsql()
  const times = { slipway: [] as number[], psql: [] as number[], node: [] as number[] }
  for (let round = 1; round <= sizes.repeat; round++) {
    const sqlitePath = join(stage.dir, `copy-${round}.db`)
    await copyFile(source, sqlitePath)
    const postgresUrl = await stage.createDatabase()
    await using slipway = await Slipway.create({ dir: stage.dir, sqlitePath, postgresUrl })
    times.slipway.push(await timed(() => slipway.snapshot()))

    const text = join(stage.dir, 'articles.txt')
    await connected(postgresUrl, async (client) => {
      const { rows } = await client.query('SELECT count(*)::int AS n FROM articles')
      if (rows[0].n !== sizes.rows) throw new Error(`slipway has copied ${rows[0].n} rows of ${sizes.rows}`)
      await pipeline(client.query(to('COPY articles TO STDOUT')), createWriteStream(text))
      times.node.push(await load(client, () => copyByNode(client, text)))
      if (psql) times.psql.push(await load(client, () => copyByPsql(postgresUrl, text)))
    })
    await stage.dropDatabase(postgresUrl)
    await rm(sqlitePath, { force: true })
    tell(
      `  round ${round}: ${Object.entries(times)
        .map(([name, all]) => `${name} ${all.at(-1)?.toFixed(2)} s`)
        .join(', ')}`,
    )
  }

  const ready = 'COPY of a text file that is ready, then the same indexes'
  const peers: Contender[] = [{ name: 'pg-copy-streams', seconds: times.node, note: ready }]
  if (psql)
    peers.unshift({ name: 'psql \\copy', seconds: times.psql, note: `${ready}; with the start of psql` })
  return {
    question: 'First copy of articles into PostgreSQL',
    amount: sizes.rows,
    unit: 'rows',
    slipway: {
      name: 'slipway snapshot',
      seconds: times.slipway,
      note: 'the whole command: start, look at all values, capture, read, copy, indexes, ANALYZE; no backup',
    },
    peers,
  }
}

/** Seconds for the rows and the indexes; the table is like slipway's and made anew. */
async function load(client: pg.Client, copy: () => Promise<unknown>): Promise<number> {
  await client.query('DROP TABLE IF EXISTS peer')
  await client.query('CREATE TABLE peer (LIKE articles)')
  const { rows } = await client.query("SELECT indexdef FROM pg_indexes WHERE tablename = 'articles'")
  const indexes = rows.map((row) => peerIndex(row.indexdef))
  await client.query('CHECKPOINT')
  return await timed(async () => {
    await copy()
    for (const index of indexes) await client.query(index)
    await client.query('ANALYZE peer')
  })
}

/** The same index on the peer's table; PostgreSQL finds a name for it. */
function peerIndex(definition: string): string {
  return definition.replace(/^(CREATE (?:UNIQUE )?INDEX) .*? ON \S+ /, '$1 ON peer ')
}

async function copyByNode(client: pg.Client, file: string): Promise<void> {
  await pipeline(
    createReadStream(file, { highWaterMark: 1 << 20 }),
    client.query(from('COPY peer FROM STDIN')),
  )
}

async function copyByPsql(url: string, file: string): Promise<void> {
  await promisify(execFile)('psql', [
    '-XqAt',
    '-v',
    'ON_ERROR_STOP=1',
    '-c',
    `\\copy peer from '${file}'`,
    url,
  ])
}
