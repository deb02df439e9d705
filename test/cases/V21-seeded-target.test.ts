import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// The application has put rows into its new database by itself, with ids of its own: mixing them with the source's
// would re-point foreign keys, skipping either would lose rows.

const OPTIONS = {
  source: [
    'CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT UNIQUE)',
    `INSERT INTO roles VALUES (1, 'admin'), (2, 'editor')`,
    'CREATE TABLE users (id INTEGER PRIMARY KEY, role_id INTEGER REFERENCES roles (id))',
    'INSERT INTO users VALUES (10, 2)',
  ],
  target: `
    CREATE TABLE roles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE);
    CREATE TABLE users (id bigint PRIMARY KEY, role_id bigint REFERENCES roles (id));
    CREATE TABLE grants (role_id bigint REFERENCES roles (id), what text);
    INSERT INTO roles (name) VALUES ('editor'), ('admin'), ('guest');
    INSERT INTO grants VALUES (2, 'everything');
  `,
}

test('refused with the count, and left as it is', async () => {
  await using scenario = await Scenario.prepare(OPTIONS)
  for (const args of [['snapshot'], ['snapshot', '--once']]) {
    const { code, stderr } = await scenario.slipway.run(args)
    expect(code, stderr).toBe(3)
    expect(stderr).toMatch(/public\.roles holds 3 rows already.*"existing_rows": "delete"/)
  }
  expect(await scenario.postgres('SELECT id::int, name FROM roles ORDER BY id')).toEqual([
    { id: 1, name: 'editor' },
    { id: 2, name: 'admin' },
    { id: 3, name: 'guest' },
  ])
})

test('emptied with consent, by the daemon and by a single copy', async () => {
  for (const args of [['snapshot'], ['snapshot', '--once']]) {
    await using scenario = await Scenario.prepare(OPTIONS)
    scenario.writePlan({ roles: { existing_rows: 'delete' } })
    const { stdout, stderr } = await scenario.slipway.mustRun(args)
    expect(stdout + stderr).toMatch(/public\.roles holds 3 rows already: deleted before the copy/)
    expect(await scenario.postgres('SELECT id::int, name FROM roles ORDER BY id')).toEqual([
      { id: 1, name: 'admin' },
      { id: 2, name: 'editor' },
    ])
    // What was not named is as it was, and refers to another row now: that is told.
    expect(stdout + stderr).toContain('rows of public.grants refer to rows of public.roles that are deleted')
    expect(await scenario.postgres('SELECT role_id::int, what FROM grants')).toEqual([
      { role_id: 2, what: 'everything' },
    ])
  }
})
