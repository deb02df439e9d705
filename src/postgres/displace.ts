import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable, TargetUnique } from '../core/target-schema.ts'
import { targetName } from './dormant.ts'

/**
 * Deletes target rows that hold a unique value of the stage under another key. The inner SELECT reads the stage
 * and the outer condition the target, by the same expressions: so partial and expression indexes work too.
 */
export function displaceSql(table: TableSpec, stage: string, unique: TargetUnique): string {
  return `DELETE FROM ${displaced(table, stage, unique)}`
}

/** FROM and WHERE of these rows. */
export function displaced(table: TableSpec, stage: string, unique: TargetUnique): string {
  const parts = unique.parts.join(', ')
  const where = unique.where === undefined ? '' : ` AND ${unique.where}`
  const inner = unique.where === undefined ? '' : ` WHERE ${unique.where}`
  return `${targetName(table)} WHERE (${parts}) IN (SELECT ${parts} FROM ${stage}${inner})${where}`
}

/**
 * True where the source keeps the unique as well, by columns in which two of its values are always two of the target's:
 * then two rows hold one value only for as long as the copy has not heard of a change. Any other unique has to be
 * judged row by row.
 */
export function keptBySource(
  source: SourceTable,
  table: TableSpec,
  shape: TargetTable,
  unique: TargetUnique,
): boolean {
  const { columns } = unique
  if (columns === undefined) return false
  const stays = (name: string | undefined): boolean => {
    const spec = table.columns.find((column) => column.name === name)
    if (spec === undefined || spec.transforms !== undefined || !columns.includes(spec.target)) return false
    if (/^(smallint|integer|bigint)$/.test(spec.type)) return true
    const exact = shape.columns.find((column) => column.name === spec.target)?.exact === true
    // In a column without text affinity 1 and '1' are two values, and one text.
    const declared = source.columns.find((column) => column.name === name)?.declared ?? ''
    return exact && /^(text|character varying)/.test(spec.type) && /CHAR|CLOB|TEXT/i.test(declared)
  }
  const uniques = source.indexes
    .filter((index) => index.unique && index.where === undefined)
    .map((index) => index.parts.map((part) => part.column))
  if (source.rowidColumn !== undefined) uniques.push([source.rowidColumn])
  return uniques.some((names) => names.every(stays))
}
