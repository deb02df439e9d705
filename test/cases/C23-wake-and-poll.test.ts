import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Events of the file system make it quick; they may be missed, or not exist at all. The poll is the truth.

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`]

async function replicates(scenario: Scenario): Promise<void> {
  for (let n = 2; n <= 4; n++) {
    await scenario.write([`INSERT INTO t VALUES (${n}, 'y')`, `UPDATE t SET a = 'z${n}' WHERE id = 1`])
    await scenario.equalAtLagZero()
  }
}

test('no event ever comes: the poll finds the changes', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    // The watcher looks by itself, and not within the test's life.
    env: { CHOKIDAR_USEPOLLING: 'true', CHOKIDAR_INTERVAL: '3600000', POLL_MS: '50' },
  })
  await replicates(scenario)
})

test('the poll is far away: the event wakes', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, env: { POLL_MS: '60000' } })
  // Three times within a timeout that is shorter than one poll.
  await replicates(scenario)
})
