/**
 * What SQLite refuses and PostgreSQL accepts: rows that an application may write while PostgreSQL leads and that could
 * not come back (trap H19). Pure; what is found warns, what no row could come back past blocks.
 */
import { listed } from './assess/misfit-kinds.ts'
import { parseType } from './codec/types.ts'
import { expressionContext } from './ddl/context.ts'
import { planGenerated } from './ddl/generated.ts'
import { type Token, tokenize, Unreadable } from './ddl/tokens.ts'
import { translateCondition } from './ddl/translate.ts'
import type { Finding } from './finding.ts'
import { rangeFindings } from './parity-ranges.ts'
import { BUILT_IN_COLLATIONS } from './plan-types.ts'
import type { SourceCheck, SourceIndex, SourceTable } from './source-schema.ts'
import type { TableSpec } from './table.ts'
import type { TargetTable } from './target-schema.ts'

export interface ParityTable {
  readonly source: SourceTable
  readonly spec: TableSpec
  /** Undefined where it is not there yet: then what it keeps is not looked at. */
  readonly target: TargetTable | undefined
}

/**
 * Findings by table: `way_back_function`, `way_back_collation` block; `way_back_unique`, `way_back_check`,
 * `way_back_not_null`, `way_back_affinity`, `way_back_range` warn, the last one also as info. `functions`: lower-case names of all
 * SQL functions that slipway's own SQLite has.
 */
export function constraintParity(tables: readonly ParityTable[], functions: ReadonlySet<string>): Finding[] {
  return tables.flatMap((table) => [
    ...strangers(table.source, functions),
    ...uniques(table),
    ...checks(table),
    ...notNulls(table),
    ...rangeFindings(table.source, table.spec),
  ])
}

const BE_SURE = 'or be sure that the application never writes such a row while PostgreSQL leads.'

/** What only the application's own connections can evaluate: no other one can write such a table. */
function* strangers(source: SourceTable, functions: ReadonlySet<string>): Iterable<Finding> {
  const indexed = new Set(source.indexes.flatMap(({ parts }) => parts.map(({ column }) => column)))
  const texts = [
    ...(source.checks ?? []).map(({ sql }) => sql),
    ...source.indexes.flatMap(({ parts, where }) => [...parts.map(({ expression }) => expression), where]),
    ...source.columns
      .filter(({ stored, name }) => stored || indexed.has(name))
      .map(({ generatedSql }) => generatedSql),
  ].filter((text) => text !== undefined)
  const called = new Set(texts.flatMap(callsIn).filter((name) => !functions.has(name)))
  if (called.size > 0) {
    yield {
      code: 'way_back_function',
      severity: 'blocks',
      table: source.name,
      examples: [...called],
      message: `${source.name}: an index, a CHECK or a generated column calls ${listed([...called])}, which only the application registers: nothing could be written back into the table`,
      remedy: 'Drop it in SQLite before the switchover; the application makes it again after a rollback.',
    }
  }
  const own = (name: string): boolean => !BUILT_IN_COLLATIONS.has(name.toUpperCase())
  const collations = new Set([
    ...source.indexes.flatMap(({ parts }) => parts.map(({ collation }) => collation)).filter(own),
    // A CHECK that compares the column needs it as well.
    ...source.columns
      .filter(
        ({ collation, name }) =>
          own(collation) && (source.checks ?? []).some((check) => mentions(check.sql, name)),
      )
      .map(({ collation }) => collation),
  ])
  if (collations.size > 0) {
    yield {
      code: 'way_back_collation',
      severity: 'blocks',
      table: source.name,
      examples: [...collations],
      message: `${source.name}: an index or a CHECK compares by ${listed([...collations])}, which only the application registers: nothing could be written back into the table`,
      remedy: 'Drop it in SQLite before the switchover; the application makes it again after a rollback.',
    }
  }
}

const OPERATORS = new Set([
  ...[
    'and',
    'or',
    'not',
    'in',
    'is',
    'like',
    'glob',
    'match',
    'between',
    'case',
    'when',
    'then',
    'else',
    'exists',
  ],
  ...[
    'cast',
    'escape',
    'isnull',
    'notnull',
    'collate',
    'distinct',
    'from',
    'values',
    'select',
    'where',
    'over',
    'filter',
  ],
])

function tokensOf(sql: string): Token[] {
  try {
    return tokenize(sql)
  } catch (error) {
    if (error instanceof Unreadable) return []
    throw error
  }
}

/** Names of functions that an expression calls, in lower case. */
function callsIn(sql: string): string[] {
  const tokens = tokensOf(sql)
  return tokens.flatMap((token, index) => {
    const name = token.text.toLowerCase()
    if (token.kind === 'word' && name === 'regexp' && tokens[index + 1]?.text !== '(') return [name]
    const call = (token.kind === 'word' || token.kind === 'name') && tokens[index + 1]?.text === '('
    return call && !(token.kind === 'word' && OPERATORS.has(name)) ? [name] : []
  })
}

function mentions(sql: string, column: string): boolean {
  return tokensOf(sql).some(
    ({ kind, text }) => (kind === 'word' || kind === 'name') && text.toLowerCase() === column.toLowerCase(),
  )
}

function uniques({ source, spec, target }: ParityTable): Finding[] {
  if (target === undefined) return []
  const lacking = source.indexes.filter((index) => index.unique && !isKept(index, spec, target))
  return lacking.map((index): Finding => {
    const named = index.parts.map(({ column, expression }) => column ?? expression ?? '…').join(', ')
    const loose = index.parts.map(({ collation }) => collation).find((name) => name !== 'BINARY')
    const [only] = index.parts
    return {
      code: 'way_back_unique',
      severity: 'warns',
      table: source.name,
      ...(index.parts.length === 1 && only?.column !== undefined ? { column: only.column } : {}),
      message: `${source.name} (${named}) is unique in SQLite${loose === undefined ? '' : ` by ${loose}`}, and PostgreSQL has nothing as strict: of two rows that are twins there one could not come back`,
      remedy: `${loose === 'NOCASE' ? 'Make a unique index on lower(…) there,' : 'Make a unique index there,'} ${BE_SURE}`,
    }
  })
}

/** Whether some unique of the target refuses whatever the source's would refuse. */
function isKept(index: SourceIndex, spec: TableSpec, target: TargetTable): boolean {
  const plain =
    index.where === undefined && index.parts.every(({ column }) => targetOf(column, spec) !== undefined)
  if (!plain) {
    // Whether two conditions or expressions are the same is for a person: that there is one has to do.
    return target.uniques.some(({ where, columns }) => where !== undefined || columns === undefined)
  }
  return target.uniques.some(
    ({ where, parts }) =>
      where === undefined &&
      parts.every((part) =>
        index.parts.some(({ column, collation }) => isAsStrict(part, column, collation, spec, target)),
      ),
  )
}

function targetOf(column: string | undefined, spec: TableSpec): string | undefined {
  return spec.columns.find(({ name }) => name.toLowerCase() === column?.toLowerCase())?.target
}

function isAsStrict(
  part: string,
  column: string | undefined,
  collation: string,
  spec: TableSpec,
  target: TargetTable,
): boolean {
  const name = targetOf(column, spec)
  const described = target.columns.find((each) => each.name === name)
  if (name === undefined || described === undefined || !mentions(part, name)) return false
  const bare = tokensOf(part).length === 1
  if (collation === 'NOCASE')
    return /\b(lower|upper)\s*\(/i.test(part) || (bare && !described.exact) || !isText(described.type)
  if (collation === 'RTRIM') return /\brtrim\s*\(/i.test(part) || !isText(described.type)
  return true
}

const isText = (type: string): boolean => /^(text|char|citext|name)/.test(parseType(type).name)

function* checks({ source, spec, target }: ParityTable): Iterable<Finding> {
  if (source.checks === undefined) {
    if (/\bCHECK\b/i.test(source.sql)) yield checkFinding(source, 'its CHECKs could not be read')
    return
  }
  for (const check of source.checks) {
    if (
      spec.owned ? !isCarried(check, source, spec) : target !== undefined && !isThere(check, spec, target)
    ) {
      const line = check.sql.replace(/\s+/g, ' ')
      const text = line.length <= 80 ? line : `${line.slice(0, 80)}…`
      yield checkFinding(source, `PostgreSQL does not keep CHECK (${text})`, check.column)
    }
  }
}

function checkFinding(source: SourceTable, why: string, column?: string): Finding {
  return {
    code: 'way_back_check',
    severity: 'warns',
    table: source.name,
    ...(column === undefined ? {} : { column }),
    message: `${source.name}: ${why}: a row that breaks it could not come back`,
    remedy: `Add it to the table in PostgreSQL, ${BE_SURE}`,
  }
}

/** It wakes up when PostgreSQL gets the authority. */
function isCarried(check: SourceCheck, source: SourceTable, spec: TableSpec): boolean {
  const context = expressionContext(source, spec, planGenerated(source, spec).named)
  const condition = translateCondition(check.sql, context)
  return !('reason' in condition) && condition.always !== false
}

/** That some CHECK of the target is about the same columns has to do. */
function isThere(check: SourceCheck, spec: TableSpec, target: TargetTable): boolean {
  const columns = spec.columns.filter(({ name }) => mentions(check.sql, name))
  return (target.checks ?? []).some((text) => columns.every((column) => mentions(text, column.target)))
}

function notNulls({ source, spec, target }: ParityTable): Finding[] {
  if (target === undefined) return []
  const nullable = spec.columns.filter(({ name, target: there }) => {
    const column = source.columns.find((each) => each.name === name)
    return column?.notNull === true && target.columns.find((each) => each.name === there)?.notNull === false
  })
  return nullable.map(
    ({ name, target: there }): Finding => ({
      code: 'way_back_not_null',
      severity: 'warns',
      table: source.name,
      column: name,
      message: `${source.name}.${name} is NOT NULL in SQLite and not in PostgreSQL: a row with NULL could not come back`,
      remedy: `Say ALTER COLUMN "${there}" SET NOT NULL there, ${BE_SURE}`,
    }),
  )
}
