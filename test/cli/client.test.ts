import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createMetrics } from '../../src/metrics.ts'
import { DIFFERENT, FakeOperator, RUNNING, STATUS } from '../api/fake-operator.ts'
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
})

const env = (token = TOKEN) => ({ CONTROL_URL: api.url!, CONTROL_TOKEN: token })
const ask = (...args: string[]) => run(args, env())

describe('commands that ask the daemon', () => {
  test('status for people and for programs', async () => {
    const people = await ask('status')
    expect(people.code).toBe(0)
    expect(people.stdout).toMatch(/^migration +news, replicating, running$/m)
    expect(people.stdout).toMatch(/^articles +copied +12,345 +12,345$/m)
    expect(people.stdout).toMatch(/^dlq +copying +50 +200 +25 +6 s$/m)
    expect(people.stdout).toContain('Next: slipway lag --wait')
    const programs = await ask('status', '--json')
    expect(JSON.parse(programs.stdout)).toMatchObject({ phase: 'replicating', epoch: 1 })
  })

  test('status tells what is set aside, what may differ, and the last verify', async () => {
    operator.now = {
      ...STATUS,
      quarantined: 2,
      verify: DIFFERENT,
      dirty: [{ table: 'dlq', reason: 'it was rebuilt' }],
    }
    const { stdout } = await ask('status')
    expect(stdout).toMatch(/^quarantine +2 rows set aside; slipway quarantine lists them$/m)
    expect(stdout).toMatch(/^verify +3 rows differ, 2026-01-02T03:04:09\.000Z$/m)
    expect(stdout).toMatch(/^dirty +dlq: it was rebuilt$/m)
    operator.now = { ...STATUS, verify: RUNNING }
    expect((await ask('status')).stdout).toMatch(/^verify +running, 2,000 of 12,345 rows, 3 s left$/m)
  })

  test('status --watch goes on until it is interrupted or nobody reads', async () => {
    const watch = start(['status', '--watch', '--json'], env())
    await watch.says('"epoch":1')
    watch.kill('SIGINT')
    const { code, stdout } = await watch.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ migration: 'news' })
    const unread = start(['status', '--watch'], env())
    await unread.says('migration')
    unread.close()
    expect((await unread.ended).code).toBe(0)
  })

  test('lag, and lag --wait that is not long enough', async () => {
    const lag = await ask('lag')
    expect(lag.stdout).toMatch(/^0\.01 s behind, 2 changes to apply \(replicating, running\)$/m)
    const wait = await ask('lag', '--wait', '--timeout', '0.3', '--json')
    expect(wait.code).toBe(1)
    expect(wait.stderr).toContain('error: not caught up within 0.3 s')
  })

  test('replication pause and resume', async () => {
    const paused = await ask('replication', 'pause', '--reason', 'vacuum', '--json')
    expect(JSON.parse(paused.stdout)).toMatchObject({ state: 'paused', reasons: ['vacuum'] })
    expect((await ask('status')).stdout).toContain('Next: slipway replication resume')
    const resumed = await ask('replication', 'resume')
    expect(resumed.stdout).toContain('replication is running')
  })

  test('what the daemon refuses is told with its remedy, exit 1', async () => {
    const { code, stderr } = await run(['replication', 'resume'], env('not-the-one'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: The token is not the right one\.\nremedy: .*CONTROL_TOKEN/)
    expect(stderr).not.toContain('not-the-one')
  })

  test.each([
    ['status'],
    ['lag'],
    ['lag', '--wait'],
    ['verify'],
    ['quarantine'],
    ['quarantine', 'retry'],
    ['replication', 'resume'],
    ['writes', 'pause'],
    ['switchover'],
    ['rollback', '--dry-run'],
    ['finalize', '--confirm', 'news'],
    ['report'],
  ])('%j %j without a daemon: exit 5', async (...args) => {
    const { code, stderr } = await run(args, { CONTROL_PORT: '1' })
    expect(code).toBe(5)
    expect(stderr).toMatch(/^error: no daemon at http:\/\/127\.0\.0\.1:1: .*\nremedy: .*slipway start/)
  })

  test('something else that answers there: exit 5', async () => {
    const other = createServer((_, answer) => answer.end('<html>')).listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await run(['lag'], { CONTROL_PORT: String(port) })
    other.close()
    expect(code).toBe(5)
    expect(stderr).toContain('not slipway')
  })
})
