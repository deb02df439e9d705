/** A short run of the checker, as `npm run check:faults` makes long ones; and a few cycles with nothing broken. */
import { expect, test } from 'vitest'
import { Process, REPOSITORY, Workspace } from '../support/daemon.ts'
import { cycle } from './cycles.ts'
import { describeRound, roundOf } from './schedule.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'
const SECONDS = FULL ? 120 : 25

test('the same seed gives the same schedule, another one another', () => {
  const schedule = (seed: number): string[] =>
    Array.from({ length: 50 }, (_, index) => describeRound(roundOf(seed, index + 1)))
  expect(schedule(7)).toEqual(schedule(7))
  expect(schedule(7)).not.toEqual(schedule(8))
  // A round by itself is the one that it was in its run.
  expect(describeRound(roundOf(7, 31))).toBe(schedule(7)[30])
  const kinds = new Set(Array.from({ length: 400 }, (_, index) => roundOf(1, index + 1).stroke.kind))
  expect(kinds.size).toBe(17)
})

test(`${SECONDS} s of faults by a fixed seed`, { timeout: (SECONDS + 150) * 1000 }, async () => {
  const args = ['test/faults/run.ts', '--seconds', `${SECONDS}`, '--seed', '4', '--rate', '120']
  const run = new Process(process.execPath, args, { cwd: REPOSITORY, env: { ...process.env } })
  // Asked to end, it leaves nothing behind; killed, it would.
  const late = setTimeout(() => run.signal('SIGTERM'), (SECONDS + 110) * 1000)
  const { code, stdout, stderr } = await run.end((SECONDS + 130) * 1000)
  clearTimeout(late)
  expect(code, `${stdout.slice(-6000)}\n${stderr.slice(-2000)}`).toBe(0)
  const summary = stdout.trimEnd().split('\n').at(-1) ?? ''
  expect(summary).toMatch(/^check:faults seed=4: OK; /)
  // It did come to changes, in both directions.
  expect(Number(/(\d+) switchovers/.exec(summary)?.[1])).toBeGreaterThan(0)
  expect(Number(/(\d+) rollbacks/.exec(summary)?.[1])).toBeGreaterThan(0)
})

test('cycles of switchover and rollback under load: nothing lost, and no error but the fence', {
  timeout: 240_000,
}, async () => {
  using workspace = new Workspace()
  const cycles = FULL ? 50 : 2
  const lines: string[] = []
  const result = await cycle({
    cycles,
    seed: 2,
    rate: FULL ? 200 : 120,
    writers: FULL ? 9 : 6,
    loadMs: 300,
    directory: workspace.path,
    say: (line) => lines.push(line),
  })
  expect(result.problems, lines.join('\n')).toEqual([])
  expect(result.pauses.switchover).toHaveLength(cycles)
  expect(result.pauses.rollback).toHaveLength(cycles)
  expect(result.onPostgres).toBeGreaterThan(0)
})
