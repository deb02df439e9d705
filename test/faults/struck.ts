/** What tests share that strike one change of authority on purpose, in a world with writers. */
import { expect } from 'vitest'
import { compare, show } from '../support/compare.ts'
import { until } from '../support/daemon.ts'
import type { Engine } from './history.ts'
import { ask, caughtUp, type Passage, possible, told } from './passage.ts'
import { Prober } from './probe.ts'
import { prove } from './prove.ts'
import { flat, readHistory, untouched } from './read-history.ts'
import { TOTAL_BALANCE } from './schema.ts'
import { isStopped } from './server.ts'
import { settle } from './settle.ts'
import type { World } from './world.ts'

export const other = (engine: Engine): Engine => (engine === 'sqlite' ? 'postgres' : 'sqlite')
export const leaderBefore = (passage: Passage): Engine => (passage === 'switchover' ? 'sqlite' : 'postgres')

/** Without guards that take long, and with a pause that a busy machine keeps: what is looked at here is not its length. */
export const PATIENT = { wait_seconds: 20, verify: 'none', max_pause_ms: 4_000 } as const

/** The side leads from which this change starts. */
export async function bring(world: World, passage: Passage): Promise<void> {
  await settle(world)
  const now = await possible(world)
  if (now === passage) return
  expect(now, `no change is possible\n${world.daemon.process.tail()}`).toBeDefined()
  // After a daemon that stood still the lag is still above what its guard allows.
  const result = await until(
    async () => {
      const asked = await ask(world.daemon, now!, PATIENT)
      return asked.status === 412 ? undefined : asked
    },
    { ms: 30_000, every: 500, describe: () => `${now} is refused\n${world.daemon.process.tail()}` },
  )
  expect(result.status, told(result)).toBe(200)
  expect(await possible(world)).toBe(passage)
}

/** Resolves once the daemon has stopped itself at its point. */
export async function stopped(world: World): Promise<void> {
  const { process } = world.daemon
  await until(() => isStopped(process.pid), {
    ms: 40_000,
    every: 2,
    describe: () => `the point is not met\n${process.tail()}`,
  })
}

/** Writers stop, both engines come to rest: every acknowledged write is there exactly once, and both are equal. */
export async function expectNothingLost(world: World): Promise<void> {
  const { leader } = await settle(world)
  const reports = await world.writers.stop()
  await caughtUp(world)
  const place = { sqlitePath: world.sqlitePath, postgresUrl: world.server.url }
  const history = await readHistory(leader, place, {
    acknowledged: flat(world.writers.acknowledged()),
    doubtful: reports.flatMap((one) => one.doubtful),
  })
  expect(prove(history, { balance: TOTAL_BALANCE }).problems).toEqual([])
  expect(history.acknowledged.length).toBeGreaterThan(100)
  expect(reports.flatMap((one) => one.wrong)).toEqual([])
  const compared = await compare(place)
  expect(compared.equal, show(compared)).toBe(true)
  expect(untouched(world.sqlitePath)).toEqual(world.cells)
  expect(world.copiesAnew()).toBe(0)
}

/** Asks both engines again and again, beside whatever goes on. */
export class Watch {
  readonly #prober: Prober
  readonly #over: Promise<void>
  #ended = false
  /** How often both took a write at the same moment. */
  twoWriters = 0
  asked = 0

  constructor(world: World) {
    this.#prober = new Prober(world.sqlitePath, world.server.url)
    this.#over = this.#run()
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      const { sqlite, postgres } = await this.#prober.ask()
      this.asked += 1
      if (sqlite === 'open' && postgres === 'open') this.twoWriters += 1
    }
    await this.#prober[Symbol.asyncDispose]()
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#over
  }
}
