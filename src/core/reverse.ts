/**
 * The ports of the way back, while PostgreSQL leads: the same loop with its ends swapped. A position is a whole
 * `pg_snapshot`; a batch is what is visible in a newer one and not in the older one (trap P8), and of each row only the
 * columns whose forward image differs from what PostgreSQL says (trap H21).
 */

import type { Affinity } from './codec/decode.ts'
import type { Phase } from './operator.ts'
import type { Chunk, KeySet, SetAside, TableBatch } from './ports.ts'
import type { TableSpec } from './table.ts'

/** Where the way back stands. Stored in SQLite with the rows, in one commit. */
export interface ReversePosition {
  /** Text of a `pg_snapshot`. */
  readonly snapshot: string
  /**
   * Written to PostgreSQL in the transaction that took the snapshot: a server that does not have it has forgotten
   * commits, and a position from before proves nothing (trap H1).
   */
  readonly token: string
}

/** What SQLite holds now, encoded as a forward batch would be; nobody but slipway writes there. */
export interface RowImages {
  /** Rows of these keys: lines of those that are gone, lines of those that are there, and those without an image. */
  images(table: TableSpec, keys: readonly string[]): Promise<TableBatch & Disposable>
  /** The next rows of a table in the order of its scan key. */
  range(table: TableSpec, after: string | undefined): Promise<Chunk>
  /** Of a key's column, which decides whether a whole number is an integer or a real there; undefined: not known. */
  affinity?(table: TableSpec, column: string): Affinity | undefined
}

/** What one row of SQLite lacks to be equal to PostgreSQL's. */
export interface RowPatch {
  /** Encoded as core/key.ts says: the key as SQLite has it, or shall have it. */
  readonly key: string
  /** The row is not in SQLite: then `values` has every column. */
  readonly isNew: boolean
  /** Index into `table.columns`, and the text that core/codec/decode.ts yields; null is NULL. */
  readonly values: readonly (readonly [column: number, text: string | null])[]
  /** Columns whose value SQLite cannot hold in its format (trap H19): index, and PostgreSQL's text, cut. */
  readonly misfits: readonly (readonly [column: number, text: string])[]
}

export interface ReverseTable {
  readonly table: TableSpec
  /** Encoded keys of rows that PostgreSQL no longer has and SQLite has. May be walked more than once. */
  gone(): AsyncIterable<readonly string[]>
  patches(): AsyncIterable<readonly RowPatch[]>
}

export interface ReverseBatch extends AsyncDisposable {
  readonly from: ReversePosition
  readonly to: ReversePosition
  /** Changelog rows between the two, before coalescing. */
  readonly changes: number
  readonly tables: readonly ReverseTable[]
}

export type ReverseReadResult =
  | { readonly kind: 'batch'; readonly batch: ReverseBatch }
  | { readonly kind: 'empty' }
  /** The token is not there: PostgreSQL has forgotten commits that SQLite has. Everything is compared. */
  | { readonly kind: 'forgotten'; readonly reason: string }
  /**
   * The tables on PostgreSQL are not those that the decision left (trap P9). Where it is not fatal it is told once a
   * process, what it may have changed is compared by itself, and the next read goes on.
   */
  | {
      readonly kind: 'drift'
      /** Empty: nothing differs any more. */
      readonly reason: string
      readonly fatal: boolean
      /** A table is not what the decision left; else what was changed is mended already. */
      readonly altered: boolean
    }

export interface ReverseLag {
  readonly pending: number
  /** When the oldest change that is not applied was logged, ms since 1970, by the server's clock. */
  readonly oldestAt: number | undefined
  /** Text of the newest snapshot. */
  readonly head: string
}

export interface ReverseExtras {
  /**
   * Rows that are compared although nobody changed them: to be tried again. Each of them is told, so that what was set
   * aside can be let go: as gone where PostgreSQL does not have it, else by a patch, without values where it is equal.
   */
  readonly also?: readonly KeySet[] | undefined
  /**
   * Rows set aside, asked for where a batch has changes: those of its tables are told as `also` tells. A change may have
   * made one equal or taken it away, or taken away what it collided with, and nothing else would say so.
   */
  readonly watched?: (() => readonly KeySet[]) | undefined
  /**
   * Names in the source of tables that are compared whole: after TRUNCATE, or when in doubt. Where every table is
   * named, the position that is read from proves nothing and need not: that is the way on from `forgotten`.
   */
  readonly whole?: readonly string[] | undefined
}

export interface ReverseSource {
  /** One repeatable-read transaction, committed before the batch is handed out; pages come from its stage. */
  read(
    after: ReversePosition,
    images: RowImages,
    signal: AbortSignal,
    extras?: ReverseExtras,
  ): Promise<ReverseReadResult>
  lag(after: ReversePosition): Promise<ReverseLag>
  wake(ms: number, signal: AbortSignal): Promise<void>
  /** Everything up to here is in SQLite, durably: it may be pruned once it is old enough. */
  acknowledge(applied: ReversePosition): Promise<void>
  readonly connected: boolean
}

/** A row that SQLite refused or cannot hold, kept in SQLite with the position. It makes a rollback unsafe. */
export interface ReverseAside extends SetAside {
  /** Name in the source. */
  readonly table: string
  /** misfit: no value of SQLite says it; refused: by SQLite; duplicate: of a unique. */
  readonly kind: 'misfit' | 'refused' | 'duplicate'
  /** ISO 8601, as `last`. */
  readonly since: string
  readonly last: string
  readonly attempts: number
}

export interface ReverseApplied {
  readonly upserted: number
  readonly deleted: number
  readonly perTable: readonly {
    readonly table: string
    readonly upserted: number
    readonly deleted: number
  }[]
  /** Rows set aside now, in all. */
  readonly quarantined: number
}

/** Somebody else changed SQLite's schema while PostgreSQL leads: DDL passes the fence (trap H13). */
export interface SourceDrift {
  /** SQLite's schema_version. */
  readonly version: string
  /**
   * Each moved table is fenced and spelled as it was: after VACUUM, ANALYZE, a table of somebody else. Its rows may have
   * other rowids, or be others where it was made anew, which a comparison of all of it mends.
   */
  readonly harmless: boolean
  readonly reason: string
}

export interface ReverseTarget {
  /** Stored in SQLite; throws a Failure where PostgreSQL does not lead by SQLite's notes. */
  position(): ReversePosition
  /**
   * One transaction: admitted by SQLite's notes (authority, epoch, `batch.from`), the fence lowered inside it, rows,
   * what is set aside, position and token. Durable when it resolves. A key that is gone, or whose patch fits, is not
   * set aside any more; a patch without values says that SQLite's row is as it should be. `mends`: the batch compares
   * every table as this drift left it, which is noted as known; any other one throws a Failure `source_drift`.
   */
  apply(batch: ReverseBatch, mends?: SourceDrift): Promise<ReverseApplied>
  /** Undefined where nobody but slipway changed the schema. */
  drift(tables: readonly TableSpec[]): SourceDrift | undefined
  /** Closes again what a rebuild of a table has opened: its triggers went with it, the fence's too. */
  shut(tables: readonly TableSpec[]): Promise<void>
  aside(limit: number): { readonly total: number; readonly entries: readonly ReverseAside[] }
  /** Every key that is set aside. */
  quarantined(): readonly KeySet[]
}

/** Both ends of the way back, made ready. */
export interface ReverseStream extends AsyncDisposable {
  readonly direction: 'reverse'
  readonly tables: readonly TableSpec[]
  readonly source: ReverseSource
  readonly target: ReverseTarget
  readonly images: RowImages
  /** Phase as stored on PostgreSQL. */
  readonly phase: Phase
  /** Why everything has to be compared first; undefined where the position can be trusted. */
  readonly doubt: string | undefined
  /** Notes why a rollback would lose or change something; stays until `safe`, or until a person has dealt with it. */
  unsafe(code: string, reason: string): Promise<void>
  /** Somebody changed the schema in a way that does not stop the way back. */
  told(reason: string): void
  /** These codes of `unsafe` do not hold any more. */
  safe(codes: readonly string[]): Promise<void>
}
