import { collate } from '../core/ddl/compare.ts'
import { type ExpressionContext, expressionContext } from '../core/ddl/context.ts'
import { planGenerated } from '../core/ddl/generated.ts'
import { translateCondition, translateExpression } from '../core/ddl/translate.ts'
import { Untranslatable } from '../core/ddl/value.ts'
import type { Finding } from '../core/finding.ts'
import { quote } from '../core/quote.ts'
import type { IndexPart, SourceIndex, SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'

/** An index of a table of ours, to be made after the copy. */
export interface IndexPlan {
  readonly name: string
  readonly unique: boolean
  /** SQL of each column or expression. */
  readonly parts: readonly string[]
  /** SQL of a partial index's condition. */
  readonly where?: string | undefined
}

/** Every index that a table of ours should have besides its key, and what cannot be carried over. */
export function indexPlans(
  source: SourceTable,
  spec: TableSpec,
): { readonly indexes: readonly IndexPlan[]; readonly findings: readonly Finding[] } {
  const indexes: IndexPlan[] = []
  const findings: Finding[] = []
  const { named, inline } = planGenerated(source, spec)
  // Uniqueness is exact; what only makes queries fast is spelled as the application's queries will be.
  const exact = expressionContext(source, spec, inline)
  const handy = expressionContext(source, spec, named, 'server')
  for (const index of source.indexes) {
    if (index.origin === 'pk') {
      if (spec.key.kind !== 'primary')
        findings.push(leftOut(source, index, 'the rowid is the key in the target'))
      continue
    }
    const context = index.unique ? exact : handy
    const plan = planIndex(index, spec, context)
    if ('reason' in plan) findings.push(leftOut(source, index, plan.reason))
    else indexes.push(plan)
  }
  return { indexes, findings }
}

function leftOut(source: SourceTable, index: SourceIndex, reason: string): Finding {
  const what = index.unique ? 'unique index' : 'index'
  return {
    code: 'index_left_out',
    severity: 'warns',
    table: source.name,
    message: `${source.name}: ${what} ${index.name} is not carried over: ${reason}`,
    remedy: index.unique
      ? 'PostgreSQL will not refuse duplicates there; make an index of your own once it leads.'
      : 'Make one of your own where queries need it.',
  }
}

function planIndex(
  index: SourceIndex,
  spec: TableSpec,
  context: ExpressionContext,
): IndexPlan | { readonly reason: string } {
  const parts: string[] = []
  for (const part of index.parts) {
    const sql = partSql(part, spec, context)
    if (typeof sql !== 'string') return sql
    parts.push(`${sql}${part.descending ? ' DESC' : ''}`)
  }
  const columns = index.parts.map(
    (part) => spec.columns.find((column) => column.name === part.column)?.target ?? part.column,
  )
  const name = index.origin === 'c' ? index.name : `${spec.target}_${columns.join('_')}_key`
  if (index.where === undefined) return { name, unique: index.unique, parts }
  // Without its condition it would refuse rows that the source takes (trap V11).
  const where = translateCondition(index.where, context)
  if ('reason' in where) return { reason: `its WHERE has no counterpart: ${where.reason}` }
  if (where.always === false) return { reason: 'its WHERE is never true in PostgreSQL' }
  return { name, unique: index.unique, parts, ...(where.always ? {} : { where: where.sql }) }
}

/** One column or expression of an index, without its direction. */
function partSql(
  part: IndexPart,
  spec: TableSpec,
  context: ExpressionContext,
): string | { readonly reason: string } {
  const column = spec.columns.find((candidate) => candidate.name === part.column)
  if (column !== undefined) {
    if (column.type === 'json') return { reason: `PostgreSQL has no order for json (${column.name})` }
    // A collation is a matter of text; numbers have none.
    const text = column.type === 'text' || column.type.startsWith('character varying')
    return withCollation(quote(column.target), text ? part.collation : 'BINARY')
  }
  if (part.column !== undefined) {
    const generated = context.columns.find((candidate) => candidate.name === part.column)
    if (generated === undefined) return { reason: `the target has no column ${part.column}` }
    return withCollation(generated.sql, generated.kind === 'text' ? part.collation : 'BINARY')
  }
  if (part.expression === undefined) return { reason: 'its text could not be read' }
  const result = translateExpression(part.expression, context)
  if ('reason' in result) return result
  const { kind } = result.value
  if (kind === 'json' || kind === 'null') return { reason: `PostgreSQL has no order for ${kind}` }
  return withCollation(`(${result.sql})`, kind === 'text' ? part.collation : 'BINARY')
}

function withCollation(sql: string, collation: string): string | { readonly reason: string } {
  try {
    return collate(collation.toUpperCase())({ sql, kind: 'text' })
  } catch (error) {
    if (error instanceof Untranslatable) return { reason: error.message }
    throw error
  }
}
