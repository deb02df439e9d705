import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// VACUUM numbers the rows of tables without an INTEGER PRIMARY KEY anew: a key that is a rowid means another row
// afterwards.

test.for(['running', 'down'] as const)('VACUUM with the daemon %s', { timeout: 60_000 }, async (state) => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE bag (a TEXT, n INTEGER)',
      `INSERT INTO bag VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5), ('e', 5)`,
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (5, 'x')`,
    ],
  })
  if (state === 'down') expect((await scenario.daemon.stop()).code).toBe(0)
  await scenario.write([
    `DELETE FROM bag WHERE a IN ('a', 'c')`,
    'VACUUM',
    `UPDATE bag SET n = 20 WHERE a = 'b'`,
    `DELETE FROM bag WHERE a = 'd'`,
    `INSERT INTO bag VALUES ('f', 6)`,
  ])
  // Rowids did move: otherwise this shows nothing.
  const [lowest] = await scenario.write(['SELECT min(rowid) FROM bag'])
  expect(lowest?.rows).toEqual([[1]])
  if (state === 'down') await scenario.start()
  expect(await scenario.mendedOrStopped()).toBe('equal')
  // And further changes find their rows.
  await scenario.write([`DELETE FROM bag WHERE a = 'b'`, `UPDATE bag SET n = 7 WHERE a = 'e'`])
  await scenario.equalAtLagZero()
})
