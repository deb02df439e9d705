import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// ON CONFLICT "cannot affect row a second time": a batch holds each key once, however often it changed.

test('one key, written many times in one transaction and in many', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)',
      `INSERT INTO t VALUES (1, 'a'), (2, 'b')`,
    ],
  })
  await scenario.write([
    'BEGIN',
    ...Array.from({ length: 50 }, (_, i) => `UPDATE t SET v = 'v${i}' WHERE id = 1`),
    'DELETE FROM t WHERE id = 2',
    `INSERT INTO t VALUES (2, 'again')`,
    'DELETE FROM t WHERE id = 2',
    `REPLACE INTO t VALUES (3, 'v49')`,
    `INSERT INTO t VALUES (2, 'b')`,
    'COMMIT',
    `UPDATE t SET v = 'w' WHERE id = 3`,
    `UPDATE t SET v = 'x' WHERE id = 3`,
  ])
  await scenario.equalAtLagZero()
  expect(await scenario.postgres('SELECT id::int, v FROM t ORDER BY id')).toEqual([
    { id: 2, v: 'b' },
    { id: 3, v: 'x' },
  ])
})
