import { Failure } from '../core/errors.ts'

/** A holder tells this often that it lives; a standby waits several times as long before it takes over. */
const HEARTBEAT_MS = 2_000

/**
 * Runs `work` while it tells the target that this holder lives. When another one was let in, the work's signal aborts and
 * a Failure `displaced` is thrown: whatever the work still sends is refused by the target anyway.
 */
export async function whileHolding<T>(
  heartbeat: () => Promise<boolean>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const displaced = new AbortController()
  const beat = setInterval(() => {
    heartbeat().then(
      (mine) => {
        if (!mine) displaced.abort(displacedFailure())
      },
      // The work meets the same fault itself, and decides what to do.
      () => undefined,
    )
  }, HEARTBEAT_MS)
  try {
    const result = await work(AbortSignal.any([signal, displaced.signal]))
    if (displaced.signal.aborted) throw displaced.signal.reason
    return result
  } catch (error) {
    throw displaced.signal.aborted && !signal.aborted ? displaced.signal.reason : error
  } finally {
    clearInterval(beat)
  }
}

function displacedFailure(): Failure {
  return new Failure({
    code: 'displaced',
    policy: 'transient',
    exit: 1,
    message: 'another slipway took over this migration',
    remedy: 'See which one with slipway status; this one has stopped writing.',
  })
}
