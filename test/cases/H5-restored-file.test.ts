import { rmSync } from 'node:fs'
import { test } from 'vitest'
import { copyFiles, replaceFiles } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// A restored file uses seq numbers again: the head is as high as before, or higher, and the rows differ.

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'a'), (2, 'b')`]

test.for([
  ['as many changes as before', 8],
  ['more changes than before', 12],
  ['fewer changes than before', 3],
] as const)('%s', { timeout: 60_000 }, async ([, changes]) => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const copy = scenario.workspace.file('copy.db')
  await copyFiles(scenario.path, copy)
  for (let n = 0; n < 8; n++) await scenario.write([`INSERT INTO t (a) VALUES ('first ${n}')`])
  await scenario.equalAtLagZero()
  await scenario.daemon.kill()

  replaceFiles(copy, scenario.path)
  for (let n = 0; n < changes; n++) await scenario.write([`INSERT INTO t (a) VALUES ('second ${n}')`])
  scenario.launch()
  await scenario.mendedOrStopped()
})

test('rows alone were put back: the log is a stranger', { timeout: 60_000 }, async () => {
  // The file is replaced by one that never knew slipway: no changelog, no triggers.
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write([`INSERT INTO t VALUES (3, 'only here')`])
  await scenario.equalAtLagZero()
  await scenario.daemon.kill()
  for (const suffix of ['', '-wal', '-shm']) rmSync(scenario.path + suffix, { force: true })
  await scenario.write([
    'PRAGMA journal_mode = WAL',
    ...SOURCE,
    `INSERT INTO t VALUES (7, 'from the backup')`,
  ])
  scenario.launch()
  await scenario.mendedOrStopped()
})
