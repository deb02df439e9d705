import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { article, deadLetter } from '../../src/demo/generator.ts'
import { makeNewsroom, NEWSROOM_TABLES } from '../../src/demo/newsroom.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-newsroom-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const ROWS = { articles: 800, dlq: 200, digests: 50, pending_publications: 120 }

async function newsroom(name: string, seed: number): Promise<string> {
  const path = join(dir, name)
  await makeNewsroom({ path, seed, rows: ROWS })
  return path
}

function hashOf(path: string): string {
  const db = new Database(path, { readonly: true })
  const hash = createHash('sha256')
  for (const table of NEWSROOM_TABLES) {
    for (const row of db.prepare(`SELECT * FROM ${table} ORDER BY id`).raw().iterate()) {
      hash.update(JSON.stringify(row))
    }
  }
  db.close()
  return hash.digest('hex')
}

test('one seed makes one newsroom, another seed another', async () => {
  const first = hashOf(await newsroom('first.db', 7))
  expect(hashOf(await newsroom('again.db', 7))).toBe(first)
  expect(hashOf(await newsroom('other.db', 8))).not.toBe(first)
})

test('a row does not depend on the rows before it', () => {
  expect(article(7, 500)).toEqual(article(7, 500))
  expect(article(7, 500)).not.toEqual(article(7, 501))
})

test('all tables are filled, with what tools stumble over', async () => {
  const db = new Database(await newsroom('newsroom.db', 7), { readonly: true })
  const one = (sql: string) => db.prepare(sql).pluck().get() as number
  for (const table of NEWSROOM_TABLES) expect(one(`SELECT count(*) FROM ${table}`)).toBe(ROWS[table])

  const all = db.prepare('SELECT title || coalesce(content, char(32)) FROM articles').pluck().all().join('')
  for (const hard of ['ё', '🚀', '👩‍👩‍👧‍👦', 'שלום', '\t', '\\N', '\\.', "'", '"', '\n'])
    expect(all).toContain(hard)
  for (const column of ['published_at', 'content', 'content_hash', 'summary_text', 'backfill_status']) {
    expect(one(`SELECT count(*) FROM articles WHERE ${column} IS NULL`), column).toBeGreaterThan(0)
  }
  expect(one('SELECT max(length(content)) FROM articles')).toBeGreaterThan(4_000)
  expect(one('SELECT count(*) FROM dlq WHERE NOT json_valid(error_payload)')).toBe(0)
  // Whatever the declared type: times stay the text that the application wrote.
  const times = `SELECT count(*) FROM articles WHERE typeof(created_at) = 'text'
    AND created_at GLOB '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z'`
  expect(one(times)).toBe(ROWS.articles)
  db.close()
})

test('documents hold numbers that a JSON parser rounds', () => {
  const payloads = Array.from({ length: 50 }, (_, n) => deadLetter(7, n).error_payload ?? '')
  const rounded = payloads.filter((text) => {
    const id = /"request_id":(\d+)/.exec(text)?.[1]
    return id !== undefined && String(JSON.parse(text).request_id) !== id
  })
  expect(rounded.length).toBeGreaterThan(5)
})
