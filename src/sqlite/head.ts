import type { Checkpoint } from '../core/position.ts'
import type { Sqlite } from './open.ts'

/** SQL of a change's mark (see core/position.ts), over the columns of the changelog. */
export const MARK = `tbl || '|' || op || '|' || quote(k0) || '|' || at || '|' || nonce`

/** The newest row of the changelog. Capture leaves an anchor, so there always is one. */
export function readHead(database: Sqlite): Checkpoint {
  const row = database
    .prepare(`SELECT seq, ${MARK} AS mark FROM main._slipway_changelog ORDER BY seq DESC LIMIT 1`)
    .get() as { seq: bigint; mark: string } | undefined
  if (row === undefined) throw new Error('the changelog has lost its anchor')
  return row
}
