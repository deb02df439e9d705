import { expect, test } from 'vitest'
import type { SwitchStep } from '../../src/core/switch-run.ts'
import { type Status, until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// What /status says while a change of authority goes on, and of one that a crash left: docs/runbook.md has the table.

interface Told extends Status {
  readonly epoch: number
  readonly switchover: { readonly state: string; readonly steps: readonly SwitchStep[] } | null
}

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t (a) VALUES ('first')`]
const PATIENT = { wait_seconds: 30, max_pause_ms: 60_000, override: ['verify'] }
const UNDECIDED = 'a change of authority is not decided yet'
const POINTS = [
  'switchover.after_begin',
  'switchover.after_hold',
  'switchover.after_fence',
  'switchover.before_settle',
  'rollback.after_hold',
  'rollback.after_decide',
  'rollback.before_settle',
]

/** The status at a step that waits there for a while. */
async function at(scenario: Scenario, name: SwitchStep['step'], authority: string): Promise<Told> {
  const { daemon } = scenario
  let last: Told | undefined
  return await until(
    async () => {
      last = (await daemon.get<Told>('/status')) ?? last
      const step = last?.switchover?.steps.find(({ step }) => step === name)
      return step?.state === 'running' && last?.authority === authority ? last : undefined
    },
    { ms: 30_000, every: 10, describe: () => `${name}: ${JSON.stringify(last)}\n${daemon.process.tail()}` },
  )
}

const fenceOf = (told: Told, engine: string): unknown => {
  const { closed, reasons } = told.fences.find((fence) => fence.engine === engine) ?? {}
  return closed === true ? reasons?.join('; ') : 'open'
}

const seen = (told: Told): unknown => ({
  phase: told.phase,
  authority: told.authority,
  epoch: told.epoch,
  sqlite: fenceOf(told, 'sqlite'),
  postgres: fenceOf(told, 'postgres'),
})

const BEFORE = { authority: 'sqlite', epoch: 1, sqlite: 'open', postgres: 'SQLite has the authority' }
const AFTER = { authority: 'postgres', epoch: 2, sqlite: 'PostgreSQL has the authority', postgres: 'open' }

test('of each step, there and back', { timeout: 180_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    env: { SLIPWAY_CRASH_AT: POINTS.map((point) => `${point}:delay=4000`).join(',') },
  })
  const { daemon } = scenario
  const told = async (): Promise<unknown> => seen((await daemon.get<Told>('/status'))!)
  expect(await told()).toEqual({ phase: 'replicating', ...BEFORE })

  let phase = 'switching_over'
  const there = daemon.post('/switchover', PATIENT)
  expect(seen(await at(scenario, 'hold', 'sqlite'))).toEqual({ phase, ...BEFORE })
  expect(seen(await at(scenario, 'fence', 'none'))).toEqual({
    ...{ phase, authority: 'none', epoch: 1, sqlite: UNDECIDED, postgres: UNDECIDED },
  })
  expect(seen(await at(scenario, 'settle', 'postgres'))).toEqual({ phase, ...AFTER })
  expect(await there).toMatchObject({ status: 200 })
  expect(await told()).toEqual({ phase: 'switched_over', ...AFTER })

  await daemon.caughtUp(20_000)
  phase = 'rolling_back'
  const back = daemon.post('/rollback', PATIENT)
  expect(seen(await at(scenario, 'hold', 'postgres'))).toEqual({ phase, ...AFTER })
  expect(seen(await at(scenario, 'decide', 'none'))).toEqual({
    ...{ phase, authority: 'none', epoch: 2, sqlite: UNDECIDED, postgres: UNDECIDED },
  })
  expect(seen(await at(scenario, 'settle', 'sqlite'))).toEqual({
    ...{ phase, authority: 'sqlite', epoch: 3 },
    sqlite: 'SQLite is about to be opened: it has the authority',
    postgres: 'SQLite has the authority',
  })
  expect(await back).toMatchObject({ status: 200 })
  await daemon.caughtUp(20_000)
  expect(await told()).toMatchObject({ phase: 'replicating', ...BEFORE, epoch: 3 })
})

const LEFT = [
  {
    crash: 'switchover.after_fence',
    step: 'undo',
    told: { phase: 'switching_over', authority: 'none', epoch: 1, sqlite: UNDECIDED, postgres: UNDECIDED },
    ended: { phase: 'replicating', ...BEFORE },
  },
  {
    crash: 'switchover.after_decide',
    step: 'settle',
    told: { phase: 'switching_over', ...AFTER },
    ended: { phase: 'switched_over', ...AFTER },
  },
] as const

test.for(LEFT)('of what a kill -9 at $crash left, while it is ended', { timeout: 120_000 }, async (left) => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    env: { SLIPWAY_CRASH_AT: `${left.crash},switchover.before_${left.step}:delay=5000` },
  })
  await scenario.daemon.post('/switchover', PATIENT).catch(() => undefined)
  await until(() => !scenario.daemon.process.alive, { ms: 20_000, describe: () => 'it lives' })
  await scenario.start()
  const told = await at(scenario, left.step, left.told.authority)
  expect(seen(told)).toEqual(left.told)
  await scenario.daemon.caughtUp(30_000)
  expect(seen((await scenario.daemon.get<Told>('/status'))!)).toEqual(left.ended)
})
