import type { TableSpec } from '../core/table.ts'
import type { WayBackFinding } from '../core/way-back.ts'
import type { Connection } from '../postgres/connection.ts'
import { compareSamples, takeSamples } from '../postgres/reverse-rehearsal.ts'
import { ScratchSource } from '../sqlite/reverse-rehearsal.ts'

interface WayBackRehearsal {
  readonly connection: Connection
  /** Of the application's file, which is only read. */
  readonly path: string
  readonly tables: readonly TableSpec[]
  readonly signal: AbortSignal
}

/**
 * Rows of every shape go the way back as they would, into a copy of SQLite's tables in memory, and the way there again;
 * PostgreSQL compares them with its own, and everything is thrown away. Empty: the way back is as it should be, for
 * what the tables hold now.
 */
export async function rehearseWayBack({
  connection,
  path,
  tables,
  signal,
}: WayBackRehearsal): Promise<WayBackFinding[]> {
  using scratch = new ScratchSource(path)
  const findings: WayBackFinding[] = []
  for (const table of tables) {
    signal.throwIfAborted()
    // A transaction a table: none holds its snapshot for long.
    await connection.use(async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      try {
        const rehearsed = scratch.rehearse(table, await takeSamples(client, table, scratch.affinities(table)))
        findings.push(...rehearsed.findings, ...(await compareSamples(client, table, rehearsed.lines)))
      } finally {
        await client.query('ROLLBACK')
      }
    })
  }
  return findings
}
