import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// The conflict clause of the outer statement is carried into trigger bodies: the log must have nothing on
// which OR IGNORE, OR REPLACE, OR FAIL or OR ROLLBACK could act.

test('every outer conflict clause', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INTEGER)',
      `INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)`,
    ],
  })
  const outcomes = await scenario.attempt([
    `INSERT OR IGNORE INTO t VALUES (4, 'a', 1), (5, 'e', 1), (1, 'f', 1), (6, 'g', 1)`,
    `UPDATE OR IGNORE t SET a = 'b' WHERE id IN (1, 2, 3)`,
    `UPDATE OR IGNORE t SET n = n + 1`,
    `INSERT OR REPLACE INTO t VALUES (7, 'b', 2), (8, 'b', 3), (9, 'b', 4)`,
    `UPDATE OR REPLACE t SET n = n + 1`,
    `INSERT OR FAIL INTO t VALUES (20, 'x', 0), (21, 'x', 0), (22, 'y', 0)`,
    `INSERT OR ABORT INTO t VALUES (30, 'p', 0), (31, 'p', 0)`,
    'BEGIN',
    `INSERT INTO t VALUES (40, 'lost', 0)`,
    `INSERT OR ROLLBACK INTO t VALUES (41, 'lost', 0)`,
    `INSERT OR IGNORE INTO t VALUES (50, 'kept', 0)`,
  ])
  // FAIL keeps what came before the conflict; ABORT and ROLLBACK keep nothing.
  expect(outcomes.flatMap((outcome, index) => (outcome.error ? [index] : []))).toEqual([5, 6, 9])
  const [ids] = await scenario.write(['SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)'])
  expect(ids?.rows).toEqual([['1,3,5,6,9,20,50']])
  await scenario.equalAtLagZero()
})
