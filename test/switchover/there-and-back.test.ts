import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

test('there and back', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT, created_at TEXT)',
      "INSERT INTO articles (title, created_at) VALUES ('a', '2026-01-01T00:00:00Z'), ('b', '2026-01-02T00:00:00.123456789Z')",
    ],
  })
  const { daemon } = scenario
  const answer = await daemon.post('/switchover', {})
  expect(answer).toMatchObject({ status: 200 })
  await scenario.postgres("INSERT INTO articles (title) VALUES ('from pg')")
  await scenario.postgres("UPDATE articles SET title = 'B' WHERE id = 2")
  await daemon.caughtUp(10_000)
  expect(await daemon.post('/rollback', {})).toMatchObject({ status: 200 })
  await scenario.write(["INSERT INTO articles (title) VALUES ('sqlite again')"])
  await scenario.equalAtLagZero()
}, 120_000)
