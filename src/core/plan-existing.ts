/** Plans a table that the application's own migrations made: its types rule, and the values choose the codec. */

import { formatOf } from './codec/formats.ts'
import { ruleProblem } from './codec.ts'
import { amount, type Finding } from './finding.ts'
import { nearest } from './nearest.ts'
import type { PlanColumn } from './plan-file.ts'
import { assemble, chooseKey } from './plan-key.ts'
import { type ExistingPlace, ruleType } from './plan-match.ts'
import { nullName } from './plan-measures.ts'
import { counted, examplesOf, type TableProfile } from './plan-profile.ts'
import { chooseRule, ruleName, rulesOf } from './plan-rules.ts'
import { tellTarget } from './plan-target.ts'
import { asKey, candidateTypes, NO_TEXT } from './plan-types.ts'
import { quote } from './quote.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'
import type { ColumnRule, ColumnSpec, TableSpec } from './table.ts'
import type { TargetColumn } from './target-schema.ts'

/** `tables`: all that are moved. Throws nothing: what is wrong is among the findings. */
export function planExisting(
  match: ExistingPlace,
  profile: TableProfile | undefined,
  tables: readonly SourceTable[],
): { spec: TableSpec; findings: Finding[] } {
  const { source, target } = match
  const findings: Finding[] = []
  // The target's types are given: a value that does not fit one as a key is told with the column.
  const key = chooseKey(match, profile, () => true, findings)
  const inKey = new Set(key.filter((part) => part.kind !== 'rowid').map((part) => part.name))
  if (target.name !== source.name && match.plan?.target === undefined) {
    findings.push({
      code: 'mapped',
      severity: 'warns',
      table: source.name,
      message: `${source.name} lands in ${target.name}`,
    })
  }
  const planner = new ExistingColumns(match, profile, findings)
  const columns = source.columns.flatMap((column) => planner.column(column, inKey.has(column.name)))
  const spec = assemble(match, target.schema, key, columns, tables)
  tellTarget(match, spec, profile, findings)
  return { spec, findings }
}

class ExistingColumns {
  readonly #match: ExistingPlace
  readonly #profile: TableProfile | undefined
  readonly #findings: Finding[]

  constructor(match: ExistingPlace, profile: TableProfile | undefined, findings: Finding[]) {
    this.#match = match
    this.#profile = profile
    this.#findings = findings
  }

  #tell(column: string, finding: Omit<Finding, 'table' | 'column'>): void {
    this.#findings.push({ table: this.#match.source.name, column, ...finding })
  }

  /** None, or one. */
  column(column: SourceColumn, inKey: boolean): ColumnSpec[] {
    const entry = this.#match.plan?.columns?.[column.name]
    const found = this.#match.columns.get(column.name)
    const { source, target } = this.#match
    const what = `${source.name}.${column.name}`
    if (entry?.include === false) {
      this.#tell(column.name, {
        code: 'column_left_out',
        severity: 'warns',
        message: `${what} stays behind, as the plan says`,
      })
      return []
    }
    if (column.generated) return this.#generated(column, found)
    if (found === undefined) {
      this.#missing(column, entry)
      return []
    }
    if (found.generated) {
      this.#tell(column.name, {
        code: 'computed_by_target',
        severity: 'warns',
        message: `${what} is not copied: ${target.name}.${found.name} is generated, and its values are computed there`,
      })
      return []
    }
    if (found.name !== column.name && entry?.target === undefined) {
      this.#tell(column.name, {
        code: 'mapped',
        severity: 'warns',
        message: `${what} lands in ${found.name}`,
      })
    }
    return [this.#spec(column, found, entry, inKey)]
  }

  #generated(column: SourceColumn, found: TargetColumn | undefined): [] {
    if (found?.generated === true) return []
    const { source, target } = this.#match
    const blocks = found?.notNull === true && !found.hasDefault
    this.#tell(column.name, {
      code: 'generated_columns',
      severity: blocks ? 'blocks' : 'warns',
      message:
        `${source.name}.${column.name} is computed by SQLite and not copied` +
        (found === undefined ? '' : `: ${target.name}.${found.name} ${blocks ? 'takes no' : 'stays'} NULL`),
      ...(found === undefined ? {} : { remedy: `Make ${target.name}.${found.name} GENERATED there too.` }),
    })
    return []
  }

  #missing(column: SourceColumn, entry: PlanColumn | undefined): void {
    const { source, target } = this.#match
    const names = target.columns.map((each) => each.name)
    const near = nearest(entry?.target ?? column.name, names)
    const hint = near === undefined ? '' : `; did you mean ${near}?`
    this.#tell(column.name, {
      code: 'column_missing',
      severity: 'blocks',
      message:
        entry?.target === undefined
          ? `${source.name}.${column.name} has no place in ${target.name} (no such column)`
          : `${source.name}.${column.name} is to land in ${target.name}.${entry.target}, and there is no such column${hint}`,
      remedy: `Add it (ALTER TABLE ${quote(target.schema, target.name)} ADD COLUMN ${quote(column.name)} ${candidateTypes(column.declared)[0]};), name the one that is meant in the plan (target), or leave it out there ("include": false).`,
    })
  }

  #spec(
    column: SourceColumn,
    found: TargetColumn,
    entry: PlanColumn | undefined,
    inKey: boolean,
  ): ColumnSpec {
    const type = ruleType(found)
    const nameOf = (rule: ColumnRule): string => (inKey ? asKey(ruleName(rule)) : ruleName(rule))
    const { rules, problem } = rulesOf(type, entry)
    const { rule, misfits, unclear } = chooseRule(rules, column.name, this.#profile, nameOf)
    const what = `${this.#match.source.name}.${column.name}`
    const place = `${this.#match.target.name}.${found.name}`
    if (entry?.type !== undefined && entry.type !== found.type && entry.type !== type.type) {
      this.#tell(column.name, {
        code: 'plan_outdated',
        severity: 'blocks',
        message: `${what}: the plan says ${entry.type}, and ${place} is ${found.type}`,
      })
    }
    if (entry?.misfit === 'widen') {
      this.#tell(column.name, {
        code: 'widen_not_ours',
        severity: 'blocks',
        message: `${what}: the plan would widen ${place}, and slipway changes no table that it did not make`,
        remedy: 'Set misfit to quarantine or fail in the plan.',
      })
    }
    if (unclear !== undefined) this.#unclear(column, rule, unclear)
    else this.#misfits(column, rule, misfits, nameOf(rule), entry, place)
    this.#nulls(column, found, rule, entry, place)
    const unusable = problem ?? (rule.transforms !== undefined && inKey ? ruleProblem(rule, true) : undefined)
    if (unusable !== undefined) {
      this.#tell(column.name, {
        code: 'plan_rule',
        severity: 'blocks',
        message: `the plan's rule for ${what} cannot be followed: ${unusable}`,
        remedy: 'Correct the column in the plan.',
      })
    } else if (inKey && (ruleProblem(rule, true) !== undefined || !found.exact)) {
      this.#tell(column.name, {
        code: 'key_type',
        severity: 'blocks',
        message: `${place} is a key of type ${found.type}${found.exact ? '' : ' with a collation that ignores differences'}, in which several spellings are one value: two rows of the source could become one`,
        remedy: 'Make it text, uuid, date or a number, or set "key": "rowid" in the plan.',
      })
    }
    const zone = this.#zone(column, rule, entry)
    const newest = this.#profile?.newest?.get(column.name)
    const format = rule.format ?? (newest === undefined ? undefined : formatOf(rule, newest))
    return {
      name: column.name,
      target: found.name,
      ...rule,
      ...(zone === undefined ? {} : { zone }),
      ...(format === undefined ? {} : { format }),
      ...(entry?.misfit === undefined ? {} : { misfit: entry.misfit }),
      notNull: found.notNull,
    }
  }

  /** Naive times in a type with a zone: the session's zone must not decide (trap V18). */
  #zone(column: SourceColumn, rule: ColumnRule, entry: PlanColumn | undefined): string | undefined {
    const naive = counted(this.#profile, column.name, 'naive')
    if (entry?.zone !== undefined || naive === 0 || (rule.codec ?? 'iso') !== 'iso') return entry?.zone
    this.#tell(column.name, {
      code: 'naive_times',
      severity: 'warns',
      count: naive,
      examples: examplesOf(this.#profile, column.name, 'naive'),
      message: `${this.#match.source.name}.${column.name} holds ${amount(naive, 'time')} without a zone: UTC is assumed`,
      remedy: 'If they are local times, name the zone in the plan, e.g. "zone": "Europe/Moscow".',
    })
    return 'UTC'
  }

  #unclear(column: SourceColumn, rule: ColumnRule, why: string): void {
    this.#tell(column.name, {
      code: 'time_unclear',
      severity: 'blocks',
      count: counted(this.#profile, column.name, 'numbers'),
      examples: examplesOf(this.#profile, column.name, 'numbers'),
      message: `the numbers of ${this.#match.source.name}.${column.name} may be seconds, milliseconds or days (${why}), and ${rule.type} needs to know`,
      remedy: 'Say it in the plan: "codec": "epoch_s", "epoch_ms" or "julian".',
    })
  }

  #misfits(
    column: SourceColumn,
    rule: ColumnRule,
    misfits: number,
    measure: string,
    entry: PlanColumn | undefined,
    place: string,
  ): void {
    const what = `${this.#match.source.name}.${column.name}`
    if (rule.type === 'bytea' && rule.codec === undefined) {
      const texts = counted(this.#profile, column.name, 'texts')
      if (texts > 0) {
        this.#tell(column.name, {
          code: 'text_as_bytes',
          severity: 'warns',
          count: texts,
          message: `${what} holds ${amount(texts, 'text')}: ${place} gets the UTF-8 bytes`,
          remedy: 'If they are hexadecimal digits, say so in the plan: "codec": "hex".',
        })
      }
    }
    this.#notText(column, entry, place)
    if (misfits === 0) return
    const examples = examplesOf(this.#profile, column.name, measure)
    const told = `${ruleName(rule)} (${place}) cannot hold ${amount(misfits, 'value')} of ${what}${at(examples)}`
    if (entry?.misfit === 'quarantine') {
      this.#tell(column.name, {
        code: 'values_set_aside',
        severity: 'warns',
        count: misfits,
        examples,
        message: `${told}: set aside, as the plan says`,
      })
      return
    }
    this.#tell(column.name, {
      code: 'values_do_not_fit',
      severity: 'blocks',
      count: misfits,
      examples,
      message: told,
      remedy:
        'Change the values or the type, or decide in the plan (slipway assess --write-plan, PLAN_FILE): a transform, a codec, or "misfit": "quarantine".',
    })
  }

  /** NUL bytes and text that is not valid (traps V5, V6), which no codec sees. */
  #notText(column: SourceColumn, entry: PlanColumn | undefined, place: string): void {
    const count = counted(this.#profile, column.name, NO_TEXT)
    if (count === 0) return
    const examples = examplesOf(this.#profile, column.name, NO_TEXT)
    const aside = entry?.misfit === 'quarantine'
    this.#tell(column.name, {
      code: 'not_text',
      severity: aside ? 'warns' : 'blocks',
      count,
      examples,
      message: `${place} cannot hold ${amount(count, 'text')} of ${this.#match.source.name}.${column.name} with NUL or bytes that are no text${at(examples)}${aside ? ': set aside, as the plan says' : ''}`,
      ...(aside
        ? {}
        : {
            remedy:
              'Decide in the plan: "transforms": ["strip_nul", "replace_invalid_utf8"], or "misfit": "quarantine".',
          }),
    })
  }

  #nulls(
    column: SourceColumn,
    found: TargetColumn,
    rule: ColumnRule,
    entry: PlanColumn | undefined,
    place: string,
  ): void {
    if (!found.notNull || column.name === this.#match.source.rowidColumn) return
    const transformed = rule.transforms?.some((each) => each.endsWith('_as_null')) === true
    const measure = transformed ? nullName(rule) : 'nulls'
    const nulls = counted(this.#profile, column.name, measure)
    if (nulls === 0) return
    const aside = entry?.misfit === 'quarantine'
    const examples = examplesOf(this.#profile, column.name, measure)
    this.#tell(column.name, {
      code: 'null_in_not_null',
      severity: aside ? 'warns' : 'blocks',
      count: nulls,
      examples,
      message: `${place} is NOT NULL, and ${this.#match.source.name}.${column.name} holds NULL in ${amount(nulls, 'row')}${at(examples)}${aside ? ': set aside, as the plan says' : ''}`,
      ...(aside
        ? {}
        : {
            remedy: `Fill them in SQLite, drop the NOT NULL of ${place}, or set "misfit": "quarantine" in the plan.`,
          }),
    })
  }
}

/** `, e.g. at id=7` */
function at(examples: readonly string[]): string {
  return examples.length === 0 ? '' : `, e.g. at ${examples[0]}`
}
