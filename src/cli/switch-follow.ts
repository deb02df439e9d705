/**
 * Asks for a switchover or a rollback and watches it. The daemon does it whatever becomes of this connection: where
 * the answer does not come, GET /switchover tells the outcome.
 */
import { Failure } from '../core/errors.ts'
import type { SwitchRequest, SwitchRun } from '../core/switch-run.ts'
import { sleep } from '../runtime/retry.ts'
import type { Client } from './client.ts'

const ASK_EVERY_MS = 100
/** A daemon that restarts finishes the run or undoes it: it is waited for that long. */
const PATIENCE_MS = 30_000

export interface Watching {
  readonly show: (run: SwitchRun) => void
  readonly note: (text: string) => void
  /** Ends the watching, and not the run. */
  readonly signal: AbortSignal
  readonly patienceMs?: number
}

type Answer = { readonly run: SwitchRun } | { readonly error: unknown }

/**
 * Resolves with the end of the run, undefined once the signal has aborted. Throws what the daemon refused (its run or
 * guards in the facts), or a Failure with exit 5 where the daemon is not there.
 */
export async function follow(
  client: Client,
  request: SwitchRequest,
  { show, note, signal, patienceMs = PATIENCE_MS }: Watching,
): Promise<SwitchRun | undefined> {
  const before = await client.switchRun()
  let answer: Answer | undefined
  const answered = client.switchAuthority(request, signal).then(
    (run) => {
      answer = { run }
    },
    (error: unknown) => {
      answer = { error }
    },
  )
  let lost: { readonly error: unknown; since: number } | undefined
  while (!signal.aborted) {
    await (lost === undefined
      ? Promise.race([answered, sleep(ASK_EVERY_MS, signal)])
      : sleep(ASK_EVERY_MS, signal))
    if (signal.aborted) break
    if (lost === undefined && answer !== undefined) {
      if ('run' in answer) return answer.run
      if (!isLost(answer.error)) throw answer.error
      note('the connection to the daemon is lost; asking it for the outcome')
      lost = { error: answer.error, since: performance.now() }
    }
    const run = await client.switchRun().catch(unlessLost)
    const ours = run !== undefined && isAnother(run, before)
    if (ours) show(run)
    if (lost === undefined) continue
    if (ours && run.state !== 'running') return run
    if (ours) lost.since = performance.now()
    else if (performance.now() - lost.since > patienceMs) throw unseen(request, run !== undefined, lost.error)
  }
  return undefined
}

function isAnother(run: SwitchRun, before: SwitchRun): boolean {
  return run.state !== 'none' && (run.started_at !== before.started_at || run.attempt !== before.attempt)
}

function isLost(error: unknown): boolean {
  return error instanceof Failure && error.code === 'daemon_unreachable'
}

function unlessLost(error: unknown): undefined {
  if (!isLost(error)) throw error
}

function unseen({ passage }: SwitchRequest, there: boolean, cause: unknown): Failure {
  return there
    ? new Failure({
        code: 'not_begun',
        message: `the connection was lost before the ${passage} had begun, as far as the daemon tells`,
        remedy: `slipway status shows who leads; then run slipway ${passage} again.`,
        exit: 1,
        cause,
      })
    : new Failure({
        code: 'daemon_unreachable',
        message: `the daemon went away during the ${passage}, and what became of it is not known here`,
        remedy:
          'Start it (slipway start): it finishes the run or undoes it by itself. Then slipway status shows who leads.',
        policy: 'transient',
        exit: 5,
        cause,
      })
}
