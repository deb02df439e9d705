/** The faults themselves. Each ends by itself what it began, or leaves it to `settle`. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Daemon, until } from '../support/daemon.ts'
import { now } from './clock.ts'
import type { Passage } from './passage.ts'
import { crashPoints, isOfUndo } from './points.ts'
import type { Stroke } from './schedule.ts'
import { isStopped } from './server.ts'
import { SqliteHand } from './sqlite-hand.ts'
import type { World } from './world.ts'

/** What the transaction of a decision, or of its undo, says and no other does. */
const DECISION = /epoch = epoch \+ 1|setval\(\s*'slipway\.gate_/i

/** Windows in which a writer may meet its busy timeout of 5 s: whoever holds SQLite's lock cannot be hurried. */
export const BUSY_EXCUSES = ['freeze', 'hold_sqlite', 'fill', 'point', 'twin']
export const FULL_EXCUSES = ['fill']

/** What has to be done before the change of authority is asked for; tells what to wait for instead of an offset. */
export async function prepare(world: World, stroke: Stroke, passage: Passage): Promise<Ready> {
  switch (stroke.kind) {
    case 'commit': {
      const proxy = stroke.who === 'daemon' ? world.toDaemon : world.toWriters
      if (stroke.decision) {
        proxy.arm(stroke.strike, { times: stroke.times, holdMs: stroke.holdMs, match: DECISION })
      }
      return READY
    }
    case 'point':
    case 'point_and_postgres': {
      const points = await crashPoints(passage)
      const point = points[Math.floor(stroke.at * points.length)]
      if (point === undefined) return { skipped: 'the daemon has no named points' }
      const action = stroke.kind === 'point' ? stroke.action : 'stop'
      await restart(world, `${point}:${action}`)
      return { point, ...(isOfUndo(point) ? { maxPauseMs: 1 } : {}) }
    }
    case 'fill':
      return world.disks[stroke.disk] === undefined ? { skipped: 'no small disk' } : READY
    case 'twin': {
      const directory = mkdtempSync(join(world.directory, 'twin-'))
      const slipway = await world.slipway.twin(directory)
      const twin = await slipway.start()
      return { twin }
    }
    default:
      return READY
  }
}

export interface Ready {
  readonly skipped?: string
  /** The daemon will stop or die here. */
  readonly point?: string
  /** The change has to fail, so that what takes it back is met. */
  readonly maxPauseMs?: number
  readonly twin?: Daemon
}
const READY: Ready = {}

/** A daemon that knows a point, replicating as the one before it. */
export async function restart(world: World, crashAt?: string): Promise<void> {
  await world.daemon.kill()
  await world.launch(crashAt === undefined ? {} : { SLIPWAY_CRASH_AT: crashAt }).answering()
}

/** Resolves when the stroke is over. `ended`: the change of authority has been answered. */
export async function strike(
  world: World,
  stroke: Stroke,
  ready: Ready,
  offsetMs: number,
  ended: Promise<unknown>,
): Promise<void> {
  const { daemon, server } = world
  if (stroke.kind === 'point' || stroke.kind === 'point_and_postgres') {
    await atPoint(world, stroke, ready, ended)
    return
  }
  if (stroke.kind === 'commit') {
    const proxy = stroke.who === 'daemon' ? world.toDaemon : world.toWriters
    if (!stroke.decision) {
      await sleep(offsetMs)
      proxy.arm(stroke.strike, { times: stroke.times, holdMs: stroke.holdMs })
    }
    const struck = proxy.struck
    await Promise.race([ended, sleep(stroke.holdMs + 5000)])
    // What is held back is to land while everything goes on.
    await sleep(stroke.strike === 'late' && proxy.struck > struck ? stroke.holdMs : 200)
    return
  }
  await sleep(offsetMs)
  switch (stroke.kind) {
    case 'none':
      return
    case 'kill':
      await daemon.kill()
      return
    case 'freeze': {
      const over = world.disturb('freeze')
      daemon.freeze()
      await sleep(stroke.ms)
      daemon.thaw()
      over()
      return
    }
    case 'postgres_crash':
      await server.crash()
      await sleep(stroke.downMs)
      await server.start()
      return
    case 'postgres_freeze':
      await server.freeze()
      await sleep(stroke.ms)
      server.thaw()
      return
    case 'cut':
      for (let time = 0; time < stroke.times; time++) {
        proxyOf(world, stroke.who).cut()
        await sleep(60)
      }
      return
    case 'delay':
      proxyOf(world, stroke.who).delay(stroke.byMs)
      await sleep(stroke.ms)
      proxyOf(world, stroke.who).heal()
      return
    case 'blackhole':
      proxyOf(world, stroke.who).blackhole()
      await sleep(stroke.ms)
      proxyOf(world, stroke.who).heal()
      return
    case 'twin':
      await replaceByTwin(world, stroke.action, ready.twin!)
      return
    case 'fill': {
      const disk = world.disks[stroke.disk]!
      const over = world.disturb('fill')
      await disk.fill()
      await sleep(stroke.ms)
      disk.empty()
      over()
      return
    }
    case 'vacuum':
      await server.query('VACUUM (ANALYZE)', 30_000)
      return
    case 'reader':
      await inTransaction(world, 'SELECT count(*) FROM ledger, tallies', stroke.ms)
      return
    case 'lock':
      await inTransaction(world, 'LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE', stroke.ms)
      return
    case 'hold_sqlite': {
      const over = world.disturb('hold_sqlite')
      const hand = new SqliteHand(world.sqlitePath)
      const statement = { sql: `INSERT INTO probes (note) VALUES ('held')`, parameters: [] }
      await hand.ask({ statements: [statement], hold: stroke.ms / 1000, end: 'rollback' })
      await hand.close()
      over()
      return
    }
  }
}

const proxyOf = (world: World, who: 'daemon' | 'writers') =>
  who === 'daemon' ? world.toDaemon : world.toWriters

async function inTransaction(world: World, sql: string, ms: number): Promise<void> {
  const client = await world.server.connect()
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await client.query(sql)
    await sleep(ms)
    await client.query('ROLLBACK')
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Waits until the daemon is at its point, and does there what is to be done. */
async function atPoint(
  world: World,
  stroke: Extract<Stroke, { kind: 'point' | 'point_and_postgres' }>,
  ready: Ready,
  ended: Promise<unknown>,
): Promise<void> {
  const over = world.disturb('point')
  const { daemon } = world
  const answered = ended.then(() => true)
  const deadline = now() + 30_000
  while (now() < deadline) {
    if (!daemon.process.alive) break
    if (await isStopped(daemon.process.pid)) break
    // Not every change comes to every point.
    if (await Promise.race([answered, sleep(10, false)])) {
      // A daemon that is killed at its point answers nothing, and is seen dead a moment later.
      await sleep(50)
      if (!daemon.process.alive) break
      world.say(`${ready.point} was not met`)
      // It would still be waited for in a later round, in which nobody looks for it.
      await restart(world)
      over()
      return
    }
  }
  world.say(`at ${ready.point}`)
  if (stroke.kind === 'point') {
    await sleep(stroke.action === 'stop' ? stroke.ms : 0)
  } else {
    await world.server.crash()
    await daemon.kill()
    await sleep(stroke.downMs)
    await world.server.start()
  }
  if (daemon.process.alive) daemon.thaw()
  over()
}

interface Held {
  readonly holder?: { readonly mine: boolean }
}

/** A standby takes over from a holder that dies or hangs; then there is only one again, and it is the standby. */
async function replaceByTwin(world: World, action: 'kill' | 'freeze', twin: Daemon): Promise<void> {
  const old = world.daemon
  const over = world.disturb('twin')
  if (action === 'kill') await old.kill()
  else old.freeze()
  world.adopt(twin)
  await until(async () => (await twin.get<Held>('/status'))?.holder?.mine === true, {
    ms: 40_000,
    describe: () => `the standby does not take over\n${twin.process.tail()}`,
  })
  if (action === 'freeze') {
    old.thaw()
    // It wakes in the middle of whatever it did, and must not do it any more.
    await sleep(1500)
    if (old.process.alive) await old.kill()
  }
  over()
}
