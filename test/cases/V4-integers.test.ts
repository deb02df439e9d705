import { test } from 'vitest'
import type { Parameter } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// 64-bit integers beyond 2^53, as values and as keys.

const INTEGERS: Parameter[] = [
  { integer: '9007199254740993' },
  { integer: '-9007199254740993' },
  { integer: '9223372036854775807' },
  { integer: '-9223372036854775808' },
  { integer: '4611686018427387905' },
  0,
  -1,
  2147483648,
]

test('64 bits, in the copy and in a batch', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, u BIGINT UNIQUE)',
      'CREATE TABLE w (a INTEGER, b INTEGER, n INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID',
      ...INTEGERS.map((value): [string, Parameter[]] => [
        'INSERT INTO t VALUES (?, ?, ?)',
        [value, value, value],
      ]),
      ...INTEGERS.map((value): [string, Parameter[]] => [
        'INSERT INTO w VALUES (?, ?, ?)',
        [value, value, value],
      ]),
    ],
  })
  await scenario.equalAtLagZero()
  await scenario.write([
    'UPDATE t SET n = n - 1 WHERE n > 0',
    'UPDATE t SET id = id - 1 WHERE id = 9007199254740993',
    'UPDATE w SET n = n + 1 WHERE n < 0',
    'DELETE FROM w WHERE a = 9223372036854775807',
    'REPLACE INTO t VALUES (9007199254740994, 9007199254740995, 4611686018427387905)',
  ])
  await scenario.equalAtLagZero()
})
