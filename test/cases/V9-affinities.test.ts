import { expect, test } from 'vitest'
import { Engines } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// STRING and NUMERIC have numeric affinity: '007' is stored as 7. What is gone is gone; what is still there in a
// column of text ('007', '1.10') must not become a number on the way. The n of VARCHAR(n) means nothing to SQLite.

test('what SQLite kept is what arrives, also longer than it was declared', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, s STRING, n NUMERIC, d DECIMAL(4,1), v VARCHAR(3), u)',
      `INSERT INTO t VALUES (1, '007', '1.10', '12.50', 'longer than three', '007'), (2, 'abc', '0x1f', 9.95, '007', '1.10')`,
    ],
  })
  await scenario.equalAtLagZero()
  await scenario.write([
    `INSERT INTO t VALUES (3, '0042', 9.95, 0.1, '0042', '0042')`,
    `UPDATE t SET v = v || v, u = '00' || u`,
  ])
  await scenario.equalAtLagZero()
  expect(await scenario.postgres(`SELECT u, v FROM t WHERE id = 3`)).toEqual([{ u: '000042', v: '00420042' }])
})

test('a decimal in a text is a number only where PostgreSQL would write it back as it stands', async () => {
  await using engines = await Engines.open()
  const values = [
    '007',
    '00.5',
    '.5',
    '5.',
    '-0',
    '-0.00',
    '+5',
    '1e5',
    ' 5',
    '5 ',
    '0x1f',
    '1_000',
    '1,5',
    '',
  ]
  for (const type of ['numeric', 'numeric(10,2)']) {
    const journeys = await engines.toAndFro({ type }, 'TEXT', values)
    expect(
      journeys.filter(({ copied }) => copied !== undefined).map(({ value }) => value),
      type,
    ).toEqual([])
  }
  const kept = await engines.toAndFro({ type: 'numeric' }, 'TEXT', [
    '1.10',
    '0.50',
    '-7',
    '12345678901234567890.10',
  ])
  expect(kept.filter(({ stored, back }) => stored.bytes !== back?.bytes)).toEqual([])
})

test('a double in a decimal is the decimal that was meant', async () => {
  await using engines = await Engines.open()
  const journeys = await engines.toAndFro({ type: 'numeric' }, 'NUMERIC', [9.95, 9.2, 0.3, 1e23, 4.35, 1.005])
  expect(journeys.map(({ target }) => target)).toEqual([
    '9.95',
    '9.2',
    '0.3',
    '100000000000000000000000',
    '4.35',
    '1.005',
  ])
})
