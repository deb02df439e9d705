/** What is moved: the tables of the source, their keys and columns, and where each lands in the target. */

/** How values are spelled in the source where the type alone does not say it; see core/codec.ts. */
export type CodecName =
  | 'iso' // text: dates and times as ISO 8601
  | 'epoch_s' // integer or real: seconds since 1970, UTC
  | 'epoch_ms' // integer: milliseconds since 1970, UTC
  | 'julian' // real: Julian day, UTC
  | 'words' // booleans as 0, 1, t, f, true, false, yes, no, y, n, on, off in any case
  | 'hex' // uuid as 32 digits without hyphens, bytes as hexadecimal text
  | 'bytes' // uuid as a BLOB of 16 bytes
  | 'json_array' // an array of PostgreSQL as a JSON list
  | 'text' // text in, text out, verified to come back

/** A change of a value that a person asked for in the plan; applied in the order of this list, each is reported. */
export type Transform =
  | 'strip_nul' // text: NUL characters go
  | 'replace_invalid_utf8' // text: invalid bytes become U+FFFD
  | 'strip_json_nul' // JSON text: the escape \\u0000 goes
  | 'trim' // text: blanks at both ends go
  | 'empty_as_null'
  | 'zero_date_as_null' // '0000-00-00', with or without a time
  | 'truncate_fraction' // times: digits after the sixth go
  | 'round' // numbers: to the digits that the type keeps
  | 'cut' // text: characters after the nth of varchar(n) go

/** What happens to a row with a value that the column's type cannot hold. `widen`: only tables of ours. */
export type MisfitPolicy = 'fail' | 'widen' | 'quarantine'

/** What decides how a value is encoded, and what it may hold. */
export interface ColumnRule {
  /** The target's type as PostgreSQL's `format_type` writes it, e.g. `numeric(10,2)`: it chooses the codec. */
  readonly type: string
  /** Undefined: the one that the type has. */
  readonly codec?: CodecName | undefined
  /** How the source writes times, for the way back, e.g. `YYYY-MM-DDTHH:MM:SS.SSSZ`. */
  readonly format?: string | undefined
  /** Zone of naive times that go into a type with a zone, e.g. `Europe/Moscow`; undefined: UTC. */
  readonly zone?: string | undefined
  readonly transforms?: readonly Transform[] | undefined
  /** Labels of an enum type, which are all that it takes. */
  readonly labels?: readonly string[] | undefined
}

/** A column of the source and the column of the target that takes its values. */
export interface ColumnSpec extends ColumnRule {
  /** Name in the source. */
  readonly name: string
  /** Name in the target. */
  readonly target: string
  readonly notNull: boolean
  /** Undefined: `widen` in a table of ours, else `quarantine`. */
  readonly misfit?: MisfitPolicy | undefined
}

/**
 * Rows that hold the same value in a column that is unique in the target and not in the source: `fail` sets them
 * aside until a person decides; `first` and `last` keep the one with the lowest or highest key.
 */
export type DuplicatesPolicy = 'fail' | 'first' | 'last'

/** A column of the key. For a table without a key it is the rowid, kept in a hidden column of the target. */
export interface KeyColumn extends Pick<ColumnRule, 'type' | 'codec' | 'labels'> {
  /** Name in the source; for a hidden key one of `rowid`, `_rowid_`, `oid` that no real column shadows. */
  readonly name: string
  readonly target: string
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
  /** True where what the chunks walk by is the key itself. */
  readonly scansByKey?: boolean | undefined
  /** True where slipway made the target table: then it may widen its types. */
  readonly owned: boolean
  /** True where the plan agrees that rows which the application put there are deleted before the copy. */
  readonly emptied?: boolean | undefined
  /** Undefined: `fail`. */
  readonly duplicates?: DuplicatesPolicy | undefined
  /** The source's foreign keys among moved tables, by source names: children follow a parent that is set aside. */
  readonly parents?:
    | readonly {
        readonly columns: readonly string[]
        readonly parent: string
        readonly parentColumns: readonly string[]
      }[]
    | undefined
}

/** What happens to a misfit of this column. */
export function misfitPolicy(table: TableSpec, column: ColumnSpec): MisfitPolicy {
  return column.misfit ?? (table.owned ? 'widen' : 'quarantine')
}

/** The name of the hidden key column that a table without a key gets in the target. */
export const HIDDEN_KEY = '_slipway_rowid'
