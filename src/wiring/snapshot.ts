import type { SnapshotOptions, SnapshotOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { type Anew, anewAfter } from '../core/ports.ts'
import { seqToJson } from '../core/position.ts'
import { whileHolding } from '../replication/holding.ts'
import { Copier } from '../replication/snapshot.ts'
import { Retry, sleep } from '../runtime/retry.ts'
import { ForwardFactory } from './forward.ts'
import { openTarget, type TargetSession } from './session.ts'

/** How long a locked source is waited for. */
const SOURCE_PATIENCE_MS = 20_000

/** How long the server may need to notice that a killed run is gone. */
const LINGER_MS = 2_000

/** `slipway snapshot`: backup, capture, tables, copy. The daemon goes on from its S0. */
export async function takeSnapshot(config: Config, options: SnapshotOptions): Promise<SnapshotOutcome> {
  const startedAt = Date.now()
  await using target = await openTarget(config, (line) => options.observer.step(line))
  const factory = new ForwardFactory(config, target, options)
  let answer = await patiently(() => factory.acquire(), options.signal)
  // A run that was killed a moment ago may still have sessions on the server.
  for (const deadline = Date.now() + LINGER_MS; !answer.held && Date.now() < deadline; ) {
    await sleep(200, options.signal)
    answer = await factory.acquire()
  }
  const before = factory.facts.control
  const copied = before !== undefined && !['new', 'snapshotting'].includes(before.phase)
  if (!answer.held) {
    if (!copied) {
      throw new Failure({
        code: 'held_elsewhere',
        exit: 1,
        message: `another slipway (${answer.by}) is working on this migration`,
        remedy: 'Watch it with slipway status, or stop it first.',
      })
    }
    const { parts } = await progressOf(target, config)
    return outcome(parts, { already: true, startedAt, factory, s0: null })
  }
  return await whileHolding(
    () => factory.heartbeat(),
    options.signal,
    (signal) => copy(factory, target, { ...options, signal }, startedAt, copied),
  )
}

async function copy(
  factory: ForwardFactory,
  target: TargetSession,
  options: SnapshotOptions,
  startedAt: number,
  copied: boolean,
): Promise<SnapshotOutcome> {
  let s0: number | string | null = null
  const retry = new Retry({ minMs: 200, maxMs: 5_000 })
  let lastReason: string | undefined
  for (let anew: Anew | undefined, attempts = 0; ; ) {
    options.signal.throwIfAborted()
    const reason: Anew | undefined = anew
    await using stream = await patiently(() => factory.open(reason, options.signal), options.signal)
    anew = undefined
    const copier = new Copier(stream, options.observer)
    const { parts } = await copier.load()
    if (stream.phase !== 'snapshotting' && parts.every((part) => part.done)) {
      const stored = await target.control.checkpoint()
      s0 = stored === undefined ? null : seqToJson(stored.checkpoint.seq)
      return outcome(parts, { already: attempts === 0 && copied, startedAt, factory, s0 })
    }
    try {
      await copier.run(options.signal)
      const stored = await target.control.checkpoint()
      s0 = stored === undefined ? null : seqToJson(stored.checkpoint.seq)
      const after = await stream.copyTarget.progress()
      return outcome(after.parts, { already: false, startedAt, factory, s0 })
    } catch (error) {
      if (options.signal.aborted || !(error instanceof Failure)) throw error
      // A writer brought a value of another kind while its table was being copied.
      const next = anewAfter(error, stream.tables)
      if (next !== undefined && next.reason !== lastReason) {
        anew = next
        lastReason = next.reason
        options.observer.warn(next.reason)
        continue
      }
      if (error.policy !== 'transient' || error.code === 'displaced' || ++attempts > 5) throw error
      options.observer.error(error, retry.next())
      await retry.wait(options.signal)
    }
  }
}

/** A busy application may hold its file for a moment, or change its schema while it is looked at: that passes. */
async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (const deadline = Date.now() + SOURCE_PATIENCE_MS; ; ) {
    try {
      return await work()
    } catch (error) {
      const passes = error instanceof Failure && /^source_(locked|changed)$/.test(error.code)
      if (!passes || Date.now() > deadline) throw error
      await sleep(250, signal)
      signal.throwIfAborted()
    }
  }
}

async function progressOf(target: Awaited<ReturnType<typeof openTarget>>, config: Config) {
  const rows = await target.connection.use((client) =>
    client.query(
      'SELECT tbl AS "table", part, rows, done FROM slipway.copy_part WHERE migration = $1 ORDER BY tbl, part',
      [config.migrationName],
    ),
  )
  return { parts: rows.rows.map((row) => ({ table: row.table as string, rows: Number(row.rows) })) }
}

function outcome(
  parts: readonly { readonly table: string; readonly rows: number }[],
  facts: { already: boolean; startedAt: number; factory: ForwardFactory; s0: number | string | null },
): SnapshotOutcome {
  const control = facts.factory.facts.control
  const rowsOf = new Map<string, number>()
  for (const part of parts) rowsOf.set(part.table, (rowsOf.get(part.table) ?? 0) + part.rows)
  const tables = [...rowsOf].map(([table, rows]) => ({
    table,
    target: control?.tables.find((spec) => spec.name === table)?.target ?? table,
    rows,
  }))
  return {
    already: facts.already,
    tables,
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    seconds: (Date.now() - facts.startedAt) / 1000,
    backupPath: facts.factory.facts.backup?.path ?? control?.backup?.path ?? null,
    s0: facts.s0,
    warnings: facts.factory.facts.warnings,
  }
}
