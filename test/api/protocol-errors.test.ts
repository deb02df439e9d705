import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createMetrics } from '../../src/metrics.ts'
import { FakeOperator } from './fake-operator.ts'

let api: Api

beforeEach(async () => {
  api = createApi({
    operator: new FakeOperator(),
    registry: createMetrics().registry,
    token: 'test-token-1',
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: () => {} },
    scrub: (text) => text,
  })
  await api.start()
})
afterEach(() => api.stop())

/** All that comes back for these bytes, and for those sent once it began, until the server closes the connection. */
function answer(bytes: string, later = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(Number(new URL(api.url!).port), '127.0.0.1', () => socket.write(bytes))
    socket.setEncoding('utf8').on('data', (chunk) => {
      if (text === '') socket.write(later)
      text += chunk
    })
    socket.on('close', () => resolve(text)).on('error', reject)
  })
}

const HEAD = 'Host: localhost\r\nConnection: close\r\n'

test.each([
  ['no HTTP', 'hello\r\n\r\n', 400, 'invalid_http'],
  ['a method that nobody knows', `FETCH /lag HTTP/1.1\r\n${HEAD}\r\n`, 400, 'invalid_http'],
  ['a method that is not ours', `PROPFIND /lag HTTP/1.1\r\n${HEAD}\r\n`, 405, 'method_not_allowed'],
  ['a proxy', `CONNECT example.org:443 HTTP/1.1\r\n${HEAD}\r\n`, 405, 'method_not_allowed'],
  [
    'two lengths',
    `POST /verify HTTP/1.1\r\n${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`,
    400,
    'invalid_http',
  ],
  [
    'broken chunks',
    `POST /verify HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    400,
    'invalid_http',
  ],
  ['long headers', `GET /lag HTTP/1.1\r\n${HEAD}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ['no Host', 'GET /lag HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'host_missing'],
  [
    'an expectation',
    `POST /verify HTTP/1.1\r\n${HEAD}Expect: magic\r\nContent-Length: 0\r\n\r\n`,
    417,
    'expectation_failed',
  ],
  ['an address that is none', `GET /%zz HTTP/1.1\r\n${HEAD}\r\n`, 400, 'bad_request'],
  ['nothing there', `GET /nope HTTP/1.1\r\n${HEAD}\r\n`, 404, 'not_found'],
])('%s: a problem with code and remedy', async (_, bytes, status, code) => {
  const text = await answer(bytes)
  expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  expect(text).toMatch(/content-type: application\/problem\+json/i)
  const body = JSON.parse(/\{.*\}/s.exec(text)![0])
  expect(body).toMatchObject({ status, code, type: `urn:slipway:problem:${code}` })
  expect(body.detail && body.remedy && body.title).toBeTruthy()
})

test('bytes after an answer has begun do not become a part of it', async () => {
  const text = await answer('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n', 'rubbish\r\n\r\n')
  expect(text).toMatch(/^HTTP\/1\.1 200 /)
  expect(text).not.toContain('problem')
})
