import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { folder, type Running, run, start } from './run.ts'

const DATABASES = ['./a.db', 'postgres://u:hunter22@h/db']
let cwd: string
let daemon: Running | undefined

beforeEach(() => {
  cwd = folder()
})
afterEach(async () => {
  daemon?.kill('SIGKILL')
  await daemon?.ended
  daemon = undefined
})

/** A daemon on a free port; resolves with its address. */
async function started(env: Record<string, string> = {}): Promise<string> {
  daemon = start(['start', ...DATABASES], { CONTROL_PORT: '0', ...env }, cwd)
  await daemon.says('phase new → replicating')
  return /"url":"([^"]+)"/.exec(daemon.output())![1]!
}

const ask = (url: string, ...args: string[]) => run(args, { CONTROL_URL: url }, cwd)

describe('start', () => {
  test('serves the API, and stops gracefully on SIGTERM with exit 0', async () => {
    const url = await started()
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('slipway_lag_changes 2')
    daemon!.kill('SIGTERM')
    const { code, stderr } = await daemon!.ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/daemon stopped.*\n.*stopped.*\nNext: slipway start/)
  })

  test('its token stands in STATE_DIR, and neither token nor password in the output', async () => {
    const url = await started({ LOG_LEVEL: 'trace' })
    const token = readFileSync(path.join(cwd, '.slipway/token'), 'utf8').trim()
    const headers = { authorization: `Bearer ${token}` }
    expect((await fetch(`${url}/replication/resume`, { method: 'POST', headers })).status).toBe(200)
    expect(daemon!.output()).not.toContain(token)
    expect(daemon!.output()).not.toContain('hunter22')
  })

  test('a taken port is told before anything begins, exit 3', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await run(['start', ...DATABASES], { CONTROL_PORT: String(port) }, cwd)
    other.close()
    expect(code).toBe(3)
    expect(stderr).toMatch(/^error: port \d+ on 127\.0\.0\.1 is taken$/m)
    expect(stderr).toContain('CONTROL_PORT')
    expect(stderr).not.toContain('replicating')
  })

  test('what it cannot go on from ends it, with the exit code of the failure', async () => {
    const env = { CONTROL_PORT: '0', FIXTURE: JSON.stringify({ fails: 'failure' }) }
    const { code, stderr } = await run(['start', ...DATABASES], env, cwd)
    expect(code).toBe(3)
    expect(stderr).toContain('daemon stopped')
    expect(stderr).toMatch(/error: server at postgres:\/\/u:\*\*\*@h\/db refuses\nremedy: Ask it nicely\.\n$/)
  })

  test('a second signal forces', async () => {
    await started({ FIXTURE: JSON.stringify({ deaf: true }) })
    daemon!.kill('SIGTERM')
    await daemon!.says('SIGTERM')
    await new Promise((done) => setTimeout(done, 1100))
    daemon!.kill('SIGTERM')
    expect((await daemon!.ended).code).toBe(130)
  })

  test('output that nobody reads does not end it', async () => {
    const url = await started()
    daemon!.close('stdout')
    daemon!.close('stderr')
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    // Its end is logged, into a pipe that is closed.
    daemon!.kill('SIGTERM')
    expect((await daemon!.ended).code).toBe(0)
  })
})

describe('commands that ask the daemon', () => {
  test('status for people and for programs', async () => {
    const url = await started()
    const people = await ask(url, 'status')
    expect(people.code).toBe(0)
    expect(people.stdout).toMatch(/^migration +news, replicating, running$/m)
    expect(people.stdout).toMatch(/^articles +copied +12,345 +12,345$/m)
    expect(people.stdout).toMatch(/^dlq +copying +50 +200 +25 +6 s$/m)
    expect(people.stdout).toContain('Next: slipway lag --wait')
    const programs = await ask(url, 'status', '--json')
    expect(JSON.parse(programs.stdout)).toMatchObject({ phase: 'replicating', epoch: 1 })
  })

  test('status --watch goes on until it is interrupted or nobody reads', async () => {
    const url = await started()
    const watch = start(['status', '--watch', '--json'], { CONTROL_URL: url }, cwd)
    await watch.says('"epoch":1')
    watch.kill('SIGINT')
    const { code, stdout } = await watch.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ migration: 'news' })
    const unread = start(['status', '--watch'], { CONTROL_URL: url }, cwd)
    await unread.says('migration')
    unread.close()
    expect((await unread.ended).code).toBe(0)
  })

  test('lag, and lag --wait that is not long enough', async () => {
    const url = await started()
    const lag = await ask(url, 'lag')
    expect(lag.stdout).toMatch(/^0\.01 s behind, 2 changes to apply \(replicating, running\)$/m)
    const wait = await ask(url, 'lag', '--wait', '--timeout', '0.3', '--json')
    expect(wait.code).toBe(1)
    expect(wait.stderr).toContain('error: not caught up within 0.3 s')
  })

  test('replication pause and resume', async () => {
    const url = await started()
    const paused = await ask(url, 'replication', 'pause', '--reason', 'vacuum', '--json')
    expect(JSON.parse(paused.stdout)).toMatchObject({ state: 'paused', reasons: ['vacuum'] })
    expect((await ask(url, 'status')).stdout).toContain('Next: slipway replication resume')
    const resumed = await ask(url, 'replication', 'resume')
    expect(resumed.stdout).toContain('replication is running')
  })

  test('what the daemon refuses is told with its remedy, exit 1', async () => {
    const url = await started()
    const env = { CONTROL_URL: url, CONTROL_TOKEN: 'not-the-one' }
    const { code, stderr } = await run(['replication', 'resume'], env, cwd)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: The token is not the right one\.\nremedy: .*CONTROL_TOKEN/)
    expect(stderr).not.toContain('not-the-one')
  })

  test.each([['status'], ['lag'], ['lag', '--wait'], ['replication', 'resume']])(
    '%j %j without a daemon: exit 5',
    async (...args) => {
      const { code, stderr } = await run(args, { CONTROL_PORT: '1' }, cwd)
      expect(code).toBe(5)
      expect(stderr).toMatch(/^error: no daemon at http:\/\/127\.0\.0\.1:1: .*\nremedy: .*slipway start/)
    },
  )

  test('something else that answers there: exit 5', async () => {
    const other = createServer((_, answer) => answer.end('<html>')).listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await run(['lag'], { CONTROL_PORT: String(port) }, cwd)
    other.close()
    expect(code).toBe(5)
    expect(stderr).toContain('not slipway')
  })
})
