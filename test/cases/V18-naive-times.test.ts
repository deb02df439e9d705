import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A real news database: published_at is in naive Moscow time, created_at in naive UTC, in the same row. The zone of each
// is a property of the plan; no session's TimeZone has a say, and UTC is told where it is assumed.

const OPTIONS = {
  source: [
    'CREATE TABLE news (id INTEGER PRIMARY KEY, published_at DATETIME, created_at DATETIME, edited_at TEXT)',
    `INSERT INTO news VALUES
       (1, '2024-07-01 12:00:00', '2024-07-01 09:05:00', '2024-07-01T12:00:00+03:00'),
       (2, '2010-07-01 12:00:00', '2010-07-01 08:05:00', NULL)`,
  ],
  target: `CREATE TABLE news (id bigint PRIMARY KEY, published_at timestamptz, created_at timestamptz, edited_at timestamptz);
           DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = %L', current_database(), 'America/New_York'); END $$`,
}

async function news(scenario: Scenario): Promise<unknown[]> {
  return await scenario.postgres(
    `SELECT to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS published,
            to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS created,
            to_char(edited_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS edited FROM news ORDER BY id`,
  )
}

test('two zones in one row, by the plan', async () => {
  await using scenario = await Scenario.prepare(OPTIONS)
  scenario.writePlan({ news: { columns: { published_at: { zone: 'Europe/Moscow' } } } })
  await scenario.start()
  await scenario.daemon.caughtUp()
  await scenario.write([
    `INSERT INTO news VALUES (3, '2024-01-01 02:59:59', '2023-12-31 23:59:59', '2024-01-01T00:00:00Z')`,
  ])
  await scenario.daemon.caughtUp()
  expect(await news(scenario)).toEqual([
    { published: '2024-07-01 09:00', created: '2024-07-01 09:05', edited: '2024-07-01 09:00' },
    // In 2010 Moscow had summer time.
    { published: '2010-07-01 08:00', created: '2010-07-01 08:05', edited: null },
    { published: '2023-12-31 23:59', created: '2023-12-31 23:59', edited: '2024-01-01 00:00' },
  ])
  const { warnings } = (await scenario.daemon.status())!
  expect(warnings.filter((text) => text.includes('without a zone'))).toEqual([
    'news.created_at holds 2 times without a zone: UTC is assumed',
  ])
})
