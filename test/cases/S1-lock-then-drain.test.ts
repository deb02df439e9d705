import { expect, test } from 'vitest'
import { isStopped } from '../faults/server.ts'
import { until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// The order: stop the writers, then drain, then decide. What is written after lag zero and before the lock is drained;
// between the drain and the decision nobody can write. In any other order the side that leads next lacks a write.

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t (a) VALUES ('first')`]
const POINTS = ['switchover', 'rollback'].flatMap((passage) => [
  `${passage}.before_hold:stop`,
  `${passage}.after_drain:stop`,
])
const PATIENT = { wait_seconds: 30, max_pause_ms: 20_000, override: ['verify'] }

test('nothing that was written before the lock is left behind, and nothing is written after the drain', {
  timeout: 120_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    env: { SLIPWAY_CRASH_AT: POINTS.join(',') },
  })
  const { daemon } = scenario
  const write = {
    sqlite: async (a: string) => {
      const sql = [[`INSERT INTO t (a) VALUES (?)`, [a]] as const]
      const [outcome] = await scenario.attempt(sql, { pragmas: { busy_timeout: 300 } })
      return outcome?.error?.name
    },
    postgres: async (a: string) => {
      const client = await scenario.database.connect()
      await client.query(`SET statement_timeout = '300ms'`)
      return await client.query('INSERT INTO t (a) VALUES ($1)', [a]).then(
        () => undefined,
        (error: { code: string }) => error.code,
      )
    },
  }
  const stopped = async (changed: Promise<unknown>): Promise<void> => {
    const ended = changed.then((answer) => {
      throw new Error(`it has ended: ${JSON.stringify(answer)}`)
    })
    const stops = until(() => isStopped(daemon.process.pid), {
      ms: 30_000,
      every: 5,
      describe: () => `the point is not met\n${daemon.process.tail()}`,
    })
    await Promise.race([ended, stops])
  }
  // They wait, each in its way, until they lose patience.
  const passages = [
    { passage: 'switchover', leads: 'sqlite', waits: 'SQLITE_BUSY' },
    { passage: 'rollback', leads: 'postgres', waits: '57014' },
  ] as const
  for (const { passage, leads, waits } of passages) {
    await daemon.caughtUp(20_000)
    const changed = daemon.post(`/${passage}`, PATIENT)
    await stopped(changed)
    expect(await write[leads](`${passage}: before the lock`)).toBeUndefined()
    daemon.thaw()
    await stopped(changed)
    expect(await write[leads](`${passage}: after the drain`)).toBe(waits)
    daemon.thaw()
    expect(await changed).toMatchObject({ status: 200 })
    const rows = await scenario.postgres(`SELECT a FROM t ORDER BY id`)
    expect(rows.map(({ a }) => a)).toContain(`${passage}: before the lock`)
  }
  await scenario.equalAtLagZero()
  const [read] = await scenario.write(['SELECT a FROM t ORDER BY id'])
  expect(read?.rows).toEqual([['first'], ['switchover: before the lock'], ['rollback: before the lock']])
})
