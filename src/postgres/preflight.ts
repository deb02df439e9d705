import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { quote } from '../core/quote.ts'
import type { Connection } from './connection.ts'

export interface TargetFacts {
  /** Which database this is, whatever it is called: the cluster's own number and the database's. */
  readonly id: string
  /** e.g. `18.4`. */
  readonly version: string
  readonly warnings: readonly string[]
}

const OLDEST = 140_000

/**
 * What must hold before anything is made: version, encoding, and the rights, all the missing ones at once with
 * the GRANT that gives each.
 */
export async function checkTarget(connection: Connection, schema: string): Promise<TargetFacts> {
  return await connection.use(async (client) => {
    const { rows } = await client.query(
      `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
              (SELECT system_identifier FROM pg_control_system()) || ':' ||
                (SELECT oid FROM pg_database WHERE datname = current_database()) AS id,
              current_setting('server_encoding') AS encoding, current_user AS role, current_database() AS database,
              pg_is_in_recovery() AS standby, current_setting('max_prepared_transactions')::int AS prepared,
              has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
              has_database_privilege(current_database(), 'TEMPORARY') AS may_stage,
              to_regnamespace($1) IS NOT NULL AS has_schema,
              to_regnamespace('slipway') IS NOT NULL AS has_own,
              CASE WHEN to_regnamespace($1) IS NULL THEN NULL ELSE has_schema_privilege($2, 'CREATE') AND has_schema_privilege($2, 'USAGE') END AS may_use_schema,
              CASE WHEN to_regnamespace('slipway') IS NULL THEN NULL ELSE has_schema_privilege('slipway', 'CREATE') END AS may_use_own`,
      // to_regnamespace parses its argument as SQL does, has_schema_privilege does not: so both get a plain name.
      [quote(schema), schema],
    )
    const facts = rows[0]
    if (facts.number < OLDEST) {
      throw new Failure({
        code: 'target_too_old',
        message: `PostgreSQL (${connection.server}) is version ${facts.version}; slipway needs 14 or newer`,
        remedy: 'Name a newer server in POSTGRES_URL, or upgrade this one with pg_upgrade.',
      })
    }
    if (facts.standby) {
      throw new Failure({
        code: 'target_standby',
        message: `PostgreSQL (${connection.server}) is a read-only standby`,
        remedy: 'Name the primary server in POSTGRES_URL.',
      })
    }
    if (facts.encoding !== 'UTF8') {
      throw new Failure({
        code: 'target_encoding',
        message: `the database ${facts.database} has the encoding ${facts.encoding}; it would refuse or change text`,
        remedy: `Create one with UTF8: CREATE DATABASE ${quote(facts.database + '_utf8')} ENCODING 'UTF8' TEMPLATE template0`,
      })
    }
    const grants: string[] = []
    const role = quote(facts.role)
    if (!facts.may_create_schema && (!facts.has_own || !facts.has_schema)) {
      grants.push(`GRANT CREATE ON DATABASE ${quote(facts.database)} TO ${role};`)
    }
    if (!facts.may_stage) grants.push(`GRANT TEMPORARY ON DATABASE ${quote(facts.database)} TO ${role};`)
    if (facts.may_use_own === false) grants.push(`GRANT CREATE, USAGE ON SCHEMA slipway TO ${role};`)
    if (facts.may_use_schema === false)
      grants.push(`GRANT CREATE, USAGE ON SCHEMA ${quote(schema)} TO ${role};`)
    if (grants.length > 0) {
      throw new Failure({
        code: 'target_rights',
        message: `the role ${facts.role} lacks rights in the database ${facts.database}`,
        remedy: `As a superuser or the owner run: ${grants.join(' ')}`,
        facts: { grants },
      })
    }
    return { id: facts.id, version: facts.version, warnings: [] }
  })
}

/** CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it exists; this does not. */
export async function ensureSchema(client: pg.ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query('SELECT to_regnamespace($1) IS NOT NULL AS there', [quote(schema)])
  if (!rows[0].there) await client.query(`CREATE SCHEMA ${quote(schema)}`)
}
