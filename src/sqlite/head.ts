import type { Checkpoint, Seq } from '../core/position.ts'
import { openReader, type Sqlite } from './open.ts'

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

/** What is logged after a position: counted by seq, which has no gaps; `oldestAt` in ms since 1970. */
export function pendingAfter(
  database: Sqlite,
  after: Checkpoint,
): { head: Seq; pending: number; oldestAt: number | undefined } {
  const head = readHead(database).seq
  const oldest = database
    .prepare('SELECT at FROM main._slipway_changelog WHERE seq > ? ORDER BY seq LIMIT 1')
    .pluck()
    .get(after.seq) as bigint | undefined
  const pending = head > after.seq ? Number(head - after.seq) : 0
  return { head, pending, oldestAt: oldest === undefined ? undefined : Number(oldest) }
}

/** The same by a connection of its own, while no stream is open: the lag grows then, and people ask for it. */
export function probePending(path: string, after: Checkpoint): ReturnType<typeof pendingAfter> {
  const database = openReader(path)
  try {
    return pendingAfter(database, after)
  } finally {
    database.close()
  }
}
