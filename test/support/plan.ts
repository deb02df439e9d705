/** Planning as slipway does it, without slipway: a SQLite in memory, and a target that is only described. */
import Database from 'better-sqlite3'
import type { Finding } from '../../src/core/finding.ts'
import { type PlanOutcome, planTables } from '../../src/core/plan.ts'
import type { PlanFile, PlanTable } from '../../src/core/plan-file.ts'
import { matchTables } from '../../src/core/plan-match.ts'
import type { TableProfile } from '../../src/core/plan-profile.ts'
import type { ColumnSpec, TableSpec } from '../../src/core/table.ts'
import type { TargetColumn, TargetTable, TargetUnique } from '../../src/core/target-schema.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { profileTable } from '../../src/sqlite/profile.ts'
import { ReaderGate } from '../../src/sqlite/reader-gate.ts'

export interface PlanCase {
  readonly source: readonly string[]
  readonly targets?: readonly TargetTable[]
  readonly tables?: Readonly<Record<string, PlanTable>>
  readonly plan?: PlanFile
  readonly owned?: readonly string[]
  readonly taken?: readonly string[]
  readonly widened?: ReadonlyMap<string, string>
}

/** Plans the tables of `source` into the schema `app`. */
export async function plan(given: PlanCase): Promise<PlanOutcome> {
  const database = new Database(':memory:')
  try {
    database.defaultSafeIntegers(true)
    registerFunctions(database)
    for (const statement of given.source) database.exec(statement)
    const { tables, skipped } = introspect(database, [], [])
    const file = given.plan ?? (given.tables && { version: 1, schema: 'app', tables: given.tables })
    const input = {
      sources: tables,
      targets: given.targets ?? [],
      schema: 'app',
      owned: new Set(given.owned),
      taken: new Set(given.taken),
      plan: file,
    }
    const profiles = new Map<string, TableProfile>()
    const gate = new ReaderGate(':memory:', Number.POSITIVE_INFINITY)
    for (const match of matchTables(input).matches) {
      const profile = await profileTable(database, match, gate, new AbortController().signal)
      profiles.set(match.source.name, { ...profile, widened: given.widened })
    }
    return planTables({ ...input, profiles, skipped: skipped.map(({ name }) => name) })
  } finally {
    database.close()
  }
}

/** A table of the target: `{ id: 'bigint!' }` is a NOT NULL column. Further facts of columns by name. */
export function target(
  name: string,
  columns: Readonly<Record<string, string>>,
  facts: Partial<TargetTable> = {},
  details: Readonly<Record<string, Partial<TargetColumn>>> = {},
): TargetTable {
  return {
    schema: 'app',
    name,
    columns: Object.entries(columns).map(([column, type]) => ({
      name: column,
      type: type.replace(/!$/, ''),
      notNull: type.endsWith('!'),
      hasDefault: false,
      identity: false,
      identityAlways: false,
      exact: true,
      generated: false,
      ...details[column],
    })),
    uniques: [],
    empty: true,
    mine: true,
    owner: 'app',
    role: 'app',
    ...facts,
  }
}

/** A unique index of plain columns. */
export function unique(
  name: string,
  columns: readonly string[],
  facts: Partial<TargetUnique> = {},
): TargetUnique {
  return { name, parts: columns, columns, where: undefined, deferrable: false, primary: false, ...facts }
}

/** `code` or `code: column` of each finding of a severity, sorted. */
export function codes(outcome: PlanOutcome, severity: Finding['severity'] = 'blocks'): string[] {
  return outcome.findings
    .filter((finding) => finding.severity === severity)
    .map(({ code, column }) => (column === undefined ? code : `${code}: ${column}`))
    .sort()
}

export function specOf(outcome: PlanOutcome, table: string): TableSpec {
  return outcome.tables.find(({ spec }) => spec.name === table)!.spec
}

export function columnOf(outcome: PlanOutcome, table: string, column: string): ColumnSpec {
  return specOf(outcome, table).columns.find(({ name }) => name === column)!
}

export function finding(outcome: PlanOutcome, code: string): Finding {
  const found = outcome.findings.find((each) => each.code === code)
  if (found === undefined) throw new Error(`no ${code} among ${JSON.stringify(outcome.findings, null, 1)}`)
  return found
}
