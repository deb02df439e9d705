/** `snapshot --once`: a copy and nothing else. The source stays as it was, byte for byte. */
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, Workspace } from './support/daemon.ts'
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
