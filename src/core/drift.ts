/** What a changed schema of the source means for the tables of a migration that is under way. Pure. */
import type { PlannedTable } from './plan.ts'
import type { SourceTable } from './source-schema.ts'
import type { ColumnSpec, TableSpec } from './table.ts'

/** What has to be done to the target of one table before its rows can be made equal again. */
export type TableChange =
  /** Rows may have been missed; the table itself is as it was. */
  | { readonly kind: 'same'; readonly table: PlannedTable }
  | { readonly kind: 'new'; readonly table: PlannedTable }
  /** One of ours whose key or types are others now: made anew, since nothing of it may be trusted. */
  | { readonly kind: 'remade'; readonly table: PlannedTable; readonly before: TableSpec }
  /** Columns came, went, or take NULL now. */
  | {
      readonly kind: 'altered'
      readonly table: PlannedTable
      readonly before: TableSpec
      readonly added: readonly ColumnSpec[]
      readonly dropped: readonly ColumnSpec[]
      readonly nullable: readonly ColumnSpec[]
    }

export interface Drift {
  readonly changes: readonly TableChange[]
  /** No longer in the source, or left out: they stay as they are in the target. */
  readonly gone: readonly TableSpec[]
}

/** Compares the plan so far with the one that the source asks for now. */
export function driftOf(before: readonly TableSpec[], planned: readonly PlannedTable[]): Drift {
  const changes = planned.map((table): TableChange => {
    const old = before.find((spec) => spec.name === table.spec.name)
    return old === undefined || old.target !== table.spec.target || old.schema !== table.spec.schema
      ? { kind: 'new', table }
      : changeOf(old, table)
  })
  const names = new Set(planned.map(({ spec }) => spec.name))
  return { changes, gone: before.filter((spec) => !names.has(spec.name)) }
}

function changeOf(before: TableSpec, table: PlannedTable): TableChange {
  const { spec } = table
  if (!spec.owned) return { kind: 'same', table }
  const old = new Map(before.columns.map((column) => [column.name, column]))
  const now = new Map(spec.columns.map((column) => [column.name, column]))
  const retyped = spec.columns.some((column) => {
    const earlier = old.get(column.name)
    return earlier !== undefined && (earlier.type !== column.type || earlier.target !== column.target)
  })
  if (retyped || keyOf(before) !== keyOf(spec)) return { kind: 'remade', table, before }
  const added = spec.columns.filter((column) => !old.has(column.name))
  const dropped = before.columns.filter((column) => !now.has(column.name))
  const nullable = spec.columns.filter((column) => !column.notNull && old.get(column.name)?.notNull === true)
  if (added.length + dropped.length + nullable.length === 0) return { kind: 'same', table }
  return { kind: 'altered', table, before, added, dropped, nullable }
}

function keyOf(spec: TableSpec): string {
  return JSON.stringify([
    spec.key.kind,
    spec.key.columns.map(({ name, target, type }) => [name, target, type]),
  ])
}

/**
 * The stored plan of a table holds on as long as the source has the same columns and key: then its types are not
 * chosen again, since a type that was widened once would be forgotten.
 */
export function holdsOn(before: TableSpec, table: SourceTable): boolean {
  const names = table.columns.filter((column) => !column.generated).map((column) => column.name)
  return (
    before.rowid === table.rowid &&
    names.length === before.columns.length &&
    before.columns.every((column) => {
      const now = table.columns.find(({ name }) => name === column.name)
      // A column that takes NULL now must take it in a table of ours as well.
      return (
        now !== undefined && !now.generated && (now.notNull || !column.notNull || isKey(before, column.name))
      )
    }) &&
    keyHolds(before, table)
  )
}

function isKey(spec: TableSpec, name: string): boolean {
  return spec.key.columns.some((column) => column.name === name)
}

function keyHolds({ key }: TableSpec, table: SourceTable): boolean {
  if (key.kind === 'rowid') return table.rowid !== undefined
  const same = (names: readonly (string | undefined)[]): boolean =>
    names.length === key.columns.length && key.columns.every((column) => names.includes(column.name))
  if (key.kind === 'primary') return same(table.columns.filter((c) => c.primary > 0).map((c) => c.name))
  return table.indexes.some(
    (index) => index.unique && index.where === undefined && same(index.parts.map((p) => p.column)),
  )
}
