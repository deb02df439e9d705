/** What is counted in a table before it is planned: conditions on a row, as SQL for slipway's own SQLite. */
import { codecFor, copyField, keyField } from './codec.ts'
import { keyCandidates } from './plan-key.ts'
import { type ExistingPlace, type Match, ruleType } from './plan-match.ts'
import { isTime, PLAUSIBLE, plausibleName, ruleName, rulesOf } from './plan-rules.ts'
import { asKey, columnTypes, keyTypes, NO_TEXT } from './plan-types.ts'
import { type UniqueCheck, uniqueChecks } from './plan-uniques.ts'
import { exact } from './quote.ts'
import type { SourceColumn } from './source-schema.ts'
import type { ColumnRule } from './table.ts'

/** A condition whose rows are counted. */
export interface Measure {
  readonly column: string
  readonly name: string
  readonly sql: string
  /** Whether keys of some of its rows are wanted: a person will be told about them. */
  readonly examples: boolean
  /** Another measure of the column: this one matters only where that one held for some row. */
  readonly after?: string | undefined
  /** True where it holds for no row unless the column's texts, joined, hold NUL or bytes that are no UTF-8. */
  readonly screened?: true
}

export interface TableMeasures {
  readonly measures: readonly Measure[]
  readonly uniques: readonly UniqueCheck[]
  /** Columns whose newest text tells the format of their values. */
  readonly newest: readonly string[]
}

/** Names the count of values that a transform turns into NULL, and of those that are NULL already. */
export function nullName(rule: ColumnRule): string {
  return `null: ${ruleName(rule)}`
}

/** Everything that planning a table asks of its rows. */
export function measuresOf(match: Match): TableMeasures {
  const measures = [...(match.kind === 'own' ? ownMeasures(match) : existingMeasures(match))]
  const spelled = match.source.columns.filter(
    (column) => !column.generated && (SPELLED.test(targetType(match, column)) || DATES.test(column.declared)),
  )
  return {
    measures,
    uniques: match.kind === 'own' ? [] : uniqueChecks(match),
    newest: spelled.map((column) => column.name),
  }
}

/** Types whose values have several spellings: the newest tells how the application writes them. */
const SPELLED = /^(date|time|uuid|boolean|bytea)/
const DATES = /DATE|TIME/i

function targetType(match: Match, column: SourceColumn): string {
  if (match.kind === 'own') return match.plan?.columns?.[column.name]?.type ?? ''
  const found = match.columns.get(column.name)
  return found === undefined ? '' : ruleType(found).type
}

function* always(column: string): Iterable<Measure> {
  const x = exact(column)
  yield { column, name: 'values', sql: `${x} IS NOT NULL`, examples: false }
  yield { column, name: 'nulls', sql: `${x} IS NULL`, examples: true }
}

function* ownMeasures(match: Match): Iterable<Measure> {
  const keys = keyCandidates(match)
  for (const column of match.source.columns) {
    const plan = match.plan?.columns?.[column.name]
    if (column.generated || plan?.include === false) continue
    if (column.name === match.source.rowidColumn && plan?.type === undefined) continue
    const x = exact(column.name)
    yield* always(column.name)
    for (const type of columnTypes(match.source, column)) {
      if (type === 'bytea') continue
      yield {
        column: column.name,
        name: type,
        sql: `${x} IS NOT NULL AND ${misfitSql(type, x)}`,
        examples: true,
      }
    }
    if (plan?.type === undefined && columnTypes(match.source, column).includes('text'))
      yield { column: column.name, name: NO_TEXT, sql: notText(undefined, x), examples: true, screened: true }
    for (const type of keys.has(column.name) ? keyTypes(column.declared) : []) {
      const sql = `${x} IS NOT NULL AND (${keyField({ type }, x)}) IS NULL`
      yield { column: column.name, name: asKey(type), sql, examples: false }
    }
    if (plan?.type !== undefined)
      yield* ruleMeasures(column.name, rulesOf({ type: plan.type }, plan).rules, keys.has(column.name))
  }
}

function* existingMeasures(match: ExistingPlace): Iterable<Measure> {
  const keys = keyCandidates(match)
  for (const column of match.source.columns) {
    const target = match.columns.get(column.name)
    if (column.generated || target === undefined || target.generated) continue
    yield* always(column.name)
    const { rules } = rulesOf(ruleType(target), match.plan?.columns?.[column.name])
    yield* ruleMeasures(column.name, rules, keys.has(column.name))
    const x = exact(column.name)
    if (ruleType(target).type === 'bytea')
      yield { column: column.name, name: 'texts', sql: `typeof(${x})='text'`, examples: false }
  }
}

function* ruleMeasures(column: string, rules: readonly ColumnRule[], key: boolean): Iterable<Measure> {
  const x = exact(column)
  const [first] = rules
  const type = first?.type ?? ''
  const misfits = first === undefined ? undefined : (key ? asKey : String)(ruleName(first))
  for (const rule of rules) {
    const name = ruleName(rule)
    // Another codec is looked for only where the first one refuses something.
    const after = rule === first ? undefined : misfits
    const sql = rule.transforms === undefined && rule.codec === undefined && rule.labels === undefined
    yield {
      column,
      name,
      sql: `${x} IS NOT NULL AND ${sql ? misfitSql(type, x) : `(${copyField(rule, x)}) IS NULL`}`,
      examples: true,
      after,
    }
    if (rule.transforms?.some((each) => each.endsWith('_as_null'))) {
      yield { column, name: nullName(rule), sql: `(${copyField(rule, x)}) IS '\\N'`, examples: true }
    }
    if (!key) continue
    yield {
      column,
      name: asKey(name),
      sql: `${x} IS NOT NULL AND (${keyField(rule, x)}) IS NULL`,
      examples: true,
      after,
    }
  }
  if (!NOT_TEXT.test(type))
    yield { column, name: NO_TEXT, sql: notText(first, x), examples: true, screened: true }
  if (!isTime(type)) return
  if (type.endsWith(' with time zone')) {
    const sql = `typeof(${x})='text' AND ${x} GLOB '${DAY}?*' AND ${x} NOT GLOB '*[Zz]' AND substr(${x},12) NOT GLOB '*[+-]*'`
    yield { column, name: 'naive', sql, examples: true }
  }
  const number = `typeof(${x}) IN ('integer','real')`
  yield { column, name: 'numbers', sql: number, examples: true, after: misfits }
  for (const { codec, low, high } of PLAUSIBLE) {
    const sql = `${number} AND ${x} BETWEEN ${low} AND ${high}`
    yield { column, name: plausibleName(codec), sql, examples: false, after: misfits }
  }
}

const DAY = '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'

/** Types to which a text that holds NUL or is not valid is a misfit anyway. */
const NOT_TEXT = /^(smallint|integer|bigint|numeric|real|double|boolean|bytea|uuid|date|time)/

/** Text that PostgreSQL's text cannot hold (traps V5, V6), after what the plan does about it. */
function notText(rule: ColumnRule | undefined, x: string): string {
  const repaired = (rule?.transforms ?? []).reduce((bytes, transform) => {
    if (transform === 'strip_nul') return `slipway_strip_nul(${bytes})`
    return transform === 'replace_invalid_utf8' ? `slipway_valid_utf8(${bytes})` : bytes
  }, `CAST(${x} AS BLOB)`)
  return `typeof(${x})='text' AND slipway_is_text(${repaired})=0`
}

/** Cheaper forms of "the codec yields NULL" where the storage class decides alone. */
function misfitSql(type: string, x: string): string {
  if (type === 'bigint') return `typeof(${x}) <> 'integer'`
  if (type === 'text') return `typeof(${x}) = 'blob'`
  return `(${codecFor(type)(x)}) IS NULL`
}
