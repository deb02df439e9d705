import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { quoteList, sameKey, targetColumns } from './stage.ts'

/** Statements that bring the rows of a stage into the target. */

/** An identity ALWAYS refuses given values otherwise (trap P7). */
function into(table: TableSpec, columns: readonly string[]): string {
  return `INSERT INTO ${targetName(table)} (${quoteList(columns)}) OVERRIDING SYSTEM VALUE`
}

export function insertSql(table: TableSpec, stage: string): string {
  const columns = targetColumns(table)
  return `${into(table, columns)} SELECT ${quoteList(columns)} FROM ${stage}`
}

export function upsertSql(table: TableSpec, stage: string): string {
  const keys = new Set(table.key.columns.map((column) => column.target))
  const rest = targetColumns(table).filter((name) => !keys.has(name))
  const action =
    rest.length === 0
      ? 'DO NOTHING'
      : `DO UPDATE SET ${rest.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(', ')}`
  return `${insertSql(table, stage)} ON CONFLICT (${quoteList([...keys])}) ${action}`
}

/** The target's rows that have the keys of a stage. */
export function deleteSql(table: TableSpec, stage: string): string {
  return `DELETE FROM ${targetName(table)} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`
}

const KEPT = 'pg_temp.slipway_kept'

/** Notes the columns that the source does not have, of rows that are about to be replaced. */
export function keptRows(table: TableSpec, stage: string, extra: readonly string[]): string {
  const keys = table.key.columns.map((column) => column.target)
  return (
    `CREATE TEMP TABLE slipway_kept ON COMMIT DROP AS SELECT ${of('t', [...keys, ...extra])} ` +
    `FROM ${targetName(table)} t JOIN ${stage} s ON ${sameKey(table, 't', 's')}`
  )
}

/** The rows of a stage `s`, with what was kept of each, or with the target's defaults; more conditions may follow. */
export function keptInserts(table: TableSpec, stage: string, extra: readonly string[]): string[] {
  const columns = targetColumns(table)
  return [
    `${into(table, [...columns, ...extra])} SELECT ${of('s', columns)}, ${of('k', extra)}
     FROM ${stage} s JOIN ${KEPT} k ON ${sameKey(table, 's', 'k')} WHERE true`,
    `${into(table, columns)} SELECT ${of('s', columns)}
     FROM ${stage} s WHERE NOT EXISTS (SELECT 1 FROM ${KEPT} k WHERE ${sameKey(table, 's', 'k')})`,
  ]
}

function of(alias: string, names: readonly string[]): string {
  return names.map((name) => `${alias}.${quote(name)}`).join(', ')
}
