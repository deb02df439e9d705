import { readFileSync } from 'node:fs'
import knex from 'knex'
import type pg from 'pg'
import { MIGRATIONS } from '../../migrations/slipway/index.ts'
import { asLibpq, type Connection, SESSION } from './connection.ts'
import { ensureSchema } from './preflight.ts'

/** Any number that only this step uses: keeps two starts on one server apart. */
const LOCK = 7_514_001

export function postgresTemplate(name: string): string {
  const here = import.meta.url.includes('/dist/') ? '../../../triggers' : '../../triggers'
  return readFileSync(new URL(`${here}/postgres/${name}.sql`, import.meta.url), 'utf8')
}

/** Knex opens sessions of its own: they get the same settings as ours. */
function session(client: pg.Client, done: (error: Error | null, client: pg.Client) => void): void {
  client.query(SESSION).then(
    () => done(null, client),
    (error: Error) => done(error, client),
  )
}

/**
 * Brings schema `slipway` to the present version. Knex keeps a lock row that a killed process leaves behind;
 * the advisory lock, which ends with its session, is what really keeps two apart, so the row is freed first.
 */
export async function migrateOwnSchema(connection: Connection, url: string): Promise<void> {
  await connection.use(async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    const database = knex({
      client: 'pg',
      connection: { connectionString: asLibpq(url) },
      pool: { min: 0, max: 1, afterCreate: session },
    })
    try {
      await ensureSchema(client, 'slipway')
      const config = {
        schemaName: 'slipway',
        tableName: 'migration',
        // Names without an extension: sources (.ts) and package (.js) must agree on them (trap R9).
        migrationSource: {
          getMigrations: async () => Object.keys(MIGRATIONS).sort(),
          getMigrationName: (name: string) => name,
          getMigration: async (name: string) => MIGRATIONS[name] as (typeof MIGRATIONS)[string],
        },
      }
      await database.migrate.forceFreeMigrationsLock(config)
      await database.migrate.latest(config)
    } finally {
      await database.destroy()
      await client.query('SELECT pg_advisory_unlock($1)', [LOCK])
    }
  })
}
