import { describe, expect, test } from 'vitest'
import { type Service, ServiceGroup, Task, within } from '../../src/runtime/service.ts'

/** Services that write down what happens to them. */
function recorder() {
  const log: string[] = []
  const service = (name: string, more: Partial<Service> = {}): Service => ({
    name,
    async start() {
      log.push(`start ${name}`)
      await more.start?.()
    },
    async stop() {
      log.push(`stop ${name}`)
      await more.stop?.()
    },
  })
  return { log, service }
}

describe('ServiceGroup', () => {
  test('starts in order and stops in reverse, once', async () => {
    const { log, service } = recorder()
    const group = new ServiceGroup({ name: 'g', services: [service('a'), service('b')] })
    await group.start()
    await Promise.all([group.stop(), group.stop()])
    await group.stop()
    expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a'])
  })

  test('stop before start', async () => {
    const { log, service } = recorder()
    const group = new ServiceGroup({ name: 'g', services: [service('a')] })
    await group.stop()
    await group.start()
    expect(log).toEqual([])
  })

  test('stop during a start that hangs until it is stopped', async () => {
    const { log, service } = recorder()
    const { promise, resolve } = Promise.withResolvers<void>()
    const hanging = service('b', { start: () => promise, stop: async () => resolve() })
    const group = new ServiceGroup({ name: 'g', services: [service('a'), hanging, service('c')] })
    const started = group.start()
    await Promise.resolve()
    await new Promise(setImmediate)
    await group.stop()
    await started
    expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a'])
  })

  test('a start that fails stops what was started, and is told', async () => {
    const { log, service } = recorder()
    const broken = service('b', { start: () => Promise.reject(new Error('no')) })
    const group = new ServiceGroup({ name: 'g', services: [service('a'), broken, service('c')] })
    await expect(group.start()).rejects.toThrow('no')
    expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a'])
  })

  test('a stop that fails does not keep the others', async () => {
    const { log, service } = recorder()
    const broken = service('b', { stop: () => Promise.reject(new Error('no')) })
    const group = new ServiceGroup({ name: 'g', services: [service('a'), broken] })
    await group.start()
    await expect(group.stop()).rejects.toThrow('no')
    expect(log.at(-1)).toBe('stop a')
  })

  test('one deadline for all, which names what hangs', async () => {
    const { service } = recorder()
    const deaf = service('deaf', { stop: () => new Promise(() => {}) })
    const group = new ServiceGroup({ name: 'g', deadlineMs: 20, services: [service('a'), deaf] })
    await group.start()
    await expect(group.stop()).rejects.toMatchObject({
      code: 'stop_timeout',
      message: expect.stringContaining('deaf'),
    })
  })
})

describe('Task', () => {
  test('works until it is stopped, and the stop waits for it', async () => {
    const log: string[] = []
    const task = new Task('loop', async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await new Promise(setImmediate)
      log.push('ended')
    })
    await task.start()
    await Promise.all([task.stop(), task.stop()])
    expect(log).toEqual(['ended'])
    await task.ended
  })

  test('stop before start: it never runs', async () => {
    let ran = false
    const task = new Task('loop', async () => {
      ran = true
    })
    await task.stop()
    await task.start()
    expect(ran).toBe(false)
    await task.ended
  })

  test('an error is told by ended, not by the stop', async () => {
    const task = new Task('loop', () => Promise.reject(new Error('broken')))
    await task.start()
    await expect(task.ended).rejects.toThrow('broken')
    await task.stop()
  })

  test('the abort that the stop causes is no error', async () => {
    const task = new Task('loop', async (signal) => {
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await task.start()
    await task.stop()
    await task.ended
  })
})

describe('within', () => {
  test('gives the result in time, and an error when late', async () => {
    expect(await within(1000, Promise.resolve(1), () => new Error('late'))).toBe(1)
    await expect(within(5, new Promise(() => {}), () => new Error('late'))).rejects.toThrow('late')
  })
})
