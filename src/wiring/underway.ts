import type { Authority, Phase } from '../core/operator.ts'
import type { SwitchRun, SwitchStep } from '../core/switch-run.ts'

/** Who leads, as far as anybody can say now. */
export interface Lead {
  readonly phase: Phase
  readonly authority: Authority
  /** Of the authority; raised by a decision that the control row, as it was last read, does not show yet. */
  readonly epoch: number
}

/**
 * What a change of authority that goes on makes of what was read before it; pure. `none` while the decision is open:
 * SQLite is fenced for it (`fenced`), or it was sent and nobody knows. Nothing here decides anything.
 */
export function leadDuring(run: SwitchRun, fenced: boolean, before: Lead): Lead {
  const reached = (name: SwitchStep['step'], ...states: SwitchStep['state'][]): boolean => {
    const state = run.steps.find(({ step }) => step === name)?.state ?? 'waiting'
    return states.length > 0 ? states.includes(state) : state !== 'waiting' && state !== 'skipped'
  }
  const hasBegun = reached('begin', 'done', 'failed') || reached('undo') || reached('settle')
  if (run.state !== 'running' || !hasBegun) return before
  const phase = run.passage === 'switchover' ? 'switching_over' : 'rolling_back'
  if (reached('settle')) return { phase, authority: run.to, epoch: run.epoch }
  const isFenced = run.passage === 'switchover' && fenced
  const isOpen = (isFenced || reached('decide')) && !reached('reopen')
  return { phase, authority: isOpen ? 'none' : run.from, epoch: before.epoch }
}
