import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Without AUTOINCREMENT a rowid that was freed is given away again: the same key, another row.

test('the newest row deleted and another one put in its place', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (1, 'one'), (2, 'two')`,
      'CREATE TABLE bag (a TEXT)',
      `INSERT INTO bag VALUES ('one'), ('two')`,
    ],
  })
  for (let round = 0; round < 5; round++) {
    await scenario.write([
      'DELETE FROM t WHERE id = (SELECT max(id) FROM t)',
      `INSERT INTO t (a) VALUES ('again ${round}')`,
      'DELETE FROM bag WHERE rowid = (SELECT max(rowid) FROM bag)',
      `INSERT INTO bag VALUES ('again ${round}')`,
    ])
  }
  await scenario.write(['DELETE FROM t WHERE id = 2', 'DELETE FROM bag WHERE rowid = 2'])
  await scenario.equalAtLagZero()
})
