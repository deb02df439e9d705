import type { Passage } from '../core/authority.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { GuardFacts } from '../core/guard-facts.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { SwitchRequest } from '../core/switch-run.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from '../postgres/connection.ts'
import { type Drift, targetDrift, targetFingerprint } from '../postgres/fingerprint.ts'
import { quarantineBlocking } from '../postgres/quarantine.ts'
import { captureMarks, storedMarks } from '../postgres/reverse-capture.ts'
import { readExpected } from '../postgres/reverse-drift.ts'
import { reverseRights } from '../postgres/reverse-rights.ts'
import type { SwitchRuns } from '../postgres/switch-store.ts'
import type { Replicator } from '../replication/replicator.ts'
import { sleep } from '../runtime/retry.ts'
import { openReader } from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import type { Verifier } from '../verify/verifier.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { gatherFacts } from './guard-facts.ts'
import { measureLag } from './lag.ts'
import { readInventory } from './planning.ts'
import type { TargetSession } from './session.ts'

/** Changes of a batch, for the prediction of the pause: what one look at the changelog usually brings. */
const BATCH_CHANGES = 5_000
/** Longer than this it is not opened in any good case: then the guards say what is wrong. */
const UNDER_WAY_MS = 10_000
const LOOK_MS = 50

export interface GuardDeskDeps {
  readonly config: Config
  readonly target: TargetSession
  readonly facts: ForwardFacts
  readonly replicator: Replicator
  readonly verifier: Verifier
  readonly runs: SwitchRuns
  /** Values of every shape through PostgreSQL and back: what did not come back as it was. */
  readonly rehearse: (
    tables: readonly TableSpec[],
    signal: AbortSignal,
  ) => Promise<readonly { readonly table: string; readonly column: string; readonly reason: string }[]>
  /** What one engine holds and the other refuses, one sentence each. */
  readonly parity: (
    sources: readonly SourceTable[],
    tables: readonly TableSpec[],
  ) => Promise<readonly string[]>
}

/** Measures what the guards judge. */
export class GuardDesk {
  readonly #deps: GuardDeskDeps
  readonly #gate: ReaderGate

  constructor(deps: GuardDeskDeps) {
    this.#deps = deps
    this.#gate = new ReaderGate(deps.config.sqlitePath, deps.config.maxWalMb * 1024 * 1024)
  }

  /**
   * A comparison that is made now: where `full` asks for it, and where `recent` finds none that is recent. Waits for
   * its end, at the most as long as the request waits for lag zero; then the guard says that it runs.
   */
  async verify(request: SwitchRequest, signal: AbortSignal): Promise<void> {
    const { verifier, replicator, config, facts } = this.#deps
    await this.#underWay(Date.now() + Math.min(UNDER_WAY_MS, request.wait_seconds * 1000), signal)
    if (request.verify === 'none' || request.passage === 'rollback') return
    const { phase, state } = replicator.view
    if (phase !== 'replicating' || state !== 'running') return
    const { state: last, equal, finished_at: at } = verifier.report
    const age = at === null ? Number.POSITIVE_INFINITY : (Date.now() - Date.parse(at)) / 1000
    const recent = last === 'done' && equal === true && age <= config.verifyMaxAgeSeconds
    if (request.verify === 'recent' && recent) return
    const tables = facts.control?.tables ?? []
    if (!verifier.busy) await verifier.ask(tables, { repair: false })
    const until = Date.now() + request.wait_seconds * 1000
    while (verifier.busy && Date.now() < until && !signal.aborted) await sleep(LOOK_MS, signal)
  }

  /** A stream that is just being opened has no position yet: nothing could be measured by it. */
  async #underWay(until: number, signal: AbortSignal): Promise<void> {
    const { replicator } = this.#deps
    const opening = (): boolean => {
      const { state, loop, isHolder } = replicator.view
      return isHolder && state === 'running' && loop.applied === undefined
    }
    while (opening() && Date.now() < until && !signal.aborted) await sleep(LOOK_MS, signal)
  }

  async measure(passage: Passage, signal: AbortSignal): Promise<GuardFacts> {
    const { config, target, facts, replicator, verifier, runs, rehearse, parity } = this.#deps
    const askedAt = Date.now()
    const control = facts.control
    if (control === undefined)
      throw new Failure({ code: 'starting', status: 503, message: 'the daemon is starting' })
    const view = replicator.view
    const { connection } = target
    const { tables, id } = control
    const reverse = view.stream?.direction === 'reverse' ? view.stream : undefined
    const forward = view.stream?.direction === 'forward' ? view.stream : undefined
    const lag = await measureLag(config, replicator, facts)
    const targetDrifts = passage === 'rollback' ? driftsOf(connection, id, tables) : Promise.resolve([])
    targetDrifts.catch(() => undefined)
    return await gatherFacts({
      config,
      passage,
      askedAt,
      signal,
      phase: view.phase,
      authority: control.authority,
      state: view.state,
      reasons: view.reasons,
      id,
      holder: target.control.holder,
      tables,
      backup: facts.backup ?? control.backup,
      sources: () => this.#sources(tables),
      gate: this.#gate,
      connection,
      lagSeconds: () => {
        if (lag.lag_seconds === null)
          throw new Failure({ code: 'lag_unknown', message: 'the lag is not known' })
        return lag.lag_seconds
      },
      quarantine: async () => {
        if (reverse === undefined) return await quarantineBlocking(connection, config.migrationName)
        const { entries } = reverse.target.aside(100_000)
        const counts = new Map<string, number>()
        for (const { table } of entries) counts.set(table, (counts.get(table) ?? 0) + 1)
        return [...counts].map(([table, rows]) => ({ table, rows }))
      },
      drift: async () => {
        if (reverse !== undefined)
          return (await targetDrifts).filter(({ fatal }) => fatal).map(({ what }) => what)
        const dirty = [...(forward?.dirty ?? control.dirty)].map(([table, reason]) => `${table}: ${reason}`)
        const at = view.loop.applied
        const goesOn =
          forward !== undefined && at !== undefined && 'seq' in at && forward.source.lag(at).continuous
        return goesOn ? dirty : [...dirty, 'the changelog does not go on from what was applied']
      },
      unsafe: async () => {
        // As it is now: the stream may not have come to it yet.
        const { schema: _, ...noted } = Object.fromEntries(control.unsafe)
        const altered = (await targetDrifts).filter(({ fatal, past }) => !fatal && past !== true)
        const schema = altered.map(({ what }) => what).join('; ')
        return new Map(Object.entries(schema === '' ? noted : { ...noted, schema }))
      },
      reverseCapture: async () =>
        await connection.use(async (client) => {
          const [made, now] = [await storedMarks(client, id), await captureMarks(client, tables)]
          return tables
            .filter(({ name }) => made?.[name] === undefined || made[name] !== now[name])
            .map(({ name }) => `the triggers of ${name} are not those that slipway made`)
        }),
      verify: () => (passage === 'switchover' ? verifier.report : null),
      rights: async () => await connection.use((client) => reverseRights(client, tables)),
      parity: async () => await parity(this.#sources(tables), tables),
      rehearsal: async () => await rehearse(tables, signal),
      lastSwitchover: passage === 'rollback' ? ((await runs.last('switchover')) ?? null) : null,
      pace: {
        batchSeconds: view.loop.batchSeconds === 0 ? null : view.loop.batchSeconds,
        pending: lag.pending_changes,
        batchChanges: BATCH_CHANGES,
      },
      hook: null,
    })
  }

  #sources(tables: readonly TableSpec[]): readonly SourceTable[] {
    const reader = openReader(this.#deps.config.sqlitePath)
    try {
      const names = new Set(tables.map(({ name }) => name))
      return readInventory(this.#deps.config, reader).tables.filter(({ name }) => names.has(name))
    } finally {
      reader.close()
    }
  }
}

/** How the tables on PostgreSQL differ from what the decision left, now. */
async function driftsOf(
  connection: Connection,
  id: number,
  tables: readonly TableSpec[],
): Promise<readonly Drift[]> {
  return await connection.use(async (client) => {
    const { decided } = await readExpected(client, id)
    return decided === '' ? [] : targetDrift(decided, await targetFingerprint(client, tables), tables)
  })
}
