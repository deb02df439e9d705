/** After a fault: everything is put up again, and then one side, and only one, takes writes. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/daemon.ts'
import { now } from './clock.ts'
import type { Engine } from './history.ts'
import type { Probed } from './probe.ts'
import type { World } from './world.ts'

/** The contract: exactly one side is writable so long after both are up. */
export const OPEN_WITHIN_MS = 10_000
/** A writer may still be waiting for an answer that its own driver gives up on. */
const PROGRESS_MS = 30_000

export interface Settled {
  readonly leader: Engine
  /** From both being up until one side was open. */
  readonly ms: number
}

/** Both engines took a write at the same moment, or neither did in time. */
export class Unsettled extends Error {}

export async function settle(world: World): Promise<Settled> {
  await putUp(world)
  const settled = await oneOpen(world, OPEN_WITHIN_MS)
  if (world.writing) await progress(world)
  return settled
}

/** Faults end; PostgreSQL and the daemon answer. */
export async function putUp(world: World): Promise<void> {
  world.toDaemon.heal()
  world.toWriters.heal()
  world.disks.state?.empty()
  world.disks.source?.empty()
  world.server.thaw()
  if (!world.server.running) await world.server.start()
  world.daemon.thaw()
  if (!world.daemon.process.alive) world.launch()
  await until(() => world.server.query('SELECT 1', 2000).then(Boolean, () => false), {
    ms: 30_000,
    describe: () => 'PostgreSQL does not come up again',
  })
  await until(
    async () => {
      // As an init system: what ends by itself is started again.
      if (!world.daemon.process.alive) {
        world.say(`the daemon has ended with ${world.daemon.process.child.exitCode}; started again`)
        world.launch()
        await sleep(300)
      }
      return (await world.daemon.lag()) !== undefined
    },
    { ms: 30_000, every: 100, describe: () => `the daemon does not answer\n${world.daemon.process.tail()}` },
  )
}

/** Waits until exactly one side takes a write. */
export async function oneOpen(world: World, ms: number): Promise<Settled> {
  const began = now()
  let last: Probed | undefined
  for (;;) {
    last = await world.prober.ask()
    if (last.sqlite === 'open' && last.postgres === 'open') {
      throw new Unsettled('two writers: SQLite and PostgreSQL take a write at the same moment')
    }
    if (last.sqlite === 'open' || last.postgres === 'open') {
      return { leader: last.sqlite === 'open' ? 'sqlite' : 'postgres', ms: now() - began }
    }
    if (now() - began > ms) {
      const status = await world.daemon.get('/status')
      throw new Unsettled(
        `${ms / 1000} s after both are up no side takes writes: ${JSON.stringify(last)}\n${JSON.stringify(status)}\n${world.daemon.process.tail()}`,
      )
    }
    await sleep(50)
  }
}

/** Every writer gets on. */
async function progress(world: World): Promise<void> {
  const size = (index: number): number =>
    statSync(join(world.directory, 'acknowledged', `acknowledged-${index + 1}.jsonl`)).size
  const before = Array.from({ length: world.writers.count }, (_, index) => size(index))
  await until(() => before.every((bytes, index) => size(index) > bytes), {
    ms: PROGRESS_MS,
    describe: () =>
      `writers ${before.flatMap((bytes, index) => (size(index) > bytes ? [] : [index + 1])).join(', ')} do not get on`,
  })
}
