import { afterEach, expect, test, vi } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createMetrics } from '../../src/metrics.ts'
import { FakeOperator } from './fake-operator.ts'

const TOKEN = 'test-token-1'
let api: Api
// The globals stay as they are: the page goes on in this worker until it ends.
afterEach(() => api.stop())

/** As much of a browser's element as the page uses. */
class Element {
  textContent = ''
  className = ''
  hidden = true
  readonly children: (Element | string)[] = []
  readonly listeners = new Map<string, (event: unknown) => void>()
  append(...children: (Element | string)[]) {
    this.children.push(...children)
  }
  replaceChildren(...children: (Element | string)[]) {
    this.children.splice(0, Infinity, ...children)
  }
  addEventListener(type: string, listener: (event: unknown) => void) {
    this.listeners.set(type, listener)
  }
  text(): string {
    return [
      this.textContent,
      ...this.children.map((one) => (typeof one === 'string' ? one : one.text())),
    ].join(' ')
  }
}

test('the dashboard shows what /events says, keeps the token out of the address, and pauses', async () => {
  const operator = new FakeOperator()
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

  const elements = new Map<string, Element>()
  const byId = (id: string) => elements.getOrInsertComputed(id, () => new Element())
  const storage = new Map<string, string>()
  const replaceState = vi.fn()
  const fetchReally = fetch
  vi.stubGlobal('document', { getElementById: byId, createElement: () => new Element(), title: '' })
  vi.stubGlobal('location', { hash: `#token=${TOKEN}`, pathname: '/' })
  vi.stubGlobal('history', { replaceState })
  vi.stubGlobal('sessionStorage', {
    getItem: (name: string) => storage.get(name) ?? null,
    setItem: (name: string, value: string) => storage.set(name, value),
  })
  vi.stubGlobal('prompt', () => 'vacuum')
  let stopped = false
  vi.stubGlobal('fetch', (path: string, options: RequestInit) =>
    stopped ? new Promise(() => {}) : fetchReally(`${api.url}/${path}`, options),
  )

  // It follows the events for ever: nobody waits for its end.
  void import(new URL('../../src/api/public/dashboard.js', import.meta.url).href)
  await expect.poll(() => byId('phase').textContent).toBe('replicating')
  await expect.poll(() => byId('tables').text()).toContain('50 / 200')
  expect(byId('connection').textContent).toBe('live')
  expect(byId('lag').textContent).toBe('0.01 s')
  expect(replaceState).toHaveBeenCalledWith(null, '', '/')

  operator.emit({ type: 'phase', phase: 'catching_up', previous: 'replicating' })
  await expect.poll(() => byId('phase').textContent).toBe('catching up')
  byId('pause').listeners.get('click')!({})
  await expect.poll(() => operator.paused).toEqual(['vacuum'])
  await expect.poll(() => byId('reasons').textContent).toBe('vacuum')
  stopped = true
})
