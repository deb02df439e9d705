import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A bot that offers known links again and again with INSERT OR IGNORE: each candidate costs a logged key. It must
// stay affordable and must not hold back what is real.

test('5,000 known links', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE articles (id INTEGER PRIMARY KEY, canonical_link TEXT UNIQUE, title TEXT)',
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
       INSERT INTO articles (canonical_link, title) SELECT 'https://example.org/' || i, 'title ' || i FROM n`,
    ],
  })
  const outcomes = await scenario.write([
    'BEGIN',
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
     INSERT OR IGNORE INTO articles (canonical_link, title) SELECT 'https://example.org/' || i, 'other ' || i FROM n`,
    `INSERT OR IGNORE INTO articles (canonical_link, title) VALUES ('https://example.org/new', 'new')`,
    'COMMIT',
  ])
  expect(outcomes[1]?.error).toBeUndefined()
  expect(outcomes[1]?.ms).toBeLessThan(2000)
  await scenario.equalAtLagZero(10_000)
  const rows = await scenario.postgres<{ n: number }>('SELECT count(*)::int AS n FROM articles')
  expect(rows).toEqual([{ n: 5001 }])
})
