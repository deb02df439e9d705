import type { Finding } from '../finding.ts'
import type { PlannedTable } from '../plan.ts'
import type { SourceIndex, SourceTable } from '../source-schema.ts'
import type { TableSpec } from '../table.ts'
import type { ExistingTable, ServerFacts } from './inputs.ts'
import { listed } from './misfit-kinds.ts'

/** What is to be said of the server, and of tables that exist there already. */
export function targetFindings(server: ServerFacts, planned: readonly PlannedTable[]): Finding[] {
  const begun = server.phase !== undefined && server.phase !== 'new'
  const general: Finding[] = []
  if (!server.schemaExists) {
    general.push({
      code: 'target_schema_missing',
      severity: 'info',
      message: `the schema ${server.schema} does not exist in PostgreSQL: it is made`,
    })
  }
  if (begun) {
    general.push({
      code: 'migration_begun',
      severity: 'info',
      message: `this migration has begun already: its phase is ${server.phase}`,
    })
  }
  // Foreign keys sleep while a migration runs, so what is missing then says nothing.
  if (begun) return general
  return [...general, ...planned.flatMap((each) => [...lacks(each, server)])]
}

/** Constraints of the source that an existing table does not keep: rows may come that cannot go back. */
function* lacks({ source, spec }: PlannedTable, server: ServerFacts): Iterable<Finding> {
  const existing = server.tables.find(({ table }) => table.name === spec.target)
  if (spec.owned || existing === undefined) return
  const finding = (code: string, what: string, examples: readonly string[]): Finding => ({
    code,
    severity: 'warns',
    table: source.name,
    examples,
    message: `PostgreSQL does not keep ${what}: it will take rows that SQLite would refuse on the way back`,
    remedy: 'Add it to the table in PostgreSQL, or be sure that the application keeps it by itself.',
  })
  const uniques = source.indexes.filter(
    (index) => index.unique && !keptUnique(index, spec, existing) && namesAll(index, spec),
  )
  if (uniques.length > 0) {
    const named = uniques.map(describeUnique)
    yield finding(
      'target_lacks_unique',
      `that ${listed(named)} ${named.length === 1 ? 'is' : 'are'} unique`,
      named,
    )
  }
  const nullable = spec.columns.filter((column) => {
    const target = existing.table.columns.find((each) => each.name === column.target)
    const notNull = source.columns.find((each) => each.name === column.name)?.notNull === true
    return notNull && target?.notNull === false
  })
  if (nullable.length > 0) {
    const names = nullable.map((column) => column.name)
    yield finding('target_lacks_not_null', `NOT NULL of ${listed(names)}`, names)
  }
  const foreign = source.foreignKeys.filter((key) => {
    const columns = key.columns.map((name) => targetOf(spec, name))
    return !existing.foreignKeys.some((other) => sameSet(other.columns, columns))
  })
  if (foreign.length > 0) {
    const names = foreign.map((key) => `${key.columns.join(', ')} → ${key.parent}`)
    yield finding('target_lacks_foreign_key', `the foreign key ${listed(names)}`, names)
  }
  if (/\bCHECK\s*\(/i.test(source.sql) && existing.checks === 0)
    yield finding('target_lacks_check', 'the CHECK constraints', [])
  yield* collations(source, spec, existing)
}

/** Columns that compare without regard to case or blanks, and will not in PostgreSQL (trap V10). */
function* collations(source: SourceTable, spec: TableSpec, { table }: ExistingTable): Iterable<Finding> {
  for (const { name, collation } of source.columns) {
    const target = table.columns.find((each) => each.name === targetOf(spec, name))
    if (target?.exact !== true || !(collation === 'NOCASE' || collation === 'RTRIM')) continue
    if (!/^(text|char)/.test(target.base ?? target.type)) continue
    yield {
      code: 'collation_differs',
      severity: 'warns',
      table: source.name,
      column: name,
      message: `${source.name}.${name} is compared by ${collation} in SQLite and byte by byte in PostgreSQL`,
      remedy:
        collation === 'NOCASE'
          ? 'Compare lower(column) in queries, or make the column citext.'
          : 'Compare rtrim(column) in queries.',
    }
  }
}

function targetOf(spec: TableSpec, name: string | undefined): string | undefined {
  return spec.columns.find((column) => column.name.toLowerCase() === name?.toLowerCase())?.target
}

/** Every part of it stands on columns that are moved; an expression counts as such. */
function namesAll(index: SourceIndex, spec: TableSpec): boolean {
  return index.parts.every((part) => part.column === undefined || targetOf(spec, part.column) !== undefined)
}

function keptUnique(index: SourceIndex, spec: TableSpec, { table }: ExistingTable): boolean {
  const plain = index.where === undefined && index.parts.every((part) => part.column !== undefined)
  if (!plain) {
    // Whether two conditions or expressions are the same is for a person: that there is one has to do.
    return table.uniques.some((unique) => unique.where !== undefined || unique.columns === undefined)
  }
  const wanted = index.parts.map((part) => targetOf(spec, part.column))
  return table.uniques.some(
    ({ where, columns, parts }) =>
      where === undefined &&
      // lower(name) keeps what NOCASE keeps.
      sameSet(columns ?? parts.map((part) => /^lower\(\(?"?([^")]+)/.exec(part)?.[1] ?? part), wanted),
  )
}

function describeUnique(index: SourceIndex): string {
  return `(${index.parts.map((part) => part.column ?? part.expression ?? '…').join(', ')})`
}

function sameSet(some: readonly (string | undefined)[], others: readonly (string | undefined)[]): boolean {
  return some.length === others.length && some.every((name) => name !== undefined && others.includes(name))
}
