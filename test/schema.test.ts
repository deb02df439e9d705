/**
 * The tables that slipway makes: everything that SQLite said of them stands in PostgreSQL, or is named with the reason.
 * What could refuse a row of the source sleeps until PostgreSQL leads; here `uninstall` gives it the authority.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createDatabase } from './support/postgres.ts'
import { Scenario } from './support/scenario.ts'

const SOURCE = [
  `CREATE TABLE users (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     email TEXT NOT NULL COLLATE NOCASE UNIQUE,
     "Full Name" TEXT NOT NULL DEFAULT '',
     age INTEGER CONSTRAINT grown CHECK (age BETWEEN 0 AND 150),
     admin BOOLEAN NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
     state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'old')),
     made DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
     token TEXT DEFAULT (lower(hex(randomblob(16)))),
     name_key TEXT GENERATED ALWAYS AS (lower(trim("Full Name"))) STORED,
     shown TEXT AS (printf('%s', email)),
     CHECK (length(email) > 2), CHECK (email NOT GLOB age))`,
  `CREATE TABLE nodes (a INTEGER, b TEXT, up_a INTEGER, up_b TEXT, label TEXT, PRIMARY KEY (a, b),
     FOREIGN KEY (up_a, up_b) REFERENCES nodes ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED) WITHOUT ROWID`,
  `CREATE TABLE posts (
     id INTEGER PRIMARY KEY,
     user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
     slug TEXT, deleted_at TEXT, title TEXT, price DECIMAL(10,2) DEFAULT 0.5,
     best_comment INTEGER REFERENCES comments (id) ON DELETE SET NULL,
     node_a INTEGER, node_b TEXT, FOREIGN KEY (node_a, node_b) REFERENCES nodes (a, b) ON UPDATE CASCADE)`,
  `CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER REFERENCES posts (id) ON DELETE CASCADE, body TEXT UNIQUE ON CONFLICT REPLACE)`,
  `CREATE UNIQUE INDEX live_slug ON posts (slug) WHERE deleted_at IS NULL`,
  `CREATE UNIQUE INDEX by_lower_title ON posts (lower(title))`,
  `CREATE INDEX by_title ON posts (title DESC, id)`,
  `CREATE INDEX by_year ON posts (strftime('%Y', deleted_at))`,
  `CREATE VIEW titles AS SELECT title FROM posts`,
  `CREATE TRIGGER touch AFTER UPDATE ON posts BEGIN SELECT 1; END`,
  `CREATE VIRTUAL TABLE found USING fts5(title)`,
]

const ROWS = [
  `INSERT INTO users (email, "Full Name", age) VALUES ('ann@x.y', ' Ann ', 30), ('Bob@x.y', 'Bob', NULL)`,
  `INSERT INTO nodes VALUES (1, 'x', NULL, NULL, 'root'), (2, 'y', 1, 'x', 'leaf')`,
  `INSERT INTO posts (user_id, slug, deleted_at, title, node_a, node_b) VALUES (1, 's', NULL, 'One', 1, 'x'), (2, 's', '2024', 'Two', NULL, NULL)`,
  `INSERT INTO comments VALUES (1, 1, 'first')`,
  `UPDATE posts SET best_comment = 1 WHERE id = 1`,
]

async function constraints(scenario: Scenario): Promise<string[]> {
  const rows = await scenario.postgres<{ line: string }>(
    `SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) AS line FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c') ORDER BY 1`,
  )
  return rows.map(({ line }) => line)
}

const LEFT_OUT = [
  /users\.token: the default .* is not carried over/,
  /users\.shown: the generated column is not carried over: printf\(\)/,
  /users: CHECK \(email NOT GLOB age\) is not carried over/,
  /users\.email is compared by NOCASE/,
  /posts: index by_year is not carried over: strftime\(\)/,
  /posts: triggers are not carried over \(touch\)/,
  /comments: body UNIQUE ON CONFLICT REPLACE has no counterpart/,
  /titles is not .*view/,
  /found is not .*fts5.*tsvector/,
]

test('everything comes over, acts once PostgreSQL leads, and what does not is named', {
  timeout: 90_000,
}, async () => {
  await using scenario = await Scenario.replicating({ source: [...SOURCE, ...ROWS], exclude: ['found'] })
  await scenario.write([
    `INSERT INTO users (email) VALUES ('cy@x.y')`,
    `UPDATE users SET "Full Name" = ' Éve X ' WHERE id = 1`,
    `INSERT INTO posts (user_id, slug, title) VALUES (3, 't', 'Three')`,
    // Displaces by the partial unique and by the expression.
    `INSERT OR REPLACE INTO posts (id, user_id, slug, title) VALUES (9, 3, 't', 'four')`,
    `INSERT OR REPLACE INTO posts (id, user_id, slug, title) VALUES (10, 3, 'u', 'FOUR')`,
  ])
  await scenario.equalAtLagZero()
  // While SQLite leads nothing of it can refuse one of its rows.
  expect(await constraints(scenario)).toEqual([])
  await scenario.write(['PRAGMA ignore_check_constraints = 1', 'UPDATE users SET age = 200 WHERE id = 3'])
  await scenario.equalAtLagZero()
  await scenario.write(['UPDATE users SET age = 20 WHERE id = 3'])
  await scenario.equalAtLagZero()
  const told = (await scenario.daemon.status())?.warnings.join('\n')
  for (const line of LEFT_OUT) expect(told).toMatch(line)
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])

  expect(await constraints(scenario)).toEqual([
    'comments comments_post_id_fkey FOREIGN KEY (post_id) REFERENCES posts(id) ON DELETE CASCADE',
    'nodes nodes_up_a_up_b_fkey FOREIGN KEY (up_a, up_b) REFERENCES nodes(a, b) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED',
    'posts posts_best_comment_fkey FOREIGN KEY (best_comment) REFERENCES comments(id) ON DELETE SET NULL',
    'posts posts_node_a_node_b_fkey FOREIGN KEY (node_a, node_b) REFERENCES nodes(a, b) ON UPDATE CASCADE',
    'posts posts_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE',
    'users grown CHECK (((age >= 0) AND (age <= 150)))',
    'users users_check CHECK ((length(email) > 2))',
    `users users_state_check CHECK ((state = ANY (ARRAY['new'::text, 'old'::text])))`,
  ])
  const indexes = await scenario.postgres<{ definition: string; mark: string | null }>(
    `SELECT indexdef AS definition, obj_description(format('public.%I', indexname)::regclass, 'pg_class') AS mark
     FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname`,
  )
  expect(
    indexes.map(({ definition }) => definition.replace(/^CREATE (UNIQUE )?INDEX \w+ ON public\./, '$1')),
  ).toEqual([
    'UNIQUE posts USING btree (lower((title COLLATE "C")))',
    'posts USING btree (title DESC, id)',
    'UNIQUE comments USING btree (body)',
    'UNIQUE comments USING btree (id)',
    'UNIQUE posts USING btree (slug) WHERE (deleted_at IS NULL)',
    'UNIQUE nodes USING btree (a, b)',
    'UNIQUE posts USING btree (id)',
    'UNIQUE users USING btree (lower((email COLLATE "C")))',
    'UNIQUE users USING btree (id)',
  ])
  // Nothing of slipway stays on them.
  expect(indexes.filter(({ mark }) => mark !== null)).toEqual([])

  // The application's first rows on PostgreSQL.
  const [row] = await scenario.postgres(
    `INSERT INTO users (email, "Full Name") VALUES ('dan@x.y', ' Dan ')
     RETURNING id::int, name_key, state, admin, token, abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - made)) < 60 AS fresh`,
  )
  expect(row).toEqual({ id: 4, name_key: 'dan', state: 'new', admin: false, token: null, fresh: true })
  for (const [sql, code] of [
    [`INSERT INTO users (email) VALUES ('ANN@X.Y')`, '23505'],
    [`INSERT INTO users (email, age) VALUES ('e@x.y', 151)`, '23514'],
    [`INSERT INTO users (email, state) VALUES ('e@x.y', 'other')`, '23514'],
    [`INSERT INTO posts (user_id) VALUES (77)`, '23503'],
    [`INSERT INTO posts (user_id, slug) VALUES (1, 's')`, '23505'],
    [`INSERT INTO posts (user_id, title) VALUES (1, 'oNE')`, '23505'],
  ] as const) {
    await expect(scenario.postgres(sql), sql).rejects.toMatchObject({ code })
  }
  expect(
    await scenario.postgres(
      `INSERT INTO posts (user_id, slug, deleted_at) VALUES (1, 's', '2025') RETURNING price`,
    ),
  ).toEqual([{ price: '0.5' }])
})

test('--sql prints what a snapshot makes, for psql, and changes nothing', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({ source: [...SOURCE, ...ROWS] })
  const before = readFileSync(scenario.path)
  const printed = await scenario.slipway.mustRun(['snapshot', '--sql'])
  expect(readFileSync(scenario.path)).toEqual(before)
  expect(
    await scenario.postgres(`SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace`),
  ).toEqual([])
  expect(printed.stderr).toContain('Next: slipway snapshot --dry-run')
  for (const line of LEFT_OUT) expect(printed.stdout).toMatch(line)
  // Everything but SQL is a comment.
  const said = printed.stdout.split('\n').filter((line) => LEFT_OUT.some((pattern) => pattern.test(line)))
  for (const line of said) expect(line).toMatch(/^-- /)

  await using other = await createDatabase()
  const client = await other.connect()
  await client.query(printed.stdout)
  const shape = `SELECT table_name, column_name, data_type, column_default, is_nullable, is_identity, is_generated
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position`
  const constraintsOf = `SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1, 2`
  const indexesOf = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`
  await scenario.slipway.mustRun(['snapshot', '--once'])
  for (const query of [shape, constraintsOf, indexesOf])
    expect((await client.query(query)).rows).toEqual(await scenario.postgres(query))
  // What is there already is not made again.
  await scenario.postgres('TRUNCATE users, nodes, posts, comments')
  const again = await scenario.slipway.mustRun(['snapshot', '--sql'])
  expect(again.stdout).toMatch(/^-- "public"."users" is there already and takes users$/m)
  expect(again.stdout).not.toContain('CREATE TABLE')
})

test('a changed schema brings generated columns, indexes, defaults and constraints along', {
  timeout: 90_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, twice INTEGER AS (a * 2))`,
      'CREATE UNIQUE INDEX one ON t (b)',
      'CREATE INDEX two ON t (twice)',
      `INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')`,
    ],
  })
  // A person's own index is not ours to drop.
  await scenario.postgres('CREATE INDEX mine ON t (b, id)')
  await scenario.write([
    'DROP INDEX one',
    'DROP INDEX two',
    'ALTER TABLE t DROP COLUMN twice',
    'ALTER TABLE t DROP COLUMN a',
    `ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT 'fresh' CHECK (c <> '')`,
    'ALTER TABLE t ADD COLUMN loud TEXT AS (upper(b)) VIRTUAL',
    'CREATE INDEX three ON t (loud)',
    'CREATE UNIQUE INDEX four ON t (b) WHERE c IS NOT NULL',
    `INSERT INTO t (b, c) VALUES ('z', 'new')`,
  ])
  await scenario.mendedOrStopped(40_000)
  await scenario.daemon.when('replicating', (lag) => lag.phase === 'replicating' && lag.caught_up)
  expect((await scenario.compare()).equal).toBe(true)
  const names = async () =>
    (
      await scenario.postgres<{ name: string }>(
        `SELECT indexname AS name FROM pg_indexes WHERE tablename = 't' ORDER BY 1`,
      )
    ).map(({ name }) => name)
  expect(await names()).toEqual(['four', 'mine', 't_pkey', 'three'])
  expect(await scenario.postgres('SELECT b, c, loud FROM t ORDER BY id')).toEqual([
    { b: 'x', c: 'fresh', loud: 'X' },
    { b: 'y', c: 'fresh', loud: 'Y' },
    { b: 'z', c: 'new', loud: 'Z' },
  ])
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(await constraints(scenario)).toEqual([`t t_c_check CHECK ((c <> ''::text))`])
  expect(await scenario.postgres(`INSERT INTO t (b) VALUES ('w') RETURNING c, loud`)).toEqual([
    { c: 'fresh', loud: 'W' },
  ])
})
