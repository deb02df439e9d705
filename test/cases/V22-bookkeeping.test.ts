import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// What the application's migrations have run belongs to each engine: copied over, it would make the next migration
// skip or repeat itself.

const OPTIONS = {
  source: [
    'CREATE TABLE t (id INTEGER PRIMARY KEY)',
    ...['alembic_version', 'django_migrations', 'knex_migrations', '__diesel_schema_migrations'].flatMap(
      (name) => [`CREATE TABLE ${name} (v TEXT)`, `INSERT INTO ${name} VALUES ('of SQLite')`],
    ),
  ],
  target: `CREATE TABLE alembic_version (v text); INSERT INTO alembic_version VALUES ('of PostgreSQL')`,
}

test('is not copied, and that is said', async () => {
  await using scenario = await Scenario.prepare(OPTIONS)
  const { stdout, stderr } = await scenario.slipway.mustRun(['snapshot'])
  for (const name of [
    'alembic_version',
    'django_migrations',
    'knex_migrations',
    '__diesel_schema_migrations',
  ]) {
    expect(stdout + stderr).toContain(
      `${name} is not copied: bookkeeping of the application's migrations belongs to each engine`,
    )
  }
  expect(await scenario.postgres('SELECT v FROM alembic_version')).toEqual([{ v: 'of PostgreSQL' }])
  expect(
    await scenario.postgres(
      `SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%migrations'`,
    ),
  ).toEqual([])
})

test('is copied where the plan says that it is none', async () => {
  await using scenario = await Scenario.prepare(OPTIONS)
  scenario.writePlan({ knex_migrations: { include: true }, t: { include: false } })
  await scenario.slipway.mustRun(['snapshot'])
  expect(await scenario.postgres('SELECT v FROM knex_migrations')).toEqual([{ v: 'of SQLite' }])
  expect(await scenario.postgres(`SELECT to_regclass('t')::text AS t`)).toEqual([{ t: null }])
})

test('is told by assess, and looked at only where it is asked for', { timeout: 60_000 }, async () => {
  const names = ['alembic_version', 'django_migrations', '__diesel_schema_migrations', 'knex_migrations']
  await using scenario = await Scenario.prepare({
    source: [
      ...names.map((name) => `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, name TEXT)`),
      'CREATE TABLE t (id INTEGER PRIMARY KEY)',
      'INSERT INTO t VALUES (1)',
    ],
  })
  const all = await assess(scenario)
  expect(all.serious).toEqual([])
  expect(all.assessment.tables.map(({ table }) => table)).toEqual(['t'])
  const told = all.assessment.findings.filter(({ code }) => code === 'bookkeeping_left_behind')
  expect(told.map(({ table }) => table).toSorted()).toEqual(names.toSorted())

  const asked = await assess(scenario, [], { TABLES: 't,alembic_version' })
  expect(asked.assessment.tables.map(({ table }) => table)).toEqual(['alembic_version', 't'])
  scenario.writePlan({ knex_migrations: { include: true }, t: { include: false } })
  const planned = await assess(scenario)
  expect(planned.assessment.tables.map(({ table }) => table)).toEqual(['knex_migrations'])
})
