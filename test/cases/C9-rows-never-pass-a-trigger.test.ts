import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// JSON images in triggers abort the application's write at a BLOB (C9) and end at 63 columns (C10). Keys do neither.

test('BLOBs and 300 columns', async () => {
  const columns = Array.from({ length: 300 }, (_, n) => `c${n}`)
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${columns.map((name) => `${name} TEXT`).join(', ')})`,
      'CREATE TABLE blobs (k BLOB PRIMARY KEY, b BLOB)',
      `INSERT INTO blobs VALUES (x'00', x'ff'), (x'', NULL)`,
    ],
  })
  const outcomes = await scenario.attempt([
    `INSERT INTO wide VALUES (1, ${columns.map((name) => `'${name}'`).join(', ')})`,
    `UPDATE wide SET c0 = 'first', c299 = 'last'`,
    `INSERT INTO blobs VALUES (x'0001ff0a095c', randomblob(100000))`,
    `UPDATE blobs SET k = x'fe', b = zeroblob(10) WHERE k = x'00'`,
    `DELETE FROM blobs WHERE k = x''`,
    `REPLACE INTO blobs VALUES (x'fe', x'5c4e')`,
  ])
  expect(outcomes.map((outcome) => outcome.error)).toEqual(outcomes.map(() => undefined))
  await scenario.equalAtLagZero()
})
