import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { spec } from '../history/target-side.ts'
import { ReverseSide } from '../postgres/reverse-side.ts'

// Sequence order is not commit order: a reader that goes by numbers skips what commits late. Here a position is a
// snapshot. Six writers in three isolation levels, with savepoints, rollbacks, key updates and transactions that stay
// open across many batches: after each batch SQLite must be exactly what that batch's snapshot showed. What it showed is
// known from an audit table, whose order for one row is the order of its commits.

const ROWS = spec('t', { id: 'integer', a: 'text', n: 'integer' })
const PAIRS = spec('pairs', { x: 'integer', y: 'text', v: 'integer' }, { keys: 2 })

const AUDIT = (table: string, key: (row: string) => string): string => `
  CREATE FUNCTION audit_${table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR ${key('OLD')} <> ${key('NEW')}) THEN
      INSERT INTO audit (tbl, key, image) VALUES ('${table}', ${key('OLD')}, NULL);
    END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO audit (tbl, key, image) VALUES ('${table}', ${key('NEW')}, to_jsonb(NEW)); END IF;
    RETURN NULL; END $$;
  CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION audit_${table}();`

const TARGET = `
  CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY, xid xid8 DEFAULT pg_current_xact_id(), tbl text, key text, image jsonb);
  CREATE TABLE t (id integer PRIMARY KEY, a text, n integer);
  CREATE TABLE pairs (x integer, y text, v integer, PRIMARY KEY (x, y));
  ${AUDIT('t', (row) => `${row}.id::text`)}
  ${AUDIT('pairs', (row) => `${row}.x || '/' || ${row}.y`)}`

const LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']

class Writer {
  readonly #client: pg.Client
  readonly #level: string
  #state: number
  committed = 0
  refused = 0

  constructor(client: pg.Client, level: string, seed: number) {
    this.#client = client
    this.#level = level
    this.#state = seed
  }

  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * below)
  }

  #statement(): string {
    const id = this.#random(40)
    const value = this.#random(1000)
    switch (this.#random(7)) {
      case 0:
        return `DELETE FROM t WHERE id = ${id}`
      case 1:
        return `UPDATE t SET n = ${value} WHERE id BETWEEN ${id} AND ${id + 3}`
      case 2:
        return `UPDATE t SET id = ${id} + 40 WHERE id = ${id} AND NOT EXISTS (SELECT FROM t WHERE id = ${id} + 40)`
      case 3:
        return `INSERT INTO pairs VALUES (${id % 5}, 'y${id}', ${value}) ON CONFLICT (x, y) DO UPDATE SET v = excluded.v`
      case 4:
        return `DELETE FROM pairs WHERE x = ${id % 5} AND v < ${value}`
      case 5:
        return `UPDATE t SET a = a || 'x' WHERE id = ${id}`
      default:
        return `INSERT INTO t VALUES (${id}, 'w${value}', ${value}) ON CONFLICT (id) DO UPDATE SET a = excluded.a, n = excluded.n`
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#client.query(`BEGIN ISOLATION LEVEL ${this.#level}`)
        await this.#client.query(`SET LOCAL lock_timeout = '300ms'`)
        for (let n = this.#random(4); n >= 0; n--) {
          const savepoint = this.#random(3) === 0
          if (savepoint) await this.#client.query('SAVEPOINT s')
          await this.#client.query(this.#statement())
          if (savepoint && this.#random(2) === 0) await this.#client.query('ROLLBACK TO SAVEPOINT s')
          if (this.#random(12) === 0) await sleep(this.#random(250))
        }
        if (this.#random(5) === 0) await this.#client.query('ROLLBACK')
        else {
          await this.#client.query('COMMIT')
          this.committed++
        }
      } catch {
        // Deadlocks, serialization failures and lock timeouts belong to the life of an application.
        this.refused++
        if (!signal.aborted) await this.#client.query('ROLLBACK')
      }
    }
  }
}

/** What the snapshot showed, by the audit. */
async function shown(side: ReverseSide, table: string): Promise<unknown[]> {
  const rows = await side.sql<{ image: unknown }>(
    `SELECT image FROM (SELECT DISTINCT ON (key) key, image FROM audit
       WHERE tbl = $1 AND pg_visible_in_snapshot(xid, $2::pg_snapshot) ORDER BY key, id DESC) s
     WHERE image IS NOT NULL ORDER BY key COLLATE "C"`,
    [table, side.position.snapshot],
  )
  return rows.map(({ image }) => image)
}

async function expectEqual(side: ReverseSide): Promise<void> {
  const t = side.rows('SELECT id, a, n FROM t ORDER BY CAST(id AS TEXT)')
  expect(t.map(([id, a, n]) => ({ id: Number(id), a, n: Number(n) }))).toEqual(await shown(side, 't'))
  const pairs = side.rows(`SELECT x, y, v FROM pairs ORDER BY x || '/' || y`)
  expect(pairs.map(([x, y, v]) => ({ x: Number(x), y, v: Number(v) }))).toEqual(await shown(side, 'pairs'))
}

test('every batch is the difference of two snapshots', { timeout: 120_000 }, async () => {
  await using side = await ReverseSide.create({
    source: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER);
      CREATE TABLE pairs (x INTEGER, y TEXT, v INTEGER, PRIMARY KEY (x, y)) WITHOUT ROWID`,
    target: TARGET,
    tables: [ROWS, { ...PAIRS, rowid: undefined }],
  })
  const stop = new AbortController()
  const writers: Writer[] = []
  for (let n = 0; n < 6; n++)
    writers.push(new Writer(await side.connect(), LEVELS[n % 3] as string, 4242 + n))
  const running = writers.map((writer) => writer.run(stop.signal))
  using _stop = { [Symbol.dispose]: () => stop.abort() }
  // One that is open across all batches.
  const patient = await side.connect()
  await patient.query(
    `BEGIN; INSERT INTO t VALUES (900, 'early', 1); INSERT INTO pairs VALUES (9, 'early', 1)`,
  )
  const wanted = process.env.SLIPWAY_TEST_FULL === '1' ? 600 : 100
  for (let batches = 0; batches < wanted; ) {
    const result = await side.read()
    if (result.kind === 'empty') {
      await sleep(5)
      continue
    }
    if (result.kind !== 'batch') throw new Error(JSON.stringify(result))
    await side.apply(result.batch)
    await expectEqual(side)
    batches++
  }
  expect(side.rows('SELECT 1 FROM t WHERE id = 900')).toEqual([])
  await patient.query('COMMIT')
  await side.follow()
  await expectEqual(side)
  expect(side.rows('SELECT a FROM t WHERE id = 900')).toEqual([['early']])
  stop.abort()
  await Promise.all(running)
  while ((await side.reader.lag(side.position)).pending > 0) await side.follow()
  await expectEqual(side)
  expect(writers.every(({ committed }) => committed > 0)).toBe(true)
})

test('nothing waits for a transaction that stays open', async () => {
  await using side = await ReverseSide.create({
    source: 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)',
    target: 'CREATE TABLE t (id integer PRIMARY KEY, a text, n integer)',
    tables: [ROWS],
  })
  const open = await side.connect()
  await open.query(
    `BEGIN; INSERT INTO t VALUES (1, 'open', 1); SAVEPOINT s; INSERT INTO t VALUES (2, 'open', 2)`,
  )
  await side.sql(`INSERT INTO t VALUES (3, 'later', 3)`)
  expect((await side.follow()).changes).toBe(1)
  // The stream does not wait for the one that is open.
  await side.sql(`INSERT INTO t VALUES (4, 'later', 4)`)
  expect((await side.follow()).changes).toBe(1)
  expect(await side.read()).toEqual({ kind: 'empty' })
  await open.query('RELEASE SAVEPOINT s; COMMIT')
  expect((await side.follow()).changes).toBe(2)
  expect(side.rows('SELECT id FROM t ORDER BY id').flat()).toEqual([1n, 2n, 3n, 4n])
})
