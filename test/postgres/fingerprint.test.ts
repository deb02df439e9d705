import { expect, test } from 'vitest'
import type { TableSpec } from '../../src/core/table.ts'
import { targetDrift, targetFingerprint } from '../../src/postgres/fingerprint.ts'
import { createDatabase } from '../support/postgres.ts'

const spec = (target: string): TableSpec => ({
  name: target,
  schema: 'public',
  target,
  key: { kind: 'primary', columns: [{ name: 'id', target: 'id', type: 'bigint' }] },
  columns: [
    { name: 'id', target: 'id', type: 'bigint', notNull: true },
    { name: 'a', target: 'a', type: 'text', notNull: false },
  ],
  rowid: 'id',
  owned: false,
})
const TABLES = [spec('t'), spec('p'), spec('o')]

const SCHEMA = `
  CREATE TABLE t (id bigint PRIMARY KEY, a text, other int);
  CREATE TABLE p (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
  CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
  CREATE TABLE o (id bigint PRIMARY KEY, a text UNIQUE);
  ALTER TABLE o ADD CONSTRAINT o_fkey FOREIGN KEY (id) REFERENCES t (id) NOT VALID;
  ALTER TABLE o ADD CONSTRAINT o_check CHECK (a <> '') NOT VALID;
  INSERT INTO t VALUES (1, 'one'); INSERT INTO o VALUES (1, 'one')`

// What DDL may do to the tables while PostgreSQL leads, and what is no drift.

test('what reads and maintains a table leaves its fingerprint', async () => {
  await using database = await createDatabase()
  const client = await database.connect()
  await client.query(SCHEMA)
  const before = await targetFingerprint(client, TABLES)
  for (const sql of [
    `UPDATE t SET a = 'two'`,
    'ANALYZE',
    'VACUUM FREEZE',
    'VACUUM FULL',
    'CLUSTER t USING t_pkey',
    'ALTER TABLE o VALIDATE CONSTRAINT o_fkey',
    'ALTER TABLE o VALIDATE CONSTRAINT o_check',
    'TRUNCATE t, o',
    'CREATE INDEX ON t (a)',
    `SET search_path = pg_catalog`,
  ]) {
    await client.query(sql)
    expect(await targetFingerprint(client, TABLES), sql).toBe(before)
  }
  expect(targetDrift(before, before, TABLES)).toEqual([])
})

const DRIFTS: [sql: string, what: RegExp, fatal: boolean][] = [
  ['ALTER TABLE t ADD COLUMN new int', /new column new/, false],
  ['ALTER TABLE t DROP COLUMN a', /column a of "public"."t" is gone/, true],
  ['ALTER TABLE t DROP COLUMN other', /column other of "public"."t" is gone/, false],
  ['ALTER TABLE t ALTER COLUMN a TYPE varchar(20)', /column a .* another type/, true],
  ['ALTER TABLE t ALTER COLUMN a TYPE text USING upper(a)', /may have been rewritten/, false],
  ['ALTER TABLE t ALTER COLUMN a SET NOT NULL', /became NOT NULL/, false],
  ['DROP TABLE o', /"public"."o" is gone/, true],
  ['DROP TABLE o; CREATE TABLE o (id bigint PRIMARY KEY, a text UNIQUE)', /dropped and made anew/, true],
  ['ALTER TABLE o DROP CONSTRAINT o_fkey', /constraint o_fkey .* is gone/, false],
  ['ALTER TABLE o DROP CONSTRAINT o_a_key', /unique index o_a_key .* is gone/, false],
  ['CREATE UNIQUE INDEX t_a ON t (a)', /unique index t_a .* is new/, false],
  ['CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)', /partition public.p2 .* is new/, false],
]

test('DDL is told, with whether rows can still be read', async () => {
  await using database = await createDatabase()
  const client = await database.connect()
  for (const [sql, what, fatal] of DRIFTS) {
    await client.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${SCHEMA}`)
    const before = await targetFingerprint(client, TABLES)
    await client.query(sql)
    const drift = targetDrift(before, await targetFingerprint(client, TABLES), TABLES)
    const told = drift.find((one) => what.test(one.what))
    expect(told, `${sql}: ${JSON.stringify(drift)}`).toBeDefined()
    expect(
      drift.some((one) => one.fatal),
      sql,
    ).toBe(fatal)
  }
})
