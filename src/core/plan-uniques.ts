/** Uniques of an existing target table: which of them the source keeps as well, and how to count where not. */
import { copyField } from './codec.ts'
import { type ExistingPlace, ruleType } from './plan-match.ts'
import { isTime, rulesOf } from './plan-rules.ts'
import { exact } from './quote.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'
import type { TargetColumn, TargetUnique } from './target-schema.ts'

/** A unique of the target that the source does not keep by itself. */
export interface UniqueCheck {
  readonly unique: TargetUnique
  /** SQL of its values, equal where the target calls them equal; undefined where they cannot be counted here. */
  readonly parts: readonly string[] | undefined
  /** The condition of a partial unique is not looked at: what is counted may be too much. */
  readonly atMost: boolean
  /** Why it cannot be counted, for people. */
  readonly why?: string | undefined
}

/** `lower(name)` and `lower((name)::text)`, as PostgreSQL writes them back. */
const LOWER = /^lower\(\(?("(?:[^"]|"")+"|[a-z_][\w$]*)\)?(?:::text)?\)$/

/** The uniques of a table that the source does not keep, or may not. */
export function uniqueChecks(match: ExistingPlace): UniqueCheck[] {
  return match.target.uniques.flatMap((unique): UniqueCheck[] => {
    const atMost = unique.where !== undefined
    const parts: string[] = []
    const names: string[] = []
    for (const text of unique.parts) {
      const lower = LOWER.exec(text)?.[1]
      const name = unquote(lower ?? text)
      const column = match.target.columns.find((each) => each.name === name)
      if (column === undefined || (lower === undefined && unique.columns === undefined && !isName(text))) {
        return [{ unique, parts: undefined, atMost, why: 'it is on an expression' }]
      }
      const source = [...match.columns].find(([, target]) => target === column)?.[0]
      if (source === undefined || column.generated) {
        // Of its own in each row, or NULL: then no two rows are equal to it.
        const free = column.identity || /nextval|gen_random_uuid|uuid_generate/.test(column.defaultSql ?? '')
        if (free || (column.defaultSql === undefined && !unique.nullsEqual && !column.generated)) return []
        const constant = column.defaultSql !== undefined && !column.defaultSql.includes('(')
        if (constant && !column.generated) continue
        return [{ unique, parts: undefined, atMost, why: `${column.name} is not in the source` }]
      }
      names.push(source)
      const value = uniqueValue(match, source, column)
      parts.push(lower === undefined ? value : `lower(${value})`)
    }
    if (keptBySource(match, unique, names)) return []
    return parts.length === 0 ? [] : [{ unique, parts, atMost }]
  })
}

function isName(text: string): boolean {
  return /^(?:"(?:[^"]|"")+"|[a-z_][\w$]*)$/.test(text)
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text
}

/** A unique of the source over some of the columns, with values that stay as many in the target. */
function keptBySource(match: ExistingPlace, unique: TargetUnique, columns: readonly string[]): boolean {
  const { source } = match
  const described = (name: string): SourceColumn | undefined =>
    source.columns.find((each) => each.name === name)
  if (unique.nullsEqual && columns.some((name) => described(name)?.notNull !== true)) return false
  if (!unique.parts.every((part) => isName(part))) return false
  return sourceUniques(source).some((names) =>
    names.every((name) => {
      const target = match.columns.get(name)
      return columns.includes(name) && target !== undefined && staysDistinct(match, name, target)
    }),
  )
}

function sourceUniques(source: SourceTable): string[][] {
  const indexes = source.indexes
    .filter((index) => index.unique && index.where === undefined)
    .filter((index) => index.parts.every((part) => part.column !== undefined))
    .map((index) => index.parts.map((part) => part.column as string))
  return source.rowidColumn === undefined ? indexes : [[source.rowidColumn], ...indexes]
}

/** Whether two values that SQLite keeps apart are two values in the target as well. */
function staysDistinct(match: ExistingPlace, name: string, target: TargetColumn): boolean {
  const declared = match.source.columns.find((column) => column.name === name)?.declared ?? ''
  const plan = match.plan?.columns?.[name]
  if (!target.exact || plan?.transforms !== undefined) return false
  const { type } = ruleType(target)
  if (/^(smallint|integer|bigint|double precision)$/.test(type)) return true
  return /^(text|character varying)/.test(type) && /CHAR|CLOB|TEXT/i.test(declared)
}

/** SQL of a value that is the same for two values which the target calls equal, whatever their codec. */
function uniqueValue(match: ExistingPlace, name: string, target: TargetColumn): string {
  const x = exact(name)
  const plan = match.plan?.columns?.[name]
  const type = ruleType(target)
  const [rule] = rulesOf(type, plan).rules
  if (plan?.transforms !== undefined && rule !== undefined) return `nullif(${copyField(rule, x)},'\\N')`
  if (!target.exact) return `lower(${x})`
  if (isTime(type.type)) return `CASE typeof(${x}) WHEN 'text' THEN ${instant(x)} ELSE ${x} END`
  if (type.type === 'uuid')
    return `CASE typeof(${x}) WHEN 'blob' THEN lower(hex(${x})) ELSE lower(replace(${x},'-','')) END`
  if (type.type === 'boolean') return `lower(${x}) IN ('1','t','true','y','yes','on')`
  if (type.type === 'bytea') return `hex(${x})`
  if (/^numeric/.test(type.type)) {
    return `CASE WHEN typeof(${x})='text' AND instr(${x},'.') THEN rtrim(rtrim(${x},'0'),'.') ELSE ${x} END`
  }
  if (/^(smallint|integer|bigint|double precision|real)$/.test(type.type)) return x
  return `CAST(${x} AS TEXT)`
}

/** A text time as UTC, with its digits after the point apart: SQLite's own functions round them. */
function instant(x: string): string {
  const rest = `CASE WHEN instr(${x},'.') THEN substr(${x},instr(${x},'.')+1) ELSE '' END`
  const zone = `ltrim(${rest},'0123456789')`
  const digits = `substr(${rest},1,length(${rest})-length(${zone}))`
  const whole = `CASE WHEN instr(${x},'.') THEN substr(${x},1,instr(${x},'.')-1)||${zone} ELSE ${x} END`
  return `coalesce(datetime(${whole}),${x})||'.'||rtrim(${digits},'0')`
}
