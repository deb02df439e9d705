import type { CodecName, DuplicatesPolicy, MisfitPolicy, Transform } from './table.ts'

/**
 * `slipway.plan.json`: what assess proposes and a person edits. Tables and columns are named as in the source; what
 * is left out of an entry takes the value that slipway would choose.
 */
export interface PlanFile {
  readonly $schema?: string
  readonly version: 1
  /** Schema of the target. */
  readonly schema: string
  readonly tables: Readonly<Record<string, PlanTable>>
}

export interface PlanTable {
  /** False: the table stays behind. */
  readonly include?: boolean
  /** Why, for a person; ignored. */
  readonly note?: string
  /** Name in the target. */
  readonly target?: string
  /** Columns that identify a row, or `rowid` for a hidden key. */
  readonly key?: readonly string[] | 'rowid'
  readonly duplicates?: DuplicatesPolicy
  /** Rows that the target has before the copy: `refuse` (the default), or `delete` by consent. */
  readonly existing_rows?: 'refuse' | 'delete'
  readonly columns?: Readonly<Record<string, PlanColumn>>
}

export interface PlanColumn {
  /** False: the column stays behind. */
  readonly include?: boolean
  readonly note?: string
  /** As the source declares it: a plan that was made for another schema is noticed by it. */
  readonly declared?: string
  readonly target?: string
  readonly type?: string
  readonly codec?: CodecName
  readonly format?: string
  readonly zone?: string
  readonly transforms?: readonly Transform[]
  readonly misfit?: MisfitPolicy
}
