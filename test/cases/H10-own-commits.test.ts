import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A transaction that reads, waits and then writes fails at once when somebody commits in between. The application
// alone meets none of that; with slipway beside it, it must stay so while it replicates.

test('BEGIN, SELECT, a pause, UPDATE, COMMIT: not one refusal', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)', 'INSERT INTO t VALUES (1, 0), (2, 0)'],
    env: { CHANGELOG_RETENTION_SECONDS: '0' },
  })
  const rounds = 80
  const work = Array.from({ length: rounds }, (_, n) => [
    'BEGIN',
    'SELECT n FROM t WHERE id = 1',
    ['SLEEP', [0.08]] as const,
    `UPDATE t SET n = ${n} WHERE id = 1`,
    'COMMIT',
  ]).flat()
  const outcomes = await scenario.attempt(work)
  expect(outcomes.flatMap((outcome) => (outcome.error ? [outcome.error] : []))).toEqual([])
  await scenario.equalAtLagZero()
})
