import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Api, type ApiOptions, createApi } from '../../src/api/server.ts'
import { Failure } from '../../src/core/errors.ts'
import { createMetrics } from '../../src/metrics.ts'
import { FakeOperator, STATUS } from './fake-operator.ts'

const TOKEN = 'test-token-1'
const defects: unknown[] = []
let operator: FakeOperator
let apis: Api[]

beforeEach(() => {
  operator = new FakeOperator()
  apis = []
  defects.length = 0
})
afterEach(async () => {
  await Promise.all(apis.map((api) => api.stop()))
})

function make(options: Partial<ApiOptions> = {}): Api {
  const metrics = createMetrics()
  metrics.bind(operator)
  const api = createApi({
    operator,
    registry: metrics.registry,
    token: TOKEN,
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: (facts) => defects.push(facts) },
    scrub: (text) => text.replaceAll('hunter22', '***'),
    ...options,
  })
  apis.push(api)
  return api
}

async function started(options: Partial<ApiOptions> = {}): Promise<string> {
  const api = make(options)
  await api.start()
  return `http://127.0.0.1:${new URL(api.url!).port}`
}

const bearer = { authorization: `Bearer ${TOKEN}` }
const post = (url: string, body?: unknown, headers: Record<string, string> = bearer) =>
  fetch(url, {
    method: 'POST',
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })

/** The problem, after a look at what all problems have. */
async function problem(answer: Response): Promise<Record<string, unknown>> {
  expect(answer.headers.get('content-type')).toContain('application/problem+json')
  const body = (await answer.json()) as Record<string, unknown>
  expect(body).toEqual(
    expect.objectContaining({
      type: `urn:slipway:problem:${body.code}`,
      title: expect.any(String),
      status: answer.status,
      detail: expect.any(String),
      code: expect.any(String),
      remedy: expect.any(String),
    }),
  )
  return body
}

describe('answers', () => {
  test('lag, status, health and metrics', async () => {
    const url = await started()
    expect(await (await fetch(`${url}/lag`)).json()).toEqual(await operator.lag())
    expect(await (await fetch(`${url}/status`)).json()).toEqual(STATUS)
    expect(await (await fetch(`${url}/healthz`)).json()).toMatchObject({ ok: true, version: '1.2.3' })
    const metrics = await fetch(`${url}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('text/plain')
    expect(await metrics.text()).toContain('slipway_lag_changes 2')
  })

  test('ready or not, with reasons', async () => {
    const url = await started()
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ ok: true, reasons: [] })
    operator.readiness = { ok: false, reasons: ['PostgreSQL is away'] }
    const answer = await fetch(`${url}/readyz`)
    expect(answer.status).toBe(503)
    expect(await problem(answer)).toMatchObject({ code: 'not_ready', reasons: ['PostgreSQL is away'] })
  })

  test('OpenAPI 3.1 names every route; the viewer and the dashboard are there', async () => {
    const url = await started()
    const openapi = (await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string; paths: object }
    expect(openapi.openapi).toBe('3.1.0')
    expect(Object.keys(openapi.paths).toSorted()).toEqual([
      '/changes',
      '/events',
      '/finalize',
      '/healthz',
      '/lag',
      '/metrics',
      '/quarantine',
      '/quarantine/retry',
      '/readyz',
      '/replication/pause',
      '/replication/resume',
      '/report',
      '/rollback',
      '/status',
      '/switchover',
      '/verify',
      '/writes/pause',
      '/writes/resume',
    ])
    expect((await fetch(`${url}/docs`)).status).toBe(200)
    for (const path of ['/', '/dashboard.js', '/dashboard.css']) {
      const answer = await fetch(url + path)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    }
    const page = await (await fetch(url)).text()
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//)
  })
})

describe('commands', () => {
  test('pause with a reason, and resume', async () => {
    const url = await started()
    const paused = await post(`${url}/replication/pause`, { reason: ' vacuum ' })
    expect(await paused.json()).toMatchObject({ state: 'paused', reasons: ['vacuum'] })
    const resumed = await post(`${url}/replication/resume`)
    expect(await resumed.json()).toMatchObject({ state: 'running', reasons: [] })
  })

  test.each([undefined, {}, { reason: '' }, { reason: '  ' }, { reason: 5 }, { reason: 'x', for: 3 }, ['x']])(
    'a pause needs a reason: %j',
    async (body) => {
      const url = await started()
      const answer = await post(`${url}/replication/pause`, body)
      expect(answer.status).toBe(400)
      expect(await problem(answer)).toMatchObject({ code: 'invalid_request' })
      expect(operator.paused).toEqual([])
    },
  )

  test('an empty JSON body is no body', async () => {
    const url = await started()
    const headers = { ...bearer, 'content-type': 'application/json' }
    const answer = await fetch(`${url}/replication/resume`, { method: 'POST', headers, body: '' })
    expect(answer.status).toBe(200)
  })

  test('a failure is told with its own status, code and remedy', async () => {
    const url = await started()
    operator.pausing = () =>
      Promise.reject(
        new Failure({
          code: 'wrong_phase',
          message: 'Not now.',
          remedy: 'Wait.',
          status: 409,
          facts: { phase: 'new' },
        }),
      )
    const answer = await post(`${url}/replication/pause`, { reason: 'x' })
    expect(answer.status).toBe(409)
    expect(await problem(answer)).toMatchObject({
      code: 'wrong_phase',
      detail: 'Not now.',
      remedy: 'Wait.',
      phase: 'new',
    })
  })

  test('a defect tells nothing outside and everything in the log', async () => {
    const url = await started()
    operator.pausing = () => Promise.reject(new TypeError('postgres://u:hunter22@h'))
    const answer = await post(`${url}/replication/pause`, { reason: 'x' })
    expect(answer.status).toBe(500)
    expect(JSON.stringify(await problem(answer))).not.toMatch(/hunter22|postgres:/)
    expect(defects).toHaveLength(1)
  })
})

describe('what is refused', () => {
  test('404, 405 with Allow, and broken URLs', async () => {
    const url = await started()
    expect(await problem(await fetch(`${url}/nope`))).toMatchObject({ status: 404, code: 'not_found' })
    const get = await fetch(`${url}/replication/pause`)
    expect(get.headers.get('allow')).toBe('POST')
    expect(await problem(get)).toMatchObject({ status: 405, code: 'method_not_allowed' })
    expect(await problem(await fetch(`${url}/lag`, { method: 'DELETE' }))).toMatchObject({ status: 405 })
    expect(await problem(await fetch(`${url}/%zz`))).toMatchObject({ status: 400 })
    expect(await problem(await fetch(`${url}/../package.json`))).toMatchObject({ status: 404 })
  })

  test.each([
    ['text', 'text/plain', 'reason', 415, 'unsupported_media_type'],
    ['broken JSON', 'application/json', '{"reason":', 400, 'invalid_json'],
    ['prototype poisoning', 'application/json', '{"__proto__":{"reason":"x"}}', 400, 'invalid_json'],
    ['too much', 'application/json', JSON.stringify({ reason: 'x'.repeat(20_000) }), 413, 'body_too_large'],
  ])('%s', async (_, type, body, status, code) => {
    const url = await started()
    const headers = { ...bearer, 'content-type': type }
    const answer = await fetch(`${url}/replication/pause`, { method: 'POST', headers, body })
    expect(await problem(answer)).toMatchObject({ status, code })
  })

  test('on loopback reading is open, and commands need the token', async () => {
    const url = await started()
    for (const path of ['/lag', '/status', '/metrics', '/openapi.json']) {
      expect((await fetch(url + path)).status).toBe(200)
    }
    const missing = await post(`${url}/replication/pause`, { reason: 'x' }, {})
    expect(missing.headers.get('www-authenticate')).toBe('Bearer')
    expect(await problem(missing)).toMatchObject({ status: 401, code: 'token_missing' })
    for (const token of ['', 'x', `${TOKEN}x`, TOKEN.slice(1)]) {
      const wrong = await post(
        `${url}/replication/pause`,
        { reason: 'x' },
        { authorization: `Bearer ${token}` },
      )
      expect(await problem(wrong)).toMatchObject({ status: 401, code: 'token_wrong' })
    }
    expect(operator.paused).toEqual([])
  })

  test('elsewhere reading needs it too, but for the page and the probes', async () => {
    const url = await started({ host: '0.0.0.0' })
    for (const path of ['/', '/dashboard.js', '/healthz', '/readyz']) {
      expect((await fetch(url + path)).status).toBe(200)
    }
    for (const path of ['/lag', '/status', '/metrics', '/events', '/openapi.json', '/docs', '/docs/json']) {
      expect(await problem(await fetch(url + path))).toMatchObject({ status: 401 })
    }
    expect((await fetch(`${url}/lag`, { headers: bearer })).status).toBe(200)
  })

  test('a name that is not ours in the Host header: DNS rebinding', async () => {
    const url = await started({ publicUrl: 'https://slipway.example/x' })
    const { port } = new URL(url)
    const status = (host: string, headers = {}) =>
      new Promise<number>((resolve, reject) => {
        const options = { port, path: '/lag', headers: { host, ...headers } }
        httpRequest(options, (answer) => resolve(answer.resume().statusCode!))
          .on('error', reject)
          .end()
      })
    for (const host of [
      'localhost',
      `localhost:${port}`,
      '127.0.0.1:1',
      '[::1]:8484',
      '10.1.2.3',
      'SLIPWAY.example',
    ]) {
      expect([host, await status(host)]).toEqual([host, 200])
    }
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'a@localhost']) {
      expect([host, await status(host)]).toEqual([host, 421])
    }
    expect(await status('evil.example', bearer)).toBe(200)
  })

  test('a secret in a report is masked on its way out', async () => {
    const url = await started()
    operator.now = { ...STATUS, reasons: ['login hunter22 failed'] }
    expect(await (await fetch(`${url}/lag`)).json()).toMatchObject({ reasons: ['login *** failed'] })
  })
})

describe('the life of the server', () => {
  test('a taken port', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    await expect(make({ port }).start()).rejects.toMatchObject({
      code: 'port_taken',
      exit: 3,
      remedy: expect.stringContaining('CONTROL_PORT'),
    })
    other.close()
  })

  test('an address that is not ours', async () => {
    await expect(make({ host: '192.0.2.1' }).start()).rejects.toMatchObject({
      code: 'cannot_listen',
      exit: 3,
    })
  })

  test('stop before start, twice, and right after it', async () => {
    const idle = make()
    await idle.stop()
    await idle.start()
    expect(idle.url).toBeUndefined()
    const early = make()
    const starting = early.start()
    await early.stop()
    await starting
    await expect(fetch(early.url ?? 'http://127.0.0.1:1')).rejects.toThrow()
  })

  test('stop waits for a request in flight', async () => {
    const api = make()
    await api.start()
    const { promise, resolve } = Promise.withResolvers<void>()
    operator.pausing = () => promise
    const answer = post(`${api.url}/replication/pause`, { reason: 'x' })
    await new Promise((done) => setTimeout(done, 50))
    const stopped = api.stop()
    setTimeout(resolve, 50)
    const began = performance.now()
    expect((await answer).status).toBe(200)
    await stopped
    expect(performance.now() - began).toBeLessThan(1000)
  })

  test('but not for ever', async () => {
    const api = make({ stopMs: 50 })
    await api.start()
    operator.pausing = () => new Promise(() => {})
    const answer = post(`${api.url}/replication/pause`, { reason: 'x' }).catch(() => 'cut')
    await new Promise((done) => setTimeout(done, 50))
    await api.stop()
    expect(await answer).toBe('cut')
  })
})
