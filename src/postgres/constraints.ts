import type pg from 'pg'
import { expressionContext } from '../core/ddl/context.ts'
import { planGenerated } from '../core/ddl/generated.ts'
import { translateCondition } from '../core/ddl/translate.ts'
import type { Finding } from '../core/finding.ts'
import { quote } from '../core/quote.ts'
import type { SourceForeignKey, SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { type Dormant, remember, targetName } from './dormant.ts'
import { indexPlans } from './index-plans.ts'
import { shortName } from './indexes.ts'

export interface PlannedPair {
  readonly source: SourceTable
  readonly spec: TableSpec
}

/** CHECKs and foreign keys of tables of ours, which sleep until PostgreSQL leads, and what is left out of them. */
export interface OwnConstraints {
  readonly dormant: readonly Dormant[]
  readonly findings: readonly Finding[]
}

/**
 * While SQLite leads, neither may refuse a row that the source has: a CHECK may have been switched off there, and a
 * parent may come in a later batch. So they are noted, and wake up when PostgreSQL gets the authority.
 */
export function ownConstraints(planned: readonly PlannedPair[]): OwnConstraints {
  const all = planned.filter(({ spec }) => spec.owned).map((pair) => ofTable(pair, planned))
  return { dormant: all.flatMap((one) => one.dormant), findings: all.flatMap((one) => one.findings) }
}

/** Notes them anew: after the plan or the schema of the source has changed. */
export async function noteOwnConstraints(
  client: pg.ClientBase,
  migration: string,
  planned: readonly PlannedPair[],
): Promise<void> {
  await client.query(`DELETE FROM slipway.dormant WHERE migration = $1 AND kind LIKE 'own\\_%'`, [migration])
  for (const sleeper of ownConstraints(planned).dormant) await remember(client, migration, sleeper)
}

function ofTable(pair: PlannedPair, planned: readonly PlannedPair[]): OwnConstraints {
  const names = new Set<string>()
  const checks = ownChecks(pair, names)
  const keys = ownForeignKeys(pair, planned, names)
  return {
    dormant: [...checks.dormant, ...keys.dormant],
    findings: [...checks.findings, ...keys.findings],
  }
}

/** PostgreSQL keeps names of constraints apart per table; SQLite does not mind twins. */
function freeName(wanted: string, taken: Set<string>): string {
  let name = shortName(wanted)
  for (let number = 2; taken.has(name); number++) name = shortName(`${wanted}_${number}`)
  taken.add(name)
  return name
}

function ownChecks({ source, spec }: PlannedPair, names: Set<string>): OwnConstraints {
  const dormant: Dormant[] = []
  const findings: Finding[] = []
  const leftOut = (what: string, reason: string): void => {
    findings.push({
      code: 'check_left_out',
      severity: 'warns',
      table: source.name,
      message: `${source.name}: ${what} is not carried over: ${reason}`,
      remedy: 'Add one of your own once PostgreSQL leads, where the application relies on it.',
    })
  }
  if (source.checks === undefined) {
    if (/\bCHECK\b/i.test(source.sql)) leftOut('its CHECKs', 'the text of the table could not be read')
    return { dormant, findings }
  }
  const context = expressionContext(source, spec, planGenerated(source, spec).named)
  for (const check of source.checks) {
    const what = `CHECK (${shorten(check.sql)})`
    const condition = translateCondition(check.sql, context)
    if ('reason' in condition) leftOut(what, condition.reason)
    else if (condition.always === false) leftOut(what, 'no row of the target would pass it')
    // What is always true the type has seen to.
    else if (condition.always === undefined) {
      const column = spec.columns.find((one) => one.name === check.column)?.target ?? check.column
      const name = freeName(
        check.name ?? [spec.target, ...(column === undefined ? [] : [column]), 'check'].join('_'),
        names,
      )
      dormant.push({
        table: targetName(spec),
        kind: 'own_check',
        name,
        wake: `ALTER TABLE ${targetName(spec)} ADD CONSTRAINT ${quote(name)} CHECK (${condition.sql}) NOT VALID`,
      })
    }
  }
  return { dormant, findings }
}

function shorten(sql: string): string {
  const line = sql.replace(/\s+/g, ' ')
  return line.length <= 80 ? line : `${line.slice(0, 80)}…`
}

function ownForeignKeys(
  { source, spec }: PlannedPair,
  planned: readonly PlannedPair[],
  names: Set<string>,
): OwnConstraints {
  const dormant: Dormant[] = []
  const findings: Finding[] = []
  for (const key of source.foreignKeys) {
    const parent = planned.find((pair) => pair.source.name.toLowerCase() === key.parent.toLowerCase())
    const pairs = parent === undefined ? undefined : columnPairs(key, spec, parent.spec)
    const reason =
      parent === undefined
        ? `${key.parent} is not moved`
        : pairs === undefined
          ? 'one of its columns is not in the target'
          : misfit(pairs, parent)
    if (reason !== undefined || parent === undefined || pairs === undefined) {
      findings.push({
        code: 'foreign_key_left_out',
        severity: 'warns',
        table: source.name,
        column: key.columns.length === 1 ? key.columns[0] : undefined,
        message: `${source.name}: the foreign key (${key.columns.join(', ')}) to ${key.parent} (${key.parentColumns.join(', ')}) is not carried over: ${reason}`,
        remedy: 'Add one of your own once PostgreSQL leads, where the application relies on it.',
      })
      continue
    }
    const name = freeName(
      key.name ?? `${spec.target}_${pairs.map((p) => p.child.target).join('_')}_fkey`,
      names,
    )
    const list = (which: 'child' | 'parent'): string =>
      pairs.map((pair) => quote(pair[which].target)).join(', ')
    const action = (event: string, what: string): string =>
      what === 'NO ACTION' ? '' : ` ON ${event} ${what}`
    dormant.push({
      table: targetName(spec),
      kind: 'own_foreign_key',
      name,
      wake:
        `ALTER TABLE ${targetName(spec)} ADD CONSTRAINT ${quote(name)} FOREIGN KEY (${list('child')}) ` +
        `REFERENCES ${targetName(parent.spec)} (${list('parent')})` +
        `${action('UPDATE', key.onUpdate)}${action('DELETE', key.onDelete)}` +
        `${key.deferred ? ' DEFERRABLE INITIALLY DEFERRED' : ''} NOT VALID`,
    })
  }
  return { dormant, findings }
}

interface ColumnPair {
  readonly child: TableSpec['columns'][number]
  readonly parent: TableSpec['columns'][number]
}

function columnPairs(key: SourceForeignKey, child: TableSpec, parent: TableSpec): ColumnPair[] | undefined {
  if (key.columns.length !== key.parentColumns.length) return undefined
  const find = (table: TableSpec, name: string | undefined) =>
    table.columns.find((column) => column.name.toLowerCase() === name?.toLowerCase())
  const pairs = key.columns.map((name, i) => ({
    child: find(child, name),
    parent: find(parent, key.parentColumns[i]),
  }))
  const whole = pairs.filter(
    (pair): pair is ColumnPair => pair.child !== undefined && pair.parent !== undefined,
  )
  return whole.length === pairs.length ? whole : undefined
}

/** PostgreSQL wants one type family on both sides, and exactly the parent's key or one of its plain uniques (V23). */
function misfit(pairs: readonly ColumnPair[], parent: PlannedPair): string | undefined {
  for (const pair of pairs) {
    if (family(pair.child.type) !== family(pair.parent.type))
      return `${pair.child.name} becomes ${pair.child.type} and ${pair.parent.name} ${pair.parent.type}`
  }
  // What the application's own migrations made is asked when the key wakes up.
  if (!parent.spec.owned) return undefined
  const wanted = sorted(pairs.map((pair) => quote(pair.parent.target)))
  const uniques = [
    ...(parent.spec.key.kind === 'rowid'
      ? []
      : [parent.spec.key.columns.map((column) => quote(column.target))]),
    ...indexPlans(parent.source, parent.spec)
      .indexes.filter((index) => index.unique && index.where === undefined)
      .map((index) => index.parts.map((part) => part.replace(/ DESC$/, ''))),
  ]
  return uniques.some((unique) => sorted(unique) === wanted)
    ? undefined
    : `PostgreSQL needs a plain unique index on exactly these columns of ${parent.source.name}`
}

function sorted(parts: readonly string[]): string {
  return parts.toSorted().join('\n')
}

function family(type: string): string {
  if (/^(bigint|integer|smallint|numeric|double precision|real)\b/.test(type)) return 'number'
  if (/^(text|character varying|character)\b/.test(type)) return 'text'
  return type
}
