import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Names that are legal in SQLite and impossible in PostgreSQL, where they would be cut, refused or taken: moved under
// names that a rule gives, each told; and written to under the old ones all the while.

const LONG = `${'very_'.repeat(13)}long`

test('system columns, empty names, names that are equal in their first 63 bytes', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, ctid TEXT, xmin TEXT, tableoid TEXT, "" TEXT, _slipway_rowid TEXT,
         "${LONG}_a" TEXT, "${LONG}_b" TEXT UNIQUE)`,
      `INSERT INTO t VALUES (1, 'c', 'x', 't', 'e', 's', 'a', 'b')`,
      `CREATE TABLE "${LONG}_1" (oid TEXT PRIMARY KEY, cmax INTEGER)`,
      `CREATE TABLE "${LONG}_2" ("" INTEGER, rowid TEXT)`,
      `INSERT INTO "${LONG}_1" VALUES ('k', 1)`,
      `INSERT INTO "${LONG}_2" VALUES (1, 'r')`,
    ],
  })
  await scenario.write([
    `INSERT OR REPLACE INTO t VALUES (2, 'c2', 'x2', 't2', 'e2', 's2', 'a2', 'b')`,
    `UPDATE "${LONG}_1" SET cmax = 2`,
    `INSERT INTO "${LONG}_2" VALUES (2, 'r2')`,
  ])
  await scenario.daemon.caughtUp()
  const names = await scenario.postgres<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum`,
  )
  const [a = '', b = ''] = names.slice(6).map(({ name }) => name)
  expect(names.slice(0, 6).map(({ name }) => name)).toEqual([
    'id',
    'ctid_',
    'xmin_',
    'tableoid_',
    'column_5',
    '_slipway_rowid_',
  ])
  expect(a).not.toBe(b)
  expect(await scenario.postgres('SELECT * FROM t')).toEqual([
    {
      id: '2',
      ctid_: 'c2',
      xmin_: 'x2',
      tableoid_: 't2',
      column_5: 'e2',
      _slipway_rowid_: 's2',
      [a]: 'a2',
      [b]: 'b',
    },
  ])
  const tables = await scenario.postgres<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relname LIKE 'very%' AND relkind = 'r' ORDER BY length(relname), relname`,
  )
  expect(tables).toHaveLength(2)
  const contents = await Promise.all(
    tables.map(({ name }) => scenario.postgres(`SELECT count(*)::int AS rows FROM "${name}"`)),
  )
  expect(
    contents
      .flat()
      .map(({ rows }) => rows)
      .toSorted(),
  ).toEqual([1, 2])
  const { warnings } = (await scenario.daemon.status())!
  expect(
    warnings.filter((text) => / becomes .*: (it has|every table|slipway|PostgreSQL has)/.test(text)),
  ).toHaveLength(11)
})
