/** What an existing target table brings along besides the columns of the source: rights, rows, extra columns, uniques. */
import { amount, type Finding } from './finding.ts'
import { type ExistingPlace, ruleType } from './plan-match.ts'
import type { TableProfile } from './plan-profile.ts'
import { type UniqueCheck, uniqueChecks } from './plan-uniques.ts'
import { quote } from './quote.ts'
import { HIDDEN_KEY, type TableSpec } from './table.ts'
import type { TargetColumn, TargetTable, TargetTrigger, TargetUnique } from './target-schema.ts'

/** Adds to `findings` whatever the table is about beyond single columns of the source. */
export function tellTarget(
  match: ExistingPlace,
  spec: TableSpec,
  profile: TableProfile | undefined,
  findings: Finding[],
): void {
  const table = match.source.name
  for (const finding of [
    ...rights(match.target),
    ...seeded(match),
    ...extraColumns(match, spec),
    ...uniques(match, profile),
    ...asleep(match),
    ...keyIndex(match, spec),
  ]) {
    findings.push({ table, ...finding })
  }
}

function* rights(target: TargetTable): Iterable<Finding> {
  const name = `${target.schema}.${target.name}`
  if (!target.mine) {
    yield {
      code: 'target_owner',
      severity: 'blocks',
      message: `${name} belongs to ${target.owner}: capture's gate and foreign keys need its owner's rights (GRANT ${quote(target.owner)} TO ${quote(target.role)};)`,
    }
    return
  }
  const closed = target.columns.filter((column) => column.writable === false && !column.generated)
  if (closed.length > 0) {
    yield {
      code: 'target_rights',
      severity: 'blocks',
      message: `${target.role} may not write ${closed.map((column) => `${name}.${column.name}`).join(', ')}`,
      remedy: `GRANT INSERT, UPDATE ON ${quote(target.schema, target.name)} TO ${quote(target.role)};`,
    }
  }
  if (target.rowSecurity === true) {
    yield {
      code: 'target_row_security',
      severity: 'blocks',
      message: `row-level security of ${name} applies to ${target.role} too: rows could be hidden or refused`,
      remedy: `ALTER TABLE ${quote(target.schema, target.name)} NO FORCE ROW LEVEL SECURITY;`,
    }
  }
}

/** Rows that the application put there by itself have keys of their own (trap V21). */
function* seeded({ target, plan, source }: ExistingPlace): Iterable<Finding> {
  if (target.empty) return
  const rows = target.rows === undefined ? 'rows' : amount(target.rows, 'row')
  const name = `${target.schema}.${target.name}`
  if (plan?.existing_rows === 'delete') {
    yield {
      code: 'target_emptied',
      severity: 'warns',
      ...(target.rows === undefined ? {} : { count: target.rows }),
      message: `${name} holds ${rows} already: deleted before the copy, as the plan says`,
    }
    return
  }
  yield {
    code: 'target_not_empty',
    severity: 'blocks',
    ...(target.rows === undefined ? {} : { count: target.rows }),
    message: `${name} holds ${rows} already: they would collide with the source's`,
    remedy: `Empty it (TRUNCATE ${quote(target.schema, target.name)}), agree to that in the plan ("existing_rows": "delete"), or leave it out: EXCLUDE_TABLES=${source.name}`,
  }
}

function* extraColumns(match: ExistingPlace, spec: TableSpec): Iterable<Finding> {
  const { target } = match
  const used = new Set([...match.columns.values()].map((column) => column.name))
  const written = new Set(spec.columns.map((column) => column.target))
  for (const column of target.columns) {
    if (written.has(column.name) || used.has(column.name) || column.generated || column.name === HIDDEN_KEY)
      continue
    const name = `${target.name}.${column.name}`
    if (column.notNull && !column.hasDefault && !column.identity) {
      yield {
        code: 'column_required',
        severity: 'blocks',
        message: `${name} is NOT NULL without a default, and no column of the source lands in it`,
        remedy: `ALTER TABLE ${quote(target.schema, target.name)} ALTER COLUMN ${quote(column.name)} SET DEFAULT …; or drop its NOT NULL`,
      }
      continue
    }
    const trigger = target.triggers?.find((each) => mentions(each, column.name))
    if (ruleType(column).type === 'tsvector' || trigger !== undefined) {
      yield filledByTrigger(target, column, trigger, spec)
      continue
    }
    yield {
      code: 'column_extra',
      severity: 'warns',
      message: `no column of the source lands in ${name}: it keeps its default`,
    }
  }
}

/** Whether a trigger may set a column: it is named in the trigger's function or among its arguments. */
function mentions(trigger: TargetTrigger, column: string): boolean {
  const word = column.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`\\bNEW\\s*\\.\\s*"?${word}"?\\s*:?=|'${word}'`, 'i').test(trigger.body)
}

/** Triggers sleep while SQLite leads: an UPDATE that changes nothing wakes what they compute. */
function filledByTrigger(
  target: TargetTable,
  column: TargetColumn,
  trigger: TargetTrigger | undefined,
  spec: TableSpec,
): Finding {
  const name = `${target.name}.${column.name}`
  const touched = trigger?.updateOf?.[0] ?? spec.columns[0]?.target ?? column.name
  const fires = trigger !== undefined && trigger.updateOf !== undefined
  return {
    code: 'filled_by_trigger',
    severity: 'warns',
    message: `${name} is not in the source and stays as its default is while SQLite leads${trigger === undefined ? '' : `: the trigger ${trigger.name}, which sets it, sleeps until then`}`,
    remedy: fires
      ? `After the switchover, once the trigger is back: UPDATE ${quote(target.schema, target.name)} SET ${quote(touched)} = ${quote(touched)};`
      : `After the switchover compute it once for all rows: UPDATE ${quote(target.schema, target.name)} SET ${quote(column.name)} = …; or make the column GENERATED, which needs nothing.`,
  }
}

function* asleep({ target }: ExistingPlace): Iterable<Finding> {
  if (target.triggers !== undefined && target.triggers.length > 0) {
    yield {
      code: 'triggers_asleep',
      severity: 'info',
      message: `triggers of ${target.name} do not fire while SQLite leads: ${target.triggers.map(({ name }) => name).join(', ')}`,
    }
  }
  if (target.checks !== undefined && target.checks.length > 0) {
    yield {
      code: 'target_checks',
      severity: 'info',
      message: `CHECK constraints judge the rows of ${target.name}, and one that they refuse is set aside: ${target.checks.join('; ')}`,
    }
  }
}

function* keyIndex(match: ExistingPlace, spec: TableSpec): Iterable<Finding> {
  const keys = spec.key.columns.map((column) => column.target)
  const found = match.target.uniques.some(
    (unique) => unique.where === undefined && unique.columns?.every((name) => keys.includes(name)),
  )
  if (found || keys.length === 0) return
  yield {
    code: 'key_not_indexed',
    severity: 'warns',
    message: `${match.target.name} has no unique index on ${keys.join(', ')}: each batch has to scan the table`,
    remedy: `CREATE UNIQUE INDEX ON ${quote(match.target.schema, match.target.name)} (${keys.map((name) => quote(name)).join(', ')});`,
  }
}

function* uniques(match: ExistingPlace, profile: TableProfile | undefined): Iterable<Finding> {
  for (const check of uniqueChecks(match)) yield uniqueFinding(match, check, profile)
}

function uniqueFinding(
  match: ExistingPlace,
  { unique, parts, why, atMost }: UniqueCheck,
  profile: TableProfile | undefined,
): Finding {
  const what = `${describe(unique)} of ${match.target.name}`
  const found = profile?.duplicates?.get(unique.name)
  if (parts === undefined) {
    return {
      code: 'unique_not_counted',
      severity: 'warns',
      message: `${what} cannot be checked before the copy (${why}): a row that it refuses is set aside`,
    }
  }
  if (found === undefined || found.groups === 0) {
    return {
      code: 'unique_not_in_source',
      severity: 'warns',
      message: `${what} is not kept by the source: no rows collide now, and one that comes later is set aside`,
    }
  }
  const told = `${amount(found.rows, 'row')} share ${amount(found.groups, 'value')} of ${what}, e.g. ${found.examples.join('; ')}`
  const policy = match.plan?.duplicates
  const common = { count: found.rows, examples: found.examples }
  if (policy === 'first' || policy === 'last') {
    const which = policy === 'first' ? 'lowest' : 'highest'
    return {
      code: 'duplicates',
      severity: 'warns',
      ...common,
      message: `${told}: the one with the ${which} key stays, as the plan says`,
    }
  }
  return {
    code: 'duplicates',
    severity: atMost ? 'warns' : 'blocks',
    ...common,
    message: atMost ? `${told}; its condition (${unique.where}) was not looked at` : told,
    remedy:
      'Remove them in SQLite, drop the unique in PostgreSQL, or decide in the plan: "duplicates": "first" or "last".',
  }
}

function describe(unique: TargetUnique): string {
  const kind = unique.primary ? 'the primary key' : 'the unique'
  const nulls = unique.nullsEqual === true ? ', where two NULLs are one value' : ''
  return `${kind} ${unique.name} (${unique.parts.join(', ')}${nulls})`
}
