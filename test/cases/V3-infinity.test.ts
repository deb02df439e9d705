import { expect, test } from 'vitest'
import { Engines, same } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// Infinity is 9e999 or 'Inf' to SQLite and 'Infinity' to PostgreSQL; NaN is NULL in SQLite, and no value there.

test('in a column that slipway makes, in the copy and in a batch', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, n NUMERIC)',
      'INSERT INTO t VALUES (1, 9e999, 9e999), (2, -9e999, 1.5), (3, 1.5, 2)',
    ],
  })
  await scenario.equalAtLagZero()
  await scenario.write(['UPDATE t SET r = -r, n = -9e999', 'INSERT INTO t VALUES (4, 9e999 - 9e999, 3)'])
  await scenario.equalAtLagZero()
  expect(await scenario.postgres(`SELECT r FROM t WHERE id = 4`)).toEqual([{ r: null }])
})

test('there and back in each type that has it, refused by the others', async () => {
  await using engines = await Engines.open()
  const infinities = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const type of ['double precision', 'real', 'numeric']) {
    for (const journey of await engines.toAndFro({ type }, '', infinities)) {
      expect(journey.target, type).toBe(journey.value === Number.POSITIVE_INFINITY ? 'Infinity' : '-Infinity')
      expect(same(journey.stored, journey.back), type).toBe(true)
    }
  }
  const epoch = { type: 'timestamp without time zone', codec: 'epoch_s' } as const
  for (const rule of [
    { type: 'bigint' },
    { type: 'numeric(10,2)' },
    epoch,
    { ...epoch, codec: 'julian' as const },
  ]) {
    const journeys = await engines.toAndFro(rule, '', infinities)
    expect(
      journeys.filter(({ copied }) => copied !== undefined),
      rule.type,
    ).toEqual([])
  }
})

test('NaN of PostgreSQL does not become NULL on the way back', async () => {
  await using engines = await Engines.open()
  for (const type of ['double precision', 'real', 'numeric']) {
    expect((await engines.froAndTo({ type }, '', ['NaN']))[0]?.[2], type).toBeUndefined()
  }
})
