/**
 * Runs a change of authority by the machine: calls the conduct's steps, each with its deadline, and keeps what people
 * see of it. One at a time; it goes on whatever becomes of whoever asked.
 */
import type { Passage, Standing } from '../core/authority.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import { NO_RUN, type SwitchRun, type SwitchStep } from '../core/switch-run.ts'
import type { Conduct, Step } from '../core/switching.ts'
import { Retry, sleep } from '../runtime/retry.ts'
import { Course, remedyOf, stopped } from './course.ts'
import { crashPoint } from './crash.ts'
import { FORWARD_STEPS, LiveRun, TITLES } from './live-run.ts'
import { advance, type Event, entryOf, eventOf, FACTS, type State } from './machine.ts'

/** Work before the change: guards, a hook. What it throws refuses the change, and is thrown to whoever asked. */
export interface Preparation {
  readonly step: 'guards' | 'before_hook'
  readonly title: string
  /** `tell` adds to the run what it has found. Returns a detail for people. */
  readonly work: (
    signal: AbortSignal,
    tell: (found: Partial<Pick<SwitchRun, 'guards' | 'overrides' | 'predicted_pause_ms'>>) => void,
  ) => Promise<string | undefined>
}

export interface Change {
  readonly passage: Passage
  /** Of the authority that leads now. */
  readonly epoch: number
  /** To reach lag zero, before anybody has to wait. */
  readonly waitMs: number
  /** From the moment writers wait. */
  readonly maxPauseMs: number
  readonly preparations?: readonly Preparation[]
  /** Ends after the preparations. */
  readonly dryRun?: boolean
  /** Called once, after the preparations. The coordinator disposes of what it returns. */
  readonly open: () => Conduct | Promise<Conduct>
  /** The attempt's number; asked after `begin`. */
  readonly attempt?: () => number
  /** Outside of the pause, when it is done or undone: the authority file, hooks, cleaning up. Its failure is only told. */
  readonly after?: (run: SwitchRun) => Promise<string | undefined>
}

export interface CoordinatorDeps {
  /** Of every change of the current run. Must not throw. */
  readonly onChange: (run: SwitchRun) => void
  readonly observer: Pick<Observer, 'warn'>
  /** Monotonic milliseconds. */
  readonly now?: () => number
  /** What the decision needs of the pause, its answer included: it is not sent when less is left. */
  readonly reserveMs?: number
  /** How long a step whose time is over may take to end, before it is left to itself. */
  readonly graceMs?: number
  /** For one try of a step that is tried until it succeeds. */
  readonly tryMs?: number
  readonly random?: () => number
}

/** What is tried again and again, for `waits` in `/status`. */
export interface SwitchWait {
  readonly what: string
  readonly since: Date
  readonly why: string
}

interface Answer {
  readonly event: Event
  readonly error?: unknown
  /** Of the drain. */
  readonly changes?: number
}

export class Coordinator {
  readonly #deps: Required<CoordinatorDeps>
  readonly #stop = new AbortController()
  readonly #giveUp = new AbortController()
  #current: SwitchRun = NO_RUN
  #running: Promise<SwitchRun> | undefined
  #changing = false
  #wait: SwitchWait | undefined
  #needsStream = false

  constructor(deps: CoordinatorDeps) {
    this.#deps = {
      now: () => performance.now(),
      reserveMs: 100,
      graceMs: 250,
      tryMs: 5_000,
      random: Math.random,
      ...deps,
    }
  }

  /** The current or last run of this process. */
  get current(): SwitchRun {
    return this.#current
  }

  get busy(): boolean {
    return this.#running !== undefined
  }

  /** True while a run only waits for replication, which must not wait for its end. */
  get needsStream(): boolean {
    return this.#running !== undefined && this.#needsStream
  }

  /** A run is past its preparations: the notes of the engines, and what is open between them, are its own. */
  get changing(): boolean {
    return this.#changing
  }

  /** Why a run does not end, while a step is tried again. */
  get waiting(): SwitchWait | undefined {
    return this.#wait
  }

  /**
   * Resolves with the end: done, undone, displaced, dry_run; `running` where the daemon was stopped before it could be
   * ended. Throws Failure `switch_running`, or what a preparation threw.
   */
  async start(change: Change): Promise<SwitchRun> {
    return await this.#only(async () => {
      const preparations = change.preparations ?? []
      const live = this.#live(change, [
        ...preparations.map(({ step, title }) => ({ step, title })),
        ...FORWARD_STEPS.map((step) => ({ step, title: TITLES[change.passage][step] })),
      ])
      let conduct: Conduct
      this.#needsStream = true
      try {
        for (const preparation of preparations) await this.#prepare(live, preparation)
        if (change.dryRun === true) return live.finish({ state: 'dry_run' })
        this.#changing = true
        conduct = await change.open()
      } catch (error) {
        live.finish({
          state: 'refused',
          epoch: change.epoch,
          reason: messageOf(error),
          remedy: remedyOf(error),
        })
        throw error
      }
      return await this.#conduct(change, conduct, 'beginning', live)
    })
  }

  /**
   * Undoes or finishes what was found: after a crash, a takeover, or because the attempt of a process that slept woke
   * up after all; so it is asked for whenever both notes are looked at and nothing runs here, not only at the start.
   * Undefined where there is nothing to do.
   */
  async recover(
    standing: Standing,
    change: Pick<Change, 'epoch' | 'open' | 'after'>,
  ): Promise<SwitchRun | undefined> {
    const entry = entryOf(standing)
    if (entry === undefined) return undefined
    const whole: Change = { ...change, passage: entry.passage, waitMs: 0, maxPauseMs: 0 }
    return await this.#only(async () => {
      this.#changing = true
      const live = this.#live(whole, [])
      live.set({ reason: `an attempt was found that is ${standing.kind}` })
      return await this.#conduct(whole, await change.open(), entry.state, live)
    })
  }

  /**
   * For the end of the daemon: what is not decided is undone, what is decided is finished. What cannot be ended within
   * the patience is left as the notes say, and found at the next start.
   */
  async stop(patienceMs = 3_000): Promise<void> {
    this.#stop.abort()
    const running = this.#running
    if (running === undefined) return
    const ended = new AbortController()
    const end = running.then(
      () => ended.abort(),
      () => ended.abort(),
    )
    await sleep(patienceMs, ended.signal)
    this.#giveUp.abort()
    await Promise.race([end, sleep(2 * this.#deps.graceMs, ended.signal)])
  }

  async #only(work: () => Promise<SwitchRun>): Promise<SwitchRun> {
    if (this.#running !== undefined || this.#stop.signal.aborted) {
      throw new Failure({
        code: this.#running === undefined ? 'stopping' : 'switch_running',
        status: 409,
        exit: 1,
        message:
          this.#running === undefined
            ? 'the daemon is being stopped'
            : `a ${this.#current.passage} is running`,
        remedy: 'See: GET /switchover',
        facts: { run: this.#current },
      })
    }
    this.#needsStream = false
    this.#running = work()
    try {
      return await this.#running
    } finally {
      this.#running = undefined
      this.#changing = false
      this.#wait = undefined
    }
  }

  #live(change: Pick<Change, 'passage' | 'epoch'>, steps: readonly Pick<SwitchStep, 'step' | 'title'>[]) {
    return new LiveRun({
      passage: change.passage,
      epoch: change.epoch,
      steps,
      now: this.#deps.now,
      tell: (run) => {
        this.#current = run
        this.#deps.onChange(run)
      },
    })
  }

  async #prepare(live: LiveRun, { step, title, work }: Preparation): Promise<void> {
    live.begins(step, title)
    try {
      this.#stop.signal.throwIfAborted()
      live.ends(step, 'done', (await work(this.#stop.signal, (found) => live.set(found))) ?? null)
    } catch (error) {
      live.ends(step, 'failed', messageOf(error))
      throw error
    }
  }

  async #conduct(change: Change, conduct: Conduct, entry: State, live: LiveRun): Promise<SwitchRun> {
    const { passage } = change
    const { reserveMs, tryMs, now, random } = this.#deps
    const retry = new Retry({ minMs: 50, maxMs: 2_000, random })
    const { epoch, waitMs, maxPauseMs, attempt } = change
    const course = new Course({
      ...{ passage, epoch, waitMs, maxPauseMs, attempt },
      ...{ reserveMs, tryMs, now, live, retry },
    })
    let state = entry
    try {
      for (;;) {
        this.#needsStream = state === 'beginning' || state === 'waiting'
        const { step, deadline } = FACTS[state]
        if (step === null) break
        course.enters(state)
        live.begins(step, TITLES[passage][step])
        const answer = await this.#run(step, state, course, conduct)
        const next = advance(state, answer.event)
        course.answered(state, step, next, answer.event, answer.error)
        if (answer.changes !== undefined) live.set({ drained_changes: answer.changes })
        if (answer.error === undefined) this.#wait = undefined
        const isRetry = deadline === 'none' && answer.error !== undefined && FACTS[next].step !== null
        if (isRetry && !(await this.#again(step, course, answer))) {
          live.set({ reason: `the daemon was stopped: the next one goes on with "${TITLES[passage][step]}"` })
          return live.value
        }
        state = next
      }
    } finally {
      this.#needsStream = false
      this.#wait = undefined
      // Locks go before anything else is done. What cannot be closed goes with its session.
      try {
        await conduct[Symbol.asyncDispose]()
      } catch (error) {
        this.#deps.observer.warn(`a session of the ${passage} was not closed: ${messageOf(error)}`)
      }
    }
    const run = live.finish(course.outcome(state))
    if (change.after === undefined || state === 'displaced') return run
    return await this.#after(live, change.after)
  }

  async #after(live: LiveRun, after: NonNullable<Change['after']>): Promise<SwitchRun> {
    live.begins('after', 'Tell those who follow the authority')
    try {
      live.ends('after', 'done', (await after(live.value)) ?? null)
    } catch (error) {
      live.ends('after', 'failed', messageOf(error))
      this.#deps.observer.warn(`after the ${live.value.passage}: ${messageOf(error)}`)
    }
    return live.value
  }

  /** One try of a step, which never takes longer than its time and a moment. */
  async #run(step: Step, state: State, course: Course, conduct: Conduct): Promise<Answer> {
    const isForward = FACTS[state].deadline !== 'none'
    // Once the decision is on its way, a stop does not make it any better known.
    const ends = state === 'deciding' ? [] : [isForward ? this.#stop.signal : this.#giveUp.signal]
    const ms = course.remaining(state)
    if (isForward && this.#stop.signal.aborted) return { event: 'late', error: stopped() }
    if (ms <= 0) return { event: 'late', error: course.late(step) }
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(course.late(step)), ms)
    const signal = AbortSignal.any([over.signal, ...ends])
    const work = this.#call(step, course, conduct, signal)
    const grace = Promise.withResolvers<Answer>()
    let graceTimer: NodeJS.Timeout | undefined
    const onAbort = (): void => {
      graceTimer = setTimeout(() => grace.resolve({ event: 'late' }), this.#deps.graceMs)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      const answer = await Promise.race([work, grace.promise])
      // A step that was interrupted fails by that; what it says otherwise it knows.
      if (!signal.aborted || (answer.event !== 'failed' && answer.event !== 'late')) return answer
      if (answer.error instanceof Failure) return { event: 'late', error: answer.error }
      return { event: 'late', error: over.signal.aborted ? course.late(step) : stopped() }
    } finally {
      clearTimeout(timer)
      clearTimeout(graceTimer)
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #call(step: Step, course: Course, conduct: Conduct, signal: AbortSignal): Promise<Answer> {
    try {
      await crashPoint(`${course.passage}.before_${step}`)
      const answer = await conduct[step](signal)
      await crashPoint(`${course.passage}.after_${step}`)
      if (typeof answer === 'number') return { event: 'ok', changes: answer }
      return { event: typeof answer === 'string' ? answer : 'ok' }
    } catch (error) {
      return { event: eventOf(error), error }
    }
  }

  /** Waits before a step is tried again; false where the daemon ends. */
  async #again(step: Step, course: Course, { error }: Answer): Promise<boolean> {
    const why = messageOf(error)
    this.#wait = {
      what: TITLES[course.passage][step],
      since: this.#wait?.since ?? new Date(),
      why,
    }
    course.live.detail(step, `tried ${course.retry.failures + 1} times: ${why}`)
    await course.retry.wait(this.#giveUp.signal)
    return !this.#giveUp.signal.aborted
  }
}
