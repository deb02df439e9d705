import { expect, test } from 'vitest'
import { Engines } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// PostgreSQL reads 'now' and its like as the time of the load, 24:00 as the next day, second 60 as the next minute.

const WORDS = [
  'now',
  'today',
  'tomorrow',
  'yesterday',
  'epoch',
  'infinity',
  '-infinity',
  'allballs',
  'NOW',
  ' now ',
  'today allballs',
]
const CLOCKS = ['24:00:00', '23:59:60', '23:60', '12:30 PM', '1:00', '12:30:00+03', '12']
const DAYS = [
  '2024-02-30',
  '2023-02-29',
  '0000-01-01',
  '2024-13-01',
  '2024-2-1',
  '20240201',
  'J2460000',
  '02/01/2024',
  '0044-03-15 BC',
  '10000-01-01',
  '2024.055',
]

const TYPES = ['date', 'time without time zone', 'timestamp without time zone', 'timestamp with time zone']

test.each(TYPES)('no such text is a %s', async (type) => {
  await using engines = await Engines.open()
  const texts = [
    ...WORDS,
    ...CLOCKS,
    ...DAYS,
    ...DAYS.map((day) => `${day} 10:00:00`),
    ...CLOCKS.map((clock) => `2024-02-29 ${clock}`),
    'Thu, 29 Feb 2024 10:00:00 +0000',
    'Feb 29 10:00:00 2024',
    '2024-02-29 10:00:00 MSK',
    '2024-02-29 10:00:00 PM',
  ].filter((text) => text !== '2024-02-29 12:30:00+03' || type !== 'timestamp with time zone')
  const journeys = await engines.toAndFro({ type }, '', texts)
  expect(journeys.filter(({ copied }) => copied !== undefined).map(({ value }) => value)).toEqual([])
})

test('nor is a word in a type that has no rule', async () => {
  await using engines = await Engines.open()
  for (const type of ['timestamp with time zone[]', 'time with time zone', 'interval']) {
    const journeys = await engines.toAndFro({ type }, '', ['now', 'TODAY', ' allballs '])
    expect(
      journeys.filter(({ copied }) => copied !== undefined),
      type,
    ).toEqual([])
  }
})

test('in live replication it is told, and not loaded as the time of day', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)',
      `INSERT INTO t VALUES (1, '2024-02-29 10:00:00')`,
    ],
    target: 'CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)',
  })
  await scenario.write([`UPDATE t SET at = 'now' WHERE id = 1`])
  expect(await scenario.mendedOrStopped()).toBe('stopped')
  const [row] = await scenario.postgres<{ at: string }>(`SELECT at::text FROM t WHERE id = 1`)
  expect(row === undefined || row.at.startsWith('2024-02-29 10:00:00')).toBe(true)
  await scenario.write([`UPDATE t SET at = '2024-02-29 10:00:00' WHERE id = 1`])
  await scenario.equalAtLagZero(30_000)
})
