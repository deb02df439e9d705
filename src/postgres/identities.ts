import type pg from 'pg'
import { literal, quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

/**
 * Puts every sequence that feeds a column of these tables above its highest value: COPY moves none of them, and the
 * first insert of the application would take a key that is there already. An empty table starts at 1 (trap V15).
 */
export async function advanceIdentities(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
  /** `sqlite_sequence` of the source by table: it may be ahead of the highest key that is left (trap V24). */
  used: ReadonlyMap<string, bigint>,
): Promise<void> {
  for (const table of tables) {
    for (const column of table.columns) {
      const { rows } = await client.query('SELECT pg_get_serial_sequence($1, $2) AS sequence', [
        targetName(table),
        column.target,
      ])
      const sequence = rows[0].sequence as string | null
      if (sequence === null) continue
      await client.query(
        `SELECT setval(${literal(sequence)}::regclass, greatest(coalesce(max(${quote(column.target)}), 0), $1::bigint) + 1, false)
         FROM ${targetName(table)}`,
        [(used.get(table.name) ?? 0n).toString()],
      )
    }
  }
}
