/**
 * The ports between the replicator and the engines: read this first. `replication/` knows these and no driver;
 * `sqlite/` and `postgres/` implement them; `main.ts` puts them together.
 *
 * Rows travel as COPY text (tab-separated, newline-ended, UTF-8) in Buffers that the source's SQL has encoded:
 * nothing between the engines looks into a value.
 */
import { Failure } from './errors.ts'
import type { Phase } from './operator.ts'
import type { Checkpoint, Seq } from './position.ts'
import type { ReverseStream } from './reverse.ts'
import { misfitPolicy, type TableSpec } from './table.ts'

/** Encoded rows, readable once or more; `rows` counts lines. */
export interface CopyRows {
  readonly rows: number
  readonly bytes: number
  read(): Iterable<Buffer> | AsyncIterable<Buffer>
}

/** A row that the target cannot hold, found by the source: it is set aside and nothing else waits for it. */
export interface SetAside {
  /** Encoded; see core/key.ts. */
  readonly key: string
  /** Name in the source; empty where it is the row as a whole. */
  readonly column: string
  /** One sentence. */
  readonly reason: string
  /** The value as SQLite's literal, cut to a length that people read. */
  readonly value: string
}

/** Keys of one table, encoded (core/key.ts). */
export interface KeySet {
  /** Name in the source. */
  readonly table: string
  readonly keys: readonly string[]
}

/** What a read brings besides the changes, out of the same snapshot of the source. */
export interface ReadExtras {
  /** Rows that are transferred although nobody changed them: to be tried again. */
  readonly also?: readonly KeySet[] | undefined
  /** Rows to be compared: the next ones of a table in the order of its scan key, or those of some keys. */
  readonly ride?: RideRequest | undefined
  /** Writers wait for this read: it does not stand back for the log to be reset. */
  readonly urgent?: boolean | undefined
}

export interface RideRequest {
  readonly table: TableSpec
  readonly after: string | undefined
  readonly keys?: readonly string[] | undefined
}

/** What a batch does to one table. */
export interface TableBatch {
  readonly table: TableSpec
  /** Touched rows that the target cannot hold: neither among the gone nor among the upserts. */
  readonly aside: readonly SetAside[]
  /** Lines of key columns: keys that were touched and whose row does not exist at the batch's end. */
  readonly gone: CopyRows
  /** Lines of (hidden key,) data columns: the touched rows that exist at the batch's end, each once. */
  readonly upserts: CopyRows
}

/** The difference between two snapshots of the source. */
export interface Batch extends Disposable {
  readonly from: Checkpoint
  readonly to: Checkpoint
  /** Changelog rows between the two, before coalescing. */
  readonly changes: number
  readonly tables: readonly TableBatch[]
  /** Rows as the newer snapshot shows them: what the target must hold once the batch is applied. */
  readonly ride?: Ride | undefined
}

/** A part of a table to be compared: the rows with a scan key in (after, chunk.last], or to the end; or some keys. */
export interface Ride extends RideRequest {
  readonly chunk: Chunk
  /** Where keys were asked for: lines of those that have no row. */
  readonly gone: CopyRows | undefined
}

export interface SourceLag {
  readonly head: Seq
  readonly pending: number
  /** When the oldest change that is not applied was logged, ms since 1970, by the source's clock. */
  readonly oldestAt: number | undefined
  /** False when the next read will find drift, a gap or a replaced file: then `pending` proves nothing. */
  readonly continuous: boolean
}

/** Why a source cannot go on from a checkpoint. */
export type ReadResult =
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'empty'; readonly head: Checkpoint }
  /** The changelog does not continue from the checkpoint: restored file, or pruned past it (trap H5). */
  | { readonly kind: 'discontinuous'; readonly reason: string }
  /** The schema is not the one that was planned: foreign DDL, VACUUM, missing triggers (traps C12, C13, H12). */
  | { readonly kind: 'drift'; readonly reason: string }

/** A change stream: "what changed after a checkpoint", plus the wake-up and the acknowledgement. */
export interface ChangeSource {
  /** With extras the answer is a batch even where nothing changed. */
  read(after: Checkpoint, signal: AbortSignal, extras?: ReadExtras): Promise<ReadResult>
  lag(after: Checkpoint): SourceLag
  /** Those of the keys that have no row at this moment. */
  absent(table: TableSpec, keys: readonly string[]): readonly string[]
  /** Resolves at the next sign of a change, after `ms` at the latest, or at once when the signal aborts. */
  wake(ms: number, signal: AbortSignal): Promise<void>
  /** Everything up to here is applied: it may be pruned once it is old enough. */
  acknowledge(applied: Checkpoint): void
}

/** Where batches go. Every call runs in one transaction that checks epoch and holder (trap H4). */
export interface ChangeTarget {
  /** Read from the database each time, never from memory: the server may have forgotten its last commits. */
  checkpoint(): Promise<Checkpoint>
  apply(batch: Batch): Promise<Applied>
  /** How many rows are set aside. */
  asideCount(): Promise<number>
  /** Every key that is set aside. */
  quarantined(): Promise<readonly KeySet[]>
  /** False while the session to the target is lost: what was applied may have been forgotten meanwhile. */
  readonly connected: boolean
}

/** Looks at the target between two batches. */
export interface CompareTarget {
  /**
   * Compares a range with what the target holds, which must stand at `at`; with `repair` it transfers what differs,
   * in the same transaction.
   */
  compare(ride: Ride, at: Checkpoint, repair: boolean): Promise<Compared>
  /**
   * Keys of the target's rows in the target's own order, after a cursor; undefined where the ranges that `compare`
   * gets cover the target as well, so that no row of the target can hide.
   */
  keys(table: TableSpec, after: readonly string[] | undefined): Promise<KeyPage | undefined>
}

export interface KeyPage {
  readonly keys: readonly string[]
  /** Undefined where this was the last page. */
  readonly next: readonly string[] | undefined
}

/** One row in which source and target differ. */
export interface Difference {
  /** Name in the source. */
  readonly table: string
  /** For people: `id=7`. */
  readonly key: string
  /** missing: only in the source; extra: only in the target. */
  readonly kind: 'missing' | 'extra' | 'different'
  /** Where they differ, by the source's names; values as PostgreSQL writes them, cut to a length that people read. */
  readonly columns: readonly {
    readonly column: string
    readonly source: string | null
    readonly target: string | null
  }[]
}

export interface Compared {
  /** Rows of the source that were compared. */
  readonly rows: number
  readonly missing: number
  readonly extra: number
  readonly different: number
  /** Rows of the source that are set aside: the target does not have them, and that is known. */
  readonly quarantined: number
  /** Rows that `repair` wrote or took away. */
  readonly repaired: number
  /**
   * Keys of rows that `repair` took away since they held a unique value of a row of this range. Either the walk comes
   * to them, and finds them missing, or the source has none of them.
   */
  readonly displaced: readonly string[]
  /** The first of them. */
  readonly samples: readonly Difference[]
}

export interface Applied {
  readonly upserted: number
  readonly deleted: number
  /** Rows set aside that may fit after this batch: they belong into the next one. */
  readonly retry: readonly KeySet[]
  /** Rows that are set aside now, in all. */
  readonly quarantined: number
  readonly perTable: readonly {
    readonly table: string
    readonly upserted: number
    readonly deleted: number
  }[]
}

/** A part of a table's copy: rows with scan key in (after, upTo]; `undefined` is open. One part never runs twice at once. */
export interface CopyPart {
  readonly table: string
  readonly part: number
  /** Exclusive start of the whole part, inclusive end; encoded scan keys (see core/key.ts). */
  readonly lower: string | undefined
  readonly upper: string | undefined
  /** Last key copied and committed, or undefined. */
  readonly last: string | undefined
  readonly rows: number
  readonly done: boolean
}

export interface Chunk {
  readonly rows: CopyRows
  /** Rows of the range that the target cannot hold. */
  readonly aside: readonly SetAside[]
  /** Encoded scan key of the last row; undefined when the part is exhausted and the chunk is empty. */
  readonly last: string | undefined
  readonly exhausted: boolean
  /** Head of the changelog in the chunk's own read transaction. */
  readonly head: Seq
}

/** How far a copy is, per table. */
export interface CopyProgress {
  readonly parts: readonly CopyPart[]
  readonly expected: ReadonlyMap<string, number>
}

/** What the snapshot needs of the source. */
export interface SnapshotSource {
  /** Rough count, for progress and for the number of parts. Exact only by chance. */
  estimateRows(table: TableSpec): number
  /** Splits a table into at most `parts` key ranges. */
  split(table: TableSpec, parts: number): readonly { lower: string | undefined; upper: string | undefined }[]
  readChunk(
    table: TableSpec,
    after: string | undefined,
    upTo: string | undefined,
    signal: AbortSignal,
  ): Promise<Chunk>
  head(): Checkpoint
}

/** What the snapshot needs of the target. */
export interface SnapshotTarget {
  /** Parts as stored, empty before the copy has been planned; `expected` as estimated then. */
  progress(): Promise<CopyProgress>
  /**
   * Empties the tables and stores the plan of the copy, S0 and the installation of capture that S0 belongs to,
   * in one transaction.
   */
  begin(s0: Checkpoint, plan: CopyProgress, installation: string): Promise<void>
  /** One transaction: rows into the table, progress into the part, and the newest head seen. */
  writeChunk(table: TableSpec, part: CopyPart, chunk: Chunk): Promise<void>
  /** Key and plain indexes, ANALYZE; safe to run again. */
  finishTable(table: TableSpec): Promise<void>
  /** All chunks are in: from here on the changelog is replayed. */
  finish(): Promise<void>
  /** The changelog is replayed: unique indexes can hold now. Safe to run again. */
  settle(): Promise<void>
}

/** Both ends of the forward direction, made ready: planned, captured, admitted. */
export interface Stream extends AsyncDisposable {
  readonly direction: 'forward'
  readonly tables: readonly TableSpec[]
  readonly source: ChangeSource
  readonly target: ChangeTarget
  readonly comparer: CompareTarget
  readonly copySource: SnapshotSource
  readonly copyTarget: SnapshotTarget
  /** Parts that a large table is copied in side by side. */
  readonly workers: number
  /** Phase as stored in the target. */
  readonly phase: Phase
  /** Newest head that any chunk of the copy has seen: the catch-up ends when it is passed. */
  newest(): Promise<Seq>
  /** A reason to copy anew: somebody could write to the target past the gate. Undefined where all is closed. */
  breach(): Promise<string | undefined>
  /** The installation of capture that the changelog belongs to. */
  readonly installation: string
  /** Tables in doubt, by their names in the source, and why: they are verified and repaired before the catch-up ends. */
  readonly dirty: ReadonlyMap<string, string>
  /** They are equal now. */
  clean(): Promise<void>
  /** Stores a phase, as the holder. */
  enter(phase: Phase): Promise<void>
}

/** What rides along with the apply loop: verify. */
export interface Companion {
  /** What the next read shall bring; undefined where there is nothing to do. */
  next(stream: Stream): Promise<ReadExtras | undefined>
  /** The batch is applied, and nothing else is: what it brought is looked at. */
  took(batch: Batch, stream: Stream): Promise<void>
  /** True once the stream's tables in doubt are equal. */
  mend(stream: Stream): Promise<boolean>
  /** The stream is closed. */
  rest(): void
}

/** Why everything is copied anew, and what the new plan must respect. */
export interface Anew {
  readonly reason: string
  /** A table whose plan no longer fits its values. */
  readonly table?: string | undefined
  /** A column whose values only this type holds, which counting values cannot see. */
  readonly widen?: { readonly table: string; readonly column: string; readonly type: string } | undefined
}

/**
 * What a fault of a table of ours asks for: the table is planned again, with types that hold what was found.
 * Undefined where the fault is of another kind, or the table keeps its types since somebody else made it.
 */
export function anewAfter(error: unknown, tables: readonly TableSpec[]): Anew | undefined {
  if (!(error instanceof Failure) || error.code !== 'misfit') return undefined
  const { table: name, column, holds } = error.facts as { table: string; column: string; holds?: string }
  const table = tables.find((candidate) => candidate.name === name)
  if (table?.owned !== true) return undefined
  const spec = table.columns.find((candidate) => candidate.name === column)
  // What the plan does not want widened would be met again.
  if (spec !== undefined && misfitPolicy(table, spec) !== 'widen') return undefined
  return {
    reason: `${error.message}: ${name} is planned again`,
    table: name,
    widen: holds === undefined ? undefined : { table: name, column, type: holds },
  }
}

/** Makes streams; what it throws decides whether the replicator tries again. */
export interface StreamFactory {
  /** Waits for nobody: undefined while another holder lives, whose name is then told. */
  acquire(): Promise<
    { readonly held: true } | { readonly held: false; readonly by: string; readonly silentSeconds: number }
  >
  /**
   * In the direction that the authority asks for, once what a crash left of a change of authority is undone or
   * finished. `anew`: why capture is installed again and everything copied anew; undefined to go on.
   */
  open(anew: Anew | undefined, signal: AbortSignal): Promise<Stream | ReverseStream>
  /** Tells the server that the holder lives; false when it no longer is the holder. */
  heartbeat(): Promise<boolean>
}
