/** `slipway replay` against the source: past states, rebuilt, against what lay in the file at those moments. */
import { expect, test } from 'vitest'
import { compare, show } from '../support/compare.ts'
import { Workspace } from '../support/daemon.ts'
import { copyFiles, type Statement } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'
import { createSource, startWriters, Writer } from '../support/writers.ts'

/** Made by the application's own migrations: other types, columns that the source does not have. */
const PROFILES = `CREATE TABLE profiles (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data json, settings jsonb, seen timestamptz, score numeric(12,3),
  tag text NOT NULL DEFAULT md5(random()::text), serial serial, loud text GENERATED ALWAYS AS (upper(data::text)) STORED)`

const SOURCE: Statement[] = [
  'CREATE TABLE profiles (id INTEGER PRIMARY KEY, data TEXT, settings TEXT, seen TEXT, score)',
  'CREATE TABLE "odd ""name"", with все" ("a key" TEXT NOT NULL PRIMARY KEY, "select" BLOB)',
  'CREATE TABLE bag (a, b)',
  // Empty, it would be planned by nothing, and again at the first row.
  `INSERT INTO bag VALUES ('first', 0.5)`,
]

/** The n-th burst: every kind of change, and the same keys again and again. */
function burst(n: number): Statement[] {
  return [
    `INSERT OR REPLACE INTO profiles VALUES (1, '{ "n":  ${n}, "ё" : [1.0, null] }', '{"n": ${n}}', '2024-02-29T23:59:59.12345${n}Z', 1.5)`,
    `INSERT OR REPLACE INTO profiles VALUES (${10 + n}, NULL, NULL, NULL, NULL)`,
    'DELETE FROM profiles WHERE id = 7',
    ...(n % 2 === 0 ? [`INSERT INTO profiles VALUES (7, '"again ${n}"', NULL, NULL, ${n}.25)`] : []),
    `UPDATE profiles SET id = id + 100 WHERE id = ${10 + n - 1}`,
    ['INSERT OR REPLACE INTO "odd ""name"", with все" VALUES (?, ?)', ['ключ\t🚀', { hex: `00ff${n}${n}` }]],
    ['INSERT OR REPLACE INTO "odd ""name"", with все" VALUES (?, NULL)', [`only ${n}`]],
    `DELETE FROM "odd ""name"", with все" WHERE "a key" = 'only ${n - 2}'`,
    `INSERT INTO bag VALUES ('twice', ${n}.0), ('twice', ${n}.0), (NULL, 5e-324)`,
    `DELETE FROM bag WHERE rowid IN (SELECT rowid FROM bag WHERE a = 'twice' LIMIT 1)`,
    `UPDATE bag SET b = 0.1 + 0.2 WHERE a IS NULL AND rowid % 2 = ${n % 2}`,
  ]
}

test('three past states, while the writers go on', { timeout: 180_000 }, async () => {
  using files = new Workspace()
  const path = files.file('app.db')
  await createSource(path, { fill: 800 })
  await using scenario = await Scenario.prepare({
    adopt: path,
    target: PROFILES,
    env: { HISTORY: 'on' },
  })
  await scenario.write(SOURCE)
  await scenario.start()
  await scenario.daemon.caughtUp()

  // A third engine's view of the target: the text of each row, its own columns included.
  const shown = async (schema: string): Promise<Record<string, string[]>> => {
    const tables = await scenario.postgres<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace ORDER BY 1`,
      [schema],
    )
    const result: Record<string, string[]> = {}
    for (const { name } of tables) {
      const quoted = `"${name.replaceAll('"', '""')}"`
      const rows = await scenario.postgres<{ row: string }>(
        `SELECT t::text AS row FROM ${schema}.${quoted} t ORDER BY t::text COLLATE "C"`,
      )
      result[name] = rows.map(({ row }) => row)
    }
    return result
  }

  const moments: { position: string; file: string; target: Record<string, string[]>; at: string }[] = []
  for (let n = 1; n <= 5; n++) {
    await new Writer({ path, seed: `burst ${n}`, ops: 250 }).done()
    await scenario.write(burst(n))
    const lag = await scenario.daemon.caughtUp()
    if (n < 2 || n > 4) continue
    const file = files.file(`moment-${n}.db`)
    await copyFiles(path, file)
    const [clock] = await scenario.postgres<{ at: string }>('SELECT clock_timestamp()::text AS at')
    moments.push({
      position: String(lag.applied),
      file,
      target: await shown('public'),
      at: clock!.at.replace(' ', 'T').replace('+00', 'Z'),
    })
  }
  expect(new Set(moments.map(({ target }) => JSON.stringify(target))).size).toBe(3)

  const writers = await startWriters(2, { path, rate: 100, seed: 'meanwhile' })
  for (const [index, { position, file, target, at }] of moments.entries()) {
    for (const [schema, moment] of [
      [`past_${index}`, position],
      [`then_${index}`, at],
    ] as const) {
      const result = await scenario.slipway.mustRun(['replay', '--at', moment, '--into', schema, '--json'])
      const answer = JSON.parse(result.stdout) as { position: number; rows: number; tables: unknown[] }
      expect(String(answer.position)).toBe(position)
      expect(answer.tables).toHaveLength(13)
      const comparison = await compare({ sqlitePath: file, postgresUrl: scenario.database.url, schema })
      expect(comparison.equal, show(comparison)).toBe(true)
      expect(comparison.rows).toBe(answer.rows)
      expect(await shown(schema)).toEqual(target)
      expect(result.stderr).toContain(`Next: psql `)
      expect(result.stderr).not.toContain(new URL(scenario.database.url).password || 'no password')
    }
  }
  for (const writer of writers) await writer.stop()
  await scenario.daemon.caughtUp()
  // Nothing in the past tables stands in the way of the present.
  expect(scenario.slipway.copiesAnew(), scenario.daemon.process.tail(80)).toBe(0)

  const taken = await scenario.slipway.run(['replay', '--at', 'latest', '--into', 'past_0'])
  expect(taken.code).toBe(1)
  expect(taken.stderr).toMatch(/past_0.*not empty[\s\S]*remedy: .*DROP SCHEMA "past_0"/)
  const human = await scenario.slipway.mustRun(['replay', '--at', 'latest', '--into', 'now'])
  expect(human.stdout).toMatch(/The state at position \d+.*13 tables/)
  const now = await compare({ sqlitePath: path, postgresUrl: scenario.database.url, schema: 'now' })
  expect(now.equal, show(now)).toBe(true)

  // The rows come over anew: no way leads back over that.
  await scenario.write(['ALTER TABLE bag ADD COLUMN c', 'UPDATE bag SET c = 1'])
  await scenario.mendedOrStopped()
  const lost = await scenario.slipway.run(['replay', '--at', moments[0]!.position, '--into', 'lost'])
  expect(lost.code).toBe(1)
  expect(lost.stderr).toMatch(/error: position \d+ .*states that can be rebuilt: /)
})

test('what cannot be rebuilt is refused by name', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`],
  })
  await scenario.write([`UPDATE t SET a = 'y'`])
  const { applied } = await scenario.equalAtLagZero()
  const replay = (at: string, into = 'past', env = {}) =>
    scenario.slipway.run(['replay', '--at', at, '--into', into], { env })
  const past = await replay(String(Number(applied) - 1))
  expect(past.code).toBe(1)
  expect(past.stderr).toMatch(new RegExp(`only ${applied}.*HISTORY=on`))
  for (const at of ['yesterday', '-1', '2024-02-30', '2024-01-01T25:00:00Z', '1.5'])
    expect((await replay(at)).code, at).toBe(2)
  expect((await replay('latest', 'public')).code).toBe(2)
  const unknown = await replay('latest', 'past', { MIGRATION_NAME: 'other' })
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toMatch(/no migration "other"[\s\S]*remedy: .*MIGRATION_NAME/)
  // Where the target stands, it can be copied without any history.
  expect((await replay(String(applied))).code).toBe(0)
  expect(await scenario.postgres('SELECT id::int, a FROM past.t')).toEqual([{ id: 1, a: 'y' }])
})
