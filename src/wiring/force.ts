import { Failure } from '../core/errors.ts'
import type { SourceFence } from '../core/switching.ts'

/** An application's writer, or a reader that upgrades, may hold the lock for so long. */
const LOCK_MS = 5_000

/**
 * PostgreSQL is gone, and a person says that it is stopped: SQLite leads in a higher epoch, with what it has. A server
 * that comes back is refused by its epoch (core/authority.ts: divided). Returns the epoch.
 */
export async function forceRollback(fence: SourceFence): Promise<number> {
  using lock = await fence.lock(LOCK_MS, new AbortController().signal)
  const { authority, epoch, attempt } = lock.notes
  if (authority === 'sqlite') {
    throw new Failure({
      code: 'wrong_phase',
      status: 409,
      exit: 1,
      message: `SQLite has the authority already (epoch ${epoch})`,
      remedy: 'See: slipway status',
    })
  }
  lock.lower({ from: { authority, epoch, attempt }, epoch: epoch + 1, attempt: attempt + 1 })
  await lock.commit()
  return epoch + 1
}
