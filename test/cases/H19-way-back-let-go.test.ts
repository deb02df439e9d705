import { expect, test } from 'vitest'
import { pass } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

// A row that SQLite could not hold is no hindrance any more once PostgreSQL does not have it, or has it otherwise.
test('rows set aside are let go by the change that makes the two sides equal', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, score REAL)',
      'CREATE TABLE other (id INTEGER PRIMARY KEY)',
      'INSERT INTO t VALUES (1, 1.5), (2, 2.5)',
    ],
  })
  const { daemon } = scenario
  await pass(scenario, 'switchover')
  await scenario.postgres("INSERT INTO t VALUES (3, 'NaN')")
  await scenario.postgres("UPDATE t SET score = 'NaN' WHERE id = 2")
  await daemon.when('two set aside', (lag) => lag.quarantined === 2)
  await scenario.postgres('INSERT INTO other VALUES (1)')
  expect((await daemon.caughtUp()).quarantined).toBe(2)
  await scenario.postgres('DELETE FROM t WHERE id = 3')
  expect((await daemon.caughtUp()).quarantined).toBe(1)
  await scenario.postgres('UPDATE t SET score = 2.5 WHERE id = 2')
  expect((await daemon.caughtUp()).quarantined).toBe(0)
  await pass(scenario, 'rollback')
  expect((await scenario.compare()).differences).toEqual([])
}, 120_000)
