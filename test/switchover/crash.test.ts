import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { STEPS } from '../../src/core/switching.ts'
import { ALL_POINTS, INNER_POINTS, parseCrashPoints, STEP_POINTS } from '../../src/switchover/crash.ts'

const CRASH = pathToFileURL(join(import.meta.dirname, '../../src/switchover/crash.ts')).href

/** A process that passes two points, each twice, and says so. */
const PROGRAM = `
import { crashPoint } from ${JSON.stringify(CRASH)}
for (const point of ['switchover.before_fence', 'switchover.after_fence', 'switchover.after_fence']) {
  try {
    await crashPoint(point)
    console.log('passed', point)
  } catch (error) {
    console.log(error.code, point)
  }
}`

function start(at: string | undefined) {
  const { SLIPWAY_CRASH_AT: _, ...env } = process.env
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    env: at === undefined ? env : { ...env, SLIPWAY_CRASH_AT: at },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  const ended = once(child, 'close').then(([code, signal]) => ({
    code,
    signal,
    lines: out.split('\n').slice(0, -1),
  }))
  return { child, ended }
}

const processState = (pid: number): string =>
  execFileSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' }).trim()

const PASSED = [
  'passed switchover.before_fence',
  'passed switchover.after_fence',
  'passed switchover.after_fence',
]

describe('the points', () => {
  test('are two for each step of each passage, and those inside of steps', () => {
    expect(STEP_POINTS).toHaveLength(2 * 2 * STEPS.length)
    expect(new Set(ALL_POINTS).size).toBe(STEP_POINTS.length + INNER_POINTS.length)
    expect(STEP_POINTS).toEqual(expect.arrayContaining(['switchover.after_fence', 'rollback.before_decide']))
    for (const point of ALL_POINTS) expect(point).toMatch(/^(switchover|rollback)\.[a-z_]+$/)
  })

  test('are nothing without the variable', async () => {
    expect(await start(undefined).ended).toEqual({ code: 0, signal: null, lines: PASSED })
    expect(await start('').ended).toEqual({ code: 0, signal: null, lines: PASSED })
  })

  test('kill', async () => {
    const { signal, lines } = await start('switchover.after_fence').ended
    expect(signal).toBe('SIGKILL')
    expect(lines).toEqual(PASSED.slice(0, 1))
  })

  test('stop, until somebody continues the process; once', async () => {
    const { child, ended } = start('switchover.after_fence:stop')
    // T: stopped by a signal.
    while (!processState(child.pid!).startsWith('T')) await sleep(10)
    child.kill('SIGCONT')
    const { code, lines } = await ended
    expect(code).toBe(0)
    expect(lines).toEqual(PASSED)
  })

  test('make a step fail, or slow; once', async () => {
    const { code, lines } = await start('switchover.before_fence:delay=5, switchover.after_fence:fail').ended
    expect(code).toBe(0)
    expect(lines).toEqual([PASSED[0], 'crash_point switchover.after_fence', PASSED[2]])
  })

  test.each(['switchover.after_lunch', 'switchover.after_fence:explode', 'switchover.after_fence:delay=x'])(
    '%s is refused: a test that crashes nowhere proves nothing',
    (text) => {
      expect(() => parseCrashPoints(text)).toThrow(/SLIPWAY_CRASH_AT/)
    },
  )
})

test('each point stands in the table of what was seen, with every fault', () => {
  const table = readFileSync(new URL('../../docs/crash-points.md', import.meta.url), 'utf8')
  const seen = new Set(table.split('\n').map((line) => line.split('|').slice(1, 3).join('|').trim()))
  const expected = ALL_POINTS.flatMap((point) =>
    ['kill -9', 'SIGSTOP', 'PostgreSQL -m immediate'].map((fault) => `\`${point}\` | ${fault}`),
  )
  expect(expected.filter((row) => !seen.has(row))).toEqual([])
})
