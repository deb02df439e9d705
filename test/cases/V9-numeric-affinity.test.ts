import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// STRING and NUMERIC have NUMERIC affinity, VARCHAR(n) is not enforced: the type is chosen by what is there, not by
// what was declared.

test('columns whose declared type is not what SQLite made of their values', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, code STRING, price NUMERIC, short VARCHAR(2), mixed STRING)',
      `INSERT INTO t VALUES (1, '007', '1.10', 'longer than two', 'x-7'), (2, '8', 12, 'ab', '007')`,
    ],
  })
  expect(
    await scenario.postgres(
      `SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position`,
    ),
  ).toEqual([
    { name: 'id', type: 'bigint' },
    { name: 'code', type: 'bigint' },
    { name: 'price', type: 'numeric' },
    { name: 'short', type: 'text' },
    { name: 'mixed', type: 'text' },
  ])
  // What SQLite made of '007' is what there is to move.
  expect(await scenario.postgres('SELECT code::text, price::text, short, mixed FROM t ORDER BY id')).toEqual([
    { code: '7', price: '1.1', short: 'longer than two', mixed: 'x-7' },
    { code: '8', price: '12', short: 'ab', mixed: '7' },
  ])
  await scenario.write([`INSERT INTO t VALUES (3, '0010', '0.30', 'long again', 'y')`])
  await scenario.equalAtLagZero()
})
