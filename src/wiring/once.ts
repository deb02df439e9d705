import type { SnapshotOptions, SnapshotOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { refuseBlocked } from '../core/plan.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY } from '../core/table.ts'
import { putToSleep, targetName, wakeUp } from '../postgres/dormant.ts'
import { advanceIdentities } from '../postgres/identities.ts'
import { forgetIndexes } from '../postgres/indexes.ts'
import { checkTarget, ensureSchema } from '../postgres/preflight.ts'
import { ChunkReader } from '../sqlite/chunks.ts'
import { openFrozen } from '../sqlite/frozen.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { readFacts } from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { planSource } from './planning.ts'
import { openTarget } from './session.ts'
import {
  constraintsOf,
  fillTable,
  makeIndexes,
  makeKey,
  makeTable,
  refuseAside,
  schemaFindings,
} from './table-copy.ts'
import { refuseDifferences, verifyCopy } from './verify-copy.ts'

/**
 * `slipway snapshot --once`: no triggers and no daemon. The source's write lock is held (or the file is read-only),
 * everything goes over in one PostgreSQL transaction, and is compared afterwards. The source stays as it is.
 */
export async function copyOnce(config: Config, options: SnapshotOptions): Promise<SnapshotOutcome> {
  const startedAt = performance.now()
  const warnings: string[] = []
  const warn = (text: string): void => {
    if (warnings.includes(text)) return
    warnings.push(text)
    options.observer.warn(text)
  }
  using source = openFrozen(config.sqlitePath)
  const facts = readFacts(source.database, config.sqlitePath)
  await using target = await openTarget(config, (line) => options.observer.step(line))
  const { connection } = target
  await checkTarget(connection, config.postgresSchema)
  // The lock keeps writers out, so nothing grows while we read.
  const gate = new ReaderGate(config.sqlitePath, Number.POSITIVE_INFINITY)
  const { inventory, planned, findings } = await planSource({
    config,
    reader: source.database,
    connection,
    gate,
    before: [],
    widened: new Map(),
    signal: options.signal,
    step: (text) => options.observer.step(text),
  })
  for (const { name, reason } of inventory.skipped) warn(`${name} is not copied: ${reason}`)
  refuseBlocked(findings, config.postgresSchema)
  for (const { severity, message } of [...findings, ...schemaFindings(planned)])
    if (severity === 'warns') warn(message)
  const specs = planned.map(({ spec }) => spec)
  const chunks = new ChunkReader(source.database, {
    path: config.sqlitePath,
    gate,
    encoding: facts.encoding,
    chunkRows: config.chunkRows,
    captured: false,
  })
  const rows = new Map<string, number>()
  await connection.transaction(async (client) => {
    await ensureSchema(client, config.postgresSchema)
    const existing = specs.filter((spec) => !spec.owned)
    const sleepers = existing.length > 0 ? await putToSleep(client, existing) : []
    for (const table of planned) {
      const { spec } = table
      await makeTable(client, table)
      if (spec.emptied === true) await client.query(`TRUNCATE ${targetName(spec)}`)
      const filled = await fillTable(client, spec, {
        chunks,
        tolerant: false,
        signal: options.signal,
        copied: (status) => options.observer.copied(status),
      })
      const left = refuseAside(spec, filled)
      if (left !== undefined) warn(left.message)
      rows.set(spec.name, filled.rows)
      await makeKey(client, table)
      for (const { message } of await makeIndexes(client, table)) warn(message)
    }
    for (const text of await wakeUp(client, [...sleepers, ...constraintsOf(planned)])) warn(text)
  })
  await connection.use(async (client) => {
    await advanceIdentities(client, specs, readSequences(source.database))
    for (const spec of specs) await client.query(`ANALYZE ${targetName(spec)}`)
  })
  options.observer.step('comparing every value')
  const verified = await verifyCopy({
    connection,
    database: source.database,
    chunks,
    tables: specs,
    signal: options.signal,
  })
  refuseDifferences(
    verified,
    'Do not use the copy; report this with the message above. The source was not changed.',
  )
  // Nothing is replicated into it, and the application's inserts do not know it.
  await connection.use(async (client) => {
    await forgetIndexes(client, specs)
    for (const spec of specs) {
      if (spec.key.kind === 'rowid')
        await client.query(`ALTER TABLE ${targetName(spec)} DROP COLUMN ${quote(HIDDEN_KEY)}`)
    }
  })
  const tables = specs.map((spec) => ({
    table: spec.name,
    target: spec.target,
    rows: rows.get(spec.name) ?? 0,
  }))
  return {
    already: false,
    tables,
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    seconds: (performance.now() - startedAt) / 1000,
    backupPath: null,
    s0: null,
    warnings,
  }
}
