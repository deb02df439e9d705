import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Generated columns are not in table_info, and PostgreSQL refuses them in COPY.

test('virtual and stored, in a unique as well', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, first TEXT, last TEXT,
         full_name TEXT GENERATED ALWAYS AS (first || ' ' || last) VIRTUAL,
         shout TEXT AS (upper(last)) STORED UNIQUE)`,
      `INSERT INTO t (first, last) VALUES ('Ada', 'Lovelace'), ('Alan', 'Turing')`,
    ],
  })
  await scenario.write([
    `INSERT INTO t (first, last) VALUES ('Grace', 'Hopper')`,
    `UPDATE t SET last = 'King' WHERE first = 'Ada'`,
    // Displaces Turing through the generated unique.
    `INSERT OR REPLACE INTO t (first, last) VALUES ('Other', 'turing')`,
  ])
  const [count] = await scenario.write(['SELECT count(*) FROM t'])
  expect(count?.rows).toEqual([[3]])
  await scenario.equalAtLagZero()
})
