import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// The one migration of an application that capture makes fail: assess says which, and what to do.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT UNIQUE)',
  'CREATE UNIQUE INDEX t_a ON t (a)',
  'CREATE INDEX t_b ON t (b)',
  'CREATE TABLE other (id INTEGER PRIMARY KEY, b TEXT)',
]

test('it is told for tables with a unique index that can be dropped, and true', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({ source: SOURCE })
  const { result, find, assessment } = await assess(scenario)
  expect(result.code).toBe(0)
  const told = assessment.findings.filter(({ code }) => code === 'drop_of_unique_column')
  expect(told.map(({ table, examples }) => [table, examples])).toEqual([['t', ['t_a']]])
  expect(find('drop_of_unique_column')?.remedy).toMatch(/slipway uninstall.*slipway snapshot/)

  await scenario.slipway.mustRun(['snapshot'])
  const [, dropped] = await scenario.attempt(['DROP INDEX t_a', 'ALTER TABLE t DROP COLUMN a'])
  expect(dropped?.error?.message).toContain('_slipway_')
  // The remedy.
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  await scenario.write(['ALTER TABLE t DROP COLUMN a'])
})

test('what is different for every application while slipway is there is told once', async () => {
  await using scenario = await Scenario.prepare({ source: SOURCE })
  const { assessment } = await assess(scenario)
  for (const code of ['total_changes', 'application_pragmas']) {
    const told = assessment.findings.filter((finding) => finding.code === code)
    expect(told).toMatchObject([{ severity: 'info' }])
  }
})
