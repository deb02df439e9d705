import type { SnapshotOptions, SnapshotOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { TableStatus } from '../core/operator.ts'
import { refuseBlocked } from '../core/plan.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { compareDatabases } from '../demo/compare.ts'
import { putToSleep, targetName, wakeUp } from '../postgres/dormant.ts'
import { advanceIdentities } from '../postgres/identities.ts'
import { createIndex, indexCannotHold } from '../postgres/indexes.ts'
import { checkTarget, ensureSchema } from '../postgres/preflight.ts'
import { createTableSql, finishPlan, foreignKeySql } from '../postgres/schema.ts'
import { copyInto, targetColumns } from '../postgres/stage.ts'
import { ChunkReader } from '../sqlite/chunks.ts'
import { openFrozen } from '../sqlite/frozen.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { readFacts, type Sqlite } from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { planSource } from './planning.ts'
import { openTarget } from './session.ts'

/**
 * `slipway snapshot --once`: no triggers and no daemon. The source's write lock is held (or the file is read-only),
 * everything goes over in one PostgreSQL transaction, and is compared afterwards. The source stays as it is.
 */
export async function copyOnce(config: Config, options: SnapshotOptions): Promise<SnapshotOutcome> {
  const startedAt = Date.now()
  const warnings: string[] = []
  const warn = (text: string): void => {
    warnings.push(text)
    options.observer.warn(text)
  }
  using source = openFrozen(config.sqlitePath)
  const facts = readFacts(source.database, config.sqlitePath)
  await using target = await openTarget(config, (line) => options.observer.step(line))
  await checkTarget(target.connection, config.postgresSchema)
  // The lock keeps writers out, so nothing grows while we read.
  const gate = new ReaderGate(config.sqlitePath, Number.POSITIVE_INFINITY)
  const { inventory, planned, findings } = await planSource({
    config,
    reader: source.database,
    connection: target.connection,
    gate,
    before: [],
    widened: new Map(),
    signal: options.signal,
    step: (text) => options.observer.step(text),
  })
  for (const { name, reason } of inventory.skipped) warn(`${name} is not copied: ${reason}`)
  refuseBlocked(findings, config.postgresSchema)
  for (const { severity, message } of findings) if (severity === 'warns') warn(message)
  const chunks = new ChunkReader(source.database, {
    path: config.sqlitePath,
    gate,
    encoding: facts.encoding,
    chunkRows: config.chunkRows,
    captured: false,
  })
  const rows = new Map<string, number>()
  await target.connection.transaction(async (client) => {
    await ensureSchema(client, config.postgresSchema)
    const existing = planned.filter(({ spec }) => !spec.owned).map(({ spec }) => spec)
    const sleepers = existing.length > 0 ? await putToSleep(client, existing) : []
    for (const { source: table, spec } of planned) {
      if (spec.owned) await client.query(createTableSql(table, spec))
      if (spec.emptied === true) await client.query(`TRUNCATE ${targetName(spec)}`)
      const expected = chunks.estimateRows(spec)
      let copied = 0
      for (let after: string | undefined, done = false; !done; ) {
        const chunk = await chunks.readChunk(spec, after, undefined, options.signal)
        if (chunk.rows.rows > 0)
          await copyInto(client, targetName(spec), targetColumns(spec), chunk.rows, spec)
        copied += chunk.rows.rows
        after = chunk.last ?? after
        done = chunk.exhausted
        options.observer.copied(status(spec, copied, expected, done, Date.now() - startedAt))
      }
      rows.set(spec.name, copied)
      const finish = spec.owned ? finishPlan(table, spec) : undefined
      if (finish?.key !== undefined) await client.query(finish.key)
      for (const index of finish?.indexes ?? []) {
        await client.query('SAVEPOINT slipway_index')
        try {
          await createIndex(client, spec, index)
        } catch (error) {
          if (!indexCannotHold(error)) throw error
          await client.query('ROLLBACK TO SAVEPOINT slipway_index')
          warn(`${spec.name}: index ${index.name} is left out: ${messageOf(error)}`)
        }
      }
      for (const text of finish?.skipped ?? []) warn(text)
    }
    for (const text of await wakeUp(client, [...sleepers, ...foreignKeySql(planned)])) warn(text)
  })
  await target.connection.use(async (client) => {
    await advanceIdentities(
      client,
      planned.map(({ spec }) => spec),
      readSequences(source.database),
    )
    for (const { spec } of planned) await client.query(`ANALYZE ${targetName(spec)}`)
  })
  await verify(
    source.database,
    config,
    target.url,
    planned.map(({ spec }) => spec),
    options,
    warn,
  )
  // Nothing is replicated into it, and the application's inserts do not know it.
  await target.connection.use(async (client) => {
    for (const { spec } of planned) {
      if (spec.key.kind === 'rowid')
        await client.query(`ALTER TABLE ${targetName(spec)} DROP COLUMN ${quote(HIDDEN_KEY)}`)
    }
  })
  const tables = planned.map(({ spec }) => ({
    table: spec.name,
    target: spec.target,
    rows: rows.get(spec.name) ?? 0,
  }))
  return {
    already: false,
    tables,
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    seconds: (Date.now() - startedAt) / 1000,
    backupPath: null,
    s0: null,
    warnings,
  }
}

function status(spec: TableSpec, copied: number, expected: number, done: boolean, ms: number): TableStatus {
  return {
    table: spec.name,
    target: spec.target,
    state: done ? 'copied' : 'copying',
    rows_copied: copied,
    rows_expected: done ? copied : Math.max(copied, expected),
    rows_per_second: ms > 0 ? Math.round((copied * 1000) / ms) : null,
    eta_seconds: done ? 0 : null,
  }
}

/** By a reader that shares no code with the copy. It knows one name for both sides, so renamed tables are named. */
async function verify(
  source: Sqlite,
  config: Config,
  url: string,
  tables: readonly TableSpec[],
  options: SnapshotOptions,
  warn: (text: string) => void,
): Promise<void> {
  const same = (table: TableSpec): boolean =>
    table.name === table.target && table.columns.every((column) => column.name === column.target)
  for (const table of tables.filter((each) => !same(each)))
    warn(`${table.name} has other names in the target and is not compared`)
  options.observer.step('comparing every value')
  const results = await compareDatabases({
    sqlite: source,
    postgresUrl: url,
    schema: config.postgresSchema,
    tables: tables.filter(same).map((table) => table.name),
  })
  const wrong = results.filter((result) => result.different > 0)
  if (wrong.length === 0) return
  const first = wrong[0]?.differences[0]
  throw new Failure({
    code: 'not_equal',
    exit: 1,
    message: `the copy differs from the source in ${wrong.map((result) => `${result.table} (${result.different})`).join(', ')}; first at ${first?.key}, ${first?.column ?? 'whole row'}`,
    remedy: 'Do not use the copy; report this with the message above. The source was not changed.',
  })
}
