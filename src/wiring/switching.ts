import type { Config } from '../core/config.ts'
import type { Observer } from '../core/observer.ts'
import { PostgresGate } from '../postgres/gate.ts'
import { dropReverseCapture, installReverseCapture } from '../postgres/reverse-capture.ts'
import { SwitchRuns } from '../postgres/switch-store.ts'
import type { Replicator } from '../replication/replicator.ts'
import { SqliteFence } from '../sqlite/fence.ts'
import type { Verifier } from '../verify/verifier.ts'
import { ConductFactory } from './conduct-factory.ts'
import { finalize } from './finalize.ts'
import { forceRollback } from './force.ts'
import type { ForwardFactory } from './forward.ts'
import { GuardDesk, type GuardDeskDeps } from './guard-desk.ts'
import { parityOf } from './parity.ts'
import { reportOf } from './report-facts.ts'
import { ReverseFactory } from './reverse.ts'
import { rehearseWayBack } from './reverse-rehearsal.ts'
import type { TargetSession } from './session.ts'
import { Streams } from './streams.ts'
import type { SwitchDesk, SwitchParts } from './switch-desk.ts'

interface SwitchingDeps {
  readonly config: Config
  readonly target: TargetSession
  readonly factory: ForwardFactory
  readonly replicator: Replicator
  readonly verifier: Verifier
  readonly observer: Observer
  readonly desk: SwitchDesk
  /** Of the daemon's end. */
  readonly signal: AbortSignal
}

/** Sentences that are remembered, so that they are not told again. */
const MOST_TOLD = 1_000

/** The parts of a change of authority, and the streams of both directions. */
export function createSwitching(deps: SwitchingDeps): { parts: SwitchParts; streams: Streams } {
  const { config, target, factory, replicator, verifier, observer, desk, signal } = deps
  const { facts } = factory
  const { connection, control } = target
  const warn = (text: string): void => observer.warn(text)
  // What is so at each change of authority is told at the first one.
  const told = new Set<string>()
  const warnOnce = (text: string): void => {
    if (told.has(text)) return
    if (told.size >= MOST_TOLD) told.clear()
    told.add(text)
    warn(text)
  }
  const fence = new SqliteFence({
    path: config.sqlitePath,
    tables: () => (facts.control?.tables ?? []).map(({ name }) => name),
  })
  const gate = new PostgresGate({
    control,
    connect: (purpose) => target.connect(purpose),
    installCapture: installReverseCapture,
    warn: warnOnce,
  })
  const refresh = async (): Promise<void> => {
    facts.control = (await control.read()) ?? facts.control
  }
  const leads = (): 'sqlite' | 'postgres' => (facts.control?.authority === 'postgres' ? 'postgres' : 'sqlite')
  const rehearse: GuardDeskDeps['rehearse'] = (tables, signal) =>
    rehearseWayBack({ connection, path: config.sqlitePath, tables, signal })
  const parity: GuardDeskDeps['parity'] = (sources, tables) =>
    parityOf({ config, connection, sources, tables, warn: warnOnce })
  const runs = new SwitchRuns(connection, config.migrationName)
  const end = async (endReverse: () => void): Promise<void> => {
    const state = await control.read()
    if (state === undefined) return
    const { id, tables } = state
    await finalize({
      ...{ connection, control, id, tables, signal },
      endReverse: async () => endReverse(),
      step: (text) => observer.step(text),
    })
  }
  const parts: SwitchParts = {
    conducts: new ConductFactory({ config, target, facts, replicator, fence, gate }),
    fence,
    guards: new GuardDesk({ config, target, facts, replicator, verifier, runs, rehearse, parity }),
    runs,
    refresh,
    pause: async (reason, until) => await (leads() === 'postgres' ? gate : fence).pause(reason, until),
    finalize: async () => await end(() => replicator.turn()),
    settled: () => gate.settled(),
    report: (status, past) => reportOf(config, target, status, past),
    force: async () => {
      const epoch = await forceRollback(fence)
      const before = facts.control
      if (before !== undefined)
        facts.control = {
          ...before,
          ...{ authority: 'sqlite', phase: 'catching_up', epoch, since: new Date().toISOString() },
        }
      return epoch
    },
    resume: async () => await (leads() === 'postgres' ? gate : fence).resume(),
  }
  const streams = new Streams({
    forward: factory,
    reverse: new ReverseFactory({
      config,
      target,
      facts,
      warn,
      validate: () => gate.validateAwake(),
      end: () => end(() => undefined),
    }),
    target,
    fence,
    gate,
    observer,
    recover: (standing, signal) => desk.recover(standing, signal),
    idle: (signal) => desk.idle(signal),
    busy: () => desk.busy,
    needsStream: () => desk.needsStream,
    turn: () => replicator.turn(),
    leads: async () => {
      await refresh()
      await desk.tellAuthority()
    },
    asleep: async () => {
      await gate.sleepAgain()
      await connection.transaction(async (client) => {
        await client.query(`SET LOCAL lock_timeout = '5s'`)
        await dropReverseCapture(client, facts.control?.tables ?? [])
      })
    },
  })
  return { parts, streams }
}
