import type { Finding } from '../finding.ts'
import type { PlannedTable } from '../plan.ts'
import type { PlanColumn, PlanTable } from '../plan-file.ts'
import { candidateTypes } from '../plan-types.ts'
import type { SourceColumn } from '../source-schema.ts'
import type { ColumnSpec, Transform } from '../table.ts'
import { type ColumnFacts, counted, examplesOf, type TableFacts } from './facts.ts'

/**
 * What only the survey sees of the values of a table that slipway makes: a codec neither sees bytes that are no text,
 * nor does the planner ask for NULL where the source itself promises that there is none.
 */
export function valueFindings(
  { source, spec }: PlannedTable,
  facts: TableFacts | undefined,
  plan: PlanTable | undefined,
): Finding[] {
  if (!spec.owned) return []
  const keys = new Set(spec.key.columns.map(({ name }) => name))
  return source.columns
    .filter((column) => !column.generated)
    .flatMap((column) => {
      const counts = facts?.columns.get(column.name)
      const to = spec.columns.find((each) => each.name === column.name)
      if (counts === undefined || to === undefined) return []
      const walked = source.rowid === undefined && keys.has(column.name)
      const at = { table: source.name, column: column.name }
      return [
        ...NOT_TEXT.flatMap((kind) =>
          bytesThatAreNoText(at, kind, counts, to, {
            declared: column.declared,
            walked,
            asked: plan?.columns?.[column.name]?.type,
          }),
        ),
        ...nulls(at, column, counts, to),
      ]
    })
}

interface Place {
  readonly table: string
  readonly column: string
}

/** What PostgreSQL's text cannot hold (traps V5, V6). */
interface NotText {
  readonly trait: 'nul' | 'invalid_utf8'
  readonly code: 'text_nul' | 'text_invalid_utf8'
  readonly what: readonly [one: string, several: string]
  readonly transform: Transform
}

const NOT_TEXT: readonly NotText[] = [
  {
    trait: 'nul',
    code: 'text_nul',
    what: ['text has a NUL character', 'texts have a NUL character'],
    transform: 'strip_nul',
  },
  {
    trait: 'invalid_utf8',
    code: 'text_invalid_utf8',
    what: ['text is not valid UTF-8', 'texts are not valid UTF-8'],
    transform: 'replace_invalid_utf8',
  },
]

function bytesThatAreNoText(
  at: Place,
  { trait, code, what, transform }: NotText,
  facts: ColumnFacts,
  to: ColumnSpec,
  {
    declared,
    walked,
    asked,
  }: { readonly declared: string; readonly walked: boolean; readonly asked: string | undefined },
): Finding[] {
  const count = counted(facts, trait)
  // To other types it is one more text that is no number.
  if (count === 0 || !/^(text|char|bytea|json)/.test(to.type)) return []
  // Where it is declared so, or BLOBs are among them, the column becomes bytea anyway.
  const declaredSo = candidateTypes(declared)[0] === 'bytea'
  if (to.type === 'bytea' && (declaredSo || counted(facts, 'blob') > 0)) return []
  const common = { code, ...at, count, examples: examplesOf(facts, trait) }
  if (walked && code === 'text_invalid_utf8') {
    return [
      {
        ...common,
        severity: 'blocks',
        message: `${values(count, ...what)}, and the table has no rowid: it is walked by this key`,
        remedy: `Mend these rows in SQLite, or leave the table out: EXCLUDE_TABLES=${at.table}`,
      },
    ]
  }
  const told = `${values(count, ...what)}, which PostgreSQL's text cannot hold`
  const decision = decisionOf(to, transform, asked)
  if (decision !== undefined)
    return [{ ...common, severity: 'info', message: `${told} (the plan says: ${decision})` }]
  return [
    {
      ...common,
      severity: 'blocks',
      message: told,
      remedy: `Decide in the plan (slipway assess --write-plan): "type": "bytea" keeps every byte, "transforms": ["${transform}"] changes them, "misfit": "quarantine" sets these rows aside.`,
    },
  ]
}

/** What a person has decided about it is good to know, and no more. */
function decisionOf(
  { type, transforms, misfit }: ColumnSpec,
  transform: Transform,
  asked: string | undefined,
): string | undefined {
  if (type === 'bytea' && asked === 'bytea') return 'type bytea'
  if (transforms?.includes(transform)) return `transform "${transform}"`
  return misfit === undefined || misfit === 'fail' ? undefined : `misfit "${misfit}"`
}

/** SQLite adds a NOT NULL column to rows that are there, and old rows keep their NULL in some files. */
function nulls(at: Place, column: SourceColumn, facts: ColumnFacts, to: ColumnSpec): Finding[] {
  const count = counted(facts, 'null')
  // What SQLite promises of its keys is the planner's.
  if (!column.notNull || !to.notNull || count === 0) return []
  const aside = to.misfit === 'quarantine'
  return [
    {
      code: 'null_in_not_null',
      severity: aside ? 'warns' : 'blocks',
      ...at,
      count,
      examples: examplesOf(facts, 'null'),
      message: `the column is NOT NULL and holds ${values(count, 'NULL', 'NULLs')}${aside ? ': set aside, as the plan says' : ''}`,
      ...(aside
        ? {}
        : {
            remedy: 'Mend these rows in SQLite first, or set them aside by the plan: "misfit": "quarantine".',
          }),
    },
  ]
}

/**
 * What the proposed plan says about bytes that are no text, by table and column: what slipway would do by itself once
 * it met them. A column of a key keeps its type: other spellings would make other keys.
 */
export function byteProposals(
  planned: readonly PlannedTable[],
  findings: readonly Finding[],
): ReadonlyMap<string, ReadonlyMap<string, PlanColumn>> {
  const proposals = new Map<string, ReadonlyMap<string, PlanColumn>>()
  for (const { source, spec } of planned) {
    const columns = new Map<string, PlanColumn>()
    for (const { name } of spec.columns) {
      const about = findings.filter(
        ({ code, severity, table, column }) =>
          severity === 'blocks' &&
          table === source.name &&
          column === name &&
          NOT_TEXT.some((kind) => kind.code === code),
      )
      if (about.length === 0) continue
      const transforms = NOT_TEXT.filter(({ code }) => about.some((finding) => finding.code === code))
        .map(({ transform }) => JSON.stringify(transform))
        .join(', ')
      const told = about.map(({ message }) => message).join('; ')
      const inKey = spec.key.columns.some((column) => column.name === name)
      // Nothing that a plan can say would help.
      if (inKey && source.rowid === undefined && about.some(({ code }) => code === 'text_invalid_utf8'))
        continue
      columns.set(
        name,
        inKey
          ? { misfit: 'quarantine', note: `${told}: these rows are set aside and stay behind` }
          : {
              type: 'bytea',
              note: `${told}: the whole column becomes bytea; instead: "type": "text" with "transforms": [${transforms}], or with "misfit": "quarantine"`,
            },
      )
    }
    if (columns.size > 0) proposals.set(source.name, columns)
  }
  return proposals
}

/** `1 text has`, `2 texts have`. */
export function values(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`
}
