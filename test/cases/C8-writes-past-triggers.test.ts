import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// sqlite3_blob_write fires no trigger: such a write is the stated limit of capture. It comes over with the next
// captured change of its row, since rows are read late, and never breaks anything.

test('a BLOB written in place comes with the next change of its row', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB, n INTEGER)',
      `INSERT INTO t VALUES (1, x'000102', 0)`,
    ],
  })
  await scenario.write([['BLOB_WRITE', ['t', 'b', 1, 'ff0002']], 'UPDATE t SET n = 1 WHERE id = 1'])
  const [row] = await scenario.write(['SELECT hex(b) FROM t'])
  expect(row?.rows).toEqual([['FF0002']])
  await scenario.equalAtLagZero()
})
