/** What whoever asks for a change of authority is told where it does not come to its end. */
import { Failure } from '../core/errors.ts'
import type { SwitchRun } from '../core/switch-run.ts'

/** Asked before the target is open. */
export function starting(): Failure {
  return new Failure({
    code: 'starting',
    status: 503,
    message: 'the daemon is starting: the target is not connected yet',
    remedy: 'Ask again in a moment.',
  })
}

/** It was taken back in time: 504, with the run. */
export function undone(run: SwitchRun): Failure {
  return new Failure({
    code: 'undone',
    status: 504,
    exit: 1,
    message: `the ${run.passage} was undone, and writes are open: ${run.reason ?? 'it did not come to its decision'}`,
    remedy: run.remedy ?? 'Try again.',
    facts: { run },
  })
}

/** Another process ends it. */
export function displacedNow(run: SwitchRun): Failure {
  return new Failure({
    code: 'displaced',
    policy: 'transient',
    message: run.reason ?? 'another slipway has taken over',
  })
}
