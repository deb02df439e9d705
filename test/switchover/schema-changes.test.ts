/** What people do to tables while PostgreSQL leads: it is noticed, told, and in the way of a rollback where it has to be. */
import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { ask, pass, refusedBy } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

const SOURCE = [
  'CREATE TABLE articles (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, body TEXT)',
  'CREATE TABLE comments (id INTEGER PRIMARY KEY, article INTEGER REFERENCES articles (id) ON DELETE CASCADE, body TEXT)',
  `INSERT INTO articles (title) VALUES ('a'), ('b')`,
  'INSERT INTO comments VALUES (1, 1, NULL), (2, 2, NULL)',
]

async function switched(): Promise<Scenario> {
  const scenario = await Scenario.replicating({ source: SOURCE })
  await pass(scenario, 'switchover')
  return scenario
}

test('TRUNCATE reaches SQLite', { timeout: 120_000 }, async () => {
  await using scenario = await switched()
  await scenario.postgres('TRUNCATE articles CASCADE')
  await scenario.postgres(`INSERT INTO articles (title) VALUES ('after')`)
  await scenario.daemon.caughtUp()
  await pass(scenario, 'rollback')
  expect(await scenario.write(['SELECT id, title FROM articles', 'SELECT * FROM comments'])).toMatchObject([
    { rows: [[3, 'after']] },
    { rows: [] },
  ])
  await scenario.equalAtLagZero()
})

test.each([
  [
    'a column that SQLite does not have',
    `ALTER TABLE articles ADD COLUMN extra text DEFAULT 'x'`,
    'ALTER TABLE articles DROP COLUMN extra',
  ],
  [
    'a column that is gone',
    'ALTER TABLE articles RENAME COLUMN body TO content',
    'ALTER TABLE articles RENAME COLUMN content TO body',
  ],
  [
    'another type',
    'ALTER TABLE articles ALTER COLUMN body TYPE bytea USING NULL',
    'ALTER TABLE articles ALTER COLUMN body TYPE text USING NULL',
  ],
  [
    'a table that is gone',
    'ALTER TABLE comments RENAME TO remarks',
    'ALTER TABLE remarks RENAME TO comments',
  ],
])('PostgreSQL: %s', { timeout: 120_000 }, async (_, change, back) => {
  await using scenario = await switched()
  await scenario.postgres(change)
  await scenario.postgres(`UPDATE articles SET title = 'B' WHERE id = 2`)
  let answer = await ask(scenario, 'rollback', { wait_seconds: 5 })
  expect(answer.status).toBe(412)
  expect(
    refusedBy(answer).filter((code) => ['unsafe', 'drift', 'phase', 'capture'].includes(code)),
  ).not.toEqual([])
  const status = await scenario.daemon.status()
  expect(status?.rollback_safe).toMatchObject({ safe: false })
  expect(status?.rollback_safe?.reasons.join()).toMatch(/articles|comments/)

  await scenario.postgres(back)
  await scenario.daemon.post('/replication/resume')
  await scenario.daemon.caughtUp(60_000)
  answer = await ask(scenario, 'rollback')
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 200 })
  await scenario.equalAtLagZero()
})

test.each([
  ['a new column', ['ALTER TABLE articles ADD COLUMN extra TEXT']],
  [
    'a table made again with other rows',
    [
      'CREATE TABLE other (id INTEGER PRIMARY KEY, article INTEGER REFERENCES articles (id) ON DELETE CASCADE, body TEXT)',
      `INSERT INTO other VALUES (1, 1, 'smuggled')`,
      'DROP TABLE comments',
      'ALTER TABLE other RENAME TO comments',
    ],
  ],
  ['VACUUM', ['VACUUM']],
])('SQLite: %s', { timeout: 120_000 }, async (_, changes) => {
  await using scenario = await switched()
  await scenario.write(changes, { pragmas: { foreign_keys: 0 } })
  // Noticed where nothing else happens, too; and what it did to rows is mended.
  await until(async () => (await scenario.daemon.status())?.rollback_safe?.safe === false, {
    ms: 20_000,
    describe: () => 'the change of the schema is not noticed',
  })
  await scenario.postgres(`UPDATE articles SET title = 'B' WHERE id = 2`)
  await scenario.daemon.caughtUp(60_000)
  expect((await scenario.compareWithout(['articles.extra'])).differences).toEqual([])
  const status = await scenario.daemon.status()
  expect(status?.rollback_safe?.reasons).toEqual([
    expect.stringMatching(/the schema of the source was changed/),
  ])
  const refused = await ask(scenario, 'rollback')
  expect(refused.status).toBe(412)
  expect(refusedBy(refused)).toEqual(['unsafe'])
  await pass(scenario, 'rollback', { override: ['unsafe'] })
  await scenario.write([`INSERT INTO articles (title) VALUES ('after')`])
  expect(await scenario.mendedOrStopped(60_000)).toBe('equal')
})

test('SQLite: a moved table is gone', { timeout: 120_000 }, async () => {
  await using scenario = await switched()
  await scenario.write(['DROP TABLE comments'])
  const lag = await scenario.daemon.when(
    'noticed',
    (now) => now.state === 'blocked' && /comments/.test(now.reasons.join()),
  )
  expect(lag.reasons.join()).toMatch(/comments/)
  expect((await ask(scenario, 'rollback')).status).toBe(412)
  expect((await scenario.daemon.status())?.rollback_safe).toMatchObject({ safe: false })
})
