import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Foreign keys in a circle, to oneself, and with orphans: none may act while rows come in batches, and all are there
// when PostgreSQL leads, valid, or named where the rows do not allow it.

test('a circle of foreign keys wakes up valid, with its deferral; orphans are named', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER NOT NULL REFERENCES b (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)`,
      `CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a ON DELETE CASCADE, up INTEGER REFERENCES b (id))`,
      'CREATE TABLE o (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id))',
      `INSERT INTO a VALUES (1, 1), (2, 2)`,
      `INSERT INTO b VALUES (1, 2, NULL), (2, 1, 1)`,
      `INSERT INTO o VALUES (1, 1), (2, 77)`,
    ],
  })
  await scenario.write(
    [
      'BEGIN',
      'INSERT INTO a VALUES (3, 30)',
      'INSERT INTO b VALUES (30, 3, 30)',
      'COMMIT',
      'INSERT INTO b VALUES (41, NULL, 42)',
      'INSERT INTO b VALUES (42, NULL, 41)',
    ],
    { pragmas: { foreign_keys: 0 } },
  )
  await scenario.equalAtLagZero()
  expect(
    await scenario.postgres(
      `SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace`,
    ),
  ).toEqual([])
  await scenario.daemon.stop()
  const told = await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(told.stdout + told.stderr).toMatch(/o_a_id_fkey.*stays NOT VALID/)
  const keys = await scenario.postgres(
    `SELECT conname AS name, convalidated AS valid, condeferred AS deferred FROM pg_constraint WHERE contype = 'f' ORDER BY 1`,
  )
  expect(keys).toEqual([
    { name: 'a_b_id_fkey', valid: true, deferred: true },
    { name: 'b_a_id_fkey', valid: true, deferred: false },
    { name: 'b_up_fkey', valid: true, deferred: false },
    { name: 'o_a_id_fkey', valid: false, deferred: false },
  ])
  // The circle closes within a transaction, as in SQLite.
  await scenario.postgres('BEGIN; INSERT INTO a VALUES (9, 9); INSERT INTO b VALUES (9, 9, NULL); COMMIT')
  await expect(scenario.postgres('INSERT INTO o VALUES (3, 78)')).rejects.toMatchObject({ code: '23503' })
})
