import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// NOCASE folds ASCII only, and per column or index: a unique of PostgreSQL would keep other values apart.

test('a NOCASE unique keeps the same values apart on both sides', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, code TEXT, pad TEXT COLLATE RTRIM UNIQUE)',
      'CREATE UNIQUE INDEX by_code ON t (code COLLATE NOCASE, name COLLATE BINARY)',
      `INSERT INTO t VALUES (1, 'abc', 'X', 'p'), (2, 'É', 'X', 'q'), (3, 'é', 'y', 'r')`,
    ],
  })
  await scenario.write([
    // Displaces the first row, which is equal but for the case.
    `REPLACE INTO t VALUES (4, 'ABC', 'x', 'p   ')`,
    `INSERT INTO t VALUES (5, 'ß', 'z', ' p')`,
    `INSERT INTO t VALUES (6, 'ẞ', 'z', 's')`,
  ])
  await scenario.equalAtLagZero()
  const told = (await scenario.daemon.status())?.warnings.join('\n')
  expect(told).toMatch(/t\.name is compared by NOCASE in SQLite/)
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  for (const [values, code] of [
    [`(10, 'aBc', 'n', 'n')`, '23505'],
    [`(10, 'n', 'n', 'q  ')`, '23505'],
    [`(10, 'ABC', 'X', 'n')`, '23505'],
  ] as const) {
    await expect(scenario.postgres(`INSERT INTO t VALUES ${values}`)).rejects.toMatchObject({ code })
    const [same] = await scenario.attempt([`INSERT INTO t VALUES ${values}`])
    expect(same?.error?.name ?? '').toMatch(/UNIQUE/)
  }
  await scenario.postgres(`INSERT INTO t VALUES (11, 'éÉ', 'X', ' q'), (12, 'Éé', 'X', 'Q')`)
  await scenario.write([`INSERT INTO t VALUES (11, 'éÉ', 'X', ' q'), (12, 'Éé', 'X', 'Q')`])
})
