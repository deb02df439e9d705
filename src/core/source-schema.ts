/** The schema of the source as SQLite tells it: plain data, so that planning stays pure. */

/** A column as SQLite describes it. */
export interface SourceColumn {
  readonly name: string
  /** As declared, e.g. `NVARCHAR(160)`; empty for an untyped column. */
  readonly declared: string
  readonly notNull: boolean
  /** SQL text of the default, or null. */
  readonly defaultSql: string | null
  /** Position in the primary key from 1, or 0. */
  readonly primary: number
  readonly generated: boolean
  /** The expression of a generated column; undefined elsewhere, and where it could not be read. */
  readonly generatedSql: string | undefined
  /** A generated column that is STORED; false for VIRTUAL and for plain columns. */
  readonly stored: boolean
  /** BINARY, NOCASE, RTRIM or one of the application's, in capitals. */
  readonly collation: string
}

export interface SourceCheck {
  readonly name: string | undefined
  /** The condition, as it is written. */
  readonly sql: string
  /** The column that it stands at; undefined for one of the table. */
  readonly column: string | undefined
}

/** One column or expression of an index. */
export interface IndexPart {
  /** Undefined for an expression. */
  readonly column: string | undefined
  readonly expression: string | undefined
  readonly collation: string
  readonly descending: boolean
}

export interface SourceIndex {
  readonly name: string
  readonly unique: boolean
  /** c: CREATE INDEX, u: UNIQUE constraint, pk: PRIMARY KEY. */
  readonly origin: 'c' | 'u' | 'pk'
  readonly parts: readonly IndexPart[]
  /** SQL of a partial index's WHERE. */
  readonly where: string | undefined
}

export interface SourceForeignKey {
  readonly name: string | undefined
  /** DEFERRABLE INITIALLY DEFERRED. */
  readonly deferred: boolean
  readonly columns: readonly string[]
  readonly parent: string
  /** Resolved to the parent's primary key where the schema leaves them out (trap V12). */
  readonly parentColumns: readonly string[]
  readonly onUpdate: string
  readonly onDelete: string
}

export interface SourceTable {
  readonly name: string
  readonly columns: readonly SourceColumn[]
  readonly withoutRowid: boolean
  readonly strict: boolean
  readonly autoincrement: boolean
  readonly indexes: readonly SourceIndex[]
  readonly foreignKeys: readonly SourceForeignKey[]
  /** CHECK constraints in the order of the text; undefined where the text of the table could not be read. */
  readonly checks: readonly SourceCheck[] | undefined
  /** ON CONFLICT clauses other than ABORT, e.g. `email UNIQUE ON CONFLICT REPLACE`. */
  readonly conflicts: readonly string[]
  /** Names of the application's own triggers. */
  readonly triggers: readonly string[]
  /** A name of the rowid that no real column shadows; undefined for WITHOUT ROWID or when all three are taken. */
  readonly rowid: string | undefined
  /** The column that is the rowid itself (INTEGER PRIMARY KEY). */
  readonly rowidColumn: string | undefined
  readonly sql: string
  /** Changes with every change of the table, its indexes or its triggers (trap H12). */
  readonly fingerprint: string
}

export interface Inventory {
  readonly tables: readonly SourceTable[]
  /** What is not moved, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
  readonly schemaVersion: bigint
}
