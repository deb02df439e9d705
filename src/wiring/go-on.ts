import { Failure } from '../core/errors.ts'
import type { PlannedTable } from '../core/plan.ts'
import type { Inventory } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'

/** The stored plan, joined with the source's present description of the same tables. */
export function goOnWith(stored: readonly TableSpec[], inventory: Inventory): PlannedTable[] {
  return stored.map((spec) => {
    const source = inventory.tables.find((table) => table.name === spec.name)
    if (source === undefined) {
      throw new Failure({
        code: 'table_left_out',
        message: `${spec.name} is part of this migration, and TABLES, EXCLUDE_TABLES or the plan now leave it out`,
        remedy: 'Give them the values that they had at the first snapshot, or start over: slipway uninstall',
      })
    }
    return { source, spec, warnings: [] }
  })
}
