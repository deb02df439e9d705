import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'
import { ask, pass, refusedBy } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

// While PostgreSQL leads, the old file is vacuumed by its weekly job, and an old application that starts once more
// makes its statistics: neither may cost the way back.

interface Told {
  readonly rollback_safe: { readonly safe: boolean; readonly reasons: readonly string[] }
}

async function toldSafe({ daemon }: Scenario, safe: boolean): Promise<void> {
  await until(async () => (await daemon.get<Told>('/status'))?.rollback_safe.safe === safe, {
    ms: 20_000,
    describe: () => `it is not told that it is ${safe ? 'safe' : 'not safe'}\n${daemon.process.tail()}`,
  })
}

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)',
  "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
  'CREATE TABLE keyless (a TEXT)',
  "INSERT INTO keyless VALUES ('gone'), ('x'), ('y')",
  "DELETE FROM keyless WHERE a = 'gone'",
  'CREATE TABLE heard (v TEXT)',
  'CREATE TRIGGER hears AFTER INSERT ON t BEGIN INSERT INTO heard VALUES (NEW.v); END',
]

test('VACUUM, ANALYZE and a table of somebody else are compared with, and the way back goes on', async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, exclude: ['foreign_one', 'heard'] })
  const { daemon, path } = scenario
  await pass(scenario, 'switchover')
  await execute(path, [
    'VACUUM',
    'ANALYZE',
    'REINDEX',
    'CREATE TABLE foreign_one (id INTEGER PRIMARY KEY)',
    'PRAGMA optimize',
  ])
  await scenario.postgres("INSERT INTO t (v) VALUES ('from pg')")
  await scenario.postgres("UPDATE keyless SET a = 'z' WHERE a = 'y'")
  await daemon.caughtUp()
  expect((await daemon.get<Told>('/status'))?.rollback_safe).toEqual({ safe: true, reasons: [] })
  await pass(scenario, 'rollback')
  expect((await scenario.compare()).differences).toEqual([])
  await scenario.write(["INSERT INTO t (v) VALUES ('in sqlite')"])
  const [heard] = await scenario.write(['SELECT v FROM heard'])
  expect(heard?.rows).toEqual([['in sqlite']])
}, 120_000)

test('a moved table that was altered makes the way back unsafe, and safe again once that is taken back', async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, exclude: ['heard'] })
  const { path } = scenario
  await pass(scenario, 'switchover')
  await execute(path, ['CREATE INDEX added ON t (v)'])
  await toldSafe(scenario, false)
  const refused = await ask(scenario, 'rollback')
  expect(refusedBy(refused)).toContain('unsafe')
  await execute(path, ['DROP INDEX added'])
  await scenario.postgres("INSERT INTO t (v) VALUES ('from pg')")
  await toldSafe(scenario, true)
  await pass(scenario, 'rollback')
  expect((await scenario.compare()).differences).toEqual([])
}, 120_000)

test('a table that is rebuilt loses the fence with its triggers, and is closed again', async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, exclude: ['heard'] })
  await pass(scenario, 'switchover')
  await execute(scenario.path, [
    'CREATE TABLE rebuilt (id INTEGER PRIMARY KEY, v TEXT, added TEXT)',
    'INSERT INTO rebuilt (id, v) SELECT id, v FROM t',
    'DROP TABLE t',
    'ALTER TABLE rebuilt RENAME TO t',
  ])
  await toldSafe(scenario, false)
  const [outcome] = await scenario.attempt(["INSERT INTO t (v) VALUES ('a second writer')"])
  expect(outcome?.error?.message).toContain('PostgreSQL leads')
}, 120_000)
