import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { type Ending, enterFinalized, takeWayBackOff } from '../postgres/finalize.ts'

/** Throws Failure `not_confirmed` (422) unless a person has named the migration. */
export function checkConfirmation({ migrationName }: Pick<Config, 'migrationName'>, confirm: string): void {
  if (confirm === migrationName) return
  throw new Failure({
    code: 'not_confirmed',
    status: 422,
    exit: 2,
    message: `refused: "${confirm}" is not the name of this migration`,
    remedy: `The way back ends for good. To mean it, say: slipway finalize --confirm ${migrationName}`,
  })
}

export interface FinalizeDeps extends Ending {
  /**
   * Ends reverse replication, once the phase is stored; called again when it is resumed. A batch in flight ends with an
   * error by then: it is not let in any more.
   */
  readonly endReverse: () => Promise<void>
  readonly step: (text: string) => void
}

/**
 * The way back ends: the phase first, which no rollback passes, then reverse replication, then gate and capture off
 * PostgreSQL's tables. Hidden key columns stay until uninstall; SQLite stays as it is, fenced. Safe to run again, and
 * to be run at the next start where it was interrupted.
 */
export async function finalize(deps: FinalizeDeps): Promise<void> {
  const already = await enterFinalized(deps)
  if (!already) deps.step('the migration is finalized: there is no way back any more')
  await deps.endReverse()
  await takeWayBackOff(deps)
  deps.step(
    'gate and capture are off; the SQLite file stays where it is, fenced: slipway uninstall ends that',
  )
}
