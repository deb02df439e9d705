/** `snapshot --once`: a copy and nothing else. The source stays as it was, byte for byte. */
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, Workspace } from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { createDatabase } from './support/postgres.ts'
import { createSource, Writer } from './support/writers.ts'

function hash(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

test.for(['delete', 'wal', 'read-only'] as const)('a file in mode %s', { timeout: 60_000 }, async (mode) => {
  using workspace = new Workspace()
  using place = new Workspace()
  const made = workspace.file('made.db')
  await createSource(made, { fill: 2000, wal: mode === 'wal' })
  await new Writer({ path: made, ops: 500 }).done()
  const path = place.file('app.db')
  copyFileSync(made, path)
  if (mode === 'read-only') chmodSync(path, 0o444)
  const before = hash(path)
  await using database = await createDatabase()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath: path,
    postgresUrl: database.url,
  })
  await slipway.mustRun(['snapshot', '--once'])
  expect(hash(path)).toBe(before)
  // Nothing is left beside it either.
  expect(readdirSync(place.path).filter((name) => name !== 'app.db')).toEqual([])
  const result = await expectEqual({ sqlitePath: path, postgresUrl: database.url })
  expect(result.tables).toBe(10)
  // The target is the application's now: keys, uniques, foreign keys, counters; and open.
  const client = await database.connect()
  const { rows } = await client.query<{ name: string }>(
    'INSERT INTO parents (name) VALUES ($1) RETURNING id::int',
    ['new'],
  )
  expect(rows).toHaveLength(1)
  await expect(client.query(`INSERT INTO accounts SELECT * FROM accounts LIMIT 1`)).rejects.toMatchObject({
    code: '23505',
  })
})

test('TABLES and EXCLUDE_TABLES choose', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await createSource(path)
  for (const [env, expected] of [
    [{ TABLES: 'accounts,m*' }, ['accounts', 'memberships']],
    [
      { EXCLUDE_TABLES: 'c*,items,events,slots,tags,documents,vaults' },
      ['accounts', 'memberships', 'parents'],
    ],
  ] as const) {
    await using database = await createDatabase()
    await using slipway = await Slipway.create({
      directory: workspace.path,
      sqlitePath: path,
      postgresUrl: database.url,
      env,
    })
    await slipway.mustRun(['snapshot', '--once'])
    const client = await database.connect()
    const { rows } = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`,
    )
    expect(rows.map(({ name }) => name)).toEqual(expected)
  }
})

test("the application's own tables, under other names and without a key, are filled, compared and left as they were", {
  timeout: 60_000,
}, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, [
    'CREATE TABLE "OrderItems" ("itemId" INTEGER PRIMARY KEY, "unitPrice" REAL, title TEXT)',
    'CREATE TABLE log (line TEXT)',
    `INSERT INTO "OrderItems" VALUES (1, 0.1, 'a'), (2, 2.5, NULL)`,
    `INSERT INTO log VALUES ('same'), ('same'), (NULL)`,
  ])
  await using database = await createDatabase()
  const client = await database.connect()
  await client.query(`
    CREATE TABLE order_items (item_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, unit_price float8, title text,
      shown text GENERATED ALWAYS AS (upper(title)) STORED);
    CREATE TABLE log (line text)`)
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath: path,
    postgresUrl: database.url,
  })
  const told = await slipway.mustRun(['snapshot', '--once'])
  expect(told.stdout + told.stderr).not.toMatch(/not compared/)
  const { rows } = await client.query(
    'SELECT item_id::int, unit_price, title, shown FROM order_items ORDER BY 1',
  )
  expect(rows).toEqual([
    { item_id: 1, unit_price: 0.1, title: 'a', shown: 'A' },
    { item_id: 2, unit_price: 2.5, title: null, shown: null },
  ])
  // No hidden column is left, and the counter stands above what was copied.
  expect((await client.query('SELECT * FROM log ORDER BY line')).rows).toEqual([
    { line: 'same' },
    { line: 'same' },
    { line: null },
  ])
  const made = await client.query('INSERT INTO order_items (title) VALUES (NULL) RETURNING item_id::int')
  expect(made.rows).toEqual([{ item_id: 3 }])
})

test('a row that the target cannot hold is refused by key, and nothing is left of the copy', {
  timeout: 60_000,
}, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, [
    'CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)',
    `INSERT INTO t VALUES (1, 'ok'), (2, 'too long')`,
  ])
  await using database = await createDatabase()
  const client = await database.connect()
  await client.query('CREATE TABLE t (id bigint PRIMARY KEY, n varchar(3))')
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath: path,
    postgresUrl: database.url,
  })
  const refused = await slipway.run(['snapshot', '--once'])
  expect(refused.code).toBe(3)
  expect(refused.stderr).toMatch(/^error: .*$[\s\S]*id=2/m)
  expect((await client.query('SELECT * FROM t')).rows).toEqual([])
  // What the plan sets aside is left behind, and said.
  writeFileSync(
    workspace.file('slipway.plan.json'),
    JSON.stringify({
      version: 1,
      schema: 'public',
      tables: { t: { columns: { n: { misfit: 'quarantine' } } } },
    }),
  )
  const told = await slipway.mustRun(['snapshot', '--once'])
  expect(told.stdout + told.stderr).toMatch(/t: 1 row cannot be held by the target/)
  expect((await client.query('SELECT id::int FROM t')).rows).toEqual([{ id: 1 }])
})
