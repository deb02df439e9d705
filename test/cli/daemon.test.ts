import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { folder, type Running, start } from './run.ts'

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
    const { code, stderr } = await start(['start', ...DATABASES], { CONTROL_PORT: String(port) }, cwd).ended
    other.close()
    expect(code).toBe(3)
    expect(stderr).toMatch(/^error: port \d+ on 127\.0\.0\.1 is taken$/m)
    expect(stderr).toContain('CONTROL_PORT')
    expect(stderr).not.toContain('replicating')
  })

  test('what it cannot go on from ends it, with the exit code of the failure', async () => {
    const env = { CONTROL_PORT: '0', FIXTURE: JSON.stringify({ fails: 'failure' }) }
    const { code, stderr } = await start(['start', ...DATABASES], env, cwd).ended
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
