import { expect, test } from 'vitest'
import type { VerifyReport } from '../../src/core/operator.ts'
import { until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// Triggers that were dropped and made again look intact, and what was written in between is in no log. So after any
// change of the schema that is not slipway's own every table is in doubt: verified and repaired before the catch-up
// ends, row by row; nothing that is equal is copied again.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, c INTEGER)',
  'CREATE UNIQUE INDEX t_a ON t (a)',
  ...Array.from({ length: 40 }, (_, i) => `INSERT INTO t VALUES (${i + 1}, 'a${i + 1}', 'b', ${i})`),
  'CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT)',
  `INSERT INTO other VALUES (1, 'x'), (2, 'y')`,
]

interface Case {
  readonly what: string
  readonly ddl: readonly string[]
  /** Rows that had to be repaired, those written after the change among them; the others stayed as they were. */
  readonly repaired: number
  /** Of the target afterwards. */
  readonly check?: { readonly sql: string; readonly rows: readonly unknown[] }
}

const CASES: readonly Case[] = [
  {
    what: 'drops a trigger of ours, writes, and makes it again with the same text',
    ddl: [],
    repaired: 2,
  },
  {
    what: 'makes an index',
    ddl: ['CREATE INDEX t_c ON t (c)', `UPDATE t SET c = 99 WHERE id = 4`],
    repaired: 1,
  },
  {
    what: 'adds a column and fills it',
    ddl: ['ALTER TABLE t ADD COLUMN d REAL', 'UPDATE t SET d = 0.5 WHERE id < 3'],
    repaired: 2,
  },
  {
    what: 'drops a column',
    ddl: ['ALTER TABLE t DROP COLUMN c', `INSERT INTO t VALUES (50, 'n', 'n')`],
    repaired: 1,
    check: {
      sql: `SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1`,
      rows: ['a', 'b', 'id'].map((attname) => ({ attname })),
    },
  },
  { what: 'renames a column', ddl: ['ALTER TABLE t RENAME COLUMN c TO ccc'], repaired: 40 },
  {
    what: 'makes a table',
    ddl: ['CREATE TABLE made (k TEXT PRIMARY KEY, v)', `INSERT INTO made VALUES ('x', 1), ('y', 2.5)`],
    repaired: 2,
  },
  { what: 'drops a table', ddl: ['DROP TABLE other', `INSERT INTO t VALUES (50, 'n', 'n', 1)`], repaired: 1 },
  {
    what: 'rebuilds a table with other rows, another column and another order',
    ddl: [
      'BEGIN',
      'CREATE TABLE t_new (id INTEGER PRIMARY KEY, b TEXT, a TEXT, e BLOB)',
      `INSERT INTO t_new SELECT id, CASE WHEN id = 7 THEN NULL ELSE b END, a, CASE WHEN id = 8 THEN x'01' END FROM t WHERE id <> 9`,
      'DROP TABLE t',
      'ALTER TABLE t_new RENAME TO t',
      'CREATE UNIQUE INDEX t_a ON t (a)',
      'COMMIT',
      `UPDATE t SET b = 'after' WHERE id = 1`,
    ],
    repaired: 4,
  },
  {
    what: 'rebuilds a table with another key',
    ddl: [
      'BEGIN',
      'CREATE TABLE t_new (id INTEGER, a TEXT PRIMARY KEY, b TEXT NOT NULL, c INTEGER)',
      'INSERT INTO t_new SELECT * FROM t',
      'DROP TABLE t',
      'ALTER TABLE t_new RENAME TO t',
      'COMMIT',
    ],
    repaired: 40,
  },
  {
    what: 'drops a unique index and brings duplicates',
    ddl: ['DROP INDEX t_a', `UPDATE t SET a = 'same' WHERE id < 4`],
    repaired: 3,
  },
  {
    what: 'puts values of another kind into a rebuilt column',
    ddl: [
      'BEGIN',
      'CREATE TABLE t_new (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, c TEXT)',
      `INSERT INTO t_new SELECT id, a, b, 'c' || c FROM t`,
      'DROP TABLE t',
      'ALTER TABLE t_new RENAME TO t',
      'COMMIT',
    ],
    repaired: 40,
  },
]

test.for(CASES)('the application $what', { timeout: 90_000 }, async ({ what, ddl, repaired, check }) => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const begun = (await scenario.daemon.status())?.snapshot?.started_at
  let statements = ddl
  if (what.includes('a trigger of ours')) {
    const [found] = await scenario.write([`SELECT sql FROM sqlite_schema WHERE name = '_slipway_t_update'`])
    const sql = String(found?.rows[0]?.[0])
    statements = ['DROP TRIGGER _slipway_t_update', `UPDATE t SET b = 'unseen' WHERE id IN (11, 12)`, sql]
  }
  await scenario.write(statements)
  expect(await scenario.mendedOrStopped(), scenario.daemon.process.tail()).toBe('equal')
  const report = await until(
    async () => {
      const now = await scenario.daemon.get<VerifyReport>('/verify')
      return now?.state === 'done' ? now : undefined
    },
    { ms: 20_000, describe: () => scenario.daemon.process.tail() },
  )
  expect(report).toMatchObject({ repair: true, repaired })
  // The first copy is still the only one.
  expect((await scenario.daemon.status())?.snapshot?.started_at).toBe(begun)
  if (check !== undefined) expect(await scenario.postgres(check.sql)).toEqual(check.rows)
  // And capture works: later changes arrive.
  await scenario.write([`DELETE FROM t WHERE id = 20`, `UPDATE t SET b = 'later' WHERE id = 21`])
  await scenario.daemon.caughtUp(20_000)
  expect((await scenario.compare()).differences).toEqual([])
})

test("a table of the application's own on PostgreSQL lacks the new column: stops with the statement, then goes on", {
  timeout: 90_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    target: `CREATE TABLE t (id bigint PRIMARY KEY, a text UNIQUE, b text NOT NULL, c integer);`,
  })
  await scenario.write(['ALTER TABLE t ADD COLUMN d TEXT', `UPDATE t SET d = 'new' WHERE id = 2`])
  await scenario.daemon.when('blocked', (lag) => lag.state === 'blocked', 20_000)
  const status = await scenario.daemon.status()
  expect(`${status?.last_error?.message} ${status?.last_error?.remedy}`).toMatch(/t\.d\b/)
  expect(status?.caught_up).toBe(false)
  // The application goes on meanwhile.
  await scenario.write([`INSERT INTO t VALUES (60, 'sixty', 'b', 1, 'd')`])
  await scenario.postgres('ALTER TABLE t ADD COLUMN d text')
  expect(await scenario.slipway.run(['replication', 'resume'])).toMatchObject({ code: 0 })
  await scenario.daemon.caughtUp(30_000)
  expect((await scenario.compare()).differences).toEqual([])
})
