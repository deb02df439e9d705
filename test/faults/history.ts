/** What a run leaves behind: what was acknowledged to the writers, and what the leading engine holds in the end. */

export type Engine = 'sqlite' | 'postgres'

/** A line of the file of acknowledgements, kept outside of both engines by the writer. */
export interface Acknowledged {
  readonly writer: number
  /** Consecutive, from 1. */
  readonly n: number
  readonly engine: Engine
  readonly epoch: number
  /** Of the first attempt, and of the acknowledgement; ms of one clock for all processes. */
  readonly started: number
  readonly ended: number
}

/** A row of `ledger`: the write itself. */
export interface Entry {
  readonly writer: number
  readonly n: number
  readonly engine: string
  /** Read in the transaction that wrote it. */
  readonly epoch: number
  /** The writer's newest entry as that transaction saw it. */
  readonly prev: number
  readonly payload: string
}

/** A row of `journal`, whose id the engine gave. */
export interface JournalRow {
  readonly id: number
  readonly writer: number
  readonly n: number
}

export interface History {
  readonly acknowledged: readonly Acknowledged[]
  /** Writes that a writer had to give up on without knowing. */
  readonly doubtful: readonly { readonly writer: number; readonly n: number }[]
  readonly entries: readonly Entry[]
  readonly journal: readonly JournalRow[]
  /** Rows of the table without a key: one per write. */
  readonly events: readonly { readonly writer: number; readonly n: number }[]
  readonly tallies: readonly { readonly writer: number; readonly total: number; readonly last: number }[]
  readonly balance: number
  /** Children whose parent is gone. */
  readonly orphans: number
}

/** Who led in which epoch: SQLite begins, and each change of authority raises it by one. */
export function leaderOf(epoch: number): Engine {
  return epoch % 2 === 1 ? 'sqlite' : 'postgres'
}

/** What the entry must hold: a landed write with other content is another write. */
export function payloadOf(writer: number, n: number): string {
  return `письмо ${writer}/${n} ${'·'.repeat((writer * 7 + n * 13) % 40)} it's "${(n * 2_654_435_761) % 4_294_967_296}"`
}
