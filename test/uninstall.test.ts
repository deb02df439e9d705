/** `uninstall` takes everything out: the source is what it was before slipway came, the target has no trace. */
import { copyFileSync, existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, Workspace } from './support/daemon.ts'
import { type Dump, dump, journalMode } from './support/dump.ts'
import { execute } from './support/foreign.ts'
import { createDatabase, type TestDatabase } from './support/postgres.ts'
import { createSource, Writer } from './support/writers.ts'

const CHINOOK = process.env.CHINOOK_DB ?? new URL('../../shared/data/chinook.db', import.meta.url).pathname

test('Chinook, which has no AUTOINCREMENT and no WAL', { timeout: 60_000 }, async (context) => {
  if (!existsSync(CHINOOK)) return context.skip(`no ${CHINOOK} (CHINOOK_DB names another place)`)
  using workspace = new Workspace()
  const path = workspace.file('chinook.db')
  copyFileSync(CHINOOK, path)
  await using database = await createDatabase()
  const before = dump(path)
  expect(before.rows.sqlite_sequence).toBeUndefined()
  await migrateAndUninstall(workspace, path, database, ['--enable-wal'])
  expectSame(dump(path), before)
  expect(journalMode(path)).toBe('delete')
})

test('a generated database with every kind of table, used in between', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  const bare = workspace.file('bare.db')
  for (const file of [path, bare]) {
    await createSource(file, { fill: 500 })
    await execute(file, [
      'CREATE TABLE generated (a INTEGER PRIMARY KEY, b TEXT, c TEXT AS (upper(b)) STORED, d AS (a * 2))',
      `INSERT INTO generated (a, b) VALUES (1, 'x'), (2, NULL)`,
      'CREATE VIEW loud AS SELECT upper(note) AS note FROM items',
      'CREATE VIRTUAL TABLE search USING fts5(body)',
      `INSERT INTO search VALUES ('some words')`,
      'CREATE TABLE "odd ""name""" ("a column" TEXT, "select" INTEGER)',
      `INSERT INTO "odd ""name""" VALUES ('x', 1)`,
      'CREATE TABLE untyped (a, b)',
      `INSERT INTO untyped VALUES (1, 1.0), ('1', x'31'), (NULL, '')`,
      'PRAGMA user_version = 42',
      'PRAGMA application_id = 7',
      'ANALYZE',
    ])
  }
  await using database = await createDatabase()
  // The same work with and without slipway in the file: afterwards the two files must be the same.
  const report = await new Writer({ path: bare, seed: 'uninstall', ops: 1500 }).done()
  await migrateAndUninstall(workspace, path, database, [], async () => {
    const captured = await new Writer({ path, seed: 'uninstall', ops: 1500 }).done()
    expect({ ...captured, slowest_ms: 0 }).toEqual({ ...report, slowest_ms: 0 })
  })
  expectSame(dump(path), dump(bare))
  expect(journalMode(path)).toBe('wal')
})

async function migrateAndUninstall(
  workspace: Workspace,
  path: string,
  database: TestDatabase,
  args: readonly string[],
  use?: () => Promise<void>,
): Promise<void> {
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath: path,
    postgresUrl: database.url,
  })
  const daemon = await slipway.start({ args })
  await daemon.caughtUp()
  await use?.()
  await daemon.caughtUp()
  const shadows = Object.keys(dump(path).rows).filter((name) => name.startsWith('search_'))
  await expectEqual({ sqlitePath: path, postgresUrl: database.url, exclude: ['search', ...shadows] })
  const during = dump(path)
  expect(during.schema.join('\n')).toMatch(/_slipway_changelog/)
  expect((await daemon.stop()).code).toBe(0)

  const result = await slipway.mustRun(['uninstall', '--yes'])
  expect(result.stdout + result.stderr).toMatch(/Next: /)
  const client = await database.connect()
  const left = await client.query(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'slipway%'
     UNION ALL SELECT tgname FROM pg_trigger WHERE tgname ILIKE '%slipway%'
     UNION ALL SELECT proname FROM pg_proc WHERE proname ILIKE '%slipway%'`,
  )
  expect(left.rows).toEqual([])
  // What was moved stays, and anybody may write to it now.
  await client.query('CREATE TABLE afterwards (a int); INSERT INTO afterwards VALUES (1)')
  const tables = await client.query<{ name: string }>(
    `SELECT format('%I', relname) AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
  )
  expect(tables.rows.length).toBeGreaterThan(10)
  // Foreign keys apart, which are back.
  await client.query('SET session_replication_role = replica')
  for (const { name } of tables.rows) await client.query(`DELETE FROM ${name}`)

  // Again: nothing left to do, and no error.
  const again = await slipway.run(['uninstall', '--yes'])
  expect(again.code, again.stderr).toBe(0)
}

function expectSame(after: Dump, before: Dump): void {
  expect(after.schema).toEqual(before.schema)
  expect(after.pragmas).toEqual(before.pragmas)
  expect(Object.keys(after.rows)).toEqual(Object.keys(before.rows))
  for (const [table, rows] of Object.entries(before.rows)) expect(after.rows[table], table).toEqual(rows)
}
