import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openKnex, parseDatabaseUrl } from '../../src/app/connection.ts'
import { migrateApp, unmigrateApp } from '../../src/app/migrate.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const INDEXES = [
  'articles_backfill_status_index',
  'articles_canonical_link_unique',
  'articles_content_hash_index',
  'articles_published_at_index',
  'dlq_entity_index',
  'pending_publications_created_at_index',
  'pending_publications_url_unique',
]

const TYPES = {
  postgres: {
    id: 'bigint',
    published_at: 'timestamp with time zone',
    error_payload: 'jsonb',
    content: 'text',
  },
  sqlite: { id: 'integer', published_at: 'datetime', error_payload: 'json', content: 'text' },
}

const ARTICLE = { url: 'https://n.example/1?a=b', canonical_link: 'https://n.example/1', title: 'Ёж 🚀' }

describe.each(['sqlite', 'postgres'] as const)('migrations on %s', (engine) => {
  let dir: string
  let database: TestDatabase | undefined
  let knex: Knex

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'slipway-migrate-'))
    database = engine === 'postgres' ? await createDatabase() : undefined
    knex = openKnex(
      database ? { engine: 'postgres', url: database.url } : { engine: 'sqlite', path: join(dir, 'app.db') },
    )
  })
  afterAll(async () => {
    await knex?.destroy()
    await database?.drop()
    rmSync(dir, { recursive: true, force: true })
  })

  async function indexes(): Promise<string[]> {
    const rows =
      engine === 'postgres'
        ? knex('pg_indexes').where({ schemaname: 'public' }).pluck('indexname')
        : knex('sqlite_schema').where({ type: 'index' }).pluck('name')
    return ((await rows) as string[]).filter((name) => /^(articles|dlq|digests|pending)/.test(name)).sort()
  }

  async function tables(): Promise<string[]> {
    const names = ['articles', 'dlq', 'digests', 'pending_publications']
    const there = await Promise.all(names.map((name) => knex.schema.hasTable(name)))
    return names.filter((_, i) => there[i])
  }

  test('run once, under names without an extension', async () => {
    expect(await migrateApp(knex)).toEqual(['0001-newsroom'])
    expect(await migrateApp(knex)).toEqual([])
    expect(await knex('knex_migrations').pluck('name')).toEqual(['0001-newsroom'])
    expect(await tables()).toHaveLength(4)
  })

  test('every index and unique has its name', async () => {
    expect((await indexes()).filter((name) => !name.endsWith('_pkey'))).toEqual(INDEXES)
  })

  test('columns have the natural types of the engine', async () => {
    const types = {
      ...(await knex('articles').columnInfo()),
      ...(await knex('dlq').columnInfo()),
    } as Record<string, Knex.ColumnInfo>
    for (const [column, type] of Object.entries(TYPES[engine])) expect(types[column]?.type, column).toBe(type)
  })

  test('ids and times come by themselves, ids of others are kept', async () => {
    await knex('articles').insert(ARTICLE)
    await knex('articles').insert({ ...ARTICLE, id: 70, canonical_link: 'https://n.example/70' })
    const rows = await knex('articles').orderBy('id')
    expect(rows.map(({ id }) => Number(id))).toEqual([1, 70])
    const [{ created_at: created, published_at: published }] = rows
    expect(published).toBeNull()
    if (engine === 'sqlite') expect(created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    else expect(created).toBeInstanceOf(Date)
    expect(Math.abs(Date.now() - new Date(created).getTime())).toBeLessThan(60_000)
    const { rows: fine } = engine === 'postgres' ? await knex.raw(MICROSECONDS) : { rows: [] }
    expect(fine).toEqual([])
  })

  test('a link twice and an unknown status are refused', async () => {
    await expect(knex('articles').insert(ARTICLE)).rejects.toThrow(/canonical_link/)
    const unknown = { ...ARTICLE, canonical_link: 'https://n.example/2', backfill_status: 'done' }
    await expect(knex('articles').insert(unknown)).rejects.toThrow(/backfill_status/)
  })

  test('down takes everything back, and up makes it again', async () => {
    expect(await unmigrateApp(knex)).toEqual(['0001-newsroom'])
    expect(await tables()).toEqual([])
    expect(await indexes()).toEqual([])
    expect(await migrateApp(knex)).toEqual(['0001-newsroom'])
    expect(await tables()).toHaveLength(4)
  })
})

const MICROSECONDS = "SELECT id FROM articles WHERE created_at <> date_trunc('milliseconds', created_at)"

test.each([
  ['sqlite:news.db', { engine: 'sqlite', path: 'news.db' }],
  ['sqlite:/var/news.db', { engine: 'sqlite', path: '/var/news.db' }],
  ['sqlite:///news.db', { engine: 'sqlite', path: 'news.db' }],
  ['sqlite:////var/news.db', { engine: 'sqlite', path: '/var/news.db' }],
  ['postgres://u:p@h/d', { engine: 'postgres', url: 'postgresql://u:p@h/d' }],
  ['postgresql+psycopg2://u@h/d', { engine: 'postgres', url: 'postgresql://u@h/d' }],
])('DATABASE_URL %s', (url, place) => {
  expect(parseDatabaseUrl(url)).toEqual(place)
})

test.each(['', 'news.db', 'mysql://u:secret@h/d', 'sqlite://host/news.db', 'sqlite:'])(
  'DATABASE_URL "%s" is refused without being shown',
  (url) => {
    expect(() => parseDatabaseUrl(url)).toThrow(/has a form that is not known/)
  },
)
