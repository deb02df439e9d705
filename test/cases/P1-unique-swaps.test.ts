import { expect, test } from 'vitest'
import { Bench, table } from '../quarantine/bench.ts'
import { Scenario } from '../support/scenario.ts'

// Rows that exchange unique values collide in every order of single upserts: one ON CONFLICT statement fails, so
// the batch goes in as old rows out, new rows in.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE, n INTEGER UNIQUE)',
  `INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)`,
]
const SWAP = [
  'BEGIN',
  `UPDATE t SET v = 'tmp' WHERE id = 1`,
  `UPDATE t SET v = 'a' WHERE id = 2`,
  `UPDATE t SET v = 'b' WHERE id = 1`,
  'UPDATE t SET n = -n',
  'UPDATE t SET n = 4 + n',
  'COMMIT',
]

test.for([
  ['a table of ours', undefined],
  ['one that was there', 'CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE, n bigint UNIQUE)'],
] as const)('%s: two values swapped, a column turned round', async ([, target]) => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    ...(target === undefined ? {} : { target }),
  })
  await scenario.write(SWAP)
  await scenario.equalAtLagZero()
  expect(await scenario.postgres('SELECT count(*)::int AS n FROM slipway.quarantine')).toEqual([{ n: 0 }])
  expect(await scenario.postgres(`SELECT id::int, v, n::int FROM t ORDER BY id`)).toEqual([
    { id: 1, v: 'b', n: 3 },
    { id: 2, v: 'a', n: 2 },
    { id: 3, v: 'c', n: 1 },
  ])
})

test('a swap beside a row that the target refuses', async () => {
  const of = table('t', ['id bigint', 'v text', 'n integer'])
  await using bench = await Bench.open(
    'CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE, n integer CHECK (n < 10))',
    [of],
  )
  await bench.apply({
    table: of,
    rows: [
      [1, 'a', 1],
      [2, 'b', 2],
      [3, 'c', 3],
    ],
  })
  await bench.apply({
    table: of,
    rows: [
      [1, 'b', 1],
      [2, 'c', 2],
      [3, 'a', 30],
      [4, 'a', 4],
    ],
  })
  expect(await bench.rows('SELECT id, v FROM t ORDER BY id')).toEqual([
    ['1', 'b'],
    ['2', 'c'],
  ])
  // 4 gave way to 3, which is refused: so it comes again.
  expect(await bench.entries()).toMatchObject([
    { key: 'id=3', kind: 'refused' },
    { key: 'id=4', kind: 'duplicate' },
  ])
  await bench.apply({ table: of, rows: [[4, 'a', 4]] })
  expect(await bench.rows('SELECT id, v FROM t ORDER BY id')).toContainEqual(['4', 'a'])
})
