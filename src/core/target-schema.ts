/** The schema of the target as PostgreSQL tells it: plain data, so that planning stays pure. */

export interface TargetColumn {
  readonly name: string
  /** As `format_type` writes it. */
  readonly type: string
  readonly notNull: boolean
  readonly hasDefault: boolean
  /** Identity ALWAYS or BY DEFAULT. */
  readonly identity: boolean
  /** Identity ALWAYS: takes a given value at INSERT only. */
  readonly identityAlways: boolean
  /** Two texts of other bytes are two values: false for citext and non-deterministic collations. */
  readonly exact: boolean
  readonly generated: boolean
}

/** A unique index of the target: what may collide, and what ON CONFLICT may name. */
export interface TargetUnique {
  readonly name: string
  /** SQL of each column or expression, as PostgreSQL writes it back. */
  readonly parts: readonly string[]
  /** Plain column names where every part is one. */
  readonly columns: readonly string[] | undefined
  readonly where: string | undefined
  readonly deferrable: boolean
  readonly primary: boolean
}

export interface TargetTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly TargetColumn[]
  readonly uniques: readonly TargetUnique[]
  readonly empty: boolean
  /** The role may ALTER it: it owns it or is a member of its owner. */
  readonly mine: boolean
  readonly owner: string
  /** The role of POSTGRES_URL. */
  readonly role: string
}
