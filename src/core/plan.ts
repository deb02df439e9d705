import { Failure } from './errors.ts'
import type { SourceColumn, SourceTable } from './source-schema.ts'
import { type ColumnSpec, HIDDEN_KEY, type KeyColumn, type KeySpec, type TableSpec } from './table.ts'
import type { TargetTable } from './target-schema.ts'

/** How many values of a column each candidate type would refuse; the key is the type. */
export type ColumnProfile = ReadonlyMap<string, number>

/** What was counted in a table: per column, and whether its declared key holds NULL. */
export interface TableProfile {
  readonly columns: ReadonlyMap<string, ColumnProfile>
  readonly nullKeys: boolean
  /** Types that a copy found to be needed: what counting does not see, as bytes that are no text. */
  readonly widened?: ReadonlyMap<string, string>
}

export const TIMESTAMP = 'timestamp without time zone'
export const TIMESTAMPTZ = 'timestamp with time zone'

/**
 * Types that a declared type suggests, the narrowest first; the last one holds everything. SQLite's own rules
 * for the declared type (affinity by substring) decide the order of the tests:
 * https://sqlite.org/datatype3.html#determination_of_column_affinity
 */
export function candidateTypes(declared: string): readonly string[] {
  const type = declared.toUpperCase()
  if (type.includes('BOOL')) return ['boolean', 'bigint', 'double precision', 'text', 'bytea']
  if (type.includes('INT')) return ['bigint', 'double precision', 'text', 'bytea']
  if (/DATETIME|TIMESTAMP/.test(type)) return [TIMESTAMP, TIMESTAMPTZ, 'text', 'bytea']
  if (/CHAR|CLOB|TEXT/.test(type)) return ['text', 'bytea']
  if (type.includes('BLOB')) return ['bytea']
  if (/REAL|FLOA|DOUB/.test(type)) return ['double precision', 'text', 'bytea']
  if (type === 'DATE') return ['date', TIMESTAMP, 'text', 'bytea']
  if (type === 'TIME') return ['time without time zone', 'text', 'bytea']
  if (/^(UUID|GUID)$/.test(type)) return ['uuid', 'text', 'bytea']
  if (/^JSONB?$/.test(type)) return ['json', 'text', 'bytea']
  if (/NUMERIC|DECIMAL|MONEY/.test(type)) return ['numeric', 'text', 'bytea']
  if (type === '') return ['bigint', 'double precision', 'text', 'bytea']
  return ['bigint', 'numeric', 'text', 'bytea']
}

/**
 * The type that a column gets where slipway makes the table: the first candidate that every observed value
 * fits. A naive and a zoned time in one column are two formats, and a timestamptz would move one of them.
 */
export function chooseType(column: SourceColumn, profile: ColumnProfile | undefined): string {
  const candidates = candidateTypes(column.declared)
  const misfits = (type: string): number => profile?.get(type) ?? 0
  return (
    candidates.find((type) => {
      if (type === TIMESTAMPTZ && misfits(TIMESTAMP) < (profile?.get('values') ?? 0)) return false
      return misfits(type) === 0
    }) ?? 'bytea'
  )
}

/** Names that differ only in case and underscores are the same name (`AlbumId`, `album_id`); see `findName`. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}

/** The exact name, else the only one of the same letters; undefined where there is none or more than one. */
export function findName<T extends { readonly name: string }>(
  wanted: string,
  among: readonly T[],
): T | undefined {
  const exact = among.find((candidate) => candidate.name === wanted)
  if (exact !== undefined) return exact
  const similar = among.filter((candidate) => fold(candidate.name) === fold(wanted))
  return similar.length === 1 ? similar[0] : undefined
}

export interface PlannedTable {
  readonly source: SourceTable
  readonly spec: TableSpec
  readonly warnings: readonly string[]
}

/** PostgreSQL cuts names at 63 bytes with no more than a notice (trap V14). */
const NAME_BYTES = 63
/** Names that every PostgreSQL table has already (trap V23). */
const SYSTEM_COLUMNS = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

/**
 * Decides key, names and types of every table, or refuses with every reason at once.
 * `targets` holds the tables that exist in the target schema.
 */
export function planTables(
  sources: readonly SourceTable[],
  profiles: ReadonlyMap<string, TableProfile>,
  targets: readonly TargetTable[],
  schema: string,
  /** Tables that slipway made in an earlier run: they may be changed and need not be empty. */
  owned: ReadonlySet<string>,
): PlannedTable[] {
  const problems: string[] = []
  const planned = sources.map((source) => {
    const target = findName(source.name, targets)
    const made = target === undefined || owned.has(target.name)
    return made
      ? planOwn(source, profiles.get(source.name), schema, problems)
      : planExisting(source, profiles.get(source.name), target, problems)
  })
  const seen = new Map<string, string>()
  for (const { source, spec } of planned) {
    const other = seen.get(spec.target)
    if (other !== undefined) problems.push(`${source.name} and ${other} both land in ${spec.target}`)
    seen.set(spec.target, source.name)
  }
  if (problems.length > 0) {
    throw new Failure({
      code: 'plan_refused',
      message: `the target schema ${schema} cannot take the source:\n  - ${problems.join('\n  - ')}`,
      remedy: 'Change the target, or leave a table out: EXCLUDE_TABLES=name,name',
      facts: { problems },
    })
  }
  return planned
}

function checkName(name: string, what: string, problems: string[]): void {
  if (name === '') problems.push(`${what} has an empty name, which PostgreSQL does not allow`)
  if (Buffer.byteLength(name) > NAME_BYTES) {
    problems.push(`${what}: the name has ${Buffer.byteLength(name)} bytes, PostgreSQL keeps ${NAME_BYTES}`)
  }
}

function planOwn(
  source: SourceTable,
  profile: TableProfile | undefined,
  schema: string,
  problems: string[],
): PlannedTable {
  const warnings: string[] = []
  checkName(source.name, `table ${source.name}`, problems)
  const key = chooseKey(source, profile, warnings, problems)
  const columns = source.columns
    .filter((column) => !column.generated)
    .map((column): ColumnSpec => {
      checkName(column.name, `${source.name}.${column.name}`, problems)
      if (SYSTEM_COLUMNS.has(column.name) || column.name === HIDDEN_KEY) {
        problems.push(`${source.name}.${column.name}: PostgreSQL keeps this name for itself`)
      }
      const type =
        column.name === source.rowidColumn
          ? 'bigint'
          : (profile?.widened?.get(column.name) ?? chooseType(column, profile?.columns.get(column.name)))
      const wanted = candidateTypes(column.declared)[0]
      // A zone, or none, in every value is a format of its own and no surprise.
      const expected = type === wanted || (type === TIMESTAMPTZ && wanted === TIMESTAMP)
      if (!expected && column.name !== source.rowidColumn) {
        warnings.push(
          `${source.name}.${column.name} (${column.declared || 'untyped'}) becomes ${type}: not every value fits ${wanted}`,
        )
      }
      const inKey = key.some((part) => part.name === column.name)
      return { name: column.name, target: column.name, type, notNull: column.notNull || inKey }
    })
  const generated = source.columns.filter((column) => column.generated)
  if (generated.length > 0) {
    warnings.push(
      `${source.name}: generated columns are not copied (${generated.map((c) => c.name).join(', ')})`,
    )
  }
  return { source, spec: assemble(source, source.name, schema, key, columns, true), warnings }
}

function planExisting(
  source: SourceTable,
  profile: TableProfile | undefined,
  target: TargetTable,
  problems: string[],
): PlannedTable {
  const warnings: string[] = []
  const key = chooseKey(source, profile, warnings, problems)
  if (target.name !== source.name) warnings.push(`${source.name} lands in ${target.name}`)
  if (!target.mine) {
    problems.push(
      `${target.schema}.${target.name} belongs to ${target.owner}: capture's gate and foreign keys need its owner's rights (GRANT "${target.owner}" TO the role of POSTGRES_URL)`,
    )
  }
  if (!target.empty) {
    problems.push(
      `${target.schema}.${target.name} holds rows already: they would collide with the source's (empty it with TRUNCATE, or exclude it)`,
    )
  }
  const used = new Set<string>()
  const columns: ColumnSpec[] = []
  for (const column of source.columns.filter((c) => !c.generated)) {
    const found = findName(column.name, target.columns)
    if (found === undefined || found.generated) {
      problems.push(
        `${source.name}.${column.name} has no place in ${target.name} (${found === undefined ? 'no such column' : 'it is generated there'})`,
      )
      continue
    }
    if (found.name !== column.name) warnings.push(`${source.name}.${column.name} lands in ${found.name}`)
    used.add(found.name)
    columns.push({ name: column.name, target: found.name, type: found.type, notNull: found.notNull })
  }
  for (const column of target.columns) {
    if (used.has(column.name) || column.generated || column.name === HIDDEN_KEY) continue
    if (column.notNull && !column.hasDefault && !column.identity) {
      problems.push(
        `${target.name}.${column.name} is NOT NULL without a default, and the source has no such column`,
      )
    } else warnings.push(`${target.name}.${column.name} is not in the source: it keeps its default`)
  }
  return { source, spec: assemble(source, target.name, target.schema, key, columns, false), warnings }
}

/** Source names of the key's columns, or the rowid's name where nothing else identifies a row. */
function chooseKey(
  source: SourceTable,
  profile: TableProfile | undefined,
  warnings: string[],
  problems: string[],
): readonly { kind: KeySpec['kind']; name: string }[] {
  const primary = source.columns.filter((column) => column.primary > 0).sort((a, b) => a.primary - b.primary)
  // A primary key of a rowid table may hold NULL, several times over (trap C15).
  if (primary.length > 0 && profile?.nullKeys !== true)
    return primary.map(({ name }) => ({ kind: 'primary', name }))
  if (primary.length > 0)
    warnings.push(`${source.name}: its primary key holds NULL, rows are kept apart by rowid`)
  const unique = source.indexes.find(
    (index) =>
      index.unique &&
      index.origin !== 'pk' &&
      index.where === undefined &&
      index.parts.every(
        (part) =>
          part.collation === 'BINARY' &&
          source.columns.some((c) => c.name === part.column && c.notNull && !c.generated),
      ),
  )
  if (unique !== undefined)
    return unique.parts.map((part) => ({ kind: 'unique', name: part.column as string }))
  if (source.rowid === undefined) {
    problems.push(
      `${source.name} has no key that can be used (its columns hide the rowid, and its primary key holds NULL)`,
    )
    return []
  }
  warnings.push(
    `${source.name} has no key: the target gets a hidden column ${HIDDEN_KEY}, and VACUUM means a new copy`,
  )
  return [{ kind: 'rowid', name: source.rowid }]
}

function assemble(
  source: SourceTable,
  target: string,
  schema: string,
  key: readonly { kind: KeySpec['kind']; name: string }[],
  columns: readonly ColumnSpec[],
  owned: boolean,
): TableSpec {
  const keyColumns = key.map((part): KeyColumn => {
    if (part.kind === 'rowid') return { name: part.name, target: HIDDEN_KEY, type: 'bigint' }
    const column = columns.find((c) => c.name === part.name)
    return { name: part.name, target: column?.target ?? part.name, type: column?.type ?? 'text' }
  })
  return {
    name: source.name,
    schema,
    target,
    key: { kind: key[0]?.kind ?? 'primary', columns: keyColumns },
    columns,
    rowid: source.rowid,
    owned,
  }
}
