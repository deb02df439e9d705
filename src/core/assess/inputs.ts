/** What assess has seen of a source and of a target, as plain data: the findings are made of it. */
import type { Inventory } from '../source-schema.ts'
import type { TargetTable } from '../target-schema.ts'
import type { TableFacts } from './facts.ts'

/** The file itself. */
export interface FileFacts {
  readonly path: string
  readonly bytes: number
  readonly walBytes: number
  readonly pageSize: number
  readonly freePages: number
  readonly journalMode: string
  readonly encoding: string
  /** none, full, incremental. */
  readonly autoVacuum: string
  readonly userVersion: string
  readonly applicationId: string
  /** Of the library that slipway uses, and of the one that wrote the file last; undefined where the file does not say. */
  readonly sqliteVersion: string
  readonly writerVersion: string | undefined
  /** One sentence where that library has a bug that may damage the file (trap C21). */
  readonly writerBug: string | undefined
  /** Capture of slipway is installed already. */
  readonly captured: boolean
}

/** Parts of the schema that are no tables, and what only a statement can tell. */
export interface SchemaExtras {
  readonly views: readonly { readonly name: string; readonly sql: string }[]
  readonly triggers: readonly { readonly name: string; readonly table: string; readonly sql: string }[]
  readonly virtual: readonly {
    readonly name: string
    readonly module: string
    readonly shadows: readonly string[]
  }[]
  /** Every table of the source, moved or not, virtual ones too. */
  readonly tables: readonly string[]
}

/** Rows that break a foreign key of a table. */
export interface Orphans {
  readonly columns: readonly string[]
  readonly parent: string
  readonly count: number
  /** There are more than were counted. */
  readonly more: boolean
  readonly examples: readonly string[]
}

/** What was tried on a table, beside reading its values. */
export interface TableChecks {
  readonly orphans: readonly Orphans[]
  /** Sentences of PRAGMA quick_check. */
  readonly damage: readonly string[]
  /** Functions and collations that its schema calls and that only the application has (trap V26). */
  readonly functions: readonly string[]
  readonly collations: readonly string[]
  /** What else SQLite says to writes on it here. */
  readonly refusal: string | undefined
}

export interface SourceSurvey {
  readonly file: FileFacts
  readonly inventory: Inventory
  readonly extras: SchemaExtras
  readonly facts: ReadonlyMap<string, TableFacts>
  readonly checks: ReadonlyMap<string, TableChecks>
}

/** A table that exists in the target, beyond what planning needs of it. */
export interface ExistingTable {
  readonly table: TargetTable
  readonly foreignKeys: readonly { readonly columns: readonly string[]; readonly parent: string }[]
  readonly checks: number
}

export interface ServerFacts {
  /** `host:port/database as user`. */
  readonly server: string
  readonly schema: string
  readonly version: string
  readonly schemaExists: boolean
  readonly extensions: readonly string[]
  readonly maxPreparedTransactions: number
  readonly tables: readonly ExistingTable[]
  /** Phase of this migration where it has begun. */
  readonly phase: string | undefined
}
