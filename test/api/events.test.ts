import { afterEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createMetrics } from '../../src/metrics.ts'
import { DIFFERENT, FakeOperator, RUNNING, SWITCHING, UNDONE } from './fake-operator.ts'

let api: Api
afterEach(() => api.stop())

async function started(operator: FakeOperator): Promise<string> {
  api = createApi({
    operator,
    registry: createMetrics().registry,
    token: 'test-token-1',
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: () => {} },
    scrub: (text) => text.replaceAll('hunter22', '***'),
  })
  await api.start()
  return api.url!
}

/** Reads events one at a time. */
function reader(answer: Response) {
  const chunks = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    async next(): Promise<{ event: string; data: unknown } | undefined> {
      while (!text.includes('\n\n')) {
        const { done, value } = await chunks.read()
        if (done) return undefined
        text += value
      }
      const end = text.indexOf('\n\n')
      const [event, data] = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      return { event: event!.slice('event: '.length), data: JSON.parse(data!.slice('data: '.length)) }
    },
    cancel: () => chunks.cancel(),
  }
}

describe('GET /events', () => {
  test('the present state first, then what happens', async () => {
    const operator = new FakeOperator()
    const url = await started(operator)
    const answer = await fetch(`${url}/events`, { headers: { accept: 'text/event-stream' } })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const events = reader(answer)
    expect(await events.next()).toEqual({
      event: 'phase',
      data: { phase: 'replicating', previous: 'replicating' },
    })
    expect(await events.next()).toEqual({
      event: 'progress',
      data: { tables: (await operator.status()).tables },
    })
    expect(await events.next()).toEqual({ event: 'lag', data: await operator.lag() })
    operator.emit({ type: 'phase', phase: 'switching_over', previous: 'replicating' })
    expect(await events.next()).toEqual({
      event: 'phase',
      data: { phase: 'switching_over', previous: 'replicating' },
    })
    operator.emit({ type: 'lag', lag: { ...(await operator.lag()), reasons: ['hunter22'] } })
    expect(await events.next()).toMatchObject({ event: 'lag', data: { reasons: ['***'] } })
    await events.cancel()
    await expect.poll(() => operator.listeners.size).toBe(0)
  })

  test('the run of verify that there was, and how the next one goes', async () => {
    const operator = new FakeOperator()
    operator.verifying = DIFFERENT
    const events = reader(await fetch(`${await started(operator)}/events`))
    for (let i = 0; i < 3; i++) await events.next()
    expect(await events.next()).toEqual({ event: 'verify', data: DIFFERENT })
    operator.emit({ type: 'verify', verify: RUNNING })
    expect(await events.next()).toEqual({ event: 'verify', data: RUNNING })
    await events.cancel()
  })

  test('the run of a switchover that there was, and how the next one goes', async () => {
    const operator = new FakeOperator()
    operator.run = UNDONE
    const events = reader(await fetch(`${await started(operator)}/events`))
    for (let i = 0; i < 3; i++) await events.next()
    expect(await events.next()).toEqual({ event: 'switch', data: UNDONE })
    operator.see(SWITCHING)
    expect(await events.next()).toEqual({ event: 'switch', data: SWITCHING })
    await events.cancel()
  })

  test('a reader that does not read is not waited for, and its buffer is bounded', async () => {
    const operator = new FakeOperator()
    const url = await started(operator)
    const answer = await fetch(`${url}/events`)
    const [table] = (await operator.status()).tables
    const tables = Array.from({ length: 2000 }, () => table!)
    for (let i = 0; i < 50; i++) operator.emit({ type: 'progress', tables })
    for (let i = 0; i < 50_000 && operator.listeners.size > 0; i++) {
      operator.emit({ type: 'phase', phase: 'replicating', previous: 'catching_up' })
    }
    expect(operator.listeners.size).toBe(0)
    await answer.body!.cancel()
  })

  test('streams end when the server stops', async () => {
    const operator = new FakeOperator()
    const url = await started(operator)
    const events = reader(await fetch(`${url}/events`))
    for (let i = 0; i < 3; i++) await events.next()
    const began = performance.now()
    await api.stop()
    expect(performance.now() - began).toBeLessThan(1000)
    expect(await events.next()).toBeUndefined()
    expect(operator.listeners.size).toBe(0)
  })

  test('clients that want something else, and HEAD', async () => {
    const url = await started(new FakeOperator())
    const refused = await fetch(`${url}/events`, { headers: { accept: 'application/json' } })
    expect(refused.status).toBe(406)
    expect(await refused.json()).toMatchObject({ code: 'not_acceptable' })
    expect((await fetch(`${url}/events`, { method: 'HEAD' })).status).toBe(405)
  })
})
