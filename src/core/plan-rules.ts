/** How a column's values are encoded: which rules a type allows, and which of them the values choose. */
import { codecsFor, ruleProblem } from './codec.ts'
import type { PlanColumn } from './plan-file.ts'
import { counted, type TableProfile } from './plan-profile.ts'
import type { CodecName, ColumnRule } from './table.ts'

/** A type of the target as far as encoding goes. */
export interface RuleType {
  readonly type: string
  readonly labels?: readonly string[] | undefined
}

const TIMES = /^(date|timestamp with(out)? time zone|timestamp\(\d\) with(out)? time zone)$/

export function isTime(type: string): boolean {
  return TIMES.test(type)
}

/** Codecs of a type, the likeliest first; undefined is the one that the type has. */
function codecsOf({ type, labels }: RuleType): readonly (CodecName | undefined)[] {
  const codecs = codecsFor(type, labels)
  // A JSON list would be some text to an array's own codec, and an array's own text is never a JSON list.
  return codecs.includes('json_array') ? codecs.toReversed() : codecs
}

/**
 * The rules that a column may have, the likeliest first; the plan decides what it names. Where no codec of the type can
 * follow the plan, `problem` says why, and the rule is the type's own.
 */
export function rulesOf(
  type: RuleType,
  plan: PlanColumn | undefined,
): { readonly rules: readonly ColumnRule[]; readonly problem?: string } {
  const all = allRules(type, plan)
  const usable = all.filter((rule) => ruleProblem(rule) === undefined)
  if (usable.length > 0) return { rules: usable }
  const problem = ruleProblem(all[0] as ColumnRule)
  return { rules: allRules(type, undefined).slice(0, 1), ...(problem === undefined ? {} : { problem }) }
}

function allRules(type: RuleType, plan: PlanColumn | undefined): readonly ColumnRule[] {
  const codecs = plan?.codec === undefined ? codecsOf(type) : [plan.codec]
  return codecs.map((codec) => ({
    type: type.type,
    ...(codec === undefined ? {} : { codec }),
    ...(type.labels === undefined ? {} : { labels: type.labels }),
    ...(plan?.zone === undefined ? {} : { zone: plan.zone }),
    ...(plan?.format === undefined ? {} : { format: plan.format }),
    ...(plan?.transforms === undefined ? {} : { transforms: plan.transforms }),
  }))
}

/** Names the count of values that a rule refuses. */
export function ruleName(rule: ColumnRule): string {
  const codec = rule.codec === undefined ? '' : ` as ${rule.codec}`
  const after = rule.transforms?.length ? ` after ${rule.transforms.join(', ')}` : ''
  return rule.type + codec + after
}

/** Where a number is a time between 1990 and 2100 to a codec: the ranges have nothing in common. */
export const PLAUSIBLE: readonly {
  readonly codec: CodecName
  readonly low: string
  readonly high: string
}[] = [
  { codec: 'epoch_s', low: '631152000', high: '4102444800' },
  { codec: 'epoch_ms', low: '631152000000', high: '4102444800000' },
  { codec: 'julian', low: '2447892.5', high: '2488069.5' },
]

/** Names the count of numbers that are plausible times to a codec. */
export function plausibleName(codec: CodecName): string {
  return `plausible as ${codec}`
}

export interface ChosenRule {
  readonly rule: ColumnRule
  /** Values that it refuses. */
  readonly misfits: number
  /** Numbers that no codec explains alone: a person has to say what they are. */
  readonly unclear?: string | undefined
}

/** The first rule that takes every value, else the one that takes most. `prefix` tells keys apart. */
export function chooseRule(
  rules: readonly ColumnRule[],
  column: string,
  profile: TableProfile | undefined,
  nameOf: (rule: ColumnRule) => string,
): ChosenRule {
  const rated = rules.map((rule) => ({ rule, misfits: counted(profile, column, nameOf(rule)) }))
  const first = rated[0] as ChosenRule
  if (first.misfits === 0 || rated.length === 1) return first
  if (!isTime(first.rule.type)) return fewest(rated)
  const numbers = counted(profile, column, 'numbers')
  const plausible = PLAUSIBLE.filter(({ codec }) => counted(profile, column, plausibleName(codec)) > 0)
  const [only] = plausible
  if (only !== undefined && plausible.length === 1) {
    return fewest(rated.filter(({ rule }) => rule.codec === undefined || rule.codec === only.codec))
  }
  // Some numbers among texts are misfits of the texts; most of them numbers is a format, but which?
  if (numbers * 2 < counted(profile, column, 'values')) return first
  const unclear =
    plausible.length === 0
      ? 'no way of counting time makes them fall between 1990 and 2100'
      : `some fall between 1990 and 2100 as ${plausible.map(({ codec }) => codec).join(', others as ')}`
  return { ...first, unclear }
}

function fewest(rated: readonly ChosenRule[]): ChosenRule {
  return rated.toSorted((a, b) => a.misfits - b.misfits)[0] as ChosenRule
}
