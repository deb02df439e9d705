import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// STRICT still takes Infinity, and any number into ANY.

test('STRICT tables with infinities', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, s TEXT, b BLOB, a ANY) STRICT',
      `INSERT INTO t VALUES (1, 1, 9e999, 'x', x'00', 1), (2, NULL, -9e999, NULL, NULL, 'text')`,
    ],
  })
  await scenario.write([
    ['INSERT INTO t VALUES (3, 3, ?, ?, ?, ?)', [{ real: 'inf' }, 'y', { hex: 'ff' }, 'any']],
    ['UPDATE t SET r = ? WHERE id = 1', [{ real: '-inf' }]],
    // An integer in a REAL column of a STRICT table becomes a REAL.
    'INSERT INTO t VALUES (4, 4, 4, NULL, NULL, NULL)',
  ])
  await scenario.equalAtLagZero()
})
