import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { amount, type Finding } from '../core/finding.ts'
import { type PlannedTable, planTables } from '../core/plan.ts'
import type { PlanFile } from '../core/plan-file.ts'
import { type MatchInput, matchTables } from '../core/plan-match.ts'
import type { TableProfile } from '../core/plan-profile.ts'
import type { Inventory } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { isBuiltIn } from '../core/type-names.ts'
import type { Connection } from '../postgres/connection.ts'
import { introspectTarget, otherRelations } from '../postgres/introspect.ts'
import { introspect } from '../sqlite/introspect.ts'
import type { Sqlite } from '../sqlite/open.ts'
import { foreignCollation, profileTable } from '../sqlite/profile.ts'
import type { ReaderGate } from '../sqlite/reader-gate.ts'
import { loadPlan } from './plan-file.ts'

type PlanConfig = Pick<Config, 'tables' | 'excludeTables' | 'planFile' | 'planFileNamed' | 'postgresSchema'>

export interface PlanningDeps {
  readonly config: PlanConfig
  readonly reader: Sqlite
  /** Undefined where the target cannot be reached: it is planned as if it had no tables. */
  readonly connection: Connection | undefined
  readonly gate: ReaderGate
  /** Null: none, whatever lies at PLAN_FILE; undefined: the one that lies there. */
  readonly plan?: PlanFile | null | undefined
  /** Tables of the migration so far: those that slipway made, and rows that an earlier copy left. */
  readonly before: readonly TableSpec[]
  /** Types that a value was found to need, by `table\0column`. */
  readonly widened: ReadonlyMap<string, string>
  readonly signal: AbortSignal
  readonly step: (text: string) => void
  /** Names of the tables that are looked at and planned; undefined: all. */
  readonly only?: ReadonlySet<string> | undefined
}

export interface Planning {
  /** Without the tables that the plan leaves out; they are among the skipped. */
  readonly inventory: Inventory
  readonly planned: readonly PlannedTable[]
  readonly findings: readonly Finding[]
  readonly plan: PlanFile | undefined
}

/** What is to be moved: the source's tables without those that TABLES, EXCLUDE_TABLES or the plan leave out. */
export function readInventory(
  config: PlanConfig,
  reader: Sqlite,
  plan: PlanFile | null = loadPlan(config) ?? null,
): Inventory {
  const entries = Object.entries(plan?.tables ?? {})
  const wanted = new Set(entries.filter(([, entry]) => entry.include === true).map(([name]) => name))
  const inventory = introspect(reader, config.tables, config.excludeTables, wanted)
  const left = new Set(entries.filter(([, entry]) => entry.include === false).map(([name]) => name))
  return {
    ...inventory,
    tables: inventory.tables.filter(({ name }) => !left.has(name)),
    skipped: [
      ...inventory.skipped,
      ...inventory.tables
        .filter(({ name }) => left.has(name))
        .map(({ name }) => ({ name, reason: plan?.tables[name]?.note ?? 'the plan leaves it out' })),
    ],
  }
}

/**
 * Looks at both schemas and at the source's values, and plans. Nothing is changed on either side. Findings that block
 * are for the caller to refuse (`refuseBlocked`); a plan file that is wrong by itself throws `plan_invalid`.
 */
export async function planSource(deps: PlanningDeps): Promise<Planning> {
  const { config, reader, connection, before, only, signal } = deps
  const plan = deps.plan === undefined ? loadPlan(config) : (deps.plan ?? undefined)
  const inventory = readInventory(config, reader, plan ?? null)
  const input = await matchInput(deps, inventory, plan)
  const looked = matchTables(input).matches.filter(
    ({ source }) => only === undefined || only.has(source.name),
  )
  deps.step(`looking at the values of ${amount(looked.length, 'table')}`)
  const profiles = new Map<string, TableProfile>()
  const unreadable: Finding[] = []
  for (const match of looked) {
    const foreign = foreignCollation(match.source)
    if (foreign !== undefined) {
      unreadable.push(foreign)
      continue
    }
    const profile = await profileTable(reader, match, deps.gate, signal)
    profiles.set(match.source.name, { ...profile, widened: widenedOf(deps.widened, match.source.name) })
  }
  const left = new Set(unreadable.map(({ table }) => table))
  const { tables, findings } = planTables({
    ...input,
    profiles,
    only: new Set(looked.map(({ source }) => source.name).filter((name) => !left.has(name))),
    skipped: inventory.skipped.map(({ name }) => name),
  })
  if (connection !== undefined) await refuseUnknownTypes(connection, tables, config)
  const kept = before.filter((spec) => only !== undefined && !only.has(spec.name))
  const all = [...unreadable, ...findings, ...takenByOthers(tables, kept)]
  return { inventory, planned: tables, findings: all, plan }
}

async function matchInput(
  { config, connection, before }: PlanningDeps,
  inventory: Inventory,
  plan: PlanFile | undefined,
): Promise<MatchInput> {
  const schema = config.postgresSchema
  const targets = connection === undefined ? [] : await introspectTarget(connection, schema)
  const filled = new Set(before.map((spec) => spec.target))
  return {
    sources: inventory.tables,
    // Tables of an earlier copy hold its rows: they are ours to empty.
    targets: targets.map((table) => (filled.has(table.name) ? { ...table, empty: true } : table)),
    schema,
    owned: new Set(before.filter((spec) => spec.owned).map((spec) => spec.target)),
    taken: connection === undefined ? new Set() : await otherRelations(connection, schema),
    plan,
  }
}

/** Tables that are not planned now keep their places. */
function takenByOthers(planned: readonly PlannedTable[], kept: readonly TableSpec[]): Finding[] {
  return planned.flatMap(({ spec }): Finding[] => {
    const other = kept.find((each) => each.target === spec.target)
    if (other === undefined) return []
    return [
      {
        code: 'same_target',
        severity: 'blocks',
        table: spec.name,
        message: `${spec.name} and ${other.name} both land in ${spec.target}`,
        remedy: 'Give one of them another name in the plan (target), or leave it out.',
      },
    ]
  })
}

function widenedOf(widened: ReadonlyMap<string, string>, table: string): ReadonlyMap<string, string> {
  const prefix = `${table}\0`
  return new Map(
    [...widened]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, type]) => [key.slice(prefix.length), type]),
  )
}

/** A type that the plan names for a table of ours becomes a part of CREATE TABLE: it must be one. */
async function refuseUnknownTypes(
  connection: Connection,
  tables: readonly PlannedTable[],
  config: PlanConfig,
): Promise<void> {
  const problems: string[] = []
  for (const { spec } of tables.filter((table) => table.spec.owned)) {
    for (const { name, type } of spec.columns.filter((column) => !isBuiltIn(column.type))) {
      const known = await connection.use(async (client) => {
        try {
          const { rows } = await client.query('SELECT to_regtype($1) IS NOT NULL AS known', [
            type.replace(/\([\d, ]+\)/, ''),
          ])
          return rows[0].known as boolean
        } catch {
          return false
        }
      })
      if (!known) problems.push(`tables.${spec.name}.columns.${name}.type: the server has no type ${type}`)
    }
  }
  if (problems.length === 0) return
  throw new Failure({
    code: 'plan_invalid',
    exit: 2,
    message: `the plan ${config.planFile} is not usable:\n  - ${problems.join('\n  - ')}`,
    remedy: 'Name a type of PostgreSQL, or leave the type out.',
    facts: { problems },
  })
}
