import { expect, test } from 'vitest'
import { spec } from '../history/target-side.ts'
import { ReverseSide } from '../postgres/reverse-side.ts'
import { startOwnServer } from '../support/postgres.ts'

// A pg_snapshot does not survive a plain crash of PostgreSQL: the number of an aborted transaction is given again, and
// the position says that it has been seen. So a position counts only with its token, which was committed with it. A
// server that forgets commits (asynchronous ones, a restored one) has forgotten the token too.

const T = spec('t', { id: 'bigint', a: 'text' })
const SOURCE = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)'
const TARGET = 'CREATE TABLE t (id bigint PRIMARY KEY, a text)'

test('numbers of transactions that are given again are no reason to skip one', {
  timeout: 120_000,
}, async () => {
  await using server = await startOwnServer()
  await using side = await ReverseSide.create({
    source: SOURCE,
    target: TARGET,
    tables: [T],
    url: server.url,
  })
  // The application's commits do not wait for the disk: only the token's does.
  await side.sql('ALTER SYSTEM SET synchronous_commit = off')
  await side.sql(`ALTER SYSTEM SET wal_writer_delay = '10s'`)
  await side.sql('SELECT pg_reload_conf()')
  for (let round = 0; round < 3; round++) {
    await side.sql(`INSERT INTO t VALUES (${round * 10}, 'kept')`)
    // Numbers that no commit record holds fast.
    const client = await side.connect()
    for (let n = 0; n < 5; n++)
      await client.query(`BEGIN; INSERT INTO t VALUES (${round * 10 + n + 1}, 'aborted'); ROLLBACK`)
    await side.follow()
    await server.stop('immediate')
    await server.start()
    for (let n = 0; n < 5; n++) await side.sql(`INSERT INTO t VALUES (${round * 10 + n + 1}, 'acknowledged')`)
    // The first attempt meets the lost session.
    await side.read().catch((error: { policy: string }) => expect(error.policy).toBe('transient'))
    while ((await side.reader.lag(side.position)).pending > 0) await side.follow()
  }
  const target = await side.sql<{ id: string; a: string }>('SELECT id, a FROM t ORDER BY id')
  expect(side.rows('SELECT CAST(id AS TEXT), a FROM t ORDER BY id')).toEqual(
    target.map(({ id, a }) => [id, a]),
  )
  expect(target).toHaveLength(18)
})

test('a server that was put back is noticed, and everything is compared', { timeout: 120_000 }, async () => {
  await using server = await startOwnServer()
  await using side = await ReverseSide.create({
    source: SOURCE,
    target: TARGET,
    tables: [T],
    url: server.url,
  })
  await side.sql(`INSERT INTO t VALUES (1, 'one'), (2, 'two')`)
  await side.follow()
  await server.stop('fast')
  const copy = await server.saveData()
  await server.start()
  await side.read().catch(() => undefined)
  await side.sql(`UPDATE t SET a = 'forgotten' WHERE id = 1; INSERT INTO t VALUES (3, 'forgotten')`)
  await side.follow()
  const ahead = side.position
  await server.stop('immediate')
  await server.restoreData(copy)
  await server.start()
  await side.read().catch(() => undefined)
  expect(await side.read()).toMatchObject({ kind: 'forgotten' })
  // As many transactions as were forgotten, and more: the numbers alone would say that nothing is missing.
  for (let n = 0; n < 20; n++) await side.sql(`INSERT INTO t VALUES (${100 + n}, 'new')`)
  expect(await side.read()).toMatchObject({ kind: 'forgotten' })
  expect(side.position).toEqual(ahead)
  const told = await side.follow({ whole: ['t'] })
  expect(told.gone.t).toEqual(['["i3"]'])
  const target = await side.sql<{ id: string; a: string }>('SELECT id, a FROM t ORDER BY id')
  expect(side.rows('SELECT CAST(id AS TEXT), a FROM t ORDER BY id')).toEqual(
    target.map(({ id, a }) => [id, a]),
  )
  // From here on it goes by changes again.
  await side.sql(`UPDATE t SET a = 'after' WHERE id = 1`)
  expect((await side.follow()).patches.t).toHaveLength(1)
})
