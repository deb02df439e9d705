import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A primary key that is not INTEGER may hold NULL in a rowid table, even several times.

const SOURCE = ['CREATE TABLE t (k TEXT PRIMARY KEY, n INTEGER)', `INSERT INTO t VALUES ('a', 1), ('b', 2)`]

test('NULL keys that are there from the start: moved whole, or refused by name', async () => {
  await using scenario = await Scenario.prepare({
    source: [...SOURCE, 'INSERT INTO t VALUES (NULL, 3), (NULL, 4)'],
  })
  const result = await scenario.slipway.run(['snapshot'])
  if (result.code === 0) {
    const comparison = await scenario.compare()
    expect(comparison.differences).toEqual([])
  } else {
    expect(result.code, result.stderr).toBe(3)
    expect(result.stderr).toMatch(/^error: .*\bt\b.*NULL/ms)
  }
})

test('NULL keys that come later: moved, or told; never in silence', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write(['INSERT INTO t VALUES (NULL, 3), (NULL, 4)', `UPDATE t SET k = NULL WHERE k = 'a'`])
  const outcome = await scenario.mendedOrStopped()
  if (outcome === 'stopped') {
    expect(
      scenario.daemon.process.stdout +
        scenario.daemon.process.stderr +
        JSON.stringify(await scenario.daemon.status()),
    ).toMatch(/NULL/)
    // What had to be mended is mended: then it goes on by itself or after a restart.
    await scenario.write(['DELETE FROM t WHERE k IS NULL'])
    if (scenario.daemon.process.alive) await scenario.daemon.stop()
    await scenario.start()
    await scenario.equalAtLagZero()
  }
})
