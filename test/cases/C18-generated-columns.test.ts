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
  // They are computed there, by the same expression.
  expect(await scenario.postgres('SELECT full_name, shout FROM t ORDER BY first')).toEqual([
    { full_name: 'Ada King', shout: 'KING' },
    { full_name: 'Grace Hopper', shout: 'HOPPER' },
    { full_name: 'Other turing', shout: 'TURING' },
  ])
  const [made] = await scenario.postgres<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_attribute WHERE attrelid = 't'::regclass AND attgenerated = 's'`,
  )
  expect(made?.n).toBe(2)
})

test('what PostgreSQL cannot compute alike is left out with the reason, and with what builds on it', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, j TEXT, n INTEGER, at TEXT,
         name TEXT AS (json_extract(j, '$.name')), day TEXT AS (date(at)) STORED UNIQUE,
         loud TEXT AS (upper(name)), twice INTEGER AS (n * 2), four INTEGER AS (twice * 2))`,
      'CREATE INDEX by_name ON t (name)',
      'CREATE INDEX by_four ON t (four)',
      `INSERT INTO t (j, n, at) VALUES ('{"name":"x"}', 3, '2024-01-01 10:00:00')`,
    ],
  })
  await scenario.write([
    `INSERT INTO t (j, n, at) VALUES ('{"name":"y"}', NULL, '2024-01-02T10:00:00')`,
    // The generated unique displaces in SQLite, whatever the target has.
    `REPLACE INTO t (j, n, at) VALUES ('{}', 5, '2024-01-01')`,
  ])
  await scenario.equalAtLagZero()
  expect(await scenario.postgres('SELECT n::int, twice::int, four::int FROM t ORDER BY id')).toEqual([
    { n: null, twice: null, four: null },
    { n: 5, twice: 10, four: 20 },
  ])
  const told = (await scenario.daemon.status())?.warnings.join('\n')
  expect(told).toMatch(/t\.name: the generated column is not carried over: json_extract\(\)/)
  expect(told).toMatch(/t\.day: the generated column is not carried over: date\(\)/)
  expect(told).toMatch(/t\.loud: the generated column is not carried over: the target has no column for name/)
  expect(told).toMatch(/index by_name is not carried over: the target has no column name/)
  const [index] = await scenario.postgres<{ is: string }>(
    `SELECT indexdef AS is FROM pg_indexes WHERE indexname = 'by_four'`,
  )
  expect(index?.is).toMatch(/\(four\)$/)
})
