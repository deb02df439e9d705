import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { NO_VERIFICATION } from '../../src/core/operator.ts'
import { createMetrics } from '../../src/metrics.ts'
import {
  ASIDE,
  DIFFERENT,
  EQUAL,
  FakeOperator,
  NOTHING_ASIDE,
  RUNNING,
  STATUS,
} from '../api/fake-operator.ts'
import { run, start } from './run.ts'

const TOKEN = 'test-token-1'
const operator = new FakeOperator()
let api: Api

beforeAll(async () => {
  api = createApi({
    operator,
    registry: createMetrics().registry,
    token: TOKEN,
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: () => {} },
    scrub: (text) => text,
  })
  await api.start()
})
afterAll(() => api.stop())
beforeEach(() => {
  operator.now = { ...STATUS }
  operator.verifying = NO_VERIFICATION
  operator.looks = []
  operator.requests.splice(0)
  operator.aside = NOTHING_ASIDE
  operator.afterRetry = NOTHING_ASIDE
})

const env = () => ({ CONTROL_URL: api.url!, CONTROL_TOKEN: TOKEN })
const ask = (...args: string[]) => run(args, env())

describe('verify', () => {
  test('starts a run, waits for it, and tells that all is equal', async () => {
    operator.looks = [{ ...RUNNING, rows_compared: 9_000 }, EQUAL]
    const { code, stdout } = await ask('verify')
    expect(code).toBe(0)
    expect(operator.requests).toEqual([{ repair: false }])
    expect(stdout).toMatch(/^articles +12,345 +0 +0 +0 +0 +0 +equal$/m)
    expect(stdout).toMatch(/^Equal; 12,345 rows of 1 table compared in 4 s\.\nNext: slipway status$/m)
  })

  test('rows that differ: each kind, where and how; exit 1', async () => {
    operator.looks = [DIFFERENT]
    const { code, stdout } = await ask('verify', '--table', 'articles', '--table', 'dlq')
    expect(code).toBe(1)
    expect(operator.requests).toEqual([{ tables: ['articles', 'dlq'], repair: false }])
    expect(stdout).toMatch(/^articles +12,345 +1 +1 +1 +0 +0 +differs$/m)
    expect(stdout).toContain('  articles id=7\n    title: "a\\u{1b}[2Jb" | "ab"\n    body: NULL | ""\n')
    expect(stdout).toContain('  articles id=8 is missing in the target\n')
    expect(stdout).toContain('  articles id=9 is in the target only\n')
    expect(stdout).toMatch(/^3 rows differ; 12,345 rows of 1 table compared in 4 s\.$/m)
    expect(stdout).toContain('Next: slipway verify --repair --table articles --table dlq\n')
  })

  test('what was repaired is no difference any more, what was not is one', async () => {
    operator.looks = [{ ...DIFFERENT, repair: true, repaired: 3 }]
    const all = await ask('verify', '--repair')
    expect(all.code).toBe(0)
    expect(operator.requests).toEqual([{ repair: true }])
    expect(all.stdout).toMatch(/^3 rows differed and are repaired; .*\nNext: slipway verify$/m)
    operator.looks = [{ ...DIFFERENT, repair: true, repaired: 1 }]
    operator.verifying = NO_VERIFICATION
    const some = await ask('verify', '--repair')
    expect(some.code).toBe(1)
    expect(some.stdout).toContain('2 of 3 rows still differ, 1 repaired; ')
  })

  test('rows that are set aside are no difference, and are said', async () => {
    operator.looks = [{ ...EQUAL, quarantined: 2 }]
    const { code, stdout } = await ask('verify')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Equal but for what is set aside; .* 2 rows set aside: not in the target\.$/m)
    expect(stdout).toContain('Next: slipway quarantine\n')
  })

  test('--json: the report alone on stdout, also where the run has failed', async () => {
    operator.looks = [DIFFERENT]
    const done = await ask('verify', '--json')
    expect([done.code, JSON.parse(done.stdout)]).toEqual([1, DIFFERENT])
    const broken = { ...RUNNING, state: 'failed' as const, error: 'the disk is full' }
    operator.looks = [broken]
    operator.verifying = NO_VERIFICATION
    const failed = await ask('verify', '--json')
    expect([failed.code, JSON.parse(failed.stdout)]).toEqual([1, broken])
    expect(failed.stderr).toMatch(/^error: verify failed: the disk is full\nremedy: slipway status/m)
  })

  test('a run that is going on is followed, unless another one was asked for', async () => {
    operator.verifying = RUNNING
    operator.looks = [RUNNING, RUNNING, EQUAL]
    const followed = await ask('verify')
    expect([followed.code, operator.requests]).toEqual([0, []])
    expect(followed.stderr).toContain('a run is going on already (asked for)')
    for (const args of [['--repair'], ['--table', 'articles']]) {
      operator.verifying = RUNNING
      const refused = await ask('verify', ...args)
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(/^error: A verify is running already\.\nremedy: /m)
    }
  })

  test('a daemon that is interrupted is waited for', async () => {
    operator.looks = [{ ...RUNNING, state: 'interrupted' }, RUNNING, EQUAL]
    const { code, stderr } = await ask('verify')
    expect(code).toBe(0)
    expect(stderr).toContain('the run is interrupted; waiting for the daemon')
  })

  test('another run in its place is not taken for it', async () => {
    operator.looks = [{ ...EQUAL, id: 5 }]
    const { code, stderr } = await ask('verify')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: the run that was waited for has ended, and another one has begun$/m)
  })

  test('--no-wait starts it only', async () => {
    const { code, stdout } = await ask('verify', '--no-wait')
    expect(code).toBe(0)
    expect(stdout).toBe('verify is running: 1 table to compare\nNext: slipway verify\n')
    expect(operator.verifying.state).toBe('running')
  })

  test('a table that is not there', async () => {
    const { code, stderr } = await ask('verify', '--table', 'nope')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: There is no table nope\.\nremedy: /m)
  })

  test('Ctrl-C ends the waiting and not the run', async () => {
    const running = start(['verify'], env())
    await expect.poll(() => operator.verifying.state, { timeout: 20_000 }).toBe('running')
    running.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    expect([code, stdout]).toEqual([130, ''])
    expect(stderr).toContain('goes on in the daemon\nNext: slipway verify\n')
    expect(operator.verifying.state).toBe('running')
  })
})

describe('quarantine', () => {
  test('lists the rows with what is wrong', async () => {
    operator.aside = ASIDE
    const { code, stdout } = await ask('quarantine')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^articles +id=7 +published_at +misfit +no date +'soon' +2026-/m)
    expect(stdout).toMatch(
      /^articles +id=9 +duplicate, stays behind +canonical_link is there already +2026-/m,
    )
    expect(stdout).toMatch(
      /^2 rows set aside; 1 of them block a switchover\.\nNext: slipway quarantine retry$/m,
    )
  })

  test('says how many it does not list', async () => {
    operator.aside = ASIDE
    const { stdout } = await ask('quarantine', '--limit', '1')
    expect(stdout).not.toContain('id=9')
    expect(stdout).toMatch(/^… 1 of 2 \(articles 2\); --limit shows more\.$/m)
    expect(JSON.parse((await ask('quarantine', '--json')).stdout)).toEqual(ASIDE)
  })

  test('nothing is set aside', async () => {
    expect(await ask('quarantine')).toMatchObject({
      code: 0,
      stdout: 'Nothing is set aside.\nNext: slipway verify\n',
    })
    expect(await ask('quarantine', 'retry')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Nothing/),
    })
  })

  test('retry: exit 1 while some are left', async () => {
    operator.aside = ASIDE
    operator.afterRetry = { ...ASIDE, total: 1 }
    const some = await ask('quarantine', 'retry')
    expect(some.code).toBe(1)
    expect(some.stdout).toBe('2 rows tried again, 1 still set aside.\nNext: slipway quarantine\n')
    operator.afterRetry = NOTHING_ASIDE
    const all = await ask('quarantine', 'retry', '--json')
    expect([all.code, JSON.parse(all.stdout)]).toEqual([0, { tried: 1, left: 0 }])
  })

  test('through npm the commands are those of npm', async () => {
    operator.aside = ASIDE
    operator.now = { ...STATUS, quarantined: 2 }
    const npm = { ...env(), npm_lifecycle_event: 'status' }
    expect((await run(['status'], npm)).stdout).toContain('2 rows set aside; npm run quarantine lists them')
    expect((await run(['quarantine'], npm)).stdout).toContain('Next: npm run quarantine -- retry')
  })
})
