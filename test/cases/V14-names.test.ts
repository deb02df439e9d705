import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Names as applications choose them: case, blanks, quotes, keywords, other scripts, PostgreSQL's system columns.

test('odd names that both engines can hold', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE "Order" ("select" INTEGER PRIMARY KEY, "from where" TEXT UNIQUE, "a""b" TEXT, "tab\tbed" TEXT)',
      `INSERT INTO "Order" VALUES (1, 'x', 'y', 'z')`,
      'CREATE TABLE "новости" ("заголовок" TEXT PRIMARY KEY, "$1" INTEGER)',
      `INSERT INTO "новости" VALUES ('первая', 1)`,
      `CREATE TABLE "it's" ("o'clock" INTEGER PRIMARY KEY, "%s" TEXT, "{{key}}" TEXT)`,
      `INSERT INTO "it's" VALUES (1, 'x', 'y')`,
      'CREATE TABLE "rowids" (rowid TEXT, oid INTEGER PRIMARY KEY, _rowid_ TEXT)',
      `INSERT INTO "rowids" VALUES ('x', 7, 'y')`,
      'CREATE TABLE one (only INTEGER)',
      'INSERT INTO one VALUES (1)',
    ],
  })
  await scenario.write([
    `INSERT OR REPLACE INTO "Order" VALUES (2, 'x', 'displaces', NULL)`,
    `UPDATE "новости" SET "заголовок" = 'вторая'`,
    `UPDATE "it's" SET "%s" = 'z', "o'clock" = 2`,
    `UPDATE "rowids" SET oid = 8, rowid = 'z'`,
    'INSERT INTO one VALUES (1), (NULL)',
  ])
  await scenario.equalAtLagZero()
})

test('names that only SQLite can hold are refused by name, or moved under another one that is told', async () => {
  for (const name of ['xmin', 'x'.repeat(70), 'ctid']) {
    await using scenario = await Scenario.prepare({
      source: [`CREATE TABLE t (id INTEGER PRIMARY KEY, "${name}" TEXT)`, `INSERT INTO t VALUES (1, 'x')`],
    })
    const result = await scenario.slipway.run(['snapshot'])
    if (result.code !== 0) {
      expect(result.code, result.stderr).toBe(3)
      expect(result.stderr).toMatch(new RegExp(`^error: [^]*${name.slice(0, 40)}`, 'm'))
    } else {
      expect(result.stdout + result.stderr).toContain(name.slice(0, 40))
    }
  }
})
