import { test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A file may keep its text in UTF-16: bytes there are not bytes here.

test.for(['UTF-16le', 'UTF-16be'])('a database in %s', async (encoding) => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, a TEXT UNIQUE, b BLOB)',
      `INSERT INTO t VALUES ('новости', 'tab	here', x'00ff'), ('🚀', '', NULL), ('back\\slash', 'line
break', x'')`,
    ],
    first: [`PRAGMA encoding = '${encoding}'`],
  })
  await scenario.equalAtLagZero()
  await scenario.write([
    `UPDATE t SET k = 'НОВОСТИ' WHERE k = 'новости'`,
    `INSERT OR REPLACE INTO t VALUES ('東京', '', x'01')`,
    `INSERT INTO t VALUES ('é', 'e\u0301 \\N', NULL)`,
    `DELETE FROM t WHERE k = 'back\\slash'`,
  ])
  await scenario.equalAtLagZero()
})
