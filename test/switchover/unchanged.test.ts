/**
 * There and back without a write is as if nothing had been: the file's schema, the type and the bytes of every value,
 * the counters of AUTOINCREMENT. What is written on PostgreSQL changes the cells that it changed, and no others.
 */
import Knex from 'knex'
import { expect, test } from 'vitest'
import { migrateApp } from '../../src/app/migrate.ts'
import type { Dump } from '../support/dump.ts'
import { everythingStatements } from '../support/everything.ts'
import { execute, type Statement } from '../support/foreign.ts'
import { applicationDump, pass } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

/** Tables, indexes and views as a set; triggers of each table in their order, the one they fire in, backwards. */
function logical({ schema, pragmas, rows }: Dump): unknown {
  const isTrigger = (line: string): boolean => line.startsWith('trigger|')
  return {
    schema: schema.filter((line) => !isTrigger(line)).toSorted(),
    triggers: Object.fromEntries(Map.groupBy(schema.filter(isTrigger), (line) => line.split('|')[2] ?? '')),
    pragmas,
    rows,
  }
}

/** Cells that differ: `table row: before → after`. A row is a line of the dump, found by its place. */
function differences(before: Dump, after: Dump): string[] {
  return Object.entries(before.rows).flatMap(([table, lines]) => {
    const now = after.rows[table] ?? []
    if (now.length !== lines.length) return [`${table}: ${lines.length} rows, now ${now.length}`]
    return lines.flatMap((line, index) => (line === now[index] ? [] : [`${table}: ${line} → ${now[index]}`]))
  })
}

const hex = (text: string): string => Buffer.from(text).toString('hex').toUpperCase()

/** What no PostgreSQL can hold is mended first, as assess asks for it: NUL and bytes that are no text. */
const MENDED: readonly Statement[] = [
  `UPDATE texts SET nul = 'fine', invalid = 'fine', surrogate = 'fine'`,
  `UPDATE strict_all SET t = 'fine'`,
]

test('a database with everything at once', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.prepare({
    source: [...everythingStatements(), ...MENDED],
    env: { MAX_PAUSE_MS: '10000' },
  })
  const before = applicationDump(scenario.path)
  await scenario.start()
  await scenario.daemon.caughtUp(60_000)
  await pass(scenario, 'switchover', { override: ['parity', 'rehearsal'] })
  await pass(scenario, 'rollback')
  expect(logical(applicationDump(scenario.path))).toEqual(logical(before))
  await scenario.daemon.caughtUp()
  expect(scenario.slipway.copiesAnew()).toBe(0)
})

const SOURCE = [
  `CREATE TABLE articles (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, price REAL, amount INTEGER, made DATETIME, body JSON,
     bytes BLOB, free)`,
  `INSERT INTO articles VALUES
     (1, 'one', 1e20, 3, '2024-05-06T07:08:09.123456789Z', '{"b": 1.0,  "a":[1,2]}', x'00ff', 1),
     (2, 'two', 0.1, 2.5, '2024-05-06 07:08:09', '[]', NULL, 1.0),
     (7, CAST(x'74c3a9' AS TEXT), 5e-324, 9223372036854775807, NULL, NULL, x'', 'text')`,
  'DELETE FROM articles WHERE id = 7',
  `INSERT INTO articles VALUES (3, 'three', -1.5, 1, '2024-05-06', '{}', x'01', x'31')`,
  'CREATE TABLE tags (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID',
  `INSERT INTO tags VALUES ('x', 1, 'one'), ('я', 2, 'two')`,
  'CREATE TABLE notes (a TEXT, b INTEGER)',
  `INSERT INTO notes VALUES ('same', 1), ('same', 1), (NULL, NULL)`,
  `CREATE TABLE comments (id INTEGER PRIMARY KEY, article INTEGER REFERENCES articles (id) ON DELETE CASCADE ON UPDATE CASCADE,
     parent INTEGER REFERENCES comments ON DELETE SET NULL, body TEXT)`,
  `INSERT INTO comments VALUES (1, 1, NULL, 'first'), (2, 1, 1, 'second'), (3, 2, NULL, 'third')`,
  'CREATE INDEX comments_article ON comments (article)',
  'CREATE TRIGGER b_after AFTER UPDATE ON articles BEGIN UPDATE tags SET v = v || 1 WHERE a = OLD.title; END',
  'CREATE VIEW titles AS SELECT title FROM articles',
  'CREATE TRIGGER a_before BEFORE UPDATE ON articles BEGIN UPDATE tags SET v = v || 2 WHERE a = OLD.title; END',
  'CREATE TRIGGER c_view INSTEAD OF DELETE ON titles BEGIN DELETE FROM articles WHERE title = OLD.title; END',
]

test('only the cells that were written differ', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.prepare({ source: SOURCE })
  const before = applicationDump(scenario.path)
  await scenario.start()
  await scenario.daemon.caughtUp(20_000)
  for (let cycle = 0; cycle < 2; cycle++) {
    await pass(scenario, 'switchover', { override: ['rehearsal', 'parity'] })
    await pass(scenario, 'rollback')
    expect(logical(applicationDump(scenario.path))).toEqual(logical(before))
  }
  await pass(scenario, 'switchover', { override: ['rehearsal', 'parity'] })
  await scenario.postgres(`UPDATE articles SET title = 'ONE' WHERE id = 1`)
  await scenario.postgres(`UPDATE articles SET title = title`)
  await scenario.postgres(`UPDATE comments SET body = 'FIRST' WHERE id = 1`)
  await scenario.postgres(`UPDATE tags SET v = 'TWO' WHERE b = 2`)
  await scenario.daemon.caughtUp()
  await pass(scenario, 'rollback')
  const after = applicationDump(scenario.path)
  const changed = differences(before, after)
  expect(changed).toEqual([
    expect.stringMatching(/^articles: #1\|/),
    expect.stringMatching(/^comments: #1\|/),
    expect.stringMatching(/^tags: /),
  ])
  const [article, comment, tag] = changed as [string, string, string]
  const undone = (line: string, now: string, then: string): string => line.replace(hex(now), hex(then))
  expect(undone(article.split(' → ')[1] ?? '', 'ONE', 'one')).toBe(article.split(' → ')[0]?.slice(10))
  expect(undone(comment.split(' → ')[1] ?? '', 'FIRST', 'first')).toBe(comment.split(' → ')[0]?.slice(10))
  expect(undone(tag.split(' → ')[1] ?? '', 'TWO', 'two')).toBe(tag.split(' → ')[0]?.slice(6))
  expect({ ...(logical(after) as object), rows: 0 }).toEqual({ ...(logical(before) as object), rows: 0 })
})

test("the newsroom's own tables on both engines", { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.prepare({
    source: [],
    exclude: ['knex_migrations', 'knex_migrations_lock'],
  })
  const sqlite = Knex({
    client: 'better-sqlite3',
    connection: { filename: scenario.path },
    useNullAsDefault: true,
  })
  const postgres = Knex({ client: 'pg', connection: scenario.database.url })
  await migrateApp(sqlite)
  await migrateApp(postgres)
  await sqlite.destroy()
  await postgres.destroy()
  await execute(scenario.path, [
    `INSERT INTO articles (url, canonical_link, title, published_at, content, backfill_status)
     VALUES ('https://a/1', 'a/1', 'Первая', '2026-01-02T03:04:05.678Z', 'text', 'success'), ('https://a/2', 'a/2', 'two', NULL, NULL, NULL)`,
    `INSERT INTO dlq (entity_type, entity_ref, error_payload) VALUES ('article', 'a/3', '{"b": 1,  "a": [1.0]}')`,
    `INSERT INTO digests (period, content) VALUES ('day', 'digest')`,
    `INSERT INTO pending_publications (url, title) VALUES ('https://a/9', 'waits'), ('https://a/10', 'waits too')`,
    `DELETE FROM pending_publications WHERE url = 'https://a/10'`,
  ])
  const before = applicationDump(scenario.path)
  await scenario.start()
  await scenario.daemon.caughtUp(20_000)
  await pass(scenario, 'switchover')
  await pass(scenario, 'rollback')
  expect(logical(applicationDump(scenario.path))).toEqual(logical(before))
  await pass(scenario, 'switchover')
  await scenario.postgres(`UPDATE dlq SET attempts = 5`)
  const [added] = await scenario.postgres<{ id: number }>(
    `INSERT INTO pending_publications (url, title) VALUES ('https://a/11', 'from PostgreSQL') RETURNING id::int`,
  )
  // Above what was ever given out in SQLite, also to rows that are gone.
  expect(added?.id).toBe(3)
  await scenario.daemon.caughtUp()
  await pass(scenario, 'rollback')
  const after = applicationDump(scenario.path)
  expect(after.rows.articles).toEqual(before.rows.articles)
  expect(after.rows.dlq).toEqual([before.rows.dlq?.[0]?.replace('integer:30', 'integer:35')])
  expect(await scenario.write([`SELECT error_payload FROM dlq`])).toMatchObject([
    { rows: [['{"b": 1,  "a": [1.0]}']] },
  ])
  await scenario.equalAtLagZero()
})
