/** The times of one change of authority, why it was not done, and what is told of each answer. */
import type { Passage } from '../core/authority.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { SwitchRun } from '../core/switch-run.ts'
import type { Step } from '../core/switching.ts'
import type { Retry } from '../runtime/retry.ts'
import { type LiveRun, TITLES } from './live-run.ts'
import { type Event, FACTS, type State } from './machine.ts'

/** Without any time to wait the lag is still looked at once. */
const ONE_LOOK_MS = 200

interface CourseDeps {
  readonly passage: Passage
  /** Of the authority that leads when it begins. */
  readonly epoch: number
  readonly waitMs: number
  readonly maxPauseMs: number
  readonly reserveMs: number
  readonly tryMs: number
  readonly attempt: (() => number) | undefined
  readonly live: LiveRun
  readonly retry: Retry
  readonly now: () => number
}

export class Course {
  readonly passage: Passage
  readonly live: LiveRun
  readonly retry: Retry
  readonly #deps: CourseDeps
  #waitUntil = 0
  #until = 0
  #pauseFrom: number | undefined
  #pauseTo: number | undefined
  #cause: unknown

  constructor(deps: CourseDeps) {
    this.#deps = deps
    this.passage = deps.passage
    this.live = deps.live
    this.retry = deps.retry
  }

  /** Sets the time that the state has. A state that is tried again gets new time for each try. */
  enters(state: State): void {
    const { now, waitMs, maxPauseMs, tryMs, passage } = this.#deps
    const at = now()
    switch (FACTS[state].deadline) {
      case 'wait':
        this.#waitUntil = at + Math.max(waitMs, state === 'beginning' ? maxPauseMs : ONE_LOOK_MS)
        this.#until = this.#waitUntil
        return
      case 'hold':
        // Asking for SQLite's lock makes nobody wait; what is left of the wait may be used for it.
        if (passage === 'switchover') this.#until = Math.max(this.#waitUntil, at + maxPauseMs)
        else this.#pauses(at)
        return
      case 'pause':
      case 'decision':
        return
      case 'none':
        this.#until = at + tryMs
    }
  }

  /** Milliseconds that the state may take; 0 or less: it is not begun. */
  remaining(state: State): number {
    const left = this.#until - this.#deps.now()
    return FACTS[state].deadline === 'decision' && left < this.#deps.reserveMs ? 0 : left
  }

  /** What an answer means for the pause, and what people see of it. */
  answered(state: State, step: Step, next: State, event: Event, error: unknown): void {
    const { live } = this
    const at = this.#deps.now()
    if (state === 'beginning' && event === 'ok' && this.#deps.attempt !== undefined) {
      live.set({ attempt: this.#deps.attempt() })
    }
    if (state === 'holding' && next === 'draining' && this.#pauseFrom === undefined) this.#pauses(at)
    const opens = this.passage === 'switchover' ? 'settling' : 'done'
    if (next === opens && state !== next) this.#pauseTo ??= at
    if (error === undefined) {
      this.retry.reset()
      live.ends(step, 'done', event === 'decided' ? 'it is too late: the decision was made' : null)
    } else live.ends(step, 'failed', messageOf(error))
    if (next === 'undoing' && state !== 'undoing' && this.#cause === undefined) {
      this.#cause = error
      live.set({ reason: messageOf(error), remedy: remedyOf(error) })
    }
  }

  /** How it ended. */
  outcome(state: State): Partial<SwitchRun> {
    const { epoch } = this.#deps
    if (state === 'done') {
      const measured = this.#pauseFrom !== undefined && this.#pauseTo !== undefined
      const pause = measured ? Math.round(this.#pauseTo! - this.#pauseFrom!) : null
      return { state: 'done', pause_ms: pause, reason: null, remedy: null }
    }
    if (state === 'undone') return { state: 'undone', epoch }
    return {
      state: 'displaced',
      epoch,
      reason: 'another slipway has taken over, or the notes are not those that this one left',
      remedy:
        'Nothing to do: whoever holds the migration looks at both engines and ends it. See: slipway status',
    }
  }

  /** The time for a step is over. */
  late(step: Step): Failure {
    const { waitMs, maxPauseMs, passage } = this.#deps
    const title = TITLES[passage][step]
    if (step === 'begin' || step === 'undo' || step === 'reopen' || step === 'settle') {
      return failure(`"${title}" had no answer in time`, 'See whether PostgreSQL answers: slipway status')
    }
    if (step === 'wait') {
      return failure(
        `lag did not come to zero within ${waitMs / 1000} s`,
        'See what it waits for with slipway lag, then try again, or give it longer: --wait.',
      )
    }
    if (step === 'hold' && passage === 'switchover') {
      return failure(
        'the write lock of SQLite was not free in time',
        'Look for a process that keeps a transaction open, then try again.',
      )
    }
    return failure(
      `the pause had to end after ${maxPauseMs} ms, in the step "${title}"`,
      'Writes are open again. Try again at a quieter time, or raise MAX_PAUSE_MS.',
    )
  }

  #pauses(at: number): void {
    this.#pauseFrom = at
    this.#until = at + this.#deps.maxPauseMs
  }
}

export function stopped(): Failure {
  return new Failure({
    code: 'stopping',
    message: 'the daemon was stopped',
    remedy: 'Start it and ask again.',
    exit: 1,
  })
}

function failure(message: string, remedy: string): Failure {
  return new Failure({ code: 'switch_late', message, remedy, exit: 1, status: 504 })
}

export function remedyOf(error: unknown): string | null {
  return error instanceof Failure ? (error.remedy ?? null) : null
}
