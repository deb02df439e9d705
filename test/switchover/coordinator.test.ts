import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Passage } from '../../src/core/authority.ts'
import { Failure } from '../../src/core/errors.ts'
import type { SwitchRun } from '../../src/core/switch-run.ts'
import type { Step } from '../../src/core/switching.ts'
import { type Change, Coordinator, type CoordinatorDeps } from '../../src/switchover/coordinator.ts'
import { displaced, failed, lost, Script, stale } from './script.ts'

const FORWARD = ['begin', 'wait', 'hold', 'drain', 'fence', 'decide', 'settle'] as const
const PASSAGES = ['switchover', 'rollback'] as const

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function setUp(script: Script, deps: Partial<CoordinatorDeps> = {}) {
  const told: SwitchRun[] = []
  const warnings: string[] = []
  const coordinator = new Coordinator({
    onChange: (run) => told.push(run),
    observer: { warn: (text) => warnings.push(text) },
    random: () => 0,
    ...deps,
  })
  const change = (passage: Passage = 'switchover', more: Partial<Change> = {}): Change => ({
    passage,
    epoch: 1,
    waitMs: 60_000,
    maxPauseMs: 2_000,
    open: () => script,
    attempt: () => 4,
    ...more,
  })
  return { coordinator, change, told, warnings }
}

/** Runs to the end, with as much time as that takes. */
async function ended<T>(work: Promise<T>): Promise<T> {
  let over = false
  const done = work.finally(() => {
    over = true
  })
  done.catch(() => undefined)
  for (let i = 0; i < 2_000 && !over; i++) await vi.advanceTimersByTimeAsync(100)
  return await done
}

const stateOf = (run: SwitchRun, step: Step): string | undefined =>
  run.steps.find((known) => known.step === step)?.state

describe.each(PASSAGES)('a %s', (passage) => {
  test('takes its steps in order, and lets go of everything in the end', async () => {
    const script = new Script()
    const { coordinator, change, told } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.calls).toEqual([...FORWARD, 'end'])
    expect(run).toMatchObject({
      state: 'done',
      passage,
      epoch: 2,
      attempt: 4,
      drained_changes: 7,
      reason: null,
      from: passage === 'switchover' ? 'sqlite' : 'postgres',
      to: passage === 'switchover' ? 'postgres' : 'sqlite',
    })
    expect(run.steps.map(({ step, state }) => `${step} ${state}`)).toEqual(
      FORWARD.map((step) => `${step} done`),
    )
    expect(run.finished_at).not.toBeNull()
    expect(coordinator.current).toBe(run)
    expect(coordinator.busy).toBe(false)
    // Whoever listens has seen each step begin.
    const seen = told.flatMap((one) =>
      one.steps.filter(({ state }) => state === 'running').map(({ step }) => step),
    )
    expect([...new Set(seen)]).toEqual([...FORWARD])
  })

  const before = FORWARD.filter((step) => step !== 'settle')
  describe.each(before)('%s', (step) => {
    test.each([
      ['fails', failed, 'the lock is busy'],
      ['loses its answer', lost, 'no answer came'],
      ['is broken', new TypeError('defect'), 'defect'],
    ])('%s: it is undone, and says why', async (_name, error, reason) => {
      const script = new Script({ [step]: error })
      const { coordinator, change } = setUp(script)
      const run = await ended(coordinator.start(change(passage)))
      const steps = FORWARD.slice(0, FORWARD.indexOf(step) + 1)
      expect(script.calls).toEqual([...steps, 'undo', 'reopen', 'end'])
      expect(run).toMatchObject({ state: 'undone', epoch: 1, reason, pause_ms: null })
      expect(stateOf(run, step)).toBe('failed')
      expect(stateOf(run, 'settle')).toBe('skipped')
      expect(stateOf(run, 'undo')).toBe('done')
    })

    test.each([
      ['another holder', displaced],
      ['other notes', stale],
    ])('meets %s: nothing more is touched', async (_name, error) => {
      const script = new Script({ [step]: error })
      const { coordinator, change } = setUp(script)
      const run = await ended(coordinator.start(change(passage)))
      expect(script.calls).toEqual([...FORWARD.slice(0, FORWARD.indexOf(step) + 1), 'end'])
      expect(run.state).toBe('displaced')
    })

    test.each(['slow', 'deaf'] as const)('is %s: late, undone', async (act) => {
      const script = new Script({ [step]: act })
      const { coordinator, change } = setUp(script)
      const run = await ended(coordinator.start(change(passage)))
      expect(run).toMatchObject({ state: 'undone', epoch: 1 })
      expect(run.reason).toMatch(/in time|zero within 60 s|had to end after 2000 ms/)
      expect(run.remedy).not.toBeNull()
      expect(script.calls.slice(-3)).toEqual(['undo', 'reopen', 'end'])
      expect(script.count('decide')).toBe(step === 'decide' ? 1 : 0)
    })
  })

  test('a decision whose answer was lost, and that was made after all, is finished', async () => {
    const script = new Script({ decide: lost, undo: 'decided' })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.calls).toEqual([...FORWARD.slice(0, -1), 'undo', 'settle', 'end'])
    expect(run).toMatchObject({ state: 'done', epoch: 2, reason: null })
    expect(run.pause_ms).not.toBeNull()
    expect(stateOf(run, 'settle')).toBe('done')
  })

  test('an undo is asked again until PostgreSQL answers; people see why', async () => {
    const away = new Failure({ code: 'postgres_away', message: 'PostgreSQL is away' })
    const script = new Script({ decide: lost, undo: [away, lost, away, 'undone'] })
    const { coordinator, change, told } = setUp(script)
    const running = coordinator.start(change(passage))
    await vi.advanceTimersByTimeAsync(60)
    expect(coordinator.waiting).toMatchObject({ why: expect.stringMatching(/away|no answer/) })
    expect(coordinator.current.reason).toBe('no answer came')
    const run = await ended(running)
    expect(script.count('undo')).toBe(4)
    expect(script.count('decide')).toBe(1)
    expect(run).toMatchObject({ state: 'undone', reason: 'no answer came', remedy: 'Wait.' })
    expect(told.some(({ steps }) => steps.some(({ detail }) => detail?.startsWith('tried 2 times')))).toBe(
      true,
    )
    expect(coordinator.waiting).toBeUndefined()
  })

  test('an undo that hangs is given up after a while, and asked again', async () => {
    const script = new Script({ drain: failed, undo: ['deaf', 'slow', 'undone'] })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.count('undo')).toBe(3)
    expect(run).toMatchObject({ state: 'undone', reason: 'the lock is busy' })
  })

  test('an undo that finds another holder ends it', async () => {
    const script = new Script({ fence: failed, undo: 'displaced' })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.calls.slice(-2)).toEqual(['undo', 'end'])
    expect(run).toMatchObject({ state: 'displaced', reason: expect.stringContaining('taken over') })
  })

  test.each([
    ['fails', failed],
    ['loses its answer', lost],
    ['is slow', 'slow' as const],
    ['is deaf', 'deaf' as const],
  ])('a settle that %s is tried until it succeeds: there is no way back', async (_name, act) => {
    const script = new Script({ settle: [act, act, 'ok'] })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.count('settle')).toBe(3)
    expect(script.count('undo')).toBe(0)
    expect(run).toMatchObject({ state: 'done', reason: null })
  })

  test('a settle that finds other notes ends it', async () => {
    const script = new Script({ settle: stale })
    const { coordinator, change } = setUp(script)
    expect((await ended(coordinator.start(change(passage)))).state).toBe('displaced')
  })

  test.each([
    ['fails', failed],
    ['loses its answer', lost],
    ['is slow', 'slow' as const],
  ])('a reopening that %s is tried until it succeeds', async (_name, act) => {
    const script = new Script({ hold: failed, reopen: [act, 'ok'] })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.calls.slice(-4)).toEqual(['undo', 'reopen', 'reopen', 'end'])
    expect(run.state).toBe('undone')
  })

  test('a reopening that finds the fence of a sleeper asks PostgreSQL again', async () => {
    const script = new Script({ hold: failed, reopen: [stale, 'ok'] })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change(passage)))
    expect(script.calls.slice(-5)).toEqual(['undo', 'reopen', 'undo', 'reopen', 'end'])
    expect(run.state).toBe('undone')
  })

  test('what cannot be closed in the end is told, and changes nothing', async () => {
    const script = new Script({}, new Error('socket gone'))
    const { coordinator, change, warnings } = setUp(script)
    expect((await ended(coordinator.start(change(passage)))).state).toBe('done')
    expect(warnings).toEqual([expect.stringContaining('socket gone')])
  })
})

describe('the deadline', () => {
  /** Runs with steps that take so long each; says what was called and how it ended. */
  async function timed(passage: Passage, takes: Partial<Record<Step, number>>, more: Partial<Change> = {}) {
    const script = new Script(
      Object.fromEntries(Object.entries(takes).map(([step, ms]) => [step, { takes: ms }])),
    )
    const { coordinator, change } = setUp(script)
    const startedAt = performance.now()
    const run = await ended(coordinator.start(change(passage, more)))
    return { script, run, ms: performance.now() - startedAt }
  }

  test('of a switchover counts from the lock: waiting for it makes nobody wait', async () => {
    const { run } = await timed('switchover', { hold: 20_000, drain: 1_000, fence: 500, decide: 300 })
    expect(run.state).toBe('done')
    expect(run.pause_ms).toBe(1_800)
  })

  test('of a rollback counts from the moment the gate is asked for', async () => {
    const { run } = await timed('rollback', { hold: 1_000, drain: 300, fence: 100, decide: 200, settle: 100 })
    expect(run.pause_ms).toBe(1_700)
    const late = await timed('rollback', { hold: 1_500, drain: 600 })
    expect(late.run).toMatchObject({ state: 'undone', reason: expect.stringContaining('2000 ms') })
    expect(late.script.count('fence')).toBe(0)
  })

  test('is for the whole, not for each step', async () => {
    const { run, script } = await timed('switchover', { drain: 1_500, fence: 1_500 })
    expect(run).toMatchObject({ state: 'undone', reason: expect.stringContaining('Fence SQLite') })
    expect(script.count('decide')).toBe(0)
  })

  test('leaves time for the answer of the decision, or it is not sent', async () => {
    const { run, script } = await timed('switchover', { drain: 1_950 })
    expect(run).toMatchObject({ state: 'undone', reason: expect.stringContaining('Decide') })
    expect(script.count('fence')).toBe(1)
    expect(script.count('decide')).toBe(0)
    const inTime = await timed('switchover', { drain: 1_850 })
    expect(inTime.run.state).toBe('done')
  })

  test('a decision that answers a moment late is believed', async () => {
    const { run, script } = await timed('switchover', { decide: 2_100 })
    expect(run.state).toBe('done')
    expect(script.count('undo')).toBe(0)
  })

  test('a decision that answers much too late is undone, and never sent again', async () => {
    const { run, script } = await timed('switchover', { decide: 30_000 })
    expect(run.state).toBe('undone')
    expect(script.count('decide')).toBe(1)
    expect(script.count('undo')).toBe(1)
  })

  test('a process that slept through it undoes', async () => {
    // Asleep: time has passed, and no timer of the process has run.
    let now = 0
    const script = new Script()
    const fence = script.fence.bind(script)
    script.fence = async (signal) => {
      await fence(signal)
      now += 10_000
    }
    const { coordinator, change } = setUp(script, { now: () => now })
    const run = await ended(coordinator.start(change('switchover')))
    expect(run.state).toBe('undone')
    expect(script.count('decide')).toBe(0)
  })

  test('of the wait is its own', async () => {
    const { run, ms, script } = await timed('switchover', { wait: 5_000 }, { waitMs: 3_000 })
    expect(run).toMatchObject({ state: 'undone', reason: 'lag did not come to zero within 3 s' })
    expect(script.count('hold')).toBe(0)
    expect(ms).toBeLessThan(4_000)
    expect((await timed('switchover', {}, { waitMs: 0 })).run.state).toBe('done')
  })

  test('the pause of a decision found by the undo ends when it is found', async () => {
    const script = new Script({ drain: { takes: 500 }, decide: lost, undo: ['decided'] })
    const { coordinator, change } = setUp(script)
    const run = await ended(coordinator.start(change('switchover')))
    expect(run.pause_ms).toBe(500)
  })
})

describe('one at a time', () => {
  test('a second one is refused with the first, which goes on', async () => {
    const script = new Script({ wait: { takes: 1_000 } })
    const { coordinator, change } = setUp(script)
    const first = coordinator.start(change())
    await vi.advanceTimersByTimeAsync(10)
    const refused = await coordinator.start(change()).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'switch_running', status: 409 })
    expect((refused as Failure).facts.run).toMatchObject({ state: 'running' })
    expect(coordinator.busy).toBe(true)
    expect((await ended(first)).state).toBe('done')
    expect((await ended(coordinator.start(change('rollback')))).state).toBe('done')
  })
})

describe('preparations', () => {
  const guards = (work: () => Promise<string | undefined>) => ({
    step: 'guards' as const,
    title: 'Guards',
    work,
  })

  test('that refuse leave everything as it is, and are thrown', async () => {
    const script = new Script()
    const { coordinator, change } = setUp(script)
    const refusal = new Failure({ code: 'guards', message: 'lag is 9 s', remedy: 'Wait.', status: 412 })
    const preparations = [guards(() => Promise.reject(refusal))]
    await expect(ended(coordinator.start(change('switchover', { preparations })))).rejects.toBe(refusal)
    expect(script.calls).toEqual([])
    expect(coordinator.current).toMatchObject({
      state: 'refused',
      epoch: 1,
      reason: 'lag is 9 s',
      remedy: 'Wait.',
    })
    expect(coordinator.current.steps.map(({ state }) => state)).toEqual([
      'failed',
      ...FORWARD.map(() => 'skipped'),
    ])
    expect(coordinator.busy).toBe(false)
  })

  test('are all there is of a dry run, and tell what they found', async () => {
    const script = new Script()
    const { coordinator, change } = setUp(script)
    const run = await ended(
      coordinator.start(
        change('switchover', {
          dryRun: true,
          preparations: [
            {
              step: 'guards',
              title: 'Guards',
              work: async (_signal, tell) => {
                tell({ predicted_pause_ms: 40, overrides: ['lag'] })
                return 'all well'
              },
            },
          ],
        }),
      ),
    )
    expect(run).toMatchObject({ state: 'dry_run', predicted_pause_ms: 40, overrides: ['lag'] })
    expect(run.steps[0]).toMatchObject({ step: 'guards', state: 'done', detail: 'all well' })
    expect(script.calls).toEqual([])
  })

  test('a conduct that cannot be opened refuses', async () => {
    const { coordinator, change } = setUp(new Script())
    const open = () => Promise.reject(failed)
    await expect(ended(coordinator.start(change('switchover', { open })))).rejects.toBe(failed)
    expect(coordinator.current.state).toBe('refused')
  })
})

describe('afterwards', () => {
  test.each([
    ['done', new Script()],
    ['undone', new Script({ drain: failed })],
  ])('%s is told when every lock is gone', async (state, script) => {
    const { coordinator, change } = setUp(script)
    let told: SwitchRun | undefined
    const after = async (run: SwitchRun) => {
      expect(script.calls.at(-1)).toBe('end')
      told = run
      return 'file written'
    }
    const run = await ended(coordinator.start(change('switchover', { after })))
    expect(told?.state).toBe(state)
    expect(run.state).toBe(state)
    expect(run.steps.at(-1)).toMatchObject({ step: 'after', state: 'done', detail: 'file written' })
  })

  test('a failure there is only told', async () => {
    const { coordinator, change, warnings } = setUp(new Script())
    const after = () => Promise.reject(new Error('hook failed'))
    const run = await ended(coordinator.start(change('switchover', { after })))
    expect(run.state).toBe('done')
    expect(run.steps.at(-1)).toMatchObject({ step: 'after', state: 'failed', detail: 'hook failed' })
    expect(warnings).toEqual([expect.stringContaining('hook failed')])
  })
})

describe('what is found', () => {
  const recovery = (script: Script) => ({ epoch: 1, open: () => script })

  test.each(PASSAGES)('an undecided %s is undone', async (passage) => {
    const script = new Script()
    const { coordinator } = setUp(script)
    const run = await ended(coordinator.recover({ kind: 'undecided', passage }, recovery(script)))
    expect(script.calls).toEqual(['undo', 'reopen', 'end'])
    expect(run).toMatchObject({ state: 'undone', passage, epoch: 1, pause_ms: null })
  })

  test.each(PASSAGES)('a decided %s is finished', async (passage) => {
    const script = new Script({ settle: [failed, 'ok'] })
    const { coordinator } = setUp(script)
    const run = await ended(coordinator.recover({ kind: 'decided', passage }, recovery(script)))
    expect(script.calls).toEqual(['settle', 'settle', 'end'])
    expect(run).toMatchObject({ state: 'done', passage, epoch: 2, pause_ms: null })
  })

  test('an undecided one that lands meanwhile is finished', async () => {
    const script = new Script({ undo: 'decided' })
    const { coordinator } = setUp(script)
    const run = await ended(
      coordinator.recover({ kind: 'undecided', passage: 'switchover' }, recovery(script)),
    )
    expect(script.calls).toEqual(['undo', 'settle', 'end'])
    expect(run?.state).toBe('done')
  })

  test.each([
    { kind: 'sqlite', behind: false },
    { kind: 'sqlite', behind: true },
    { kind: 'postgres' },
    { kind: 'divided', reason: 'r', remedy: 'm' },
  ] as const)('$kind: nothing to do', async (standing) => {
    const script = new Script()
    const { coordinator } = setUp(script)
    expect(await coordinator.recover(standing, recovery(script))).toBeUndefined()
    expect(script.calls).toEqual([])
  })
})

describe('a stop', () => {
  test('before the decision undoes at once', async () => {
    const script = new Script({ wait: 'slow' })
    const { coordinator, change } = setUp(script)
    const running = coordinator.start(change())
    await vi.advanceTimersByTimeAsync(1_000)
    await ended(coordinator.stop())
    expect(await running).toMatchObject({ state: 'undone', reason: 'the daemon was stopped' })
    expect(script.calls).toEqual(['begin', 'wait', 'undo', 'reopen', 'end'])
    await expect(coordinator.start(change())).rejects.toMatchObject({ code: 'stopping', status: 409 })
  })

  test('between two steps undoes as well', async () => {
    const script = new Script()
    const { coordinator, change } = setUp(script)
    const fence = script.fence.bind(script)
    script.fence = async (signal) => {
      await fence(signal)
      void coordinator.stop()
    }
    expect((await ended(coordinator.start(change()))).state).toBe('undone')
    expect(script.count('decide')).toBe(0)
  })

  test('after the decision was sent waits for it and finishes', async () => {
    const script = new Script({ decide: { takes: 400 }, settle: { takes: 400 } })
    const { coordinator, change } = setUp(script)
    const running = coordinator.start(change())
    await vi.advanceTimersByTimeAsync(100)
    await ended(coordinator.stop())
    expect((await running).state).toBe('done')
  })

  test('leaves to the next start what cannot be ended in time', async () => {
    const script = new Script({ decide: lost, undo: failed })
    const { coordinator, change } = setUp(script)
    const running = coordinator.start(change())
    await vi.advanceTimersByTimeAsync(100)
    await ended(coordinator.stop(1_000))
    expect(await running).toMatchObject({
      state: 'running',
      reason: expect.stringContaining('the next one goes on'),
    })
    expect(script.calls.at(-1)).toBe('end')
    expect(script.count('reopen')).toBe(0)
  })

  test('also where an undo hangs', async () => {
    const script = new Script({ hold: failed, undo: 'deaf' })
    const { coordinator, change } = setUp(script)
    const running = coordinator.start(change())
    await vi.advanceTimersByTimeAsync(100)
    await ended(coordinator.stop(500))
    expect((await ended(running)).state).toBe('running')
  })

  test('while nothing runs is nothing', async () => {
    const { coordinator } = setUp(new Script())
    await coordinator.stop()
    expect(coordinator.current.state).toBe('none')
  })
})
