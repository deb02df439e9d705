/**
 * The daemon is killed, stopped for a while, and bereft of PostgreSQL (`-m immediate`) at the named points of a
 * switchover and of a rollback, under load: afterwards exactly one side takes writes within 10 s of both being up,
 * and nothing is lost. A part of it in the suite; `SLIPWAY_TEST_FULL=1` takes every fault at every point, and
 * `SLIPWAY_CRASH_TABLE=FILE` writes what was seen as Markdown (docs/crash-points.md).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Engine } from '../faults/history.ts'
import { ask, atRest, type Passage, possible, told } from '../faults/passage.ts'
import { crashPoints, isOfUndo } from '../faults/points.ts'
import { isStopped } from '../faults/server.ts'
import { OPEN_WITHIN_MS, settle } from '../faults/settle.ts'
import { restart } from '../faults/strokes.ts'
import { bring, expectNothingLost, leaderBefore, other, PATIENT } from '../faults/struck.ts'
import { World } from '../faults/world.ts'
import { until, Workspace } from '../support/daemon.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
const TABLE = process.env.SLIPWAY_CRASH_TABLE
const FREEZE_MS = FULL ? 10_000 : 2500

const FAULTS = ['kill -9', 'SIGSTOP', 'PostgreSQL -m immediate'] as const
type Fault = (typeof FAULTS)[number]

const POINTS: Readonly<Record<Passage, readonly string[]>> = {
  switchover: await crashPoints('switchover'),
  rollback: await crashPoints('rollback'),
}

/** Those that the suite looks at each time. */
const PART: readonly (readonly [point: string, fault: Fault])[] = [
  ['switchover.after_begin', 'kill -9'],
  ['switchover.after_fence', 'kill -9'],
  ['switchover.after_fence', 'PostgreSQL -m immediate'],
  ['switchover.after_undo', 'kill -9'],
  ['switchover.after_decide', 'kill -9'],
  ['rollback.after_hold', 'SIGSTOP'],
  ['rollback.after_fence', 'kill -9'],
  ['rollback.after_decide', 'PostgreSQL -m immediate'],
]

const CASES = FULL
  ? [...POINTS.switchover, ...POINTS.rollback].flatMap((point) =>
      FAULTS.map((fault) => [point, fault] as const),
    )
  : PART

interface Seen {
  readonly point: string
  readonly fault: Fault
  readonly outcome: string
  readonly open: Engine
  readonly ms: number
}

/** Who has to lead after a `kill -9` there; undefined: both ends are right. */
function leaderAfterKill(passage: Passage, point: string): Engine | undefined {
  if (/decide_sent/.test(point)) return undefined
  const decided = /after_decide|settle/.test(point)
  return decided ? other(leaderBefore(passage)) : leaderBefore(passage)
}

describe('a change of authority that is struck', () => {
  const workspace = new Workspace()
  const seen: Seen[] = []
  let world: World
  let unended = false

  beforeAll(async () => {
    world = await World.create({
      directory: workspace.path,
      seed: 17,
      writers: 3,
      rate: 60,
      say: () => undefined,
    })
    await world.startWriters()
  })
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
    workspace[Symbol.dispose]()
    if (TABLE !== undefined) writeTable(TABLE, seen)
  })

  test('at points that exist', () => {
    expect(POINTS.switchover.length).toBeGreaterThan(10)
    expect(POINTS.rollback.length).toBeGreaterThan(10)
    for (const [point] of PART) expect([...POINTS.switchover, ...POINTS.rollback]).toContain(point)
  })

  test.for(CASES)('%s: %s', { timeout: 120_000 }, async ([point, fault]) => {
    const passage: Passage = point.startsWith('switchover.') ? 'switchover' : 'rollback'
    // A daemon that still knows a point which was not met would meet it now.
    if (unended) await restart(world, '')
    unended = true
    await bring(world, passage)
    // What takes a change back is only met where it fails.
    const failing = isOfUndo(point) ? `${passage}.before_decide:fail,` : ''
    await restart(world, `${failing}${point}:${fault === 'kill -9' ? 'kill' : 'stop'}`)
    expect(await possible(world)).toBe(passage)
    const { daemon } = world
    const changed = ask(daemon, passage, PATIENT)
    const ended = changed.then(() => true)
    const met = await until(
      async () => {
        if (!daemon.process.alive || (await isStopped(daemon.process.pid))) return 'met' as const
        if (!(await Promise.race([ended, sleep(5, false)]))) return undefined
        // Its end is seen by its client before it is seen by its parent.
        if ((await changed).status === undefined) await sleep(500)
        return daemon.process.alive ? ('passed' as const) : ('met' as const)
      },
      { ms: 40_000, every: 1, describe: () => `${point} is not met\n${daemon.process.tail()}` },
    )
    expect(met, `${told(await Promise.race([changed, sleep(1, NO_ANSWER)]))}\n${daemon.process.tail()}`).toBe(
      'met',
    )
    if (fault === 'SIGSTOP') await sleep(FREEZE_MS)
    if (fault === 'PostgreSQL -m immediate') {
      await world.server.crash()
      daemon.thaw()
      await sleep(500)
      await world.server.start()
    }
    daemon.thaw()
    // Both are put up, and one side has to be open within the contract's time.
    const settled = await settle(world)
    expect(settled.ms).toBeLessThanOrEqual(OPEN_WITHIN_MS)
    const result = await changed
    await atRest(world)
    // A change that goes on after the fault ends in its own time; then the leader is what counts.
    const { leader } = await settle(world)
    const outcome = leader === leaderBefore(passage) ? 'undone' : 'done'
    if (result.status === 200) expect(outcome).toBe('done')
    if (result.status === 504) expect(outcome).toBe('undone')
    if (fault === 'kill -9') {
      const expected = leaderAfterKill(passage, point)
      if (expected !== undefined) expect(leader, daemon.process.tail()).toBe(expected)
    }
    unended = false
    seen.push({ point, fault, outcome, open: leader, ms: Math.round(settled.ms) })
  })

  test('nothing was lost, doubled, or written by two', { timeout: 120_000 }, async () => {
    await expectNothingLost(world)
  })
})

const NO_ANSWER = { passage: 'switchover', status: undefined, body: {}, ms: 0 } as const

/** A run of a part of the points replaces their rows, and lets the others stand. */
function writeTable(path: string, seen: readonly Seen[]): void {
  const rows = new Map<string, string>()
  for (const line of existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []) {
    const [, point, fault] = /^\| `(.+?)` \| (.+?) \|/.exec(line) ?? []
    if (point !== undefined) rows.set(`${point} ${fault}`, line)
  }
  for (const { point, fault, outcome, open, ms } of seen) {
    const engine = open === 'sqlite' ? 'SQLite' : 'PostgreSQL'
    rows.set(`${point} ${fault}`, `| \`${point}\` | ${fault} | ${outcome} | ${engine} | ${ms} |`)
  }
  const order = [...POINTS.switchover, ...POINTS.rollback].flatMap((point) =>
    FAULTS.map((fault) => `${point} ${fault}`),
  )
  writeFileSync(path, asMarkdown(order.flatMap((key) => rows.get(key) ?? [])))
}

function asMarkdown(rows: readonly string[]): string {
  return [
    '# What a crash leaves',
    '',
    'At each named point of a change of authority the daemon is killed, stopped for 10 s, or bereft of PostgreSQL',
    '(`-m immediate`, started again half a second later), under load. The point is where the process stood; `done` and',
    '`undone` are what became of the change; the milliseconds are those from both being up until one side, and only one,',
    'took a write. In the end every acknowledged write is there exactly once, in order, and both engines are equal.',
    '',
    'Made by `SLIPWAY_TEST_FULL=1 SLIPWAY_CRASH_TABLE=docs/crash-points.md npx vitest run test/crash/switchover-points.test.ts`;',
    'with `-t` and a point, its rows alone are made anew.',
    '',
    '| point | fault | change | open | ms |',
    '| --- | --- | --- | --- | ---: |',
    ...rows,
    '',
  ].join('\n')
}
