import type { Daemon, DaemonOptions } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import type { Observer } from '../core/observer.ts'
import { VerifyRuns } from '../postgres/verify-store.ts'
import { Replicator } from '../replication/replicator.ts'
import type { Run } from '../verify/run.ts'
import { Verifier, type VerifyStore } from '../verify/verifier.ts'
import { ForwardFactory } from './forward.ts'
import { Hooks } from './hooks.ts'
import { DaemonOperator } from './operator.ts'
import { readPause } from './pause-file.ts'
import { Records } from './records.ts'
import { openTarget, type TargetSession } from './session.ts'
import type { Streams } from './streams.ts'
import { SwitchDesk, type SwitchParts } from './switch-desk.ts'
import { createSwitching } from './switching.ts'

/** A server that starts together with the daemon may need a moment; a wrong setting should not look like one. */
const START_PATIENCE_MS = 5_000

/** How long a batch in flight may take to end when the daemon is stopped. */
const STOP_PATIENCE_MS = 4_000

/** The daemon as the CLI runs it: one replicator, and the operator that people ask. */
export function createDaemon(config: Config, options: DaemonOptions): Daemon {
  let target: TargetSession | undefined
  let factory: ForwardFactory | undefined
  let streams: Streams | undefined
  let parts: SwitchParts | undefined
  const stop = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  let running: Promise<void> | undefined
  const observer: Observer = {
    ...options.observer,
    phase: (phase, previous) => {
      options.observer.phase(phase, previous)
      operator.events.phase(phase, previous)
      const control = factory?.facts.control
      if (control !== undefined)
        hooks.tell('phase', { phase, authority: control.authority, epoch: control.epoch })
    },
    copied: (table) => {
      options.observer.copied(table)
      operator.events.copied(table)
    },
  }
  const records = new Records(
    config,
    () => target,
    () => factory?.facts.control,
  )
  const runs = new LateRuns()
  const verifier = new Verifier({
    store: runs,
    step: (text) => options.observer.step(text),
    warn: (text) => options.observer.warn(text),
  })
  const replicator = new Replicator({
    factory: {
      acquire: () => made().acquire(),
      open: async (anew, signal) => {
        await verifier.load()
        await desk.load()
        return await made().open(anew, signal)
      },
      heartbeat: async () => {
        void records.prune(stop.signal)
        return await made().heartbeat()
      },
    },
    observer,
    companion: verifier,
    pollMs: config.pollMs,
    startPatienceMs: () => (isClosed() ? Number.POSITIVE_INFINITY : START_PATIENCE_MS),
  })
  const hooks = new Hooks({
    settings: config,
    step: (text) => options.observer.step(text),
    warn: (text, facts) => options.observer.warn(text, facts),
  })
  const desk = new SwitchDesk({
    config,
    replicator,
    observer,
    hooks,
    facts: () => factory?.facts,
    parts: () => parts,
    changed: (run) => operator.events.switched(run),
  })
  const operator = new DaemonOperator({
    desk,
    config,
    replicator,
    verifier,
    records,
    observer: options.observer,
    facts: () => factory?.facts,
    target: () => target && { server: target.server, holder: target.control.holder },
  })
  /** Nobody can write to SQLite until PostgreSQL has answered: who would wait for that, if not the daemon? */
  function isClosed(): boolean {
    try {
      return (parts?.fence.notes().authority ?? 'sqlite') !== 'sqlite'
    } catch {
      return false
    }
  }
  function made(): Streams {
    if (streams === undefined) throw new Error('the daemon has not been started')
    return streams
  }
  async function run(): Promise<void> {
    for (const reason of readPause(config.stateDir)) {
      replicator.pause.add(reason)
      options.observer.warn(`still paused from an earlier run: ${reason}; slipway replication resume ends it`)
    }
    target = await openTarget(config, (line) => options.observer.step(line))
    runs.at = new VerifyRuns<Run>(target.connection, config.migrationName)
    factory = new ForwardFactory(config, target, {
      enableWal: options.enableWal,
      backup: options.backup,
      observer,
    })
    const made = createSwitching({
      ...{ config, target, factory, replicator, verifier, observer, desk },
      signal: stop.signal,
    })
    parts = made.parts
    streams = made.streams
    await replicator.run(stop.signal)
  }
  return {
    operator,
    start: async () => {
      running = run()
      running.catch((error: unknown) => failed.reject(error))
    },
    stop: async () => {
      // What is not decided is undone while the sessions are there; what is decided is finished.
      await desk.stop()
      await hooks.stop()
      stop.abort()
      // A server that does not answer is not waited for: what is not committed is done again at the next start.
      const cut = setTimeout(() => target?.cut(), STOP_PATIENCE_MS)
      await running?.catch(() => undefined)
      clearTimeout(cut)
      parts?.fence[Symbol.dispose]()
      await target?.[Symbol.asyncDispose]()
    },
    failed: failed.promise,
  }
}

/** The target is opened after the verifier is made. */
class LateRuns implements VerifyStore {
  at: VerifyStore | undefined

  get #store(): VerifyStore {
    if (this.at === undefined) throw new Error('the daemon has not been started')
    return this.at
  }

  load(): Promise<Run | undefined> {
    return this.#store.load()
  }

  begin(run: Omit<Run, 'id'>): Promise<Run> {
    return this.#store.begin(run)
  }

  save(run: Run): Promise<void> {
    return this.#store.save(run)
  }
}
