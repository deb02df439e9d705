import type { RehearsalOptions } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { refuseBlocked } from '../core/plan.ts'
import { schemaScript } from '../postgres/schema-sql.ts'
import { checkFile, openReader } from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { planSource } from './planning.ts'
import { openTarget } from './session.ts'
import { schemaFindings } from './table-copy.ts'

/**
 * `slipway snapshot --sql`: what a snapshot would make, as SQL. Both sides are only read, and the role needs no rights
 * there: perhaps somebody else has to run it.
 */
export async function printSchema(config: Config, { observer, signal }: RehearsalOptions): Promise<string> {
  checkFile(config.sqlitePath)
  const reader = openReader(config.sqlitePath)
  using _reader = { [Symbol.dispose]: () => void reader.close() }
  await using target = await openTarget(config, (line) => observer.step(line))
  const { inventory, planned, findings } = await planSource({
    config,
    reader,
    connection: target.connection,
    gate: new ReaderGate(config.sqlitePath, config.maxWalMb * 1024 * 1024),
    before: (await target.control.read())?.tables ?? [],
    widened: new Map(),
    signal,
    step: (text) => observer.step(text),
  })
  refuseBlocked(findings, config.postgresSchema)
  const left = inventory.skipped.map(({ name, reason }) => ({
    code: 'not_moved',
    severity: 'warns' as const,
    message: `${name} is not moved: ${reason}`,
  }))
  const told = [...left, ...findings, ...schemaFindings(planned)].filter(
    ({ severity }) => severity === 'warns',
  )
  return schemaScript(planned, config.postgresSchema, told)
}
