/** Which table and which columns of the target take the rows of a source table. */
import type { Finding } from './finding.ts'
import type { PlanFile, PlanTable } from './plan-file.ts'
import { findName, ownNames } from './plan-names.ts'
import type { SourceTable } from './source-schema.ts'
import type { TargetColumn, TargetTable } from './target-schema.ts'

interface Place {
  readonly source: SourceTable
  readonly plan: PlanTable | undefined
}

/** slipway makes the table. */
export interface OwnPlace extends Place {
  readonly kind: 'own'
  readonly target: string
}

/** The table is there already. */
export interface ExistingPlace extends Place {
  readonly kind: 'existing'
  readonly target: TargetTable
  /** By the source's names; what is not in it has no place. */
  readonly columns: ReadonlyMap<string, TargetColumn>
}

export type Match = OwnPlace | ExistingPlace

export interface MatchInput {
  readonly sources: readonly SourceTable[]
  /** The tables of the target schema. */
  readonly targets: readonly TargetTable[]
  readonly schema: string
  /** Tables that slipway made in an earlier run, by name: they may be changed and need not be empty. */
  readonly owned: ReadonlySet<string>
  /** Other relations and types of the schema: their names are taken. */
  readonly taken: ReadonlySet<string>
  readonly plan?: PlanFile | undefined
}

/** Finds a place for every table that the plan does not leave out. */
export function matchTables(input: MatchInput): { matches: Match[]; findings: Finding[] } {
  const { targets, owned, plan, schema } = input
  const findings: Finding[] = []
  const moved = input.sources.filter((source) => plan?.tables[source.name]?.include !== false)
  const theirs = targets.filter((target) => !owned.has(target.name))
  const ours = ownNames(
    moved.map((source) => source.name),
    'table',
  )
  const named = new Set(moved.map((source) => plan?.tables[source.name]?.target ?? source.name))
  const matches = moved.map((source, index): Match => {
    const entry = plan?.tables[source.name]
    // A table that another one means by its exact name is not meant by a similar one.
    const free = theirs.filter((target) => target.name === source.name || !named.has(target.name))
    const { found, several } =
      entry?.target === undefined
        ? findName(source.name, free)
        : { found: theirs.find((target) => target.name === entry.target), several: [] }
    if (found !== undefined) {
      const columns = matchColumns(source, found, entry, findings)
      return { kind: 'existing', source, plan: entry, target: found, columns }
    }
    const own = ours[index] as (typeof ours)[number]
    const target = entry?.target ?? own.target
    if (several.length > 0) {
      findings.push({
        code: 'table_ambiguous',
        severity: 'blocks',
        table: source.name,
        message: `${source.name} may be ${several.map(({ name }) => name).join(' or ')} in ${schema}`,
        remedy: 'Name the one that is meant in the plan (target).',
      })
    } else if (input.taken.has(target) || theirs.some((other) => other.name === target)) {
      findings.push({
        code: 'name_taken',
        severity: 'blocks',
        table: source.name,
        message: `${schema}.${target} is the name of something else there: a table cannot be made`,
        remedy: 'Give the table another name in the plan (target), or leave it out.',
      })
    } else if (target !== source.name && entry?.target === undefined) {
      findings.push({
        code: 'renamed',
        severity: 'warns',
        table: source.name,
        message: `${source.name || 'the table without a name'} becomes ${target}: ${own.why}`,
        remedy: 'Leave it so, or choose another name in the plan (target).',
      })
    } else if (theirs.length > 0 && entry?.target === undefined) {
      findings.push({
        code: 'table_made',
        severity: 'warns',
        table: source.name,
        message: `${source.name} has no counterpart among the tables of ${schema}: slipway makes it`,
        remedy: 'If one of them is meant, name it in the plan (target).',
      })
    }
    return { kind: 'own', source, plan: entry, target }
  })
  return { matches, findings: [...findings, ...sameTargets(matches), ...strandedReferences(matches)] }
}

function targetOf(match: Match): string {
  return match.kind === 'own' ? match.target : match.target.name
}

/** Two source tables in one target would be mixed, or one of them lost. */
function sameTargets(matches: readonly Match[]): Finding[] {
  const groups = Map.groupBy(matches, targetOf)
  return [...groups].flatMap(([target, group]): Finding[] =>
    group.length < 2
      ? []
      : [
          {
            code: 'same_target',
            severity: 'blocks',
            table: (group[0] as Match).source.name,
            message: `${group.map(({ source }) => source.name).join(' and ')} both land in ${target}`,
            remedy: 'Give one of them another name in the plan (target), or leave it out.',
          },
        ],
  )
}

/** Rows of other tables that refer to rows which the plan deletes will refer to whatever gets their keys. */
function strandedReferences(matches: readonly Match[]): Finding[] {
  const moved = new Set(matches.map((match) => (match.kind === 'own' ? '' : place(match.target))))
  return matches.flatMap((match): Finding[] => {
    if (match.kind === 'own' || match.target.empty || match.plan?.existing_rows !== 'delete') return []
    const others = (match.target.referencedBy ?? []).filter((name) => !moved.has(name))
    if (others.length === 0) return []
    return [
      {
        code: 'references_left',
        severity: 'warns',
        table: match.source.name,
        message: `rows of ${others.join(', ')} refer to rows of ${place(match.target)} that are deleted: they will refer to whatever the source has under the same keys, or to nothing`,
        remedy: 'Empty these tables too, or mend them after the copy.',
      },
    ]
  })
}

function place(target: TargetTable): string {
  return `${target.schema}.${target.name}`
}

function matchColumns(
  source: SourceTable,
  target: TargetTable,
  entry: PlanTable | undefined,
  findings: Finding[],
): Map<string, TargetColumn> {
  const result = new Map<string, TargetColumn>()
  const places = new Map<string, string>()
  const named = new Set(source.columns.map((column) => entry?.columns?.[column.name]?.target ?? column.name))
  for (const column of source.columns) {
    const plan = entry?.columns?.[column.name]
    if (plan?.include === false) continue
    const free = target.columns.filter((other) => other.name === column.name || !named.has(other.name))
    const { found, several } =
      plan?.target === undefined
        ? findName(column.name, free)
        : { found: target.columns.find((other) => other.name === plan.target), several: [] }
    if (several.length > 0 && !column.generated) {
      findings.push({
        code: 'column_ambiguous',
        severity: 'blocks',
        table: source.name,
        column: column.name,
        message: `${source.name}.${column.name} may be ${several.map(({ name }) => name).join(' or ')} in ${target.name}`,
        remedy: 'Name the one that is meant in the plan (target).',
      })
    }
    if (found === undefined) continue
    const other = places.get(found.name)
    if (other !== undefined) {
      findings.push({
        code: 'same_target',
        severity: 'blocks',
        table: source.name,
        column: column.name,
        message: `${source.name}.${other} and ${source.name}.${column.name} both land in ${target.name}.${found.name}`,
        remedy: 'Give one of them another column in the plan (target), or leave it out.',
      })
      continue
    }
    places.set(found.name, column.name)
    result.set(column.name, found)
  }
  return result
}

/** What decides how a column of the target is encoded: a domain is what it is made of. */
export function ruleType(column: TargetColumn): { type: string; labels?: readonly string[] } {
  const type = column.base ?? column.type
  return column.labels === undefined ? { type } : { type, labels: column.labels }
}
