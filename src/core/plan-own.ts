/** Plans a table that slipway makes: each column gets the narrowest type that all of its values fit. */

import { formatOf } from './codec/formats.ts'
import { ruleProblem } from './codec.ts'
import { amount, type Finding } from './finding.ts'
import type { PlanColumn } from './plan-file.ts'
import { assemble, chooseKey } from './plan-key.ts'
import type { OwnPlace } from './plan-match.ts'
import { ownNames } from './plan-names.ts'
import { counted, examplesOf, type TableProfile } from './plan-profile.ts'
import { chooseRule, ruleName, rulesOf } from './plan-rules.ts'
import {
  asKey,
  candidateTypes,
  chooseKeyType,
  chooseType,
  MANY_SPELLINGS,
  NO_TEXT,
  TIMESTAMP,
  TIMESTAMPTZ,
} from './plan-types.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'
import type { ColumnRule, ColumnSpec, TableSpec } from './table.ts'

/** `tables`: all that are moved. Throws nothing: what is wrong is among the findings. */
export function planOwn(
  match: OwnPlace,
  profile: TableProfile | undefined,
  schema: string,
  tables: readonly SourceTable[],
): { spec: TableSpec; findings: Finding[] } {
  const { source, plan } = match
  const findings: Finding[] = []
  const planner = new OwnColumns(match, profile, findings)
  const key = chooseKey(match, profile, (name) => planner.keyRule(name) !== undefined, findings)
  const inKey = new Set(key.filter((part) => part.kind !== 'rowid').map((part) => part.name))
  const moved = source.columns.filter((column) => !column.generated)
  const names = ownNames(
    moved.map((column) => column.name),
    'column',
  )
  const columns = moved.flatMap((column, index): ColumnSpec[] => {
    const entry = plan?.columns?.[column.name]
    if (entry?.include === false) {
      findings.push({
        code: 'column_left_out',
        severity: 'warns',
        table: source.name,
        column: column.name,
        message: `${source.name}.${column.name} stays behind, as the plan says`,
      })
      return []
    }
    const own = names[index] as (typeof names)[number]
    if (own.why !== undefined && entry?.target === undefined) {
      findings.push({
        code: 'renamed',
        severity: 'warns',
        table: source.name,
        column: column.name,
        message: `${source.name}.${column.name || 'the column without a name'} becomes ${own.target}: ${own.why}`,
        remedy: 'Leave it so, or choose another name in the plan (target).',
      })
    }
    return [planner.column(column, entry?.target ?? own.target, inKey.has(column.name))]
  })
  return { spec: assemble(match, schema, key, columns, tables), findings }
}

class OwnColumns {
  readonly #match: OwnPlace
  readonly #profile: TableProfile | undefined
  readonly #findings: Finding[]

  constructor(match: OwnPlace, profile: TableProfile | undefined, findings: Finding[]) {
    this.#match = match
    this.#profile = profile
    this.#findings = findings
  }

  /** The rule of a key column, or undefined where no type takes all of its values. */
  keyRule(name: string): ColumnRule | undefined {
    const { source } = this.#match
    const entry = this.#match.plan?.columns?.[name]
    const planned = this.#planned(name, entry, (rule) => asKey(ruleName(rule)))
    if (planned !== undefined && (planned.misfits === 0 || decided(entry))) return planned.rule
    if (name === source.rowidColumn) return { type: 'bigint' }
    const column = source.columns.find((each) => each.name === name)
    const type = column === undefined ? undefined : chooseKeyType(column, this.#profile)
    return type === undefined ? undefined : { type }
  }

  column(column: SourceColumn, target: string, inKey: boolean): ColumnSpec {
    const { source } = this.#match
    const entry = this.#match.plan?.columns?.[column.name]
    const rule = (inKey ? this.keyRule(column.name) : undefined) ?? this.#rule(column, entry)
    const emptied = rule.transforms?.some((each) => each.endsWith('_as_null')) === true
    const newest = this.#profile?.newest?.get(column.name)
    const format = rule.format ?? (newest === undefined ? undefined : formatOf(rule, newest))
    this.#tellType(column, rule.type, entry, inKey)
    this.#tellProblem(column, rule, entry, inKey)
    return {
      name: column.name,
      target,
      ...rule,
      ...(format === undefined ? {} : { format }),
      ...(entry?.misfit === undefined ? {} : { misfit: entry.misfit }),
      // An INTEGER PRIMARY KEY is never NULL; elsewhere a transform may make it so.
      notNull: inKey || (column.notNull && !emptied) || column.name === source.rowidColumn,
    }
  }

  #rule(column: SourceColumn, entry: PlanColumn | undefined): ColumnRule {
    const planned = this.#planned(column.name, entry, ruleName)
    const needed = this.#profile?.widened?.get(column.name)
    const type = chooseType(this.#match.source, column, this.#profile)
    if (planned === undefined) {
      return entry === undefined ? { type } : (rulesOf({ type }, entry).rules[0] as ColumnRule)
    }
    if (decided(entry) || (planned.misfits === 0 && needed === undefined)) {
      this.#tellMisfits(column, entry, planned.rule, planned.misfits)
      return planned.rule
    }
    this.#findings.push({
      code: 'widened',
      severity: 'warns',
      table: this.#match.source.name,
      column: column.name,
      count: planned.misfits,
      examples: examplesOf(this.#profile, column.name, ruleName(planned.rule)),
      message: `${this.#match.source.name}.${column.name} becomes ${type}, not ${planned.rule.type} as the plan says, which cannot hold ${amount(planned.misfits, 'value')}`,
      remedy: 'To keep the type, give the column a misfit policy in the plan (quarantine or fail).',
    })
    return { type }
  }

  /** The rule that the plan's type means, and how many values it refuses. */
  #planned(name: string, entry: PlanColumn | undefined, nameOf: (rule: ColumnRule) => string) {
    if (entry?.type === undefined) return undefined
    return chooseRule(rulesOf({ type: entry.type }, entry).rules, name, this.#profile, nameOf)
  }

  /** What the plan asks of a column and its type does not know. */
  #tellProblem(column: SourceColumn, rule: ColumnRule, entry: PlanColumn | undefined, inKey: boolean): void {
    const problem = rulesOf({ type: entry?.type ?? rule.type }, entry).problem ?? ruleProblem(rule, inKey)
    if (problem === undefined) return
    this.#findings.push({
      code: 'plan_rule',
      severity: 'blocks',
      table: this.#match.source.name,
      column: column.name,
      message: `the plan's rule for ${this.#match.source.name}.${column.name} cannot be followed: ${problem}`,
      remedy: 'Correct the column in the plan; its type may have to be named there too.',
    })
  }

  #tellMisfits(column: SourceColumn, entry: PlanColumn | undefined, rule: ColumnRule, misfits: number): void {
    if (misfits === 0) return
    const refused = entry?.misfit === 'fail'
    const { name } = this.#match.source
    this.#findings.push({
      code: refused ? 'values_do_not_fit' : 'values_set_aside',
      severity: refused ? 'blocks' : 'warns',
      table: name,
      column: column.name,
      count: misfits,
      examples: examplesOf(this.#profile, column.name, ruleName(rule)),
      message: `${ruleName(rule)} cannot hold ${amount(misfits, 'value')} of ${name}.${column.name}${refused ? '' : ': set aside, as the plan says'}`,
      ...(refused ? { remedy: 'Change the values, or the policy in the plan (widen or quarantine).' } : {}),
    })
  }

  /** What a person would not expect of the declared type. */
  #tellType(column: SourceColumn, type: string, entry: PlanColumn | undefined, inKey: boolean): void {
    const { source } = this.#match
    const [wanted = ''] = candidateTypes(column.declared)
    // A zone, or none, in every value is a format of its own and no surprise; nor is the rowid, nor what was asked for.
    const expected = type === wanted || (type === TIMESTAMPTZ && wanted === TIMESTAMP)
    if (expected || column.name === source.rowidColumn || entry?.type !== undefined) return
    const bytes = wanted === 'text' ? counted(this.#profile, column.name, NO_TEXT) : 0
    const misfits = counted(this.#profile, column.name, wanted) + bytes
    const name = bytes > 0 ? NO_TEXT : wanted
    const spellings = MANY_SPELLINGS.has(wanted) && misfits === 0
    this.#findings.push({
      code: 'widened',
      severity: 'warns',
      table: source.name,
      column: column.name,
      ...(misfits === 0 ? {} : { count: misfits, examples: examplesOf(this.#profile, column.name, name) }),
      message:
        `${source.name}.${column.name} (${column.declared || 'untyped'}) becomes ${type}, not ${wanted}: ` +
        (spellings || (inKey && misfits === 0)
          ? 'it is in a key or a unique, where two spellings of a value must stay two'
          : bytes > 0
            ? 'some text holds NUL or is not valid UTF-8 (strip_nul and replace_invalid_utf8 in the plan would change it)'
            : 'not every value fits'),
      remedy:
        'Leave it so, mend these values in SQLite, or name in the plan another "type", a transform, or "misfit": "quarantine".',
    })
  }
}

/** A person has said what happens to values that do not fit. */
function decided(entry: PlanColumn | undefined): boolean {
  return entry?.misfit === 'quarantine' || entry?.misfit === 'fail'
}
