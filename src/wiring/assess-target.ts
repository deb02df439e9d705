import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AssessOptions } from '../cli/work.ts'
import type { ServerFacts } from '../core/assess/inputs.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from '../postgres/connection.ts'
import { checkTarget } from '../postgres/preflight.ts'
import { readServerFacts } from '../postgres/server-facts.ts'
import { openTarget } from './session.ts'

export interface SeenTarget extends AsyncDisposable {
  /** Undefined where it could not be looked at. */
  readonly server: ServerFacts | undefined
  /** May only read; undefined as above. */
  readonly connection: Connection | undefined
  /** Tables of the migration so far. */
  readonly before: readonly TableSpec[]
  readonly findings: readonly Finding[]
}

function unseen(finding: Finding): SeenTarget {
  const nothing = async (): Promise<void> => undefined
  return {
    server: undefined,
    connection: undefined,
    before: [],
    findings: [finding],
    [Symbol.asyncDispose]: nothing,
  }
}

/** What the preflight says of a server that answers. */
const ANSWERED = new Set(['target_too_old', 'target_standby', 'target_encoding', 'target_rights'])

/** Looks at PostgreSQL in a session that may only read. What keeps it from being looked at is a finding. */
export async function lookAtTarget(config: Config, { observer }: AssessOptions): Promise<SeenTarget> {
  if (config.postgresUrl === 'embedded' && !existsSync(join(config.stateDir, 'postgres'))) {
    const message = 'the trial server does not exist yet: it is made by the snapshot'
    return unseen({ code: 'target_embedded_new', severity: 'info', message })
  }
  try {
    await using opening = new AsyncDisposableStack()
    const target = opening.use(await openTarget(config, (line) => observer.step(line)))
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
    const migration = await control.read()
    const server = await readServerFacts(connection, config.postgresSchema, migration?.phase)
    const stay = opening.move()
    return {
      server,
      connection,
      before: migration?.tables ?? [],
      findings,
      [Symbol.asyncDispose]: () => stay.disposeAsync(),
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return unseen(blocking(ANSWERED.has(error.code) ? error.code : 'target_unreachable', error))
  }
}

function blocking(code: string, { message, remedy }: Failure): Finding {
  return { code, severity: 'blocks', message, remedy }
}
