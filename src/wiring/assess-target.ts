import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AssessOptions } from '../cli/work.ts'
import type { ServerFacts } from '../core/assess/inputs.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import { otherRelations } from '../postgres/introspect.ts'
import { checkTarget } from '../postgres/preflight.ts'
import { readServerFacts } from '../postgres/server-facts.ts'
import { openTarget } from './session.ts'

export interface SeenTarget {
  /** Undefined where it could not be looked at. */
  readonly server: ServerFacts | undefined
  /** Names in the schema that are no tables. */
  readonly taken: ReadonlySet<string>
  readonly findings: readonly Finding[]
}

/** What the preflight says of a server that answers. */
const ANSWERED = new Set(['target_too_old', 'target_standby', 'target_encoding', 'target_rights'])

/** Looks at PostgreSQL in sessions that may only read. What keeps it from being looked at is a finding. */
export async function lookAtTarget(config: Config, { observer }: AssessOptions): Promise<SeenTarget> {
  if (config.postgresUrl === 'embedded' && !existsSync(join(config.stateDir, 'postgres'))) {
    const message = 'the trial server does not exist yet: it is made by the snapshot'
    return {
      server: undefined,
      taken: new Set(),
      findings: [{ code: 'target_embedded_new', severity: 'info', message }],
    }
  }
  try {
    await using target = await openTarget(config, (line) => observer.step(line))
    const { connection, control } = target
    observer.step(`looking at PostgreSQL (${target.server})`)
    await connection.use((client) => client.query('SET default_transaction_read_only = on'))
    const findings: Finding[] = []
    try {
      await checkTarget(connection, config.postgresSchema)
    } catch (error) {
      if (!(error instanceof Failure) || !ANSWERED.has(error.code)) throw error
      findings.push(blocking(error.code, error))
    }
    const server = await readServerFacts(connection, config.postgresSchema, await control.read())
    return { server, taken: await otherRelations(connection, config.postgresSchema), findings }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const code = ANSWERED.has(error.code) ? error.code : 'target_unreachable'
    return { server: undefined, taken: new Set(), findings: [blocking(code, error)] }
  }
}

function blocking(code: string, { message, remedy }: Failure): Finding {
  return { code, severity: 'blocks', message, remedy }
}
