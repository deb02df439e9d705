import type { Finding } from '../finding.ts'
import { candidateTypes, TIMESTAMP, TIMESTAMPTZ } from '../plan.ts'
import type { SourceColumn, SourceTable } from '../source-schema.ts'
import type { ColumnSpec, TableSpec } from '../table.ts'
import { type ColumnFacts, counted, examplesOf, type TableFacts } from './facts.ts'
import { describeMisfits, listed, misfitCount, misfitExamples } from './misfit-kinds.ts'

/** What the values of a table are, against the types that they go into. `spec` is undefined where there is no plan. */
export function valueFindings(
  table: SourceTable,
  facts: TableFacts | undefined,
  spec: TableSpec | undefined,
): Finding[] {
  return table.columns
    .filter((column) => !column.generated)
    .flatMap((column) => {
      const counts = facts?.columns.get(column.name)
      if (counts === undefined) return []
      const to = spec?.columns.find((each) => each.name === column.name)
      const at = { table: table.name, column: column.name }
      return [
        ...bytesThatAreNoText(at, counts, to),
        ...(spec?.owned === true && to !== undefined ? widened(at, table, column, counts, to) : []),
        ...(to === undefined ? [] : mixedZones(at, counts, to)),
        ...nulls(at, column, counts),
      ]
    })
}

interface Place {
  readonly table: string
  readonly column: string
}

/** PostgreSQL's text has no U+0000 and no other bytes than UTF-8 (traps V5, V6). */
function bytesThatAreNoText(at: Place, facts: ColumnFacts, to: ColumnSpec | undefined): Finding[] {
  // Bytes take everything.
  if (to?.type === 'bytea' && counted(facts, 'blob') > 0) return []
  const findings: Finding[] = []
  const nul = counted(facts, 'nul')
  if (nul > 0) {
    findings.push({
      code: 'text_nul',
      severity: 'blocks',
      ...at,
      count: nul,
      examples: examplesOf(facts, 'nul'),
      message: `${values(nul, 'text has', 'texts have')} a NUL character, which PostgreSQL's text cannot hold`,
      remedy:
        'Decide in the plan: "misfit": "widen" (the whole column becomes bytea, where slipway makes the table) or "quarantine", or "transforms": ["strip_nul"].',
    })
  }
  const invalid = counted(facts, 'invalid_utf8')
  if (invalid > 0) {
    findings.push({
      code: 'text_invalid_utf8',
      severity: 'blocks',
      ...at,
      count: invalid,
      examples: examplesOf(facts, 'invalid_utf8'),
      message: `${values(invalid, 'text is', 'texts are')} not valid UTF-8, which PostgreSQL's text cannot hold`,
      remedy:
        'Decide in the plan: "misfit": "widen" (the whole column becomes bytea, where slipway makes the table) or "quarantine", or "transforms": ["replace_invalid_utf8"].',
    })
  }
  return findings
}

/** A column of a table that slipway makes gets another type than it is declared with. */
function widened(
  at: Place,
  table: SourceTable,
  column: SourceColumn,
  facts: ColumnFacts,
  to: ColumnSpec,
): Finding[] {
  if (column.name === table.rowidColumn) return []
  const candidates = candidateTypes(column.declared)
  const wanted = candidates[0] as string
  const differs = to.type !== wanted && !(to.type === TIMESTAMPTZ && wanted === TIMESTAMP)
  // A declaration that says nothing is not broken by texts alone, only by values of several kinds.
  const says = column.declared !== '' && !(wanted === 'bigint' && candidates[1] === 'numeric')
  if (!differs || (!says && kindsOf(facts) < 2)) return []
  const declared = column.declared === '' ? 'untyped' : column.declared
  if (!says) {
    return [
      {
        code: 'widened',
        severity: 'warns',
        ...at,
        examples: examplesOf(facts, 'integer', 'real', 'text', 'blob'),
        message: `the column (${declared}) holds values of several kinds (${describeKinds(facts)}), so it becomes ${to.type}`,
        remedy: 'Leave it so, or choose another "type" in the plan.',
      },
    ]
  }
  const count = misfitCount(facts, wanted)
  // A key, or a unique column, takes another type for the sake of its spellings, and every value fits both.
  if (count === 0) return []
  return [
    {
      code: 'widened',
      severity: 'warns',
      ...at,
      count,
      examples: misfitExamples(facts, wanted),
      message: `the column (${declared}) holds ${describeMisfits(facts, wanted)}, so it becomes ${to.type} and not ${wanted}`,
      remedy: `Leave it so, mend these values in SQLite, or choose in the plan: "type": ${JSON.stringify(wanted)} with "misfit": "quarantine" or a transform.`,
    },
  ]
}

function describeKinds(facts: ColumnFacts): string {
  const kinds = [
    ['integer', 'integers'],
    ['real', 'reals'],
    ['text', 'texts'],
    ['blob', 'BLOBs'],
  ] as const
  return listed(
    kinds.flatMap(([trait, several]) => {
      const count = counted(facts, trait)
      return count === 0 ? [] : [values(count, trait === 'blob' ? 'BLOB' : trait, several)]
    }),
  )
}

/** How many storage classes a column holds, numbers as one. */
function kindsOf(facts: ColumnFacts): number {
  return [counted(facts, 'integer', 'real'), counted(facts, 'text'), counted(facts, 'blob')].filter(
    (count) => count > 0,
  ).length
}

/** Naive times that go into a type with a zone mean a moment only by agreement (trap V18). */
function mixedZones(at: Place, facts: ColumnFacts, to: ColumnSpec): Finding[] {
  const naive = counted(facts, 'iso_naive')
  const zoned = counted(facts, 'iso_zoned')
  if (to.type !== TIMESTAMPTZ || naive === 0 || zoned === 0) return []
  return [
    {
      code: 'naive_beside_zoned',
      severity: 'blocks',
      ...at,
      count: naive,
      examples: examplesOf(facts, 'iso_naive'),
      message: `${values(naive, 'time has', 'times have')} no zone, beside ${zoned} with one, and the target keeps moments`,
      remedy: 'Name the zone of the naive ones in the plan: "zone": "UTC", or such as "Europe/Moscow".',
    },
  ]
}

/** SQLite adds a NOT NULL column to rows that are there, and old rows keep their NULL in some files. */
function nulls(at: Place, column: SourceColumn, facts: ColumnFacts): Finding[] {
  const count = counted(facts, 'null')
  if (!column.notNull || count === 0) return []
  return [
    {
      code: 'null_in_not_null',
      severity: 'blocks',
      ...at,
      count,
      examples: examplesOf(facts, 'null'),
      message: `the column is NOT NULL and holds ${values(count, 'NULL', 'NULLs')}`,
      remedy: 'Mend these rows in SQLite first.',
    },
  ]
}

/** `1 text has`, `2 texts have`. */
export function values(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`
}
