/** A conduct that does what a test wrote down for each step: the port of the coordinator, not an engine. */
import { Failure } from '../../src/core/errors.ts'
import type { Conduct, Step } from '../../src/core/switching.ts'

export type UndoAnswer = 'undone' | 'decided' | 'displaced'

/** What a call of a step does; the last one is kept for all that follow. */
export type Act =
  | 'ok'
  /** Until its signal aborts, then it throws that. */
  | 'slow'
  /** Never, whatever the signal says. */
  | 'deaf'
  | UndoAnswer
  | Error
  | { readonly takes: number }

export const lost = new Failure({ code: 'outcome_unknown', message: 'no answer came', remedy: 'Wait.' })
export const displaced = new Failure({ code: 'displaced', message: 'another one is there' })
export const stale = new Failure({ code: 'fence_stale', message: 'the notes are of another' })
export const failed = new Failure({
  code: 'source_locked',
  message: 'the lock is busy',
  remedy: 'Look for it.',
})

export class Script implements Conduct {
  /** Every call, in order; `end` is the disposal. */
  readonly calls: (Step | 'end')[] = []
  readonly #acts: Map<Step, Act[]>
  #disposal: Error | undefined

  constructor(acts: Partial<Record<Step, Act | readonly Act[]>> = {}, disposal?: Error) {
    this.#acts = new Map(
      Object.entries(acts).map(([step, act]) => [step as Step, Array.isArray(act) ? [...act] : [act]]),
    )
    this.#disposal = disposal
  }

  /** How often a step was called. */
  count(step: Step): number {
    return this.calls.filter((call) => call === step).length
  }

  async #act(step: Step, signal: AbortSignal): Promise<Act> {
    this.calls.push(step)
    const acts = this.#acts.get(step) ?? ['ok']
    const act = acts.length > 1 ? acts.shift()! : acts[0]!
    if (act instanceof Error) throw act
    if (act === 'deaf') await new Promise(() => {})
    if (act === 'slow') {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
    }
    if (typeof act === 'object') await new Promise((resolve) => setTimeout(resolve, act.takes))
    return act
  }

  async begin(signal: AbortSignal): Promise<void> {
    await this.#act('begin', signal)
  }
  async wait(signal: AbortSignal): Promise<void> {
    await this.#act('wait', signal)
  }
  async hold(signal: AbortSignal): Promise<void> {
    await this.#act('hold', signal)
  }
  async drain(signal: AbortSignal): Promise<number> {
    await this.#act('drain', signal)
    return 7
  }
  async fence(signal: AbortSignal): Promise<void> {
    await this.#act('fence', signal)
  }
  async decide(signal: AbortSignal): Promise<void> {
    await this.#act('decide', signal)
  }
  async settle(signal: AbortSignal): Promise<void> {
    await this.#act('settle', signal)
  }
  async undo(signal: AbortSignal): Promise<UndoAnswer> {
    const act = await this.#act('undo', signal)
    return act === 'decided' || act === 'displaced' ? act : 'undone'
  }
  async reopen(signal: AbortSignal): Promise<void> {
    await this.#act('reopen', signal)
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.calls.push('end')
    if (this.#disposal !== undefined) throw this.#disposal
  }
}
