import { expect, test } from 'vitest'
import { Slipway, Workspace } from '../support/daemon.ts'
import { createDatabase } from '../support/postgres.ts'
import { Scenario } from '../support/scenario.ts'

// Two slipways on one file would prune each other's changes: the second is refused, the first goes on.

test('another target, another migration: refused by name', async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`],
  })
  using other = new Workspace()
  await using database = await createDatabase()
  for (const [postgresUrl, name] of [
    [database.url, 'app'],
    [scenario.database.url, 'another'],
  ] as const) {
    await using second = await Slipway.create({
      directory: other.path,
      sqlitePath: scenario.path,
      postgresUrl,
      env: { MIGRATION_NAME: name, POSTGRES_SCHEMA: 'elsewhere' },
    })
    for (const command of ['snapshot', 'start']) {
      const result = await second.run([command])
      expect(result.code, result.stderr).toBe(3)
      expect(result.stderr).toMatch(/^error: .*slipway/m)
      expect(result.stderr).toMatch(/^remedy: .*(uninstall|MIGRATION_NAME)/m)
    }
  }
  await scenario.write([`INSERT INTO t VALUES (2, 'y')`])
  await scenario.equalAtLagZero()
})
