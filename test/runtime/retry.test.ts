import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/core/errors.ts'
import { Retry, sleep } from '../../src/runtime/retry.ts'

const never = new AbortController().signal
const transient = () => new Failure({ code: 'x', message: 'away', policy: 'transient' })

function retry(options: ConstructorParameters<typeof Retry>[0] = {}) {
  const waits: number[] = []
  const sleeps = async (ms: number) => void waits.push(ms)
  return { waits, retry: new Retry({ minMs: 100, maxMs: 1000, jitter: 0, sleep: sleeps, ...options }) }
}

describe('Retry', () => {
  test('waits longer each time, up to the cap, and begins anew after a success', async () => {
    const { retry: one, waits } = retry()
    for (let i = 0; i < 6; i++) await one.wait(never)
    one.reset()
    await one.wait(never)
    expect(waits).toEqual([100, 200, 400, 800, 1000, 1000, 100])
  })

  test('jitter takes a share away and never more', () => {
    fc.assert(
      fc.property(
        fc.nat(5000),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (failures, jitter, random) => {
          const { retry: one } = retry({ jitter, random: () => random })
          for (let i = 0; i < failures; i++) one.next()
          const full = Math.min(1000, 100 * 2 ** Math.min(failures, 60))
          const wait = one.next()
          return wait >= Math.floor(full * (1 - jitter)) && wait <= full
        },
      ),
      { numRuns: 50 },
    )
  })

  test('runs until it works, and says what it waits for', async () => {
    const told: number[] = []
    const { retry: one, waits } = retry({ onRetry: (_, waitMs, attempt) => told.push(attempt, waitMs) })
    let calls = 0
    const result = await one.run(async (attempt) => {
      calls += 1
      expect(attempt).toBe(calls)
      if (calls < 3) throw transient()
      return 'done'
    }, never)
    expect(result).toBe('done')
    expect(waits).toEqual([100, 200])
    expect(told).toEqual([1, 100, 2, 200])
    expect(one.failures).toBe(0)
  })

  test('what is not transient is thrown at once', async () => {
    const { retry: one, waits } = retry()
    await expect(one.run(() => Promise.reject(new TypeError('defect')), never)).rejects.toThrow('defect')
    expect(waits).toEqual([])
  })

  test('an aborted signal ends it, also while it waits', async () => {
    const abort = new AbortController()
    const { retry: one } = retry({ sleep: async () => abort.abort() })
    await expect(one.run(() => Promise.reject(transient()), abort.signal)).rejects.toMatchObject({
      name: 'AbortError',
    })
  })
})

describe('sleep', () => {
  test('ends at once when aborted, and leaves no listener', async () => {
    const abort = new AbortController()
    const slept = sleep(60_000, abort.signal)
    abort.abort()
    await slept
    await sleep(60_000, abort.signal)
  })
})
