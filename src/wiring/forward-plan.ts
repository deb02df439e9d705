import type { Config } from '../core/config.ts'
import { holdsOn } from '../core/drift.ts'
import { type PlannedTable, refuseBlocked } from '../core/plan.ts'
import { parentsOf } from '../core/plan-key.ts'
import { ruleType } from '../core/plan-match.ts'
import type { Inventory, SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import type { KeptUnique } from '../postgres/comparer.ts'
import type { Connection } from '../postgres/connection.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { keptBySource } from '../postgres/displace.ts'
import { introspectTarget } from '../postgres/introspect.ts'
import type { Sqlite } from '../sqlite/open.ts'
import type { ReaderGate } from '../sqlite/reader-gate.ts'
import { planSource, readInventory } from './planning.ts'

interface ForwardPlanDeps {
  readonly config: Config
  readonly connection: Connection
  readonly reader: Sqlite
  readonly control: ControlState
  readonly gate: ReaderGate
  /** Types that a value was found to need, by `table\0column`. */
  readonly widened: ReadonlyMap<string, string>
  /** Tables whose plan does not fit their values. */
  readonly outgrown: ReadonlySet<string>
  readonly signal: AbortSignal
  readonly step: (text: string) => void
  readonly warn: (text: string) => void
}

/** True where a copy was finished once: from then on a doubt is mended and not copied away. */
export function copied(control: ControlState): boolean {
  return control.phase !== 'new' && control.phase !== 'snapshotting'
}

/**
 * The plan of every table: kept where it holds on, made anew elsewhere. Throws where something blocks, with all the
 * reasons.
 */
export async function planForward(deps: ForwardPlanDeps): Promise<readonly PlannedTable[]> {
  const { config, connection, reader, control, widened, warn } = deps
  const present = readInventory(config, reader)
  const kept = copied(control) ? await keptOf(deps, present) : new Map<string, TableSpec>()
  const { inventory, planned, findings } = await planSource({
    config,
    reader,
    connection,
    gate: deps.gate,
    before: [...control.tables, ...control.leftBehind],
    widened,
    signal: deps.signal,
    step: deps.step,
    only: new Set(present.tables.map((table) => table.name).filter((name) => !kept.has(name))),
  })
  for (const { name, reason } of inventory.skipped) warn(`${name} is not copied: ${reason}`)
  refuseBlocked(findings, config.postgresSchema)
  for (const { severity, message } of findings) if (severity === 'warns') warn(message)
  return inventory.tables.map((source): PlannedTable => {
    const spec = kept.get(source.name)
    if (spec !== undefined) return { source, spec: withParents(spec, source, inventory.tables), warnings: [] }
    return planned.find((table) => table.source.name === source.name) as PlannedTable
  })
}

/** A rebuilt table may have other foreign keys. */
function withParents(spec: TableSpec, source: SourceTable, tables: readonly SourceTable[]): TableSpec {
  const { parents: _, ...rest } = spec
  const parents = parentsOf(source, tables)
  return parents.length === 0 ? rest : { ...rest, parents }
}

/** Tables whose plan holds on; one that a value was found not to fit is planned again. */
async function keptOf(
  { config, connection, control, outgrown }: ForwardPlanDeps,
  inventory: Inventory,
): Promise<Map<string, TableSpec>> {
  const targets = await introspectTarget(connection, config.postgresSchema)
  const kept = new Map<string, TableSpec>()
  for (const table of inventory.tables) {
    const before = control.tables.find((spec) => spec.name === table.name)
    const target = targets.find((each) => each.name === before?.target)
    if (
      before !== undefined &&
      !outgrown.has(table.name) &&
      holdsOn(before, table) &&
      takesStill(before, target)
    )
      kept.set(table.name, before)
  }
  return kept
}

/** A table of ours that is gone is made again; one of somebody else must still have the columns that were planned. */
function takesStill(spec: TableSpec, target: TargetTable | undefined): boolean {
  if (target === undefined) return spec.owned
  return spec.columns.every((column) =>
    target.columns.some((each) => each.name === column.target && ruleType(each).type === column.type),
  )
}

/** Which uniques of the target the source keeps as well; all of a table of ours come from there. */
export function keptUniques(planned: readonly PlannedTable[], shapes: readonly TargetTable[]): KeptUnique {
  return (table, unique) => {
    const source = planned.find(({ spec }) => spec.name === table.name)?.source
    const shape = shapes.find(({ name }) => name === table.target)
    if (table.owned) return true
    return source !== undefined && shape !== undefined && keptBySource(source, table, shape, unique)
  }
}
