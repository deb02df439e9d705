/** What people see of one change of authority while it goes on: each change is told, as a whole. */
import type { Passage } from '../core/authority.ts'
import { NO_RUN, type SwitchRun, type SwitchStep } from '../core/switch-run.ts'
import type { Step } from '../core/switching.ts'

type StepName = SwitchStep['step']

/** For people, by passage. */
export const TITLES: Readonly<Record<Passage, Readonly<Record<Step, string>>>> = {
  switchover: {
    begin: 'Note the attempt on PostgreSQL',
    wait: 'Wait until PostgreSQL has every change',
    hold: 'Make writers wait: the write lock of SQLite',
    drain: 'Bring the last changes over',
    fence: 'Fence SQLite',
    decide: 'Decide: PostgreSQL leads',
    settle: 'Note it in SQLite',
    undo: 'Take the attempt back on PostgreSQL',
    reopen: 'Open SQLite again',
  },
  rollback: {
    begin: 'Note the attempt on PostgreSQL',
    wait: 'Wait until SQLite has every change',
    hold: 'Make writers wait: the gate of PostgreSQL',
    drain: 'Bring the last changes back',
    fence: 'Prepare SQLite: its triggers back, its fence gone',
    decide: 'Decide: SQLite leads',
    settle: 'Commit it in SQLite',
    undo: 'Take the attempt back and open PostgreSQL again',
    reopen: 'Let SQLite be as it was',
  },
}

/** In their order; `undo` and `reopen` come only where they are needed. */
export const FORWARD_STEPS = ['begin', 'wait', 'hold', 'drain', 'fence', 'decide', 'settle'] as const

export class LiveRun {
  readonly #tell: (run: SwitchRun) => void
  readonly #now: () => number
  readonly #startedAt = new Map<StepName, number>()
  #run: SwitchRun

  /** `epoch`: of the authority that leads now. */
  constructor(deps: {
    readonly passage: Passage
    readonly epoch: number
    readonly steps: readonly { readonly step: StepName; readonly title: string }[]
    readonly tell: (run: SwitchRun) => void
    readonly now: () => number
  }) {
    const { passage, epoch, steps, tell, now } = deps
    this.#tell = tell
    this.#now = now
    this.#run = {
      ...NO_RUN,
      state: 'running',
      passage,
      from: passage === 'switchover' ? 'sqlite' : 'postgres',
      to: passage === 'switchover' ? 'postgres' : 'sqlite',
      epoch: epoch + 1,
      started_at: new Date().toISOString(),
      steps: steps.map((step) => ({ ...step, state: 'waiting', ms: null, detail: null })),
    }
    this.#tell(this.#run)
  }

  get value(): SwitchRun {
    return this.#run
  }

  set(change: Partial<SwitchRun>): void {
    this.#run = { ...this.#run, ...change }
    this.#tell(this.#run)
  }

  /** A step that was not foreseen is added; one that runs again keeps its start. */
  begins(step: StepName, title: string): void {
    if (!this.#startedAt.has(step)) this.#startedAt.set(step, this.#now())
    if (!this.#run.steps.some((known) => known.step === step)) {
      const added: SwitchStep = { step, title, state: 'waiting', ms: null, detail: null }
      this.#run = { ...this.#run, steps: [...this.#run.steps, added] }
    }
    this.#step(step, { state: 'running' })
  }

  ends(step: StepName, state: 'done' | 'failed', detail: string | null = null): void {
    const startedAt = this.#startedAt.get(step)
    const ms = startedAt === undefined ? null : Math.round(this.#now() - startedAt)
    this.#step(step, { state, ms, detail })
  }

  detail(step: StepName, detail: string): void {
    this.#step(step, { detail })
  }

  /** What did not come to it is skipped. */
  finish(change: Partial<SwitchRun>): SwitchRun {
    const steps = this.#run.steps.map((step) =>
      step.state === 'waiting' ? { ...step, state: 'skipped' as const } : step,
    )
    this.set({ ...change, steps, finished_at: new Date().toISOString() })
    return this.#run
  }

  #step(step: StepName, change: Partial<SwitchStep>): void {
    this.set({
      steps: this.#run.steps.map((known) => (known.step === step ? { ...known, ...change } : known)),
    })
  }
}
