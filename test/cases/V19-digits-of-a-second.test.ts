import { expect, test } from 'vitest'
import { Engines, same } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// Go writes eight and nine digits of a second, and PostgreSQL rounds them: .999999999 is the next second. The first
// day of the calendar is a date; '0000-00-00 00:00:00', which some applications have as a DEFAULT, is none.

const STAMPS = ['timestamp without time zone', 'timestamp with time zone'] as const

test('no digit is rounded away, no second is the next one', async () => {
  await using engines = await Engines.open()
  const long = [
    '2024-02-29 23:59:59.999999999',
    '2024-02-29 23:59:59.9999999',
    '2024-02-29T10:00:00.12345678',
  ]
  for (const type of STAMPS) {
    const journeys = await engines.toAndFro({ type }, 'TEXT', [...long, ...long.map((text) => `${text}Z`)])
    expect(
      journeys.filter(({ copied }) => copied !== undefined),
      type,
    ).toEqual([])
  }
  // Prisma's column keeps three digits.
  const three = await engines.toAndFro({ type: 'timestamp(3) without time zone' }, 'TEXT', [
    '2024-02-29 10:00:00.1234',
    '2024-02-29 10:00:00.123',
  ])
  expect(three.map(({ target }) => target)).toEqual([undefined, '2024-02-29 10:00:00.123'])
})

test('as many digits as there are come back', async () => {
  await using engines = await Engines.open()
  const texts = ['', '.1', '.10', '.123', '.000', '.123456', '.100000'].map(
    (digits) => `2024-02-29 23:59:59${digits}`,
  )
  for (const type of STAMPS) {
    const journeys = await engines.toAndFro(
      { type, ...(type === STAMPS[1] ? { zone: 'UTC' } : {}) },
      'TEXT',
      texts,
    )
    expect(
      journeys.filter(({ stored, back }) => !same(stored, back)),
      type,
    ).toEqual([])
  }
})

test('digits that a format has no room for are written all the same', async () => {
  await using engines = await Engines.open()
  const rule = { type: STAMPS[0], format: 'YYYY-MM-DD HH:MM' }
  const rounds = await engines.froAndTo(rule, 'TEXT', [
    '2024-02-29 10:00:00',
    '2024-02-29 10:00:01',
    '2024-02-29 10:00:00.000001',
  ])
  expect(rounds.map(([, , stored]) => Buffer.from(stored?.bytes ?? '', 'hex').toString())).toEqual([
    '2024-02-29 10:00',
    '2024-02-29 10:00:01',
    '2024-02-29 10:00:00.000001',
  ])
})

test('cut, or NULL, where the plan asks for it', async () => {
  await using engines = await Engines.open()
  const rule = { type: STAMPS[0], transforms: ['zero_date_as_null', 'truncate_fraction'] } as const
  engines.store('TEXT', ['2024-02-29 23:59:59.999999999', '0000-00-00 00:00:00', '2024-02-29 23:59:59'])
  expect([...engines.encode(rule).values()]).toEqual([
    '2024-02-29 23:59:59.999999',
    '\\N',
    '2024-02-29 23:59:59',
  ])
})

test('in live replication', { timeout: 60_000 }, async () => {
  const first = '0001-01-01 00:00:00+00:00'
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)', `INSERT INTO t VALUES (1, '${first}')`],
    target: 'CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)',
  })
  await scenario.equalAtLagZero()
  for (const text of ['2024-02-29 23:59:59.999999999+00:00', '0000-00-00 00:00:00']) {
    await scenario.write([`UPDATE t SET at = '${text}' WHERE id = 1`])
    expect(await scenario.mendedOrStopped(), text).toBe('stopped')
    await scenario.write([`UPDATE t SET at = '${first}' WHERE id = 1`])
    await scenario.equalAtLagZero(30_000)
  }
})
