import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A log without AUTOINCREMENT starts again at 1 once its newest row is gone: whatever is purged, seq only rises.

test('seq rises over restarts and purges', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)'],
    env: { CHANGELOG_RETENTION_SECONDS: '0' },
  })
  let seen = -1
  for (let round = 0; round < 3; round++) {
    await scenario.write([
      `INSERT INTO t (a) VALUES ('${round}'), ('x'), ('y')`,
      'DELETE FROM t WHERE id % 2 = 0',
    ])
    const lag = await scenario.equalAtLagZero()
    expect(Number(lag.applied)).toBeGreaterThan(seen)
    seen = Number(lag.applied)
    const [newest] = await scenario.write(['SELECT max(seq), count(*) > 0 FROM _slipway_changelog'])
    expect(newest?.rows).toEqual([[seen, 1]])
    // The source's own counter for AUTOINCREMENT is not brought into a database that had none.
    const [counters] = await scenario.write([
      `SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'`,
    ])
    expect(counters?.rows).toEqual([[0]])
    expect((await scenario.daemon.stop()).code).toBe(0)
    await scenario.start()
  }
  await scenario.equalAtLagZero()
})
