import { mkdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isStopped } from '../faults/server.ts'
import { type Daemon, type Status, until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// A coordinator undoes its attempt, and sleeps before it lowers the fence. Another one takes over, lowers it, and gets as
// far as the decision with a fence of its own. The first one wakes up with "lower the fence" as its next step.

interface Held extends Status {
  readonly holder: { readonly mine: boolean }
}

const REQUEST = { wait_seconds: 30, max_pause_ms: 20_000, override: ['verify'] }

const SLOW_UNDO =
  'switchover.before_decide:fail,switchover.undo_committed:delay=1500,switchover.before_reopen:stop'

async function stopped(daemon: Daemon): Promise<void> {
  await until(() => isStopped(daemon.process.pid), {
    ms: 40_000,
    every: 10,
    describe: () => `the point is not met\n${daemon.process.tail()}`,
  })
}

test('a fence that was raised meanwhile is not lowered', { timeout: 180_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t (a) VALUES ('first')`],
    // Its undo takes so long that it lets go of SQLite's lock.
    env: { SLIPWAY_CRASH_AT: SLOW_UNDO },
  })
  const first = scenario.daemon
  const undone = first.post('/switchover', REQUEST).catch(() => undefined)
  await stopped(first)

  const folder = scenario.workspace.file('second')
  mkdirSync(folder)
  await using slipway = await scenario.slipway.twin(folder)
  const second = slipway.launch([], { SLIPWAY_CRASH_AT: 'switchover.after_decide:stop' })
  await until(async () => (await second.get<Held>('/status'))?.holder.mine === true, {
    ms: 60_000,
    describe: () => `nobody takes over\n${second.process.tail()}`,
  })
  await second.when('replicating', ({ phase }) => phase === 'replicating')
  const decided = second.post('/switchover', REQUEST).catch(() => undefined)
  await stopped(second)

  const write = async (): Promise<string> => {
    const [outcome] = await scenario.attempt([`INSERT INTO t (a) VALUES ('lost')`], {
      pragmas: { busy_timeout: 5_000 },
    })
    return outcome?.error?.message ?? 'accepted'
  }
  const end = `SELECT count(*)::int AS n FROM slipway.control WHERE authority = 'postgres' AND epoch = 2`
  expect(await scenario.postgres(end)).toEqual([{ n: 1 }])
  // It has SQLite's lock, which it would give up when it ends: what stands then is the fence.
  await second.kill()
  first.thaw()
  await until(
    async () => {
      expect(await write()).toMatch(/slipway: writes are closed here/)
      const lag = await first.lag()
      return lag?.authority === 'postgres' && lag.phase === 'switched_over' && lag.caught_up
    },
    { ms: 60_000, every: 5, describe: () => `nobody goes on\n${first.process.tail()}` },
  )
  expect(await write()).toMatch(/PostgreSQL leads since epoch 2/)
  await scenario.postgres(`INSERT INTO t (a) VALUES ('second')`)
  await scenario.equalAtLagZero()
  await Promise.all([undone, decided])
})
