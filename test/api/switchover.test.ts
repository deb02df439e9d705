import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { Failure } from '../../src/core/errors.ts'
import { NO_RUN, type SwitchRun } from '../../src/core/switch-run.ts'
import { createMetrics } from '../../src/metrics.ts'
import {
  DRY_RUN,
  FakeOperator,
  refusedByGuards,
  running,
  SWITCHED,
  SWITCHING,
  UNDONE,
  undone,
} from './fake-operator.ts'

const TOKEN = 'test-token-1'
const bearer = { authorization: `Bearer ${TOKEN}` }
let operator: FakeOperator
let api: Api

beforeEach(async () => {
  operator = new FakeOperator()
  api = createApi({
    operator,
    registry: createMetrics().registry,
    token: TOKEN,
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: () => {} },
    scrub: (text) => text.replaceAll('hunter22', '***'),
  })
  await api.start()
})
afterEach(() => api.stop())

const get = async (path: string) => {
  const answer = await fetch(api.url + path)
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}
const post = async (path: string, body?: unknown, headers: Record<string, string> = bearer) => {
  const answer = await fetch(api.url + path, {
    method: 'POST',
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const type = answer.headers.get('content-type')
  return { status: answer.status, type, body: (await answer.json()) as Record<string, unknown> }
}

describe('switchover and rollback', () => {
  test('an empty request asks for what is usual, and the answer is the whole run', async () => {
    const { status, body } = await post('/switchover')
    expect([status, body]).toEqual([200, SWITCHED])
    expect(body).toMatchObject({
      from: 'sqlite',
      to: 'postgres',
      epoch: 2,
      pause_ms: 38.42,
      drained_changes: 12,
    })
    expect((await post('/rollback', {})).body).toEqual({ ...SWITCHED, passage: 'rollback' })
    const usual = { wait_seconds: 60, dry_run: false, override: [], force: false, verify: 'recent' }
    expect(operator.switches).toEqual([
      { ...usual, passage: 'switchover' },
      { ...usual, passage: 'rollback' },
    ])
  })

  test('everything that is asked for is passed on', async () => {
    const asked = { wait_seconds: 0.5, dry_run: true, max_pause_ms: 900, override: ['backup', 'lag'] }
    expect((await post('/switchover', { ...asked, verify: 'full' })).body).toEqual(DRY_RUN)
    await post('/rollback', { ...asked, force: true })
    expect(operator.switches).toEqual([
      { ...asked, passage: 'switchover', verify: 'full', force: false },
      { ...asked, passage: 'rollback', verify: 'recent', force: true },
    ])
  })

  test('GET /switchover shows the current or last run, and that there never was one', async () => {
    expect(await get('/switchover')).toEqual({ status: 200, body: NO_RUN })
    operator.see(SWITCHING)
    expect((await get('/switchover')).body).toEqual(SWITCHING)
    operator.now = { ...operator.now, switchover: SWITCHING }
    expect((await get('/status')).body).toMatchObject({ switchover: SWITCHING })
  })

  test('409 with the run, 412 with every guard, 504 with the run', async () => {
    operator.switching = () => Promise.reject(running())
    expect(await post('/switchover')).toMatchObject({
      status: 409,
      type: expect.stringContaining('application/problem+json'),
      body: { code: 'switch_running', remedy: expect.any(String), run: { state: 'running' } },
    })
    operator.switching = () => Promise.reject(refusedByGuards())
    const refused = await post('/rollback')
    expect(refused).toMatchObject({
      status: 412,
      type: expect.stringContaining('application/problem+json'),
      body: { status: 412, code: 'guards_refuse', guards: { length: 5 } },
    })
    expect(refused.body.guards).toContainEqual({
      code: 'quarantine',
      ok: false,
      value: ['articles', 'dlq'],
      limit: 0,
      remedy: expect.any(String),
      overridable: true,
    })
    operator.switching = () => Promise.reject(undone())
    expect(await post('/switchover')).toMatchObject({
      status: 504,
      body: { code: 'undone', run: UNDONE, remedy: expect.any(String) },
    })
  })

  test('values of guards are told as they were measured', async () => {
    const values = ['text', '12', 12, 0.5, true, false, null, [], ['a', 'b']]
    const guards = values.map((value) => ({ ...DRY_RUN.guards[0]!, value, limit: null, overridden: false }))
    operator.see({ ...DRY_RUN, guards } as SwitchRun)
    expect((await get('/switchover')).body.guards).toEqual(guards)
  })

  test('a client that goes away ends the waiting and not the run', async () => {
    const { promise, resolve } = Promise.withResolvers<SwitchRun>()
    operator.switching = () => promise
    const abort = new AbortController()
    const answer = fetch(`${api.url}/switchover`, { method: 'POST', headers: bearer, signal: abort.signal })
    await expect.poll(() => operator.switches.length).toBe(1)
    abort.abort()
    await expect(answer).rejects.toThrow('abort')
    resolve(SWITCHED)
    await expect.poll(async () => (await get('/switchover')).body).toEqual(SWITCHED)
  })

  test.each([
    ['/switchover', { wait_seconds: -1 }],
    ['/switchover', { wait_seconds: '5' }],
    ['/switchover', { wait_seconds: 100_000 }],
    ['/switchover', { max_pause_ms: 0 }],
    ['/switchover', { max_pause_ms: 1.5 }],
    ['/switchover', { verify: 'often' }],
    ['/switchover', { override: 'lag' }],
    ['/switchover', { override: ['Lag!'] }],
    ['/switchover', { force: true }],
    ['/switchover', { dryrun: true }],
    ['/switchover', []],
    ['/rollback', { verify: 'none' }],
    ['/rollback', { force: 'yes' }],
    ['/finalize', {}],
    ['/finalize', undefined],
    ['/finalize', { confirm: '' }],
    ['/writes/pause', undefined],
    ['/writes/pause', { reason: ' ' }],
    ['/writes/pause', { reason: 'x', for_seconds: 0 }],
    ['/writes/pause', { reason: 'x', for_seconds: 1e6 }],
  ])('no such request: %s %j', async (path, body) => {
    expect(await post(path, body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    expect([operator.switches, operator.finalized, operator.pausedWrites]).toEqual([[], [], []])
  })

  test('none of it without the token', async () => {
    for (const path of ['/switchover', '/rollback', '/finalize', '/writes/pause', '/writes/resume']) {
      expect(await post(path, undefined, {})).toMatchObject({ status: 401, body: { code: 'token_missing' } })
    }
    expect(operator.switches).toEqual([])
  })
})

describe('what goes with it', () => {
  test('finalize with the name, and the refusal without', async () => {
    expect(await post('/finalize', { confirm: 'nes' })).toMatchObject({
      status: 422,
      body: { code: 'not_confirmed' },
    })
    expect(await post('/finalize', { confirm: 'news' })).toMatchObject({
      status: 200,
      body: { phase: 'finalized', migration: 'news' },
    })
    expect(operator.finalized).toEqual(['news'])
  })

  test('writes are paused for five minutes where nobody says how long', async () => {
    expect(await post('/writes/pause', { reason: ' disk ' })).toEqual({
      status: 200,
      type: expect.stringContaining('application/json'),
      body: {
        authority: 'sqlite',
        epoch: 1,
        fences: [{ engine: 'sqlite', closed: true, reasons: ['disk'], until: '2026-01-02T03:09:05.000Z' }],
      },
    })
    await post('/writes/pause', { reason: 'disk', for_seconds: 7 })
    expect(operator.pausedWrites).toEqual([
      ['disk', 300],
      ['disk', 7],
    ])
    expect((await post('/writes/resume')).body.fences).toEqual((await operator.status()).fences)
  })

  test('the report is Markdown, without secrets', async () => {
    const answer = await fetch(`${api.url}/report`)
    expect(answer.headers.get('content-type')).toBe('text/markdown; charset=utf-8')
    expect(await answer.text()).toBe('# news\n\nEqual — after 12,345 rows, ***.\n')
    operator.report = () =>
      Promise.reject(new Failure({ code: 'target_away', message: 'It is away.', status: 503 }))
    expect(await get('/report')).toMatchObject({ status: 503, body: { code: 'target_away' } })
  })
})

test('OpenAPI: no field of a request has to be given, and the refusals are described with examples', async () => {
  const { paths, components } = (await get('/openapi.json')).body as {
    paths: Record<
      string,
      { post: { requestBody: Media; responses: Record<string, Media>; security: unknown } }
    >
    components: { schemas: Record<string, unknown> }
  }
  for (const path of ['/switchover', '/rollback']) {
    const { requestBody, responses, security } = paths[path]!.post
    const { schema } = requestBody.content['application/json']!
    expect([schema.required ?? [], requestBody.required]).toEqual([[], false])
    expect(schema.properties!.wait_seconds).toMatchObject({ default: 60 })
    expect(security).toEqual([{ token: [] }])
    for (const status of ['409', '412', '504']) {
      const problem = responses[status]!.content['application/problem+json']!
      expect(JSON.stringify(problem.schema)).toContain('#/components/schemas/Problem')
      expect(JSON.stringify(problem)).toContain(`"status":${status}`)
    }
    expect(JSON.stringify(requestBody)).toContain('"dry_run":true')
  }
  expect(paths['/finalize']!.post.requestBody.required).toBe(true)
  expect(components.schemas).toHaveProperty('SwitchRun')
})

interface Media {
  readonly required?: boolean
  readonly content: Record<
    string,
    { readonly schema: { readonly required?: string[]; readonly properties?: Record<string, unknown> } }
  >
}
