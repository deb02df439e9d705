import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A statement takes 65,535 parameters; rows travel by COPY, so nothing is counted.

test('300 columns, and a batch of more values than parameters exist', { timeout: 60_000 }, async () => {
  const columns = Array.from({ length: 300 }, (_, i) => `c${i} INTEGER`)
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${columns.join(', ')})`,
      'CREATE TABLE long (id INTEGER PRIMARY KEY, v TEXT)',
      'INSERT INTO wide (id, c0, c299) VALUES (1, 1, 299)',
    ],
  })
  await scenario.write([
    'BEGIN',
    `WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
     INSERT INTO wide (id, c0, c150, c299) SELECT i, i, -i, i * 2 FROM n`,
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)
     INSERT INTO long SELECT i, 'v' || i FROM n`,
    'COMMIT',
    'DELETE FROM long WHERE id % 2 = 0',
  ])
  await scenario.equalAtLagZero(40_000)
  expect(await scenario.compareRows('long')).toEqual({ sqlite: 35_000, postgres: 35_000 })
})
