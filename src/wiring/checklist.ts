import type { Phase, VerifyReport } from '../core/operator.ts'
import type { ChecklistItem, SwitchRun } from '../core/switch-run.ts'

interface Done {
  readonly phase: Phase
  readonly backup: boolean
  readonly verify: VerifyReport
  readonly run: SwitchRun
}

/** The rollout from the first look to the end, with the command of each step. */
export function checklistOf({ phase, backup, verify, run }: Done): ChecklistItem[] {
  const copied = !['new', 'snapshotting'].includes(phase)
  const switched = phase === 'switched_over' || phase === 'finalized' || phase === 'rolling_back'
  const verified = verify.state === 'done' && verify.equal === true
  const rehearsed =
    switched || (run.passage === 'switchover' && run.state === 'dry_run' && run.reason === null)
  return [
    { step: 'backup of the SQLite file', done: backup, command: 'slipway snapshot' },
    { step: 'first copy', done: copied, command: 'slipway snapshot' },
    { step: 'live replication', done: copied && phase !== 'catching_up', command: 'slipway start' },
    { step: 'verified equal', done: verified, command: 'slipway verify' },
    { step: 'switchover rehearsed', done: rehearsed, command: 'slipway switchover --dry-run' },
    { step: 'switched over', done: switched, command: 'slipway switchover' },
    { step: 'finalized', done: phase === 'finalized', command: 'slipway finalize' },
  ]
}
