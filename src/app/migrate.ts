import type { Knex } from 'knex'
import * as newsroom from '../../migrations/app/0001-newsroom.ts'

/**
 * The application's migrations, oldest first. knex stores these names: they have no extension, so that the
 * sources (`.ts`) and the published package (`.js`) agree on what has been run (trap R9).
 */
const MIGRATIONS: ReadonlyMap<string, Knex.Migration> = new Map([['0001-newsroom', newsroom]])

const migrationSource: Knex.MigrationSource<string> = {
  getMigrations: async () => [...MIGRATIONS.keys()],
  getMigrationName: (name) => name,
  getMigration: async (name) => {
    const migration = MIGRATIONS.get(name)
    if (migration === undefined) throw new Error(`no migration named ${name}`)
    return migration
  },
}

/** Runs what has not been run yet, on whichever engine `knex` speaks to; returns the names, oldest first. */
export async function migrateApp(knex: Knex): Promise<readonly string[]> {
  const [, names] = (await knex.migrate.latest({ migrationSource })) as [number, string[]]
  return names
}

/** Takes every migration back, newest first; returns the names. */
export async function unmigrateApp(knex: Knex): Promise<readonly string[]> {
  const [, names] = (await knex.migrate.rollback({ migrationSource }, true)) as [number, string[]]
  return names
}
