import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import type { ChangesReport } from '../../src/core/operator.ts'
import { createMetrics } from '../../src/metrics.ts'
import { ASIDE, DIFFERENT, FakeOperator, NOTHING_ASIDE, RUNNING } from './fake-operator.ts'

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
  return { status: answer.status, type, body: (await answer.json()) as Record<string, unknown>, answer }
}

describe('quarantine', () => {
  test('tells every field, and as many entries as asked for', async () => {
    operator.aside = ASIDE
    expect((await get('/quarantine')).body).toEqual(ASIDE)
    expect((await get('/quarantine?limit=1')).body).toEqual({ ...ASIDE, entries: [ASIDE.entries[0]] })
  })

  test('100 entries where nobody says how many', async () => {
    operator.aside = { ...ASIDE, entries: Array.from({ length: 101 }, () => ASIDE.entries[0]!) }
    expect((await get('/quarantine')).body.entries).toHaveLength(100)
    expect((await get('/quarantine?limit=1000')).body.entries).toHaveLength(101)
  })

  test('retry says how many were tried and are left', async () => {
    operator.aside = ASIDE
    operator.afterRetry = { ...ASIDE, total: 1 }
    expect(await post('/quarantine/retry')).toMatchObject({ status: 200, body: { tried: 2, left: 1 } })
    operator.afterRetry = NOTHING_ASIDE
    expect((await post('/quarantine/retry')).body).toEqual({ tried: 1, left: 0 })
  })
})

describe('verify', () => {
  test('an empty request starts a run over everything', async () => {
    const { status, body, answer } = await post('/verify')
    expect([status, body]).toEqual([202, RUNNING])
    expect(answer.headers.get('location')).toBe('/verify')
    expect(operator.requests).toEqual([{ repair: false }])
  })

  test('tables and repair are passed on', async () => {
    expect((await post('/verify', { tables: ['articles'], repair: true })).body).toMatchObject({
      repair: true,
    })
    expect(operator.requests).toEqual([{ tables: ['articles'], repair: true }])
  })

  test('the last run with all that it found', async () => {
    expect((await get('/verify')).body).toMatchObject({ state: 'none', id: null })
    operator.verifying = DIFFERENT
    expect((await get('/verify')).body).toEqual(DIFFERENT)
    operator.now = { ...operator.now, verify: DIFFERENT, dirty: [{ table: 'dlq', reason: 'rebuilt' }] }
    expect((await get('/status')).body).toMatchObject({
      verify: DIFFERENT,
      dirty: [{ table: 'dlq', reason: 'rebuilt' }],
    })
  })

  test('while one is running: 409; a table that is not there: 422', async () => {
    expect(await post('/verify', { tables: ['nope'] })).toMatchObject({
      status: 422,
      type: expect.stringContaining('application/problem+json'),
      body: { code: 'unknown_table' },
    })
    operator.verifying = RUNNING
    expect(await post('/verify', {})).toMatchObject({
      status: 409,
      type: expect.stringContaining('application/problem+json'),
      body: { code: 'verify_running', remedy: expect.any(String) },
    })
  })

  test.each([{ tables: [] }, { tables: [''] }, { tables: 'articles' }, { repair: 'yes' }, { fix: true }, []])(
    'no such request: %j',
    async (body) => {
      expect(await post('/verify', body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
      expect(operator.requests).toEqual([])
    },
  )
})

describe('changes', () => {
  const history: ChangesReport = {
    history: 'on',
    changes: [
      {
        position: 18_342,
        id: '9007199254740993',
        table: 'articles',
        op: 'update',
        direction: 'forward',
        at: '2026-01-02T03:04:05.000Z',
        key: { id: '7' },
        before: { id: '7', 'a\nb': null },
        after: { id: '7', 'a\nb': 'new' },
      },
      {
        position: '727:727:',
        id: 12,
        table: 'articles',
        op: 'delete',
        direction: 'reverse',
        at: '2026-01-02T03:04:05.000Z',
        key: { id: '8' },
        before: { id: '8' },
        after: null,
      },
    ],
    next: 12,
  }

  test('a page, with names and values as they are', async () => {
    operator.history = history
    expect((await get('/changes?after=9007199254740993&limit=2')).body).toEqual(history)
    expect((await get('/changes')).status).toBe(200)
    expect(operator.pages).toEqual([
      ['9007199254740993', 2],
      ['0', 100],
    ])
  })
})

describe('what is refused', () => {
  test.each([
    ['/quarantine?limit=0', 'limit'],
    ['/quarantine?limit=1001', 'limit'],
    ['/quarantine?limit=12abc', 'limit'],
    ['/quarantine?limit=', 'limit'],
    ['/quarantine?limit=1&limit=2', 'limit'],
    ['/quarantine?offset=5', 'additional'],
    ['/changes?after=-1', 'after'],
    ['/changes?after=1e3', 'after'],
    ['/changes?after=9223372036854775808', 'after'],
    ['/changes?limit=5000', 'limit'],
  ])('%s', async (path, named) => {
    expect(await get(path)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', detail: expect.stringContaining(named), remedy: expect.any(String) },
    })
    expect(operator.pages).toEqual([])
  })

  test('commands need the token', async () => {
    for (const path of ['/verify', '/quarantine/retry']) {
      expect(await post(path, undefined, {})).toMatchObject({ status: 401, body: { code: 'token_missing' } })
    }
    expect(operator.requests).toEqual([])
  })

  test('secrets in values are masked', async () => {
    operator.aside = { ...ASIDE, entries: [{ ...ASIDE.entries[0]!, value: "'hunter22'" }] }
    expect((await get('/quarantine')).body).toMatchObject({ entries: [{ value: "'***'" }] })
  })
})

test('OpenAPI names what the routes answer', async () => {
  const { paths, components } = (await get('/openapi.json')).body as {
    paths: Record<string, Record<string, { security?: unknown }>>
    components: { schemas: Record<string, unknown> }
  }
  expect(Object.keys(components.schemas).toSorted()).toEqual([
    'Changes',
    'Guard',
    'Lag',
    'Problem',
    'Quarantine',
    'Retry',
    'Status',
    'SwitchRun',
    'Verify',
    'Writes',
  ])
  for (const path of ['/verify', '/quarantine/retry'])
    expect(paths[path]!.post!.security).toEqual([{ token: [] }])
  expect(JSON.stringify(components.schemas.Status)).toContain('#/components/schemas/Verify')
})
