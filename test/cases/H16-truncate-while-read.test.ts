import { expect, test } from 'vitest'
import { reverseRights } from '../../src/postgres/reverse-rights.ts'
import { spec } from '../history/target-side.ts'
import { ReverseSide } from '../postgres/reverse-side.ts'
import { until } from '../support/daemon.ts'
import { createDatabase } from '../support/postgres.ts'

// On the way back rows are read late in a repeatable-read transaction. TRUNCATE and a rewriting ALTER TABLE are not
// subject to MVCC: such a reader would find the table empty, and its keys would become deletes. So the tables are locked
// before the snapshot is taken.

const T = spec('t', { id: 'bigint', a: 'text' })
const OTHER = spec('other', { id: 'bigint', a: 'text' })

const create = (): Promise<ReverseSide> =>
  ReverseSide.create({
    source: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE other (id INTEGER PRIMARY KEY, a TEXT)`,
    target:
      'CREATE TABLE t (id bigint PRIMARY KEY, a text); CREATE TABLE other (id bigint PRIMARY KEY, a text)',
    tables: [T, OTHER],
  })

const DISTURBANCES = [
  `TRUNCATE t; INSERT INTO t VALUES (3, 'three')`,
  'ALTER TABLE t ALTER COLUMN a TYPE text USING upper(a)',
]

test.for(DISTURBANCES)('the reader waits and sees the table as it is then: %s', async (disturbance) => {
  await using side = await create()
  await side.sql(`INSERT INTO t VALUES (1, 'one'), (2, 'two')`)
  await side.follow()
  await side.sql(`UPDATE t SET a = a || '!'`)
  const client = await side.connect()
  await client.query(`BEGIN; ${disturbance}`)
  const reading = side.read()
  await until(
    async () =>
      (
        await side.sql(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'BEGIN%LOCK TABLE%'`,
        )
      ).length > 0,
    { ms: 10_000, describe: () => 'the reader does not wait' },
  )
  await client.query('COMMIT')
  const result = await reading
  if (result.kind === 'batch') await side.apply(result.batch)
  while ((await side.reader.lag(side.position)).pending > 0) {
    const next = await side.read()
    if (next.kind === 'batch') await side.apply(next.batch)
  }
  const target = await side.sql<{ id: string; a: string }>('SELECT id, a FROM t ORDER BY id')
  expect(side.rows('SELECT CAST(id AS TEXT), a FROM t ORDER BY id')).toEqual(
    target.map(({ id, a }) => [id, a]),
  )
  expect(target.length).toBeGreaterThan(0)
})

test('a table that nobody changed is not waited for', async () => {
  await using side = await create()
  const client = await side.connect()
  await client.query('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE')
  await side.sql(`INSERT INTO t VALUES (1, 'one')`)
  expect((await side.follow()).patches.t).toHaveLength(1)
  await client.query('ROLLBACK')
  expect(await side.read()).toEqual({ kind: 'empty' })
})

test('row-level security hides no row: nothing is read instead', async () => {
  await using database = await createDatabase()
  const role = await database.createRole()
  const admin = await database.connect()
  await admin.query(
    `GRANT CREATE ON DATABASE ${database.name} TO ${role.name}; GRANT CREATE ON SCHEMA public TO ${role.name}`,
  )
  await using side = await ReverseSide.create({
    source: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two')`,
    target: `CREATE TABLE t (id bigint PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one'), (2, 'two')`,
    tables: [T],
    url: role.url,
  })
  await admin.query(`UPDATE t SET a = a || '!'`)
  await admin.query(
    `ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY first_only ON t USING (id = 1)`,
  )
  await expect(side.read()).rejects.toMatchObject({ code: 'target_rights' })
  expect(await reverseRights(await side.connect(), [T])).toEqual([
    `row-level security hides rows of public.t from ${role.name}: ALTER ROLE "${role.name}" BYPASSRLS;`,
  ])
  await admin.query(`ALTER ROLE ${role.name} BYPASSRLS`)
  expect(await reverseRights(await side.connect(), [T])).toEqual([])
  expect((await side.follow()).patches.t).toHaveLength(2)
})
