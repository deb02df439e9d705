import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Rows are found late by their key: by a NOCASE key 'ABC' would be found for 'abc'.

test('keys that differ in case alone, one after the other', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
      `INSERT INTO t VALUES ('abc', 1), ('xyz', 2)`,
      'CREATE TABLE w (k TEXT COLLATE NOCASE, j TEXT COLLATE RTRIM, n INTEGER, PRIMARY KEY (k, j)) WITHOUT ROWID',
      `INSERT INTO w VALUES ('abc', 'x', 1), ('ABD', 'y  ', 2)`,
    ],
  })
  await scenario.write([
    'BEGIN',
    `DELETE FROM t WHERE k = 'abc'`,
    `INSERT INTO t VALUES ('ABC', 10)`,
    'COMMIT',
    `UPDATE t SET k = 'XYZ' WHERE k = 'xyz'`,
    `UPDATE t SET k = 'xYz' WHERE k = 'XYZ'`,
    `REPLACE INTO w VALUES ('ABC', 'x ', 3)`,
    `UPDATE w SET k = 'abd', j = 'y' WHERE k = 'abd'`,
  ])
  await scenario.equalAtLagZero()
  const rows = await scenario.postgres<{ k: string }>('SELECT k FROM t ORDER BY k COLLATE "C"')
  expect(rows.map(({ k }) => k)).toEqual(['ABC', 'xYz'])
})
