/**
 * Changes of authority whose daemon does not go on: a standby takes over in the middle and the first one wakes up later,
 * PostgreSQL is away meanwhile, or an init system ends it. `SLIPWAY_TEST_FULL=1` takes every point.
 */
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask, type Passage } from '../faults/passage.ts'
import { OPEN_WITHIN_MS, oneOpen, settle } from '../faults/settle.ts'
import { restart } from '../faults/strokes.ts'
import { bring, expectNothingLost, leaderBefore, other, PATIENT, stopped, Watch } from '../faults/struck.ts'
import { World } from '../faults/world.ts'
import { type Daemon, type Status, until, Workspace } from '../support/daemon.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'

const passageOf = (point: string): Passage => (point.startsWith('switchover.') ? 'switchover' : 'rollback')
const isDecided = (point: string): boolean => /after_decide|settle/.test(point)

/** In which a daemon sleeps until a standby has taken over; the suite looks at the first two. */
const SLEEPS = [
  'switchover.after_fence',
  'rollback.after_decide',
  'switchover.after_begin',
  'switchover.after_hold',
  'switchover.fence_committed',
  'switchover.decide_proposed',
  'switchover.decide_sent',
  'switchover.after_decide',
  'switchover.after_settle',
  'rollback.after_begin',
  'rollback.after_hold',
  'rollback.after_fence',
  'rollback.decide_proposed',
  'rollback.decide_sent',
  'rollback.after_settle',
].slice(0, FULL ? undefined : 2)

/** At which it is asked to end; the suite looks at the first two. */
const TERMS = [
  'switchover.after_fence',
  'rollback.after_decide',
  'rollback.after_fence',
  'switchover.after_decide',
  'switchover.after_begin',
  'switchover.after_drain',
  'rollback.after_hold',
  'switchover.undo_committed',
  'rollback.undo_committed',
].slice(0, FULL ? undefined : 2)

interface Held extends Status {
  readonly holder: { readonly mine: boolean }
}

describe('a daemon that does not go on', () => {
  const workspace = new Workspace()
  let world: World

  beforeAll(async () => {
    world = await World.create({
      directory: workspace.path,
      seed: 5,
      writers: 3,
      rate: 40,
      say: () => undefined,
    })
    await world.startWriters()
  })
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
    workspace[Symbol.dispose]()
  })

  async function standStillAt(point: string): Promise<{ changed: ReturnType<typeof ask>; daemon: Daemon }> {
    const passage = passageOf(point)
    await bring(world, passage)
    const failing = /undo/.test(point) ? `${passage}.before_decide:fail,` : ''
    await restart(world, `${failing}${point}:stop`)
    await bring(world, passage)
    const changed = ask(world.daemon, passage, PATIENT)
    await stopped(world)
    return { changed, daemon: world.daemon }
  }

  test.each(SLEEPS)('sleeps at %s until another one has taken over', { timeout: 120_000 }, async (point) => {
    const { daemon, changed } = await standStillAt(point)
    const watch = new Watch(world)
    const slipway = await world.slipway.twin(twinDirectory(workspace))
    const twin = slipway.launch()
    await until(async () => (await twin.get<Held>('/status'))?.holder.mine === true, {
      ms: 40_000,
      describe: () => `the standby does not take over\n${twin.process.tail()}`,
    })
    await sleep(1_500)
    daemon.thaw()
    world.adopt(twin)
    const { leader } = await oneOpen(world, OPEN_WITHIN_MS)
    if (!/decide_(sent|proposed)/.test(point)) {
      const before = leaderBefore(passageOf(point))
      expect(leader).toBe(isDecided(point) ? other(before) : before)
    }
    // Whatever it still has to say comes now.
    await sleep(2_500)
    await watch.end()
    expect(watch.asked).toBeGreaterThan(5)
    expect(watch.twoWriters).toBe(0)
    expect((await changed).status).not.toBe(isDecided(point) ? 504 : 200)
    expect((await oneOpen(world, OPEN_WITHIN_MS)).leader).toBe(leader)
    if (daemon.process.alive) await daemon.kill()
    await twin.kill()
    world.launch()
    expect((await settle(world)).leader).toBe(leader)
  })

  test('finds PostgreSQL away while the fence is up: it stays, is explained, and ends by itself', {
    timeout: 120_000,
  }, async () => {
    const { changed } = await standStillAt('switchover.fence_committed')
    await world.server.crash()
    world.daemon.thaw()
    const explained = async (daemon: Daemon, words: RegExp): Promise<void> => {
      let last: Held | undefined
      await until(
        async () => {
          last = await daemon.get<Held>('/status')
          const fence = last?.fences.find(({ engine }) => engine === 'sqlite')
          const why = JSON.stringify([fence?.reasons, last?.waits, last?.last_error, last?.reasons])
          return fence?.closed === true && fence.reasons.length > 0 && words.test(why)
        },
        { ms: 20_000, describe: () => `nothing is said: ${JSON.stringify(last)}\n${daemon.process.tail()}` },
      )
    }
    await explained(world.daemon, /not decided yet.*PostgreSQL/)
    await sleep(2_000)
    expect((await world.prober.ask()).sqlite).toBe('closed')

    // It is killed meanwhile, and the next one starts without PostgreSQL.
    await world.daemon.kill()
    await changed
    const next = world.launch()
    await explained(next, /cannot be reached/)
    // Longer than a first start waits for a server.
    await sleep(6_000)
    expect(next.process.alive, next.process.tail()).toBe(true)
    expect((await world.prober.ask()).sqlite).toBe('closed')

    await world.server.start()
    const { leader } = await oneOpen(world, OPEN_WITHIN_MS)
    expect(leader).toBe('sqlite')
    expect(world.daemon).toBe(next)
  })

  test.each(TERMS)(
    'is asked to end at %s: one side is open when it has ended',
    { timeout: 90_000 },
    async (point) => {
      const { daemon, changed } = await standStillAt(point)
      const ended = daemon.stop()
      daemon.thaw()
      expect(await ended).toMatchObject({ code: 0, signal: null })
      const { status } = await changed
      const { sqlite, postgres } = await open(world)
      const leader = sqlite === 'open' ? 'sqlite' : 'postgres'
      expect([sqlite, postgres]).toContain('open')
      expect([sqlite, postgres]).toContain('closed')
      const before = leaderBefore(passageOf(point))
      // The signal is heard when it wakes up, or a moment later, when the decision has been sent.
      if (isDecided(point) || status === 200) expect(leader).toBe(other(before))
      if (status === 504) expect(leader).toBe(before)
      world.launch()
      expect((await settle(world)).leader).toBe(leader)
    },
  )

  test('nothing was lost, doubled, or written by two', { timeout: 90_000 }, async () => {
    await expectNothingLost(world)
  })
})

/** Nobody is there any more who would open anything; a writer may be in the way for a moment. */
async function open(world: World) {
  return await until(
    async () => {
      const seen = await world.prober.ask()
      return seen.sqlite === 'busy' || seen.postgres === 'busy' ? undefined : seen
    },
    { ms: 5_000, describe: () => 'both sides stay busy' },
  )
}

let twins = 0
function twinDirectory(workspace: Workspace): string {
  const path = workspace.file(`twin-${++twins}`)
  mkdirSync(path)
  return path
}
