/** Values that a type of PostgreSQL holds and the source's column, as it is declared and written, does not. */
import { type Affinity, affinityOf } from './codec/decode.ts'
import { parseType, TIME, TIMESTAMP, TIMESTAMPTZ } from './codec/types.ts'
import { isGeneric } from './codec.ts'
import type { Finding } from './finding.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'
import type { ColumnSpec, TableSpec } from './table.ts'

/** Codes `way_back_affinity` and `way_back_range`; info where an application would hardly write such a value. */
export function* rangeFindings(source: SourceTable, spec: TableSpec): Iterable<Finding> {
  for (const column of spec.columns) {
    const described = source.columns.find(({ name }) => name === column.name)
    if (described === undefined) continue
    const at = { table: source.name, column: column.name }
    const affinity = affinityIn(source, described)
    const unfit = unfitAffinity(column, affinity)
    if (unfit !== undefined) {
      yield {
        code: 'way_back_affinity',
        severity: 'warns',
        ...at,
        message: `${source.name}.${column.name} is declared "${described.declared}" in SQLite, which ${unfit}`,
        remedy: `Change the type in PostgreSQL, or be sure that the application never writes such a value while PostgreSQL leads.`,
      }
    }
    const beyond = beyondSource(column, affinity)
    if (beyond !== undefined) {
      yield {
        code: 'way_back_range',
        severity: beyond.often ? 'warns' : 'info',
        ...at,
        message: `${source.name}.${column.name}: PostgreSQL's ${column.type} holds ${beyond.what}, which SQLite cannot hold as ${beyond.as}`,
        remedy: `Keep it out by a CHECK or a type of fewer digits there, or be sure that the application never writes such a value while PostgreSQL leads.`,
      }
    }
  }
}

function affinityIn(source: SourceTable, { declared }: SourceColumn): Affinity {
  return source.strict && /^any$/i.test(declared) ? 'BLOB' : affinityOf(declared)
}

/** What a column of SQLite would make of the values that the target's type has. */
function unfitAffinity(column: ColumnSpec, affinity: Affinity): string | undefined {
  const { name, array } = parseType(column.type)
  const number = /^(smallint|integer|bigint|double precision|real)$/.test(name) && !array
  const counted = column.codec === 'epoch_s' || column.codec === 'epoch_ms' || column.codec === 'julian'
  const flag = name === 'boolean' && column.codec === undefined
  if (affinity === 'TEXT') return number || counted || flag ? 'would keep its numbers as text' : undefined
  if (affinity === 'BLOB') return undefined
  const text = column.labels === undefined && !array && (isText(column.type) || isGeneric(column))
  return text ? `would make a number of a text that looks like one ('007' becomes 7)` : undefined
}

/** `often`: what an application writes without meaning to, such as now(). */
function beyondSource(
  column: ColumnSpec,
  affinity: Affinity,
): { readonly what: string; readonly as: string; readonly often: boolean } | undefined {
  const { name, size, array } = parseType(column.type)
  if (array || column.labels !== undefined) return undefined
  switch (name) {
    case 'double precision':
    case 'real':
      return { what: 'NaN', as: 'a number', often: false }
    case 'numeric': {
      const exact = affinity === 'TEXT' || affinity === 'BLOB'
      if (!exact && (size === undefined || size > 15))
        return { what: 'more than 15 digits', as: 'a number', often: true }
      return { what: 'NaN', as: 'a number', often: false }
    }
    case 'character':
      return column.codec === 'text'
        ? undefined
        : { what: 'texts that it pads', as: 'they were written', often: true }
    case TIME:
      return { what: '24:00:00', as: 'a time', often: false }
    case TIMESTAMP:
    case TIMESTAMPTZ:
      if (column.codec === 'julian' && (size ?? 6) > 3)
        return { what: 'microseconds', as: 'a Julian day', often: true }
      return { what: 'infinity and years before 1 or after 9999', as: 'a time', often: false }
    case 'date':
      return { what: 'infinity and years before 1 or after 9999', as: 'a date', often: false }
    default:
      return undefined
  }
}

const isText = (type: string): boolean => /^(text|char|citext|name)/.test(parseType(type).name)
