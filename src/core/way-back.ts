/** The rehearsal of the way back: rows of PostgreSQL go into SQLite and come back, and nothing of it stays. */
import type { RowPatch } from './reverse.ts'

/** A row of PostgreSQL as the way back would hand it out, were it new. */
export interface WayBackSample {
  /** Number of the row in the rehearsal. */
  readonly n: number
  /** For people: `id=7`. */
  readonly shown: string
  readonly patch: RowPatch
}

/** What does not come back as it was. */
export interface WayBackFinding {
  /** Names in the source; the column is empty where it is the row, or the table, as a whole. */
  readonly table: string
  readonly column: string
  /** For people: `id=7`; empty where it is the table as a whole. */
  readonly key: string
  /** One sentence. */
  readonly reason: string
}
