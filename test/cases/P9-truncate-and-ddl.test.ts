import { expect, test } from 'vitest'
import { spec } from '../history/target-side.ts'
import { ReverseSide } from '../postgres/reverse-side.ts'

// TRUNCATE fires no row trigger, and DDL fires none at all. The first is a marker that has the table compared whole; the
// second is found by what the tables and our triggers are: what cannot go on stops, everything else is compared again.

const T = spec('t', { id: 'bigint', a: 'text' })
const PARTED = spec('parted', { id: 'bigint', a: 'text' })
const OTHER = spec('other', { id: 'bigint', a: 'text' })

const create = (): Promise<ReverseSide> =>
  ReverseSide.create({
    source: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
      CREATE TABLE parted (id INTEGER PRIMARY KEY, a TEXT);
      CREATE TABLE other (id INTEGER PRIMARY KEY, a TEXT);
      INSERT INTO t VALUES (1, 'one'), (2, 'two');
      INSERT INTO parted VALUES (1, 'low'), (100, 'high');
      INSERT INTO other VALUES (1, 'x')`,
    target: `CREATE TABLE t (id bigint PRIMARY KEY, a text);
      CREATE TABLE parted (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
      CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (50);
      CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (50) TO (200);
      CREATE TABLE other (id bigint PRIMARY KEY, a text);
      CREATE TABLE child () INHERITS (other);
      INSERT INTO t VALUES (1, 'one'), (2, 'two');
      INSERT INTO parted VALUES (1, 'low'), (100, 'high');
      INSERT INTO other VALUES (1, 'x')`,
    tables: [T, PARTED, OTHER],
  })

async function expectEqual(side: ReverseSide): Promise<void> {
  for (const { name } of side.tables) {
    const rows = await side.sql<{ id: string; a: string }>(`SELECT id, a FROM ${name} ORDER BY id`)
    expect(side.rows(`SELECT CAST(id AS TEXT), a FROM ${name} ORDER BY id`), name).toEqual(
      rows.map(({ id, a }) => [id, a]),
    )
  }
}

test('TRUNCATE, of a partition too, by whatever role', async () => {
  await using side = await create()
  const statements = [
    `TRUNCATE t`,
    `INSERT INTO t VALUES (5, 'five'); TRUNCATE t; INSERT INTO t VALUES (1, 'again')`,
    'TRUNCATE parted_high',
    `INSERT INTO parted VALUES (120, 'new')`,
    `INSERT INTO parted_low VALUES (7, 'direct')`,
    `UPDATE parted SET id = 130 WHERE id = 7`,
    'SET session_replication_role = replica; TRUNCATE parted',
    `SET session_replication_role = replica; INSERT INTO t VALUES (8, 'replica')`,
    `INSERT INTO child VALUES (9, 'of the child'); UPDATE other SET a = a || '!'`,
    'TRUNCATE child',
    `BEGIN; SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; INSERT INTO t VALUES (10, 'ten'); COMMIT`,
    'TRUNCATE t, other RESTART IDENTITY CASCADE',
  ]
  for (const sql of statements) {
    await side.sql(sql)
    await side.follow()
    await expectEqual(side)
    expect(await side.read(), sql).toEqual({ kind: 'empty' })
  }
})

test('DDL that the stream can go on with is told once, and what it may have changed is compared', async () => {
  await using side = await create()
  const changes: [what: string, ddl: string, told: RegExp | undefined][] = [
    ['a column', 'ALTER TABLE t ADD COLUMN extra text', /new column extra/],
    ['an index', 'CREATE INDEX t_a ON t (a)', undefined],
    ['a constraint', `ALTER TABLE t ADD CHECK (a <> '')`, /constraint/],
    ['a rewrite', 'ALTER TABLE t ALTER COLUMN a TYPE text USING upper(a)', /may have been rewritten/],
    [
      'a partition with rows',
      `CREATE TABLE more (id bigint PRIMARY KEY, a text); INSERT INTO more VALUES (250, 'came in');
       ALTER TABLE parted ATTACH PARTITION more FOR VALUES FROM (200) TO (300)`,
      /partition/,
    ],
    ['a partition that leaves', 'ALTER TABLE parted DETACH PARTITION parted_low', /partition/],
    [
      'a trigger that was off for a while',
      `ALTER TABLE other DISABLE TRIGGER ALL; UPDATE other SET a = 'unheard'; ALTER TABLE other ENABLE TRIGGER ALL`,
      /triggers that capture other/,
    ],
    [
      'a trigger that was dropped',
      `DROP TRIGGER " slipway_capture" ON t; UPDATE t SET a = 'unheard'`,
      /triggers that capture t /,
    ],
  ]
  for (const [what, ddl, told] of changes) {
    await side.reader[Symbol.asyncDispose]()
    side.reader = side.openReader()
    // What was there before this process is told again.
    if ((await side.read()).kind === 'drift') expect(await side.read()).toEqual({ kind: 'empty' })
    await side.sql(ddl)
    await side.sql(`INSERT INTO t (id, a) VALUES ((SELECT max(id) + 1 FROM t), 'after')`)
    if (told !== undefined) {
      const drift = await side.read()
      expect(drift, what).toMatchObject({ kind: 'drift', fatal: false, reason: expect.stringMatching(told) })
    }
    await side.follow()
    await expectEqual(side)
    expect(await side.read(), what).toEqual({ kind: 'empty' })
    await side.sql(`UPDATE other SET a = a || '.'; UPDATE t SET a = a || '.'; UPDATE parted SET a = a || '.'`)
    await side.follow()
    await expectEqual(side)
  }
})

test('DDL that the stream cannot go on with', async () => {
  const changes: [ddl: string, told: RegExp][] = [
    ['ALTER TABLE t DROP COLUMN a', /column a of .* is gone/],
    ['ALTER TABLE t ALTER COLUMN a TYPE integer USING 1', /another type/],
    ['ALTER TABLE t RENAME TO renamed', /is gone/],
    ['DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, a text)', /made anew/],
  ]
  for (const [ddl, told] of changes) {
    await using side = await create()
    await side.sql(ddl)
    await side.sql(`UPDATE other SET a = 'y'`)
    const drift = { kind: 'drift', fatal: true, reason: expect.stringMatching(told) }
    expect(await side.read(), ddl).toMatchObject(drift)
    expect(await side.read(), ddl).toMatchObject(drift)
    expect(side.rows('SELECT a FROM other')).toEqual([['x']])
  }
})
