import type { Config } from '../core/config.ts'
import type { LagReport } from '../core/operator.ts'
import type { Checkpoint } from '../core/position.ts'
import { seqToJson } from '../core/position.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { Place } from '../replication/loop.ts'
import type { Replicator, ReplicatorView } from '../replication/replicator.ts'
import { probePending } from '../sqlite/head.ts'
import type { ForwardFacts } from './forward-facts.ts'

/** Longer than this the server is not waited for: the answer then says what is known. */
const PATIENCE_MS = 2_000

interface Measured {
  readonly head: number | string | null
  readonly applied: number | string | null
  readonly pending: number
  readonly oldestAt: number | undefined
  /** Nothing is left, and nothing contradicts that. */
  readonly even: boolean
}

const UNKNOWN: Measured = { head: null, applied: null, pending: 0, oldestAt: undefined, even: false }

/** How far the target is behind, asked of both sides now. */
export async function measureLag(
  config: Config,
  replicator: Replicator,
  facts: ForwardFacts | undefined,
): Promise<LagReport> {
  const view = replicator.view
  const control = facts?.control
  const applied = view.lastApplied
  const reverse = applied !== undefined && isReverse(applied)
  const measured =
    applied === undefined
      ? UNKNOWN
      : isReverse(applied)
        ? await ofReverse(view, applied)
        : ofForward(config, view, applied)
  const now = new Date()
  const beforeSnapshot = view.phase === 'new' || view.phase === 'snapshotting'
  return {
    migration: config.migrationName,
    phase: control !== undefined && (!view.isHolder || isStuck(view)) ? control.phase : view.phase,
    authority: control?.authority ?? 'sqlite',
    direction: reverse ? 'reverse' : 'forward',
    state: view.state,
    reasons: view.reasons,
    head: measured.head,
    applied: measured.applied,
    pending_changes: measured.pending,
    lag_seconds:
      beforeSnapshot || measured === UNKNOWN
        ? null
        : measured.oldestAt === undefined
          ? 0
          : Math.max(0, (now.getTime() - measured.oldestAt) / 1000),
    caught_up:
      view.state === 'running' &&
      view.phase === (reverse ? 'switched_over' : 'replicating') &&
      view.loop.applied !== undefined &&
      measured.even,
    quarantined: view.loop.quarantined,
    measured_at: now.toISOString(),
  }
}

/** Blocked before a stream was opened: of the phase it knows nothing yet. */
function isStuck(view: ReplicatorView): boolean {
  return view.phase === 'new' && view.state === 'blocked'
}

function isReverse(place: Place): place is ReversePosition {
  return 'snapshot' in place
}

/** Where the source cannot be asked just now, the loop meets the same fault and reports it. */
function ofForward(config: Config, view: ReplicatorView, applied: Checkpoint): Measured {
  const stream = view.stream?.direction === 'forward' ? view.stream : undefined
  try {
    const lag = stream?.source.lag(applied) ?? {
      ...probePending(config.sqlitePath, applied),
      continuous: false,
    }
    return {
      head: seqToJson(lag.head),
      applied: seqToJson(applied.seq),
      pending: lag.pending,
      oldestAt: lag.oldestAt,
      even:
        stream?.target.connected === true && lag.continuous && lag.pending === 0 && lag.head === applied.seq,
    }
  } catch {
    return { ...UNKNOWN, applied: seqToJson(applied.seq) }
  }
}

async function ofReverse(view: ReplicatorView, applied: ReversePosition): Promise<Measured> {
  const stream = view.stream?.direction === 'reverse' ? view.stream : undefined
  const unknown = { ...UNKNOWN, applied: applied.snapshot }
  if (stream === undefined) return unknown
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), PATIENCE_MS)
  try {
    const lag = await Promise.race([stream.source.lag(applied), late])
    if (lag === undefined) return unknown
    return {
      head: lag.head,
      applied: applied.snapshot,
      pending: lag.pending,
      oldestAt: lag.oldestAt,
      even: stream.source.connected && lag.pending === 0,
    }
  } catch {
    return unknown
  } finally {
    clearTimeout(timer)
  }
}
