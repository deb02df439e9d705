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
  const reasons = async (): Promise<string | undefined> => {
    const safe = (await scenario.daemon.status())?.rollback_safe
    return safe?.safe === false ? safe.reasons.join() : undefined
  }
  expect(await until(reasons, { ms: 20_000, describe: () => 'the change is not told' })).toMatch(
    /articles|comments/,
  )

  await scenario.postgres(back)
  await scenario.daemon.post('/replication/resume')
  await scenario.daemon.caughtUp(60_000)
  answer = await ask(scenario, 'rollback')
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 200 })
  await scenario.equalAtLagZero()
})

test('SQLite: VACUUM and a table of somebody else change nothing', { timeout: 120_000 }, async () => {
  await using scenario = await switched()
  await scenario.write(['VACUUM', 'CREATE TABLE others (v TEXT)', 'ANALYZE'])
  await scenario.postgres(`UPDATE articles SET title = 'B' WHERE id = 2`)
  await scenario.daemon.caughtUp(60_000)
  expect(await scenario.daemon.status()).toMatchObject({ rollback_safe: { safe: true } })
  await pass(scenario, 'rollback')
  expect((await scenario.compare()).differences.filter(({ table }) => table !== 'others')).toEqual([])
})

test.each([
  ['a new column', 'ALTER TABLE articles ADD COLUMN extra TEXT', 'ALTER TABLE articles DROP COLUMN extra', 0],
  [
    'a table that is gone',
    'ALTER TABLE comments RENAME TO remarks',
    'ALTER TABLE remarks RENAME TO comments',
    1,
  ],
])('SQLite: %s', { timeout: 120_000 }, async (_, change, back, index) => {
  await using scenario = await switched()
  const table = ['articles', 'comments'][index]
  const [before] = await scenario.write([`SELECT sql FROM sqlite_schema WHERE name = '${table}'`])
  await scenario.write([change], { pragmas: { foreign_keys: 0 } })
  // Noticed where nothing else happens, too.
  const unsafe = async (): Promise<boolean> => (await scenario.daemon.status())?.rollback_safe?.safe === false
  await until(unsafe, { ms: 20_000, describe: () => 'the change of the schema is not noticed' })
  expect((await scenario.daemon.status())?.rollback_safe?.reasons.join()).toMatch(
    /schema of the source was changed/,
  )
  const refused = await ask(scenario, 'rollback', { wait_seconds: 5 })
  expect(refused.status).toBe(412)
  expect(refusedBy(refused)).toContain('unsafe')
  // Taken back, letter by letter, it is as if nothing had been.
  await scenario.write(
    [
      back,
      'PRAGMA writable_schema = 1',
      ['UPDATE sqlite_schema SET sql = ? WHERE name = ?', [before?.rows[0]?.[0] as string, table as string]],
      'PRAGMA writable_schema = RESET',
    ],
    { pragmas: { foreign_keys: 0 } },
  )
  await scenario.postgres(`UPDATE articles SET title = 'B' WHERE id = 2`)
  await scenario.daemon.caughtUp(60_000)
  await pass(scenario, 'rollback')
  await scenario.equalAtLagZero()
})
