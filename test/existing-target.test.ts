/**
 * The main use: the application's own migrations have made the tables of the target, in PostgreSQL's types and in
 * another style of names. They are filled by their own types, or refused before the first row with every reason at once.
 */
import { expect, test } from 'vitest'
import { Scenario } from './support/scenario.ts'

const SOURCE = [
  `CREATE TABLE Users (userId INTEGER PRIMARY KEY AUTOINCREMENT, externalId TEXT NOT NULL UNIQUE, isAdmin BOOLEAN NOT NULL,
     createdAt DATETIME NOT NULL, avatar BLOB, profile TEXT, mood TEXT, email TEXT, tags TEXT)`,
  `INSERT INTO Users VALUES
     (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1, '2024-02-29T12:00:00.123Z', x'00ff', '{"b":1,"a":[1.0,"й"]}', 'happy', 'a@example.org', '{x,"y z"}'),
     (7, 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a22', 0, '2024-03-01T00:00:00.000Z', NULL, NULL, NULL, NULL, NULL)`,
  `CREATE TABLE orderItems (id INTEGER PRIMARY KEY, userId INTEGER NOT NULL REFERENCES Users (userId) ON DELETE CASCADE,
     unitPrice NUMERIC, title TEXT NOT NULL, body TEXT NOT NULL DEFAULT '')`,
  `INSERT INTO orderItems VALUES (10, 1, 9.99, 'Tea', 'green'), (11, 1, 5, 'Pot', 'a \\ back'), (12, 7, NULL, 'Cup', '')`,
  'CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY)',
  `INSERT INTO alembic_version VALUES ('sqlite-head')`,
]

const TARGET = `
  CREATE TYPE mood AS ENUM ('sad', 'happy');
  CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
  CREATE SEQUENCE order_item_numbers;
  CREATE TABLE users (
    user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id uuid NOT NULL UNIQUE,
    is_admin boolean NOT NULL,
    created_at timestamptz NOT NULL,
    avatar bytea,
    profile jsonb,
    mood mood,
    email email,
    tags text[],
    plan text NOT NULL DEFAULT 'free');
  CREATE TABLE order_items (
    id bigint PRIMARY KEY DEFAULT nextval('order_item_numbers'::text::regclass),
    user_id bigint NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    unit_price numeric(10,2),
    title varchar(40) NOT NULL,
    body text NOT NULL,
    updated_at timestamptz,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || body)) STORED);
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
  CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON order_items FOR EACH ROW EXECUTE FUNCTION touch();
  CREATE TABLE alembic_version (version_num text PRIMARY KEY);
  INSERT INTO alembic_version VALUES ('postgres-head');
`

async function users(scenario: Scenario): Promise<unknown[]> {
  return await scenario.postgres(
    `SELECT user_id::int, external_id::text, is_admin, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') AS created_at,
            encode(avatar, 'hex') AS avatar, profile, mood::text, email::text, tags::text, plan FROM users ORDER BY 1`,
  )
}

async function items(scenario: Scenario): Promise<unknown[]> {
  return await scenario.postgres(
    'SELECT id::int, user_id::int, unit_price::text, title, body, updated_at, search::text FROM order_items ORDER BY 1',
  )
}

const FIRST = {
  user_id: 1,
  external_id: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  is_admin: true,
  created_at: '2024-02-29 12:00:00.123',
  avatar: '00ff',
  profile: { a: [1, 'й'], b: 1 },
  mood: 'happy',
  email: 'a@example.org',
  tags: '{x,"y z"}',
  plan: 'free',
}

const EMPTY = { avatar: null, profile: null, mood: null, email: null, tags: null, plan: 'free' }

test('a schema in other types and names is filled live, equal by value', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, target: TARGET })
  expect(await users(scenario)).toEqual([
    FIRST,
    {
      user_id: 7,
      external_id: 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a22',
      is_admin: false,
      created_at: '2024-03-01 00:00:00.000',
      ...EMPTY,
    },
  ])
  await scenario.write(
    [
      `UPDATE Users SET isAdmin = 0, mood = 'sad', tags = NULL WHERE userId = 1`,
      `INSERT INTO Users VALUES (9, 'c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a33', 1, '2024-04-01T00:00:00.000Z', NULL, NULL, NULL, NULL, '{}')`,
      'DELETE FROM Users WHERE userId = 7',
      `UPDATE orderItems SET unitPrice = 1.5, title = 'Tee' WHERE id = 10`,
    ],
    { pragmas: { foreign_keys: 1 } },
  )
  await scenario.daemon.caughtUp()
  expect(await users(scenario)).toEqual([
    { ...FIRST, is_admin: false, mood: 'sad', tags: null },
    {
      user_id: 9,
      external_id: 'c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a33',
      is_admin: true,
      created_at: '2024-04-01 00:00:00.000',
      ...EMPTY,
      tags: '{}',
    },
  ])
  // The trigger has not fired, the generated column has its values, and the cascade came as the source's own.
  expect(await items(scenario)).toEqual([
    {
      id: 10,
      user_id: 1,
      unit_price: '1.50',
      title: 'Tee',
      body: 'green',
      updated_at: null,
      search: `'green':2 'tee':1`,
    },
    {
      id: 11,
      user_id: 1,
      unit_price: '5.00',
      title: 'Pot',
      body: 'a \\ back',
      updated_at: null,
      search: `'a':2 'back':3 'pot':1`,
    },
  ])
  // Each engine keeps its own bookkeeping (trap V22).
  expect(await scenario.postgres('SELECT version_num FROM alembic_version')).toEqual([
    { version_num: 'postgres-head' },
  ])
  expect(await told(scenario)).toMatch(/alembic_version is not copied/)
  expect(await told(scenario)).toMatch(/updated_at .*trigger touched/)

  expect((await scenario.daemon.stop()).code).toBe(0)
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  // The application goes on with PostgreSQL: numbers above all that were ever given, triggers and foreign keys act.
  expect(
    await scenario.postgres(
      `INSERT INTO users (external_id, is_admin, created_at) VALUES (gen_random_uuid(), false, now()) RETURNING user_id::int`,
    ),
  ).toEqual([{ user_id: 10 }])
  expect(
    await scenario.postgres(
      `INSERT INTO order_items (user_id, title, body) VALUES (1, 'New', '') RETURNING id::int, updated_at IS NOT NULL AS touched`,
    ),
  ).toEqual([{ id: 12, touched: true }])
  await expect(
    scenario.postgres(`INSERT INTO order_items (user_id, title, body) VALUES (999, 'x', '')`),
  ).rejects.toMatchObject({ code: '23503' })
})

test('every reason against it is told at once, before the first row', async () => {
  await using scenario = await Scenario.prepare({
    source: [
      ...SOURCE,
      `INSERT INTO Users VALUES (8, 'no uuid', 2, 'yesterday', NULL, 'no json', 'tired', CAST(x'61ff40' AS TEXT), NULL)`,
      'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, extra TEXT)',
      `INSERT INTO notes VALUES (1, NULL, 'x'), (2, 'same', 'x'), (3, 'same', 'x')`,
    ],
    target: `${TARGET}
      CREATE TABLE notes (id bigint PRIMARY KEY, text text NOT NULL UNIQUE, author text NOT NULL);
      INSERT INTO notes VALUES (77, 'seeded', 'the application');`,
  })
  const { code, stderr } = await scenario.slipway.run(['snapshot'])
  expect(code).toBe(3)
  const said = stderr.slice(stderr.indexOf('error: '))
  for (const reason of [
    /uuid \(users\.external_id\) cannot hold 1 value of Users\.externalId, e\.g\. at userId=8/,
    /boolean \(users\.is_admin\) cannot hold 1 value of Users\.isAdmin, e\.g\. at userId=8/,
    /timestamp with time zone \(users\.created_at\) cannot hold 1 value of Users\.createdAt, e\.g\. at userId=8/,
    /mood \(users\.mood\) cannot hold 1 value of Users\.mood, e\.g\. at userId=8/,
    /users\.email cannot hold 1 text of Users\.email with NUL or bytes that are no text, e\.g\. at userId=8/,
    /jsonb \(users\.profile\) cannot hold 1 value of Users\.profile, e\.g\. at userId=8/,
    /notes holds 1 row already/,
    /notes\.text is NOT NULL, and notes\.text holds NULL in 1 row, e\.g\. at id=1/,
    /2 rows share 1 value of the unique notes_text_key .*id=2 and 1 more/,
    /notes\.extra has no place/,
    /notes\.author is NOT NULL without a default/,
  ]) {
    expect(said).toMatch(reason)
  }
  expect(await scenario.postgres('SELECT count(*)::int AS n FROM users')).toEqual([{ n: 0 }])
  expect(await scenario.postgres('SELECT count(*)::int AS n FROM notes')).toEqual([{ n: 1 }])
  // The source was not touched either.
  expect(await scenario.write([`SELECT name FROM sqlite_schema WHERE name GLOB '_slipway*'`])).toMatchObject([
    { rows: [] },
  ])
})

test('spellings that the types do not have are found by the values', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE events (id INTEGER PRIMARY KEY, created INTEGER, seen INTEGER, julian REAL, done BOOLEAN, token BLOB, code TEXT,
         labels TEXT)`,
      `INSERT INTO events VALUES
         (1, 1700000000, 1700000000123, 2460000.5, 'true', x'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0eebc999c0b4ef8bb6d6bb9bd380a22', '["a b","c,d"]'),
         (2, 1700000001, NULL, NULL, 'no', NULL, NULL, '[]')`,
    ],
    target: `CREATE TABLE events (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created timestamptz NOT NULL, seen timestamptz,
               julian timestamp, done boolean, token uuid, code uuid, labels text[])`,
  })
  const events = async (): Promise<unknown[]> =>
    await scenario.postgres(
      `SELECT id, extract(epoch FROM created)::text AS created, to_char(seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') AS seen,
              julian::text, done, token::text, code::text, labels FROM events ORDER BY id`,
    )
  const first = {
    id: 1,
    created: '1700000000.000000',
    seen: '2023-11-14 22:13:20.123',
    julian: '2023-02-25 00:00:00',
    done: true,
    token: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    code: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a22',
    labels: ['a b', 'c,d'],
  }
  const second = {
    id: 2,
    created: '1700000001.000000',
    seen: null,
    julian: null,
    done: false,
    token: null,
    code: null,
    labels: [],
  }
  expect(await events()).toEqual([first, second])
  await scenario.write([
    `UPDATE events SET created = 0, done = 'F', labels = '["x"]' WHERE id = 2`,
    `INSERT INTO events SELECT 3, created, seen, julian, done, token, code, labels FROM events WHERE id = 1`,
  ])
  await scenario.daemon.caughtUp()
  expect(await events()).toEqual([
    first,
    { ...second, created: '0.000000', labels: ['x'] },
    { ...first, id: 3 },
  ])
})

test('rows that the types cannot hold are set aside where the plan says so', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({
    source: [
      'CREATE TABLE items (id INTEGER PRIMARY KEY, price NUMERIC, email TEXT, note TEXT)',
      `INSERT INTO items VALUES (1, 1.25, 'a@b', 'x'), (2, 1.255, 'c@d', 'x'), (3, 3, NULL, NULL)`,
    ],
    target: `CREATE DOMAIN address AS text NOT NULL CHECK (VALUE LIKE '%@%');
             CREATE TABLE items (id bigint PRIMARY KEY, price numeric(10,2), email address, note text NOT NULL)`,
  })
  const refused = await scenario.slipway.run(['snapshot'])
  expect(refused.code).toBe(3)
  expect(refused.stderr).toMatch(/items\.price.*id=2/s)
  expect(refused.stderr).toMatch(/items\.email is NOT NULL.*id=3/s)
  const aside = { misfit: 'quarantine' } as const
  scenario.writePlan({ items: { columns: { price: aside, email: aside, note: aside } } })
  await scenario.start()
  await scenario.daemon.when('replicating', (lag) => lag.phase === 'replicating')
  expect(await scenario.postgres('SELECT id::int, price::text, email::text FROM items')).toEqual([
    { id: 1, price: '1.25', email: 'a@b' },
  ])
  const quarantine = await scenario.daemon.get<{ total: number; entries: { key: string }[] }>('/quarantine')
  expect(quarantine?.entries.map(({ key }) => key).toSorted()).toEqual(['id=2', 'id=3'])
  // A daemon that comes again goes on with what was planned: a domain is no reason to copy anew.
  await scenario.daemon.stop()
  await scenario.start()
  await scenario.write([`UPDATE items SET price = 1.26 WHERE id = 2`])
  await scenario.daemon.when('the row fits', (lag) => lag.quarantined === 1 && lag.pending_changes === 0)
  expect(await scenario.postgres('SELECT price::text FROM items WHERE id = 2')).toEqual([{ price: '1.26' }])
  expect(scenario.slipway.copiesAnew()).toBe(0)
})

async function told(scenario: Scenario): Promise<string> {
  return (await scenario.daemon.status())?.warnings.join('\n') ?? ''
}
