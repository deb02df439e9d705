/** What is moved: the tables of the source, their keys and columns, and where each lands in the target. */

/** A column of the source and the column of the target that takes its values. */
export interface ColumnSpec {
  /** Name in the source. */
  readonly name: string
  /** Name in the target. */
  readonly target: string
  /** The target's type as PostgreSQL's `format_type` writes it, e.g. `numeric(10,2)`: it chooses the codec. */
  readonly type: string
  readonly notNull: boolean
}

/** A column of the key. For a table without a key it is the rowid, kept in a hidden column of the target. */
export interface KeyColumn {
  /** Name in the source; for a hidden key one of `rowid`, `_rowid_`, `oid` that no real column shadows. */
  readonly name: string
  readonly target: string
  readonly type: string
}

export interface KeySpec {
  /**
   * `primary`: the declared primary key. `unique`: a unique index without NULLs, where there is no primary key.
   * `rowid`: nothing else identifies a row; the target has a hidden column for it.
   */
  readonly kind: 'primary' | 'unique' | 'rowid'
  readonly columns: readonly KeyColumn[]
}

export interface TableSpec {
  /** Name in the source. */
  readonly name: string
  readonly schema: string
  /** Name in the target. */
  readonly target: string
  readonly key: KeySpec
  /** Data columns, without generated ones; a hidden key is not among them. */
  readonly columns: readonly ColumnSpec[]
  /** How chunks walk the table: by this name of the rowid, or by the key (WITHOUT ROWID). */
  readonly rowid: string | undefined
  /** True where slipway made the target table: then it may widen its types. */
  readonly owned: boolean
}

/** The name of the hidden key column that a table without a key gets in the target. */
export const HIDDEN_KEY = '_slipway_rowid'
