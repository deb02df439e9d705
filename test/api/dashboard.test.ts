import { afterEach, expect, test, vi } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createMetrics } from '../../src/metrics.ts'
import {
  ASIDE,
  DIFFERENT,
  FakeOperator,
  NOTHING_ASIDE,
  refusedByGuards,
  SWITCHED,
  UNDONE,
} from './fake-operator.ts'

const TOKEN = 'test-token-1'
let api: Api
// The globals stay as they are: the page goes on in this worker until it ends.
afterEach(() => api.stop())

/** As much of a browser's element as the page uses. */
class Element {
  textContent = ''
  className = ''
  hidden = true
  readonly dataset: Record<string, string> = {}
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

test('the dashboard shows what /events says, keeps the token out of the address, and commands', async () => {
  const operator = new FakeOperator()
  operator.verifying = DIFFERENT
  operator.aside = ASIDE
  operator.run = UNDONE
  operator.now = { ...operator.now, quarantined: 2 }
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
  vi.stubGlobal('confirm', () => true)
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
  expect(byId('verify-state').textContent).toBe('3 rows differ')
  expect(byId('verify-facts').textContent).toContain('12,345 rows compared')
  expect(byId('verify-tables').text()).toContain('articles: 1 missing, 1 extra, 1 different')
  await expect
    .poll(() => byId('quarantine-entries').text())
    .toMatch(/articles id=7 .*misfit: no date .*'soon'/)
  expect([byId('quarantine-count').textContent, byId('quarantine-table').hidden]).toEqual(['2', false])
  expect(
    ['actions', 'verify-actions', 'quarantine-actions', 'switch-actions'].map((id) => byId(id).hidden),
  ).toEqual([false, false, false, false])

  operator.emit({ type: 'phase', phase: 'catching_up', previous: 'replicating' })
  await expect.poll(() => byId('phase').textContent).toBe('catching up')
  byId('pause').listeners.get('click')!({})
  await expect.poll(() => operator.paused).toEqual(['vacuum'])
  await expect.poll(() => byId('reasons').textContent).toBe('vacuum')

  byId('repair').listeners.get('click')!({})
  await expect.poll(() => operator.requests).toEqual([{ repair: true }])
  await expect.poll(() => byId('verify-state').textContent).toBe('running')
  expect(byId('verify-facts').textContent).toBe('2,000 of 12,345 rows · 3 s left')
  byId('verify').listeners.get('click')!({})
  await expect.poll(() => byId('verify-answer').textContent).toContain('A verify is running already.')

  byId('retry').listeners.get('click')!({})
  await expect.poll(() => byId('retry-answer').textContent).toBe('2 tried, 0 still set aside')
  operator.now = { ...operator.now, quarantined: 0 }
  operator.emit({ type: 'lag', lag: await operator.lag() })
  await expect.poll(() => byId('quarantine-table').hidden).toBe(true)
  expect(operator.aside).toEqual(NOTHING_ASIDE)
  expect(byId('authority').dataset.engine).toBe('sqlite')
  await expect.poll(() => byId('fences').text()).toContain('postgres closed: sqlite leads')
  expect([byId('epoch').textContent, byId('rollback').textContent]).toEqual(['1', ''])
  expect([byId('switch-state').textContent, byId('switch-state').className]).toEqual([
    'switchover undone',
    'blocked',
  ])
  expect(byId('switch-facts').textContent).toMatch(
    /^writes paused 2001\.5 ms · .* · the drain took too long$/,
  )
  expect(byId('switch-steps').text()).toContain('✗ drain · 2000.0 ms · too slow')

  byId('dry-run').listeners.get('click')!({})
  await expect.poll(() => byId('switch-answer').textContent).toBe('nothing was changed')
  expect(byId('switch-state').textContent).toBe('switchover dry run')
  expect(byId('guards').text()).toMatch(/retention +✓ +true +true/)
  operator.switching = () => Promise.reject(refusedByGuards())
  byId('dry-run').listeners.get('click')!({})
  await expect.poll(() => byId('switch-answer').textContent).toMatch(/^Guards refuse/)

  operator.now = {
    ...operator.now,
    phase: 'switched_over',
    authority: 'postgres',
    epoch: 2,
    head: '727:733:729,731',
    applied: '727:730:727',
    rollback_safe: { safe: false, reasons: ['a NaN'] },
  }
  operator.see(SWITCHED)
  operator.emit({ type: 'lag', lag: await operator.lag() })
  await expect.poll(() => byId('epoch').textContent).toBe('2')
  expect(byId('authority').dataset.engine).toBe('postgres')
  expect(byId('position').textContent).toBe('730 / 733')
  expect(byId('rollback').textContent).toBe('rollback: not safe, a NaN')
  expect(byId('switch-facts').textContent).toMatch(/^writes paused 38\.4 ms · 12 changes drained/)
  const page = await (await fetchReally(api.url!)).text()
  expect([...elements.keys()].filter((id) => !page.includes(`id="${id}"`))).toEqual([])
  stopped = true
})
