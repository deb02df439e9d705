import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// An identity ALWAYS takes no given value but by OVERRIDING SYSTEM VALUE; COPY is exempt. So tables of ours have BY
// DEFAULT, and those of others are written with the words.

test('identities of both kinds are filled and followed, and go on counting', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE ours (id INTEGER PRIMARY KEY, v TEXT)',
      'CREATE TABLE theirs (id INTEGER PRIMARY KEY, v TEXT)',
      `INSERT INTO ours VALUES (1, 'a'), (5, 'b')`,
      `INSERT INTO theirs VALUES (1, 'a'), (5, 'b')`,
    ],
    target: 'CREATE TABLE theirs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)',
  })
  for (const table of ['ours', 'theirs'])
    await scenario.write([
      `INSERT INTO ${table} VALUES (7, 'c')`,
      `UPDATE ${table} SET v = 'd' WHERE id = 1`,
      `UPDATE ${table} SET id = 9 WHERE id = 5`,
    ])
  await scenario.equalAtLagZero()
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(
    await scenario.postgres(
      `SELECT attrelid::regclass::text AS name, attidentity AS kind FROM pg_attribute WHERE attidentity <> '' AND attrelid IN ('ours'::regclass, 'theirs'::regclass) ORDER BY 1`,
    ),
  ).toEqual([
    { name: 'ours', kind: 'd' },
    { name: 'theirs', kind: 'a' },
  ])
  // An application that gives its own keys may do so in tables of ours, as in SQLite.
  await scenario.postgres(`INSERT INTO ours VALUES (20, 'given')`)
  for (const table of ['ours', 'theirs'])
    expect(await scenario.postgres(`INSERT INTO ${table} (v) VALUES ('next') RETURNING id::int`)).toEqual([
      { id: 10 },
    ])
})
