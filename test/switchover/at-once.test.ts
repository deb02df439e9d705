import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Whoever sees at once that PostgreSQL was a mistake asks for the way back before its stream has been opened.
test('a change that is asked for right after the one before waits for the stream, not for ever', async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)', "INSERT INTO t VALUES (1, 'a')"],
  })
  const { daemon } = scenario
  for (const round of [1, 2, 3]) {
    expect(await daemon.post('/switchover')).toMatchObject({ status: 200 })
    await scenario.postgres('INSERT INTO t VALUES ($1, $2)', [round + 1, 'from pg'])
    expect(await daemon.post('/rollback')).toMatchObject({ status: 200 })
  }
  await scenario.equalAtLagZero()
}, 120_000)
