import type { Finding } from '../finding.ts'
import { BUILT_IN_COLLATIONS } from '../plan-types.ts'
import type { SourceTable } from '../source-schema.ts'
import type { SourceSurvey } from './inputs.ts'
import { listed } from './misfit-kinds.ts'

const MODULES: readonly (readonly [RegExp, string])[] = [
  [/^fts/i, 'Full text: a tsvector column with a GIN index, or pg_trgm.'],
  [/^rtree|^geopoly/i, 'Ranges and boxes: a GiST index, or PostGIS.'],
]

/** What is no table and stays behind, and what is special about a table. What of its DDL stays behind is not told here. */
export function sourceSchemaFindings(
  survey: SourceSurvey,
  viewReasons: ReadonlyMap<string, string>,
): Finding[] {
  return [
    ...notTables(survey, viewReasons),
    ...survey.inventory.tables.flatMap((table) => [...tableFindings(table, survey)]),
  ]
}

function* notTables(
  { inventory, extras }: SourceSurvey,
  viewReasons: ReadonlyMap<string, string>,
): Iterable<Finding> {
  for (const { name } of extras.views) {
    const reason = viewReasons.get(name)
    yield {
      code: 'view_left_behind',
      severity: 'warns',
      table: name,
      message: `a view is yours to make again in PostgreSQL${reason === undefined ? '' : ` (here it cannot be read: ${reason})`}`,
      remedy: "Write it in PostgreSQL's SQL, by the application's own migrations.",
    }
  }
  for (const { name, module, shadows } of extras.virtual) {
    yield {
      code: 'virtual_table',
      severity: 'warns',
      table: name,
      ...(shadows.length > 0 ? { examples: shadows } : {}),
      message: `a virtual table (${module}) has no triggers and no rows of its own: it is left out${shadows.length > 0 ? ', with its shadow tables' : ''}`,
      remedy:
        MODULES.find(([pattern]) => pattern.test(module))?.[1] ?? 'Build what it does anew in PostgreSQL.',
    }
  }
  const others = new Set([...extras.views, ...extras.virtual].map(({ name }) => name))
  for (const { name, reason } of inventory.skipped) {
    if (others.has(name)) continue
    const bookkeeping = /bookkeeping/.test(reason)
    yield {
      code: bookkeeping ? 'bookkeeping_left_behind' : 'table_excluded',
      severity: 'info',
      table: name,
      message: `the table stays behind: ${reason}`,
    }
  }
}

function* tableFindings(table: SourceTable, { extras, checks }: SourceSurvey): Iterable<Finding> {
  const at = { table: table.name }
  const triggers = extras.triggers.filter((trigger) => same(trigger.table, table.name))
  const ignoring = triggers.filter((trigger) => /\bRAISE\s*\(\s*IGNORE\s*\)/i.test(trigger.sql))
  if (ignoring.length > 0) {
    yield {
      code: 'trigger_raises_ignore',
      severity: 'info',
      ...at,
      examples: ignoring.map((trigger) => trigger.name),
      message:
        'a trigger says RAISE(IGNORE): capture is installed after it and fires before it; one that is made anew later means a new copy',
    }
  }
  const { functions = [], collations = [], refusal } = checks.get(table.name) ?? {}
  if (functions.length > 0) {
    yield {
      code: 'application_function',
      severity: 'warns',
      ...at,
      examples: functions,
      message: `its triggers, CHECKs, indexes or generated columns call ${listed(functions)}, which only the application registers: they stay behind, and capture cannot be tried out here`,
      remedy: 'Try the application once after capture is installed; write what they do anew in PostgreSQL.',
    }
  }
  const foreign = collations.filter((name) => !BUILT_IN_COLLATIONS.has(name.toUpperCase()))
  if (foreign.length > 0) {
    yield {
      code: 'application_collation',
      severity: 'warns',
      ...at,
      examples: foreign,
      message: `it compares by ${listed(foreign)}, which only the application registers: its order is another one in PostgreSQL, and capture cannot be tried out here`,
      remedy:
        "Choose a collation of PostgreSQL for these columns (ICU has most), by the application's own migrations.",
    }
  }
  if (refusal !== undefined) {
    yield {
      code: 'writes_fail_here',
      severity: 'warns',
      ...at,
      message: `a write to it could not be compiled here, so capture cannot be tried out: ${refusal}`,
      remedy: 'See that the application itself can still write to the table.',
    }
  }
  yield* shape(table)
}

function* shape(table: SourceTable): Iterable<Finding> {
  const at = { table: table.name }
  if (table.strict) {
    yield {
      code: 'strict_table',
      severity: 'info',
      ...at,
      message: 'STRICT is how every PostgreSQL table is; it kept neither Infinity nor invalid UTF-8 out here',
    }
  }
  if (table.withoutRowid) {
    yield {
      code: 'without_rowid',
      severity: 'info',
      ...at,
      message: 'WITHOUT ROWID: it is walked by its primary key, and is an ordinary table in PostgreSQL',
    }
  }
  const uniques = table.indexes.filter((index) => index.unique && index.origin === 'c')
  if (uniques.length > 0) {
    yield {
      code: 'drop_of_unique_column',
      severity: 'info',
      ...at,
      examples: uniques.map((index) => index.name),
      message:
        'while slipway captures, DROP INDEX and then DROP COLUMN of a unique column fails in the application with an error that names a _slipway_ trigger',
      remedy: 'Before such a migration: slipway uninstall; after it: slipway snapshot',
    }
  }
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}
