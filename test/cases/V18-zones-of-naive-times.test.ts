import { expect, test } from 'vitest'
import { Engines, same } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// A text without a zone is a time of some zone, and only the plan knows of which: in one row `published_at` may be
// Moscow's and `created_at` UTC's. What the server's or the role's TimeZone is must not matter.

test("the server's zone moves nothing", async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, zoned TEXT, plain TEXT)',
      `INSERT INTO t VALUES (1, '2024-07-01 10:00:00', '2024-07-01T10:00:00+03:00', '2024-07-01 10:00:00')`,
    ],
    target: 'CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, zoned timestamptz, plain timestamp)',
  })
  await scenario.postgres(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''America/New_York''', current_database()); END $$`,
  )
  await scenario.postgres(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle = ''SQL, DMY''', current_database()); END $$`,
  )
  await scenario.start()
  await scenario.equalAtLagZero()
  await scenario.write([`INSERT INTO t SELECT 2, '2024-12-01 09:30:00', zoned, plain FROM t`])
  await scenario.equalAtLagZero()
  expect(
    await scenario.postgres(
      `SELECT extract(epoch FROM at)::int8 AS at, extract(epoch FROM zoned)::int8 AS zoned FROM t WHERE id = 1`,
    ),
  ).toEqual([{ at: '1719828000', zoned: '1719817200' }])
})

const TZ = 'timestamp with time zone'

test('each column has its own zone, and gets its own text back', async () => {
  await using engines = await Engines.open()
  const cases: [zone: string | undefined, text: string, utc: string][] = [
    ['Europe/Moscow', '2024-07-01 10:00:00', '2024-07-01 07:00:00+00'],
    ['Europe/Moscow', '2012-07-01 10:00:00', '2012-07-01 06:00:00+00'],
    ['America/New_York', '2024-07-01T10:00:00.250', '2024-07-01 14:00:00.25+00'],
    ['America/New_York', '2024-12-01 10:00', '2024-12-01 15:00:00+00'],
    ['UTC', '2024-07-01 10:00:00', '2024-07-01 10:00:00+00'],
    // Its own zone is kept.
    ['Europe/Moscow', '2024-07-01 10:00:00Z', '2024-07-01 10:00:00+00'],
    ['Europe/Moscow', '2024-07-01 10:00:00+03:00', '2024-07-01 07:00:00+00'],
    ['America/New_York', '2024-07-01 10:00:00-0400', '2024-07-01 14:00:00+00'],
  ]
  for (const [zone, text, utc] of cases) {
    const [journey] = await engines.toAndFro({ type: TZ, zone }, 'TEXT', [text])
    expect(journey?.target, `${text} ${zone}`).toBe(utc)
    expect(same(journey?.stored, journey?.back), `${text} ${zone}`).toBe(true)
  }
})

test('a time that the clocks of the zone left out is no time', async () => {
  await using engines = await Engines.open()
  const left = async (zone: string, texts: string[]): Promise<unknown[]> =>
    (await engines.toAndFro({ type: TZ, zone }, 'TEXT', texts))
      .filter((j) => j.copied === undefined)
      .map((j) => j.value)
  expect(
    await left('America/New_York', ['2024-03-10 01:59:59', '2024-03-10 02:30:00', '2024-03-10 03:00:00']),
  ).toEqual(['2024-03-10 02:30:00'])
  expect(await left('Europe/Moscow', ['2011-03-27 02:00:00', '2024-03-10 02:30:00'])).toEqual([
    '2011-03-27 02:00:00',
  ])
})

test('of an hour that comes twice each time comes back as itself', async () => {
  await using engines = await Engines.open()
  const rule = { type: TZ, zone: 'America/New_York', format: 'YYYY-MM-DD HH:MM:SS' }
  const rounds = await engines.froAndTo(rule, 'TEXT', ['2024-11-03 05:30:00+00', '2024-11-03 06:30:00+00'])
  expect(rounds.map(([, to, stored]) => [to, Buffer.from(stored?.bytes ?? '', 'hex').toString()])).toEqual([
    // Naive text means the second; the first has to say so.
    ['2024-11-03 05:30:00+00', '2024-11-03 01:30:00-04:00'],
    ['2024-11-03 06:30:00+00', '2024-11-03 01:30:00'],
  ])
})

test('a zone does not pass into a type without one', async () => {
  await using engines = await Engines.open()
  const texts = ['2024-07-01 10:00:00Z', '2024-07-01 10:00:00+03:00', '2024-07-01 10:00:00 Europe/Moscow']
  const journeys = await engines.toAndFro({ type: 'timestamp without time zone' }, 'TEXT', texts)
  expect(journeys.filter(({ copied }) => copied !== undefined)).toEqual([])
  const [naive] = await engines.toAndFro({ type: 'timestamp without time zone' }, 'TEXT', [
    '2024-07-01 10:00:00',
  ])
  expect(naive?.target).toBe('2024-07-01 10:00:00')
})
