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
  /** SQL of the default. */
  readonly defaultSql?: string | undefined
  /** Labels of an enum type, in its order. */
  readonly labels?: readonly string[] | undefined
  /** What a domain is made of, as `format_type` writes it; undefined where the type is no domain. */
  readonly base?: string | undefined
  /** The role may INSERT and UPDATE it. */
  readonly writable?: boolean | undefined
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
  /** Two NULLs are one value to it (NULLS NOT DISTINCT). */
  readonly nullsEqual?: boolean | undefined
}

/** A trigger of the application, which sleeps while SQLite leads. */
export interface TargetTrigger {
  readonly name: string
  /** Columns whose UPDATE fires it; empty: any. Undefined where no UPDATE fires it. */
  readonly updateOf: readonly string[] | undefined
  /** Text of its function and its arguments: what it may set. */
  readonly body: string
}

export interface TargetTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly TargetColumn[]
  readonly uniques: readonly TargetUnique[]
  readonly empty: boolean
  /** How many it holds, counted up to a million. */
  readonly rows?: number | undefined
  readonly triggers?: readonly TargetTrigger[] | undefined
  /** CHECK constraints, also of its domains, as PostgreSQL writes them. */
  readonly checks?: readonly string[] | undefined
  /** Other tables whose foreign keys refer to it, `schema.table`. */
  readonly referencedBy?: readonly string[] | undefined
  /** Its row-level security applies to the role too. */
  readonly rowSecurity?: boolean | undefined
  /** The role may ALTER it: it owns it or is a member of its owner. */
  readonly mine: boolean
  readonly owner: string
  /** The role of POSTGRES_URL. */
  readonly role: string
}
