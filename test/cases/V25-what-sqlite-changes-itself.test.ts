import { expect, test } from 'vitest'
import { Engines, same } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// A REAL column keeps -0.0 as 0.0 and a long decimal as a double: that happened before slipway came. What SQLite still
// has, as the -0.0 of an untyped column, is not lost a second time.

test('the sign of zero where SQLite keeps it', async () => {
  await using engines = await Engines.open()
  const [untyped] = await engines.toAndFro({ type: 'double precision' }, '', [-0])
  expect(untyped).toMatchObject({ copied: '-0', target: '-0' })
  expect(same(untyped?.stored, untyped?.back)).toBe(true)
  const [real] = await engines.toAndFro({ type: 'double precision' }, 'REAL', [-0])
  expect(real).toMatchObject({ target: '0' })
  expect(same(real?.stored, real?.back)).toBe(true)
  // A decimal has no negative zero, and a count of seconds none that says the same.
  for (const rule of [
    { type: 'numeric' },
    { type: 'numeric(10,2)' },
    { type: 'timestamp without time zone', codec: 'epoch_s' as const },
  ]) {
    expect((await engines.toAndFro(rule, '', [-0]))[0]?.copied, rule.type).toBeUndefined()
  }
})

test('a long decimal is the double that SQLite made of it, or the text that it left', async () => {
  await using engines = await Engines.open()
  const long = '0.12345678901234567890'
  const [number] = await engines.toAndFro({ type: 'numeric' }, 'NUMERIC', [long])
  expect(number?.stored.type).toBe('real')
  expect(Number(number?.target)).toBe(Number(long))
  const [text] = await engines.toAndFro({ type: 'numeric' }, 'TEXT', [long])
  expect(text?.target).toBe(long)
  expect(same(text?.stored, text?.back)).toBe(true)
})

test('a decimal of PostgreSQL that SQLite would shorten does not go back in silence', async () => {
  await using engines = await Engines.open()
  const rounds = await engines.froAndTo({ type: 'numeric' }, 'NUMERIC', [
    '0.12345678901234567890',
    '9223372036854775808.5',
    '1.5',
  ])
  expect(rounds.map(([, to]) => to)).toEqual([null, null, '1.5'])
})

test('in live replication what is in the file is what arrives', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, n NUMERIC, u)',
      'INSERT INTO t VALUES (1, -0.0, -0.0, -0.0), (2, 12345678901234567890.123, 0.12345678901234567890, 1e-320)',
    ],
  })
  await scenario.equalAtLagZero()
  await scenario.write([
    'UPDATE t SET r = -0.0, n = 0.1 + 0.2, u = -0.0 WHERE id = 2',
    'UPDATE t SET u = 0.0 WHERE id = 1',
  ])
  await scenario.equalAtLagZero()
})
