import { expect, test } from 'vitest'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, spec } from '../support/reverse-batch.ts'

// DDL passes SQLite's fence: what was changed there since the switchover ends the way back, and says so.

const T = spec('t', ['id bigint', 'a text'])
const SCHEMA = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`]

test.each([
  ['a new index', 'CREATE INDEX i ON t (a)'],
  ['a column', 'ALTER TABLE t ADD COLUMN b'],
  [
    'a table made anew',
    'DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 2)',
  ],
  ['VACUUM', 'VACUUM'],
  ['a table that is gone', 'DROP TABLE t'],
])('%s is noticed by the next batch', async (_, sql) => {
  using back = new WayBack(SCHEMA)
  await back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'y' })] })
  back.write(sql)
  const before = dump(back.path)
  await expect(back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'z' })] })).rejects.toMatchObject({
    code: 'source_drift',
    policy: 'person',
  })
  expect(dump(back.path)).toEqual(before)
})

test("slipway's own change of the schema, which is noted, is none", async () => {
  using back = new WayBack(SCHEMA)
  await back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'y' })] })
  back.write(
    `CREATE TRIGGER _slipway_t_pause BEFORE DELETE ON t WHEN 0 BEGIN SELECT 1; END;
     UPDATE _slipway_control SET value = (SELECT schema_version FROM pragma_schema_version) WHERE name = 'schema_version'`,
  )
  expect((await back.apply({ table: T, gone: ['["i1"]'] })).deleted).toBe(1)
})
