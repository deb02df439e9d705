/** Pauses of writes by people, on whichever engine leads: they end by themselves, whatever process lives. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { ask, pass, refusals } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)', `INSERT INTO t (v) VALUES ('a')`]
const WRITE = `INSERT INTO t (v) VALUES ('x')`

interface Writes {
  readonly fences: readonly { engine: string; closed: boolean; reasons: string[]; until: string | null }[]
}

test.each(['sqlite', 'postgres'] as const)('while %s leads', { timeout: 120_000 }, async (leads) => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const { daemon } = scenario
  if (leads === 'postgres') await pass(scenario, 'switchover')
  const heard = async (): Promise<string | undefined> => (await refusals(scenario, WRITE, WRITE))[leads]

  const paused = await daemon.post('/writes/pause', { reason: 'moving the disk', for_seconds: 600 })
  expect(paused.status).toBe(200)
  const fence = (paused.body as Writes).fences.find(({ engine }) => engine === leads)
  expect(fence).toMatchObject({ closed: true, reasons: ['moving the disk'] })
  expect(Date.parse(fence?.until ?? '')).toBeGreaterThan(Date.now() + 500_000)
  expect(await heard()).toMatch(
    leads === 'sqlite' ? /slipway: writes are paused until .*moving the disk/ : /25006/,
  )
  expect((await daemon.post('/writes/resume')).body).toMatchObject({
    fences: expect.arrayContaining([expect.objectContaining({ engine: leads, closed: false, reasons: [] })]),
  })
  expect(await heard()).toBeUndefined()

  // It ends where no daemon lives.
  await daemon.post('/writes/pause', { reason: 'a short one', for_seconds: 4 })
  await daemon.kill()
  expect(await heard()).toBeDefined()
  await until(async () => (await heard()) === undefined, { ms: 20_000, describe: () => 'still closed' })
  await scenario.start()
  await scenario.daemon.caughtUp()
  const status = await scenario.daemon.status()
  expect(status?.fences.find(({ engine }) => engine === leads)).toMatchObject({ closed: false, reasons: [] })
  await scenario.equalAtLagZero()
  expect(scenario.slipway.copiesAnew()).toBe(0)
})

test('a pause outlives the daemon, and a change of authority ends it', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  for (const passage of ['switchover', 'rollback'] as const) {
    const [leads, next] = passage === 'switchover' ? ['sqlite', 'postgres'] : ['postgres', 'sqlite']
    await scenario.daemon.post('/writes/pause', { reason: 'a deploy', for_seconds: 300 })
    await scenario.daemon.kill()
    await scenario.start()
    await scenario.daemon.caughtUp()
    const status = await scenario.daemon.status()
    expect(status?.fences.find(({ engine }) => engine === leads)).toMatchObject({
      closed: true,
      reasons: ['a deploy'],
    })
    await pass(scenario, passage)
    const heard = await refusals(scenario, WRITE, WRITE)
    expect(heard).toMatchObject({ [next as string]: undefined })
    expect(heard[leads as 'sqlite']).toMatch(/25006|slipway: writes are closed/)
    await scenario.equalAtLagZero()
  }
})

test('replication is paused on the way back, and goes on', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const { daemon } = scenario
  await pass(scenario, 'switchover')
  expect((await daemon.post('/replication/pause', { reason: 'a look' })).status).toBe(200)
  await scenario.postgres(WRITE)
  await sleep(500)
  const lag = await daemon.when('pending', (now) => now.pending_changes > 0)
  expect(lag).toMatchObject({ direction: 'reverse', state: 'paused', reasons: ['a look'], caught_up: false })
  const refused = await ask(scenario, 'rollback')
  expect(refused).toMatchObject({ status: 412 })
  expect(refused.body.guards?.find(({ code }) => code === 'phase')).toMatchObject({ ok: false })
  // The pause outlives a restart.
  await daemon.kill()
  await scenario.start()
  await scenario.daemon.when('paused', (now) => now.state === 'paused' && now.pending_changes > 0)
  await scenario.daemon.post('/replication/resume')
  await scenario.daemon.caughtUp()
  await pass(scenario, 'rollback')
  await scenario.equalAtLagZero()
})
