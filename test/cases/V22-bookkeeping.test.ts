import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// What an application's migrations remember belongs to each engine: left behind, and said so.

test('bookkeeping of migrations is left behind, unless it is asked for by name', {
  timeout: 60_000,
}, async () => {
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

  const copied = await scenario.slipway.mustRun(['snapshot'])
  expect(copied.stdout + copied.stderr).toContain('alembic_version is not copied')
  const tables = await scenario.postgres(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
  expect(tables).toEqual([{ tablename: 't' }])
})
