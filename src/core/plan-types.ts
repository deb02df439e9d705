/** The types of tables that slipway makes: what the source declares, and what its values need. */
import type { TableProfile } from './plan-profile.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'

export const TIMESTAMP = 'timestamp without time zone'
export const TIMESTAMPTZ = 'timestamp with time zone'

/**
 * Types that a declared type suggests, the narrowest first; the last one holds everything. SQLite's own rules
 * for the declared type (affinity by substring) decide the order of the tests:
 * https://sqlite.org/datatype3.html#determination_of_column_affinity
 */
export function candidateTypes(declared: string): readonly string[] {
  const type = declared.toUpperCase()
  if (type.includes('BOOL')) return ['boolean', 'bigint', 'double precision', 'text', 'bytea']
  if (type.includes('INT')) return ['bigint', 'double precision', 'text', 'bytea']
  if (/DATETIME|TIMESTAMP/.test(type)) return [TIMESTAMP, TIMESTAMPTZ, 'text', 'bytea']
  if (/CHAR|CLOB|TEXT/.test(type)) return ['text', 'bytea']
  if (type.includes('BLOB')) return ['bytea']
  if (/REAL|FLOA|DOUB/.test(type)) return ['double precision', 'text', 'bytea']
  if (type === 'DATE') return ['date', TIMESTAMP, 'text', 'bytea']
  // uuid and time rewrite their values ('A0EE…', '12:30'): text keeps them.
  if (/^(TIME|UUID|GUID)$/.test(type)) return ['text', 'bytea']
  if (/^JSONB?$/.test(type)) return ['json', 'text', 'bytea']
  if (/NUMERIC|DECIMAL|MONEY/.test(type)) return ['numeric', 'text', 'bytea']
  if (type === '') return ['bigint', 'double precision', 'text', 'bytea']
  return ['bigint', 'numeric', 'text', 'bytea']
}

/** Types in which one value has several spellings: they would make one of two values that SQLite keeps apart. */
export const MANY_SPELLINGS: ReadonlySet<string> = new Set([TIMESTAMP, TIMESTAMPTZ, 'json'])

/**
 * Types of a key column: each takes one storage class in one spelling (see `keyCodecFor`), the likeliest first.
 * Where none takes every value, the rowid is the key.
 */
export function keyTypes(declared: string): readonly string[] {
  const type = declared.toUpperCase()
  if (type.includes('INT')) return ['bigint', 'numeric', 'text', 'bytea']
  if (/CHAR|CLOB|TEXT|DATE|TIME|UUID|GUID|STRING|JSON/.test(type))
    return ['text', 'bigint', 'numeric', 'bytea']
  if (type.includes('BLOB')) return ['bytea', 'text', 'bigint', 'numeric']
  if (/REAL|FLOA|DOUB/.test(type)) return ['double precision', 'text', 'bytea']
  return ['bigint', 'numeric', 'text', 'bytea']
}

/** How a profile counts a key candidate apart from the same type elsewhere. */
export function asKey(type: string): string {
  return `key: ${type}`
}

/** Collations that every SQLite has; any other exists in the application only. */
export const BUILT_IN_COLLATIONS: ReadonlySet<string> = new Set(['BINARY', 'NOCASE', 'RTRIM'])

/** The columns that identify a row: the primary key, else a unique index of plain columns without NULLs. */
export function naturalKey(
  source: SourceTable,
): { readonly kind: 'primary' | 'unique'; readonly columns: readonly string[] } | undefined {
  const primary = source.columns.filter((column) => column.primary > 0).sort((a, b) => a.primary - b.primary)
  if (primary.length > 0) return { kind: 'primary', columns: primary.map((column) => column.name) }
  const unique = source.indexes.find(
    (index) =>
      index.unique &&
      index.where === undefined &&
      index.parts.every(
        (part) =>
          part.collation === 'BINARY' &&
          source.columns.some((column) => column.name === part.column && column.notNull && !column.generated),
      ),
  )
  return unique && { kind: 'unique', columns: unique.parts.map((part) => part.column as string) }
}

/** Candidates of a column that is no key; one in a unique must not fold two values into one either. */
export function columnTypes(source: SourceTable, column: SourceColumn): readonly string[] {
  const types = candidateTypes(column.declared)
  const indexes = source.indexes.filter((index) => index.parts.some((part) => part.column === column.name))
  const unique = indexes.some((index) => index.unique)
  // PostgreSQL has no order for json, so no index either.
  return types.filter(
    (type) => !(unique && MANY_SPELLINGS.has(type)) && !(indexes.length > 0 && type === 'json'),
  )
}

/**
 * The type that a column gets where slipway makes the table: the first candidate that every observed value
 * fits. A naive and a zoned time in one column are two formats, and a timestamptz would move one of them.
 */
export function chooseType(
  source: SourceTable,
  column: SourceColumn,
  profile: TableProfile | undefined,
): string {
  const widened = profile?.widened?.get(column.name)
  if (widened !== undefined) return widened
  const counted = profile?.columns.get(column.name)
  const misfits = (type: string): number => (counted?.get(type) ?? 0) + noText(type, counted)
  return (
    columnTypes(source, column).find((type) => {
      if (type === TIMESTAMPTZ && misfits(TIMESTAMP) < misfits('values')) return false
      return misfits(type) === 0
    }) ?? 'bytea'
  )
}

/** The type of a key column, or undefined where no type takes all of its values. */
export function chooseKeyType(column: SourceColumn, profile: TableProfile | undefined): string | undefined {
  const widened = profile?.widened?.get(column.name)
  if (widened !== undefined) return undefined
  const counted = profile?.columns.get(column.name)
  return keyTypes(column.declared).find((type) => (counted?.get(asKey(type)) ?? 0) === 0)
}

/** Text with NUL or invalid UTF-8 is counted by this name: SQL takes it for text, and PostgreSQL does not (V5, V6). */
export const NO_TEXT = 'not text'

function noText(type: string, counted: ReadonlyMap<string, number> | undefined): number {
  return type === 'text' || type === 'json' ? (counted?.get(NO_TEXT) ?? 0) : 0
}
