import { expect, test } from 'vitest'
import { dropReverseCapture, installReverseCapture } from '../../src/postgres/reverse-capture.ts'
import { spec } from '../history/target-side.ts'
import { until } from '../support/daemon.ts'
import { MIGRATION, ReverseSide } from './reverse-side.ts'

// The reading end of the way back: keys are logged by triggers, rows are read late and compared in PostgreSQL.

const T = spec('t', { id: 'bigint', a: 'text', b: 'double precision' })
const SOURCE = `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL); INSERT INTO t VALUES (1, 'one', 1.5), (2, 'two', 2.5)`
const TARGET = `CREATE TABLE t (id bigint PRIMARY KEY, a text, b double precision); INSERT INTO t VALUES (1, 'one', 1.5), (2, 'two', 2.5)`
const small = (): Promise<ReverseSide> => ReverseSide.create({ source: SOURCE, target: TARGET, tables: [T] })

test('only columns that differ come back', async () => {
  await using side = await small()
  expect(await side.read()).toEqual({ kind: 'empty' })
  await side.sql(`UPDATE t SET a = 'uno' WHERE id = 1`)
  await side.sql(`INSERT INTO t VALUES (3, NULL, 3.5)`)
  await side.sql(`DELETE FROM t WHERE id = 2`)
  // Nobody changed anything in effect.
  await side.sql(`INSERT INTO t VALUES (4, 'four', 4); DELETE FROM t WHERE id = 4`)
  const told = await side.follow()
  expect(told).toEqual({
    changes: 5,
    gone: { t: ['["i2"]'] },
    patches: {
      t: [
        { key: '["i1"]', isNew: false, values: [[1, 'uno']], misfits: [] },
        {
          key: '["i3"]',
          isNew: true,
          values: [
            [0, '3'],
            [1, null],
            [2, '3.5'],
          ],
          misfits: [],
        },
      ],
    },
  })
  expect(side.rows('SELECT * FROM t ORDER BY id')).toEqual([
    [1n, 'uno', 1.5],
    [3n, null, 3.5],
  ])
  expect(await side.read()).toEqual({ kind: 'empty' })
})

test('another key is another row', async () => {
  await using side = await small()
  await side.sql(`UPDATE t SET id = 7 WHERE id = 1; UPDATE t SET id = id WHERE id = 2`)
  const { gone, patches } = await side.follow()
  expect(gone.t).toEqual(['["i1"]'])
  expect(patches.t?.map(({ key, isNew }) => [key, isNew])).toEqual([['["i7"]', true]])
  expect(side.rows('SELECT id, a FROM t ORDER BY id')).toEqual([
    [2n, 'two'],
    [7n, 'one'],
  ])
})

test('a batch that was not applied comes again, whichever side forgot it', async () => {
  await using side = await small()
  const start = side.position
  await side.sql(`UPDATE t SET a = 'x' WHERE id = 1`)
  const lost = await side.read()
  expect(lost.kind).toBe('batch')
  await side.sql(`UPDATE t SET a = 'y' WHERE id = 2`)
  expect((await side.follow()).patches.t).toHaveLength(2)
  // SQLite lost its last commit: it stands at an older token, and PostgreSQL knows that one too.
  side.position = start
  side.sqlite.exec(`UPDATE t SET a = 'one' WHERE id = 1`)
  expect((await side.follow()).patches.t).toEqual([
    { key: '["i1"]', isNew: false, values: [[1, 'x']], misfits: [] },
  ])
  // Another process goes on.
  await side.reader[Symbol.asyncDispose]()
  side.reader = side.openReader()
  await side.sql(`UPDATE t SET a = 'z' WHERE id = 1`)
  expect((await side.follow()).patches.t).toHaveLength(1)
  await side.sql(`UPDATE t SET a = 'zz' WHERE id = 1`)
  expect((await side.follow()).patches.t).toHaveLength(1)
})

test('who is not the holder reads nothing', async () => {
  await using side = await small()
  await side.sql(`UPDATE t SET a = 'x'`)
  await using other = side.openReader(3)
  const read = other.read(side.position, side.images, new AbortController().signal)
  await expect(read).rejects.toMatchObject({ code: 'displaced', policy: 'transient' })
})

test('what carries the secret is not logged, a guess is', async () => {
  await using side = await small()
  const [row] = await side.sql<{ secret: string }>('SELECT secret FROM slipway.control')
  const client = await side.connect()
  await client.query(`SELECT set_config('slipway.pass', $1, false)`, [row?.secret])
  await client.query(`UPDATE t SET a = 'x'; TRUNCATE t; INSERT INTO t VALUES (9, 'nine', 9)`)
  expect(await side.read()).toEqual({ kind: 'empty' })
  await client.query(`SET slipway.pass = 'guess'; UPDATE t SET a = 'y'`)
  expect((await side.follow()).changes).toBe(1)
})

test('rows are compared though nobody changed them: some by their keys, a table whole', async () => {
  await using side = await small()
  side.sqlite.exec(
    `UPDATE t SET a = 'other' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (5, 'five', 5)`,
  )
  const also = [{ table: 't', keys: ['["i1"]', '["i5"]', '["i77"]', '["t1"]'] }]
  const some = await side.read({ also })
  if (some.kind !== 'batch') throw new Error(some.kind)
  const [part] = some.batch.tables
  const told: unknown[] = []
  for await (const page of part?.gone() ?? []) told.push(...page)
  for await (const page of part?.patches() ?? []) told.push(...page)
  expect(told).toEqual([
    '["i5"]',
    '["t1"]',
    '["i77"]',
    { key: '["i1"]', isNew: false, values: [[1, 'one']], misfits: [] },
  ])
  const whole = await side.follow({ whole: ['t'], also: [{ table: 't', keys: ['["i78"]', '["i1"]'] }] })
  expect(whole.gone.t?.toSorted()).toEqual(['["i5"]', '["i78"]'])
  expect(whole.patches.t?.map(({ key, isNew }) => [key, isNew])).toEqual([
    ['["i1"]', false],
    ['["i2"]', true],
  ])
  // Equal now, and told all the same.
  const equal = await side.follow({ also: [{ table: 't', keys: ['["i1"]'] }] })
  expect(equal.patches.t).toEqual([{ key: '["i1"]', isNew: false, values: [], misfits: [] }])
  expect((await side.follow({ whole: ['t'] })).patches).toEqual({})
})

test('values that SQLite cannot hold are told, not written', async () => {
  await using side = await small()
  await side.sql(`UPDATE t SET b = 'NaN', a = 'x' WHERE id = 1; INSERT INTO t VALUES (3, 'three', 'NaN')`)
  const { patches } = await side.follow()
  expect(patches.t).toEqual([
    { key: '["i1"]', isNew: false, values: [[1, 'x']], misfits: [[2, 'NaN']] },
    {
      key: '["i3"]',
      isNew: true,
      values: [
        [0, '3'],
        [1, 'three'],
      ],
      misfits: [[2, 'NaN']],
    },
  ])
})

test('a row that the codecs have no image of is written over whole', async () => {
  await using side = await small()
  side.sqlite.exec(`UPDATE t SET b = 'no number', a = CAST(x'ff' AS TEXT) WHERE id = 1`)
  await side.sql(`UPDATE t SET b = 7 WHERE id = 1`)
  const { patches } = await side.follow()
  expect(patches.t).toEqual([
    {
      key: '["i1"]',
      isNew: false,
      values: [
        [1, 'one'],
        [2, '7'],
      ],
      misfits: [],
    },
  ])
})

test('rows without an image are compared whole too, but for those that PostgreSQL never had', async () => {
  await using side = await small()
  side.sqlite.exec(`UPDATE t SET b = 'no number' WHERE id = 1;
    INSERT INTO t VALUES (7, 'gone', 'no number'), (8, 'set aside on the way there', 'no number')`)
  await side.sql(
    `INSERT INTO slipway.quarantine (migration, tbl, key, shown, kind, reason) VALUES ($1, 't', '["i8"]', 'id=8', 'misfit', 'x')`,
    [MIGRATION],
  )
  const { gone, patches } = await side.follow({ whole: ['t'] })
  expect(gone.t).toEqual(['["i7"]'])
  expect(patches.t).toEqual([
    {
      key: '["i1"]',
      isNew: false,
      values: [
        [1, 'one'],
        [2, '1.5'],
      ],
      misfits: [],
    },
  ])
  expect(side.rows('SELECT id FROM t ORDER BY id').flat()).toEqual([1n, 2n, 8n])
})

test('a large transaction comes in pages, and no process holds it as a whole', {
  timeout: 120_000,
}, async () => {
  await using side = await small()
  const rows = 20_000
  await side.sql(
    `INSERT INTO t SELECT g, repeat('x', 300), g FROM generate_series(10, ${rows + 9}) g; UPDATE t SET b = b + 1 WHERE id % 2 = 0`,
  )
  const result = await side.read()
  if (result.kind !== 'batch') throw new Error(result.kind)
  let pages = 0
  let seen = 0
  for await (const page of result.batch.tables[0]?.patches() ?? []) {
    expect(page.length).toBeLessThanOrEqual(500)
    pages++
    seen += page.length
  }
  expect(seen).toBe(rows + 1)
  expect(pages).toBeGreaterThan(30)
  await side.apply(result.batch)
  await side.sql(`DELETE FROM t WHERE id % 3 = 0`)
  await side.sql(`UPDATE t SET b = 0 WHERE id % 7 = 0`)
  await side.follow()
  const [target] = await side.sql(
    'SELECT count(*)::text AS n, sum(id)::text AS ids, sum(b)::text AS bs FROM t',
  )
  const [source] = side.rows('SELECT count(*), sum(id), CAST(sum(b) AS INTEGER) FROM t')
  expect(source?.map(String)).toEqual([target?.n, target?.ids, target?.bs])
  // The same once more, compared whole in several ranges.
  side.sqlite.exec('DELETE FROM t WHERE id % 5 = 0; UPDATE t SET a = NULL WHERE id % 11 = 0')
  await side.follow({ whole: ['t'] })
  expect((await side.follow({ whole: ['t'] })).patches).toEqual({})
  expect(side.rows('SELECT count(*), sum(id), CAST(sum(b) AS INTEGER) FROM t')[0]?.map(String)).toEqual([
    target?.n,
    target?.ids,
    target?.bs,
  ])
})

test('lag is what the position does not show, and writers wake the reader', async () => {
  await using side = await small()
  expect(await side.reader.lag(side.position)).toMatchObject({ pending: 0, oldestAt: undefined })
  const never = new AbortController()
  const woken = side.reader.wake(30_000, never.signal)
  // Heard only once it listens: the bell says so.
  await until(
    async () =>
      (await side.sql<{ v: string }>(`SELECT last_value AS v FROM slipway.bell_${side.id}`))[0]?.v === '2',
    { ms: 10_000, describe: () => 'nobody listens' },
  )
  await side.sql(`UPDATE t SET a = 'x'`)
  await woken
  const { pending, oldestAt } = await side.reader.lag(side.position)
  expect(pending).toBe(2)
  expect(oldestAt).toBeGreaterThan(0)
  await side.follow()
  expect(await side.reader.lag(side.position)).toMatchObject({ pending: 0 })
  const stop = new AbortController()
  const waiting = side.reader.wake(30_000, stop.signal)
  stop.abort()
  await waiting
})

test('what is applied and old is pruned, and a position before it proves nothing', async () => {
  await using side = await ReverseSide.create({
    source: SOURCE,
    target: TARGET,
    tables: [T],
    retentionSeconds: 0,
  })
  const start = side.position
  await side.sql(`UPDATE t SET a = 'x'`)
  // Nothing is applied yet.
  await side.reader.acknowledge(start)
  const left = async (): Promise<number> =>
    (await side.sql<{ n: number }>('SELECT count(*)::int AS n FROM slipway.changelog'))[0]?.n ?? -1
  expect(await left()).toBe(2)
  await side.follow()
  // Transactions of other databases, too, keep a snapshot's lower bound back for a while.
  await until(
    async () => {
      await side.follow({ whole: ['t'] })
      await side.reader.acknowledge(side.position)
      return (await left()) === 0
    },
    { ms: 20_000, every: 50, describe: () => 'it is not pruned' },
  )
  side.position = start
  expect(await side.read()).toMatchObject({ kind: 'forgotten', reason: expect.stringContaining('pruned') })
})

test('capture can be installed twice and goes without a trace', async () => {
  await using side = await small()
  const client = await side.connect()
  const triggers = async (): Promise<unknown[]> =>
    (
      await client.query(
        `SELECT oid, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE ' slipway_capture%' ORDER BY 2`,
      )
    ).rows
  const before = await triggers()
  expect(before).toHaveLength(3)
  expect(await installReverseCapture(client, side.id, side.tables)).toEqual([])
  expect(await triggers()).toEqual(before)
  expect(await side.read()).toEqual({ kind: 'empty' })
  await client.query(`UPDATE t SET a = 'x'`)
  await dropReverseCapture(client, side.tables)
  await dropReverseCapture(client, side.tables)
  expect(await triggers()).toEqual([])
  const { rows } = await client.query(
    `SELECT (SELECT count(*) FROM slipway.changelog) + (SELECT count(*) FROM slipway.captured)
       + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'slipway'::regnamespace AND proname <> 'gate')
       + (SELECT count(*) FROM pg_class WHERE relname LIKE 'bell\\_%') AS n`,
  )
  expect(rows[0].n).toBe('0')
  expect(MIGRATION).toBe('app')
})
