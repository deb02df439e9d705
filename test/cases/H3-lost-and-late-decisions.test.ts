import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask, atRest, type Passage, told } from '../faults/passage.ts'
import { OPEN_WITHIN_MS, oneOpen, settle } from '../faults/settle.ts'
import { restart } from '../faults/strokes.ts'
import { bring, expectNothingLost, leaderBefore, other, PATIENT, stopped, Watch } from '../faults/struck.ts'
import { World } from '../faults/world.ts'
import { until, Workspace } from '../support/daemon.ts'

// The whole daemon, under load, with a network that loses the answer to the decision's COMMIT, delivers it late, or a
// server process that is stopped with it: reading the row decides nothing, the undo's compare-and-set does.

/** The transaction of a decision, and not that of its undo. */
const DECISION = /epoch = epoch \+ 1/
const PASSAGES: readonly Passage[] = ['switchover', 'rollback']

describe('a decision', () => {
  const workspace = new Workspace()
  let world: World

  beforeAll(async () => {
    world = await World.create({
      directory: workspace.path,
      seed: 3,
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

  test.each(PASSAGES)('of a %s whose answer is lost was made', { timeout: 90_000 }, async (passage) => {
    await bring(world, passage)
    const struck = world.toDaemon.struck
    world.toDaemon.arm('answer_lost', { times: 1, match: DECISION })
    const result = await ask(world.daemon, passage, PATIENT)
    expect(world.toDaemon.struck).toBe(struck + 1)
    expect(result.status, told(result)).toBe(200)
    expect((await settle(world)).leader).toBe(other(leaderBefore(passage)))
  })

  test.each(PASSAGES)(
    'of a %s that lands after its undo changes nothing',
    { timeout: 90_000 },
    async (passage) => {
      await bring(world, passage)
      const struck = world.toDaemon.struck
      world.toDaemon.arm('late', { times: 1, holdMs: 3_000, match: DECISION })
      const result = await ask(world.daemon, passage, PATIENT)
      expect(world.toDaemon.struck).toBe(struck + 1)
      expect(result.status, told(result)).toBe(504)
      expect((await settle(world)).leader).toBe(leaderBefore(passage))
      // It arrives now.
      await sleep(3_500)
      expect((await settle(world)).leader).toBe(leaderBefore(passage))
    },
  )

  test.each(PASSAGES)(
    'of a %s in a server process that is stopped: both sides stay closed, and it is said why',
    { timeout: 90_000 },
    async (passage) => {
      await bring(world, passage)
      await restart(world, `${passage}.decide_proposed:stop`)
      await bring(world, passage)
      const watch = new Watch(world)
      const changed = ask(world.daemon, passage, PATIENT)
      await stopped(world)
      const { rows } = await world.server.query(
        `SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'slipway % decision'`,
      )
      expect(rows).toHaveLength(1)
      process.kill(rows[0].pid, 'SIGSTOP')
      try {
        world.daemon.thaw()
        const told = await until(
          async () => {
            const status = await world.daemon.status()
            return status?.waits.some(({ what }) => /PostgreSQL/.test(what)) ? status : undefined
          },
          { ms: 20_000, describe: () => `nothing is said\n${world.daemon.process.tail()}` },
        )
        expect(told.fences.find(({ engine }) => engine === 'sqlite')).toMatchObject({ closed: true })
        if (passage === 'switchover') {
          expect(told.fences[0]?.reasons.join()).toMatch(/not decided yet.*PostgreSQL/)
        }
        // Nothing opens by waiting.
        await sleep(3_000)
        const { sqlite, postgres } = await world.prober.ask()
        expect([sqlite, postgres]).not.toContain('open')
      } finally {
        process.kill(rows[0].pid, 'SIGCONT')
      }
      const { leader, ms } = await oneOpen(world, OPEN_WITHIN_MS)
      expect(ms).toBeLessThanOrEqual(OPEN_WITHIN_MS)
      const result = await changed
      await atRest(world)
      // Whichever came first is right, and the answer tells which.
      expect(leader, told(result)).toBe(
        result.status === 200 ? other(leaderBefore(passage)) : leaderBefore(passage),
      )
      await watch.end()
      expect(watch.asked).toBeGreaterThan(5)
      expect(watch.twoWriters).toBe(0)
    },
  )

  test('nothing was lost', { timeout: 90_000 }, async () => {
    await expectNothingLost(world)
  })
})
