/**
 * The machine of one change of authority, in either direction: where it stands, and what each answer of a step leads
 * to. Pure. What is durable is not here but in the notes of both engines (core/authority.ts); a state says only what
 * this process is doing about them, so nothing of it has to be found again after a crash.
 *
 * Three rules, from which the table follows:
 * - Until the decision is sent, everything that goes wrong leads to `undoing`: an undo costs one statement, and a step
 *   that says "no effect" may be wrong.
 * - After it was sent, nobody but PostgreSQL knows, and reading is no answer (trap H3): only the compare-and-set of the
 *   undo is. It says undone, decided, or displaced.
 * - What is decided or undone on PostgreSQL is carried to SQLite however long that takes.
 *
 * test/switchover/explore.test.ts explores this table together with both engines.
 */
import type { Passage, Standing } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { Step } from '../core/switching.ts'

export const STATES = [
  'beginning',
  'waiting',
  'holding',
  'draining',
  'fencing',
  'deciding',
  'settling',
  'done',
  'undoing',
  'reopening',
  'undone',
  'displaced',
] as const
export type State = (typeof STATES)[number]

export const EVENTS = [
  /** The step had its effect. Of an undo: see the three last. */
  'ok',
  /** It had none. */
  'failed',
  /** The time for it, or for the whole, is over: whether it had an effect does not matter any more. */
  'late',
  /** Nobody knows: no answer came. */
  'lost',
  /** The undo's answer: PostgreSQL has taken the attempt back, and none of its decisions can land any more. */
  'undone',
  /** The undo's answer: it is too late, the other side leads. */
  'decided',
  /** This process may no longer act, or the notes are not those that it left. */
  'displaced',
] as const
export type Event = (typeof EVENTS)[number]

/** What a state waits for, and until when. */
export type Deadline =
  /** The time that was given to reach lag zero; nobody waits for us. */
  | 'wait'
  /** The leading engine's lock; for a rollback the pause has begun. */
  | 'hold'
  /** The pause: writers wait. */
  | 'pause'
  /** The pause, less what an answer takes: it is not begun when that is no longer left. */
  | 'decision'
  /** It is tried again until it succeeds; a person sees why it has not. */
  | 'none'

export interface StateFacts {
  /** What is run in this state; null: the end. */
  readonly step: Step | null
  readonly deadline: Deadline
}

export const FACTS: Readonly<Record<State, StateFacts>> = {
  // A new attempt on PostgreSQL and the phase, by compare-and-set. A crash leaves the phase: it is undone.
  beginning: { step: 'begin', deadline: 'wait' },
  // Replication goes on; nothing else happens. Here most of the time passes.
  waiting: { step: 'wait', deadline: 'wait' },
  // The write lock of SQLite, or PostgreSQL's gate lock and control row: both go with the process that has them.
  holding: { step: 'hold', deadline: 'hold' },
  // Under the lock, so that it ends. A crash still costs nothing.
  draining: { step: 'drain', deadline: 'pause' },
  // Switchover: the first thing that outlives us: SQLite refuses until somebody undoes or finishes. Rollback: SQLite's
  // transaction is prepared and not committed, so nothing outlives us yet.
  fencing: { step: 'fence', deadline: 'pause' },
  // One COMMIT on PostgreSQL, sent once, and only by the process that raised the fence.
  deciding: { step: 'decide', deadline: 'decision' },
  // Decided: SQLite has to learn it. There is no way back but a new attempt in the other direction.
  settling: { step: 'settle', deadline: 'none' },
  done: { step: null, deadline: 'none' },
  // The compare-and-set on PostgreSQL. The fence stays until it has answered, however long that takes.
  undoing: { step: 'undo', deadline: 'none' },
  // Undone on PostgreSQL: SQLite opens again, where the fence is still the one that was seen before the undo.
  reopening: { step: 'reopen', deadline: 'none' },
  undone: { step: null, deadline: 'none' },
  // Another process holds the migration, or notes have changed under us. Every lock is let go, no fence is touched:
  // whoever is the holder looks at both notes again (`entryOf`).
  displaced: { step: null, deadline: 'none' },
}

export type Transitions = Readonly<Record<State, Readonly<Record<Event, State>>>>

/** Answers that only an undo gives mean nothing elsewhere: what cannot be explained is asked of PostgreSQL. */
const UNEXPLAINED = { undone: 'undoing', decided: 'undoing' } as const

/** A step before the decision: one way forward, and back from everything else. */
function forward(to: State): Readonly<Record<Event, State>> {
  return {
    ok: to,
    failed: 'undoing',
    late: 'undoing',
    lost: 'undoing',
    displaced: 'displaced',
    ...UNEXPLAINED,
  }
}

/** It has ended: nothing happens any more. */
function end(state: State): Readonly<Record<Event, State>> {
  return {
    ok: state,
    failed: state,
    late: state,
    lost: state,
    undone: state,
    decided: state,
    displaced: state,
  }
}

/** Every state, every event. */
export const TRANSITIONS: Transitions = {
  beginning: forward('waiting'),
  waiting: forward('holding'),
  holding: forward('draining'),
  draining: forward('fencing'),
  fencing: forward('deciding'),
  deciding: forward('settling'),
  settling: {
    ok: 'done',
    failed: 'settling',
    late: 'settling',
    lost: 'settling',
    displaced: 'displaced',
    undone: 'settling',
    decided: 'settling',
  },
  undoing: {
    undone: 'reopening',
    decided: 'settling',
    displaced: 'displaced',
    ok: 'undoing',
    failed: 'undoing',
    late: 'undoing',
    lost: 'undoing',
  },
  reopening: {
    ok: 'undone',
    failed: 'reopening',
    late: 'reopening',
    lost: 'reopening',
    // The fence is not the one that was seen before the undo: a coordinator that slept has raised its own since. It is
    // undone as well, after a new look; where we are no longer the holder, PostgreSQL says so.
    displaced: 'undoing',
    ...UNEXPLAINED,
  },
  done: end('done'),
  undone: end('undone'),
  displaced: end('displaced'),
}

export function advance(state: State, event: Event, transitions: Transitions = TRANSITIONS): State {
  return transitions[state][event]
}

/** What an error of a step means. Whatever is not known to mean more says that there was no effect. */
export function eventOf(error: unknown): Event {
  if (!(error instanceof Failure)) return 'failed'
  switch (error.code) {
    case 'outcome_unknown':
      return 'lost'
    case 'displaced':
    // SQLite's notes are another's.
    case 'fence_stale':
      return 'displaced'
    default:
      return 'failed'
  }
}

/** Where work begins that was found: after a crash, a takeover, or because somebody else's attempt woke up. */
export interface Entry {
  readonly state: State
  readonly passage: Passage
}

/**
 * What is left to do, by what both notes say together: an attempt that is not decided is undone, never decided, since
 * only the process that raised the fence knows that it was drained; one that is decided is finished. Undefined where
 * nothing is left to do, or a person has to decide.
 */
export function entryOf(standing: Standing): Entry | undefined {
  if (standing.kind === 'undecided') return { state: 'undoing', passage: standing.passage }
  if (standing.kind === 'decided') return { state: 'settling', passage: standing.passage }
  return undefined
}
