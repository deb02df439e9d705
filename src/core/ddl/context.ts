import { quote } from '../quote.ts'
import type { SourceColumn, SourceTable } from '../source-schema.ts'
import type { ColumnSpec, TableSpec } from '../table.ts'
import { affinityOf } from './affinity.ts'

/**
 * What an expression may do with a value: only what both engines do alike. `mixed` is a double that SQLite may keep
 * as an integer, whose division would be another; `opaque` values can only be asked whether they are NULL.
 */
export type Kind =
  | 'integer'
  | 'float'
  | 'mixed'
  | 'numeric'
  | 'text'
  | 'boolean'
  | 'bytea'
  | 'date'
  | 'json'
  | 'opaque'

/** A column of the source as an expression sees it. */
export interface ContextColumn {
  /** Name in the source. */
  readonly name: string
  /** SQL of it in the target: its quoted name, or the expression of a generated column. */
  readonly sql: string
  readonly kind: Kind
  /** Why it is opaque. */
  readonly reason?: string | undefined
  /** Storage class of its values in the source where they are all alike. */
  readonly storage?: 'integer' | 'real' | 'text' | 'blob' | undefined
  /** An integer of fewer than 64 bits, in which a sum overflows earlier than in SQLite. */
  readonly narrow?: boolean | undefined
  /** NOCASE, RTRIM or BINARY, in capitals. */
  readonly collation: string
  readonly notNull: boolean
  /** False where NULL in the source is not NULL in the target or the other way round. */
  readonly sameNulls: boolean
}

export interface ExpressionContext {
  readonly columns: readonly ContextColumn[]
  /**
   * `ascii`: lower() and upper() fold ASCII only, as SQLite's do; `server`: as the database does, for indexes that
   * keep nothing unique and are there for the application's queries.
   */
  readonly folding: 'ascii' | 'server'
}

/** The columns of a table that slipway makes, for CHECKs, indexes and generated columns. */
export function expressionContext(
  source: SourceTable,
  spec: TableSpec,
  /** Generated columns that the target has or can be told by an expression, by name in the source. */
  generated: ReadonlyMap<string, ContextColumn> = new Map(),
  folding: ExpressionContext['folding'] = 'ascii',
): ExpressionContext {
  const columns = source.columns.flatMap((column): ContextColumn[] => {
    const made = generated.get(column.name)
    if (made !== undefined) return [made]
    const to = spec.columns.find((candidate) => candidate.name === column.name)
    if (to === undefined) return []
    return [contextColumn(column, to, source.strict, column.name === source.rowidColumn)]
  })
  return { columns, folding }
}

const INTEGERS: ReadonlySet<string> = new Set(['bigint', 'integer', 'smallint'])

function contextColumn(
  column: SourceColumn,
  spec: ColumnSpec,
  strict: boolean,
  rowid: boolean,
): ContextColumn {
  const transforms = spec.transforms ?? []
  const base = {
    name: column.name,
    sql: quote(spec.target),
    collation: column.collation,
    // The rowid is never NULL, whatever is declared.
    notNull: rowid || spec.notNull,
    sameNulls: !transforms.some((transform) => /_as_null$/.test(transform)),
  }
  const opaque = (reason: string): ContextColumn => ({ ...base, kind: 'opaque', reason })
  if (transforms.length > 0) return opaque(`the values of ${column.name} are changed on their way`)
  // Codecs that are only another name of what the type does anyway.
  const own = spec.type === 'date' ? 'iso' : spec.type === 'text' ? 'text' : undefined
  if (spec.codec !== undefined && spec.codec !== own)
    return opaque(`${column.name} is spelled in another way in PostgreSQL`)
  const affinity = affinityOf(column.declared)
  const loose = `${column.name} is declared ${column.declared || 'without a type'} and becomes ${spec.type}, so SQLite may compare its values in another way`
  if (INTEGERS.has(spec.type)) {
    if (affinity === 'TEXT') return opaque(loose)
    return { ...base, kind: 'integer', storage: 'integer', narrow: spec.type !== 'bigint' }
  }
  if (spec.type === 'double precision' || spec.type === 'real') {
    if (affinity === 'TEXT') return opaque(loose)
    if (affinity === 'REAL' && spec.type === 'double precision')
      return { ...base, kind: 'float', storage: 'real' }
    return { ...base, kind: 'mixed' }
  }
  if (/^numeric\b/.test(spec.type)) {
    // Elsewhere numbers may be kept as text, which SQLite compares as such.
    if (affinity === 'TEXT' || affinity === 'BLOB') return opaque(loose)
    return { ...base, kind: 'numeric' }
  }
  if (spec.type === 'boolean') {
    if (affinity === 'TEXT') return opaque(loose)
    return { ...base, kind: 'boolean', storage: 'integer' }
  }
  if (spec.type === 'text' || /^character varying\b/.test(spec.type)) {
    // Without the affinity an integer stays one, and 5 is less than '1'.
    if (affinity !== 'TEXT') return opaque(loose)
    return { ...base, kind: 'text', storage: 'text' }
  }
  if (spec.type === 'bytea') {
    if (!strict || affinity !== 'BLOB') return opaque(`${column.name} may hold text besides BLOBs`)
    return { ...base, kind: 'bytea', storage: 'blob' }
  }
  if (spec.type === 'date' && (spec.format === undefined || spec.format === 'YYYY-MM-DD'))
    return { ...base, kind: 'date', storage: 'text' }
  if (spec.type === 'json' || spec.type === 'jsonb') return { ...base, kind: 'json', storage: 'text' }
  return opaque(`${column.name} becomes ${spec.type}, which compares its values in another way`)
}
