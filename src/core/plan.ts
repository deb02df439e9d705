import { keyCodecFor } from './codec.ts'
import { Failure } from './errors.ts'
import { quote } from './quote.ts'
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
  // uuid and time rewrite their values ('A0EE…', '12:30'): text keeps them.
  if (/^(TIME|UUID|GUID)$/.test(type)) return ['text', 'bytea']
  if (/^JSONB?$/.test(type)) return ['json', 'text', 'bytea']
  if (/NUMERIC|DECIMAL|MONEY/.test(type)) return ['numeric', 'text', 'bytea']
  if (type === '') return ['bigint', 'double precision', 'text', 'bytea']
  return ['bigint', 'numeric', 'text', 'bytea']
}

/** Types in which one value has several spellings: they would make one of two values that SQLite keeps apart. */
const MANY_SPELLINGS = new Set([TIMESTAMP, TIMESTAMPTZ, 'json'])

/**
 * Types of a key column: each takes one storage class in one spelling (see `keyCodecFor`), the likeliest first.
 * Where none takes every value, the rowid is the key.
 */
export function keyTypes(declared: string): readonly string[] {
  const type = declared.toUpperCase()
  if (type.includes('INT')) return ['bigint', 'numeric', 'text', 'bytea']
  if (/CHAR|CLOB|TEXT|DATE|TIME|UUID|GUID|STRING|JSON/.test(type))
    return ['text', 'bigint', 'numeric', 'bytea']
  if (type.includes('BLOB')) return ['bytea', 'text', 'bigint', 'numeric']
  if (/REAL|FLOA|DOUB/.test(type)) return ['double precision', 'text', 'bytea']
  return ['bigint', 'numeric', 'text', 'bytea']
}

/** How a profile counts a key candidate apart from the same type elsewhere. */
export function asKey(type: string): string {
  return `key: ${type}`
}

/** Collations that every SQLite has; any other exists in the application only. */
export const BUILT_IN_COLLATIONS: ReadonlySet<string> = new Set(['BINARY', 'NOCASE', 'RTRIM'])

/** The columns that identify a row: the primary key, else a unique index of plain columns without NULLs. */
export function naturalKey(
  source: SourceTable,
): { readonly kind: 'primary' | 'unique'; readonly columns: readonly string[] } | undefined {
  const primary = source.columns.filter((column) => column.primary > 0).sort((a, b) => a.primary - b.primary)
  if (primary.length > 0) return { kind: 'primary', columns: primary.map((column) => column.name) }
  const unique = source.indexes.find(
    (index) =>
      index.unique &&
      index.where === undefined &&
      index.parts.every(
        (part) =>
          part.collation === 'BINARY' &&
          source.columns.some((column) => column.name === part.column && column.notNull && !column.generated),
      ),
  )
  return unique && { kind: 'unique', columns: unique.parts.map((part) => part.column as string) }
}

/** Candidates of a column that is no key; one in a unique must not fold two values into one either. */
export function columnTypes(source: SourceTable, column: SourceColumn): readonly string[] {
  const types = candidateTypes(column.declared)
  const indexes = source.indexes.filter((index) => index.parts.some((part) => part.column === column.name))
  const unique = indexes.some((index) => index.unique)
  // PostgreSQL has no order for json, so no index either.
  return types.filter(
    (type) => !(unique && MANY_SPELLINGS.has(type)) && !(indexes.length > 0 && type === 'json'),
  )
}

/**
 * The type that a column gets where slipway makes the table: the first candidate that every observed value
 * fits. A naive and a zoned time in one column are two formats, and a timestamptz would move one of them.
 */
function chooseType(source: SourceTable, column: SourceColumn, profile: ColumnProfile | undefined): string {
  const misfits = (type: string): number => profile?.get(type) ?? 0
  return (
    columnTypes(source, column).find((type) => {
      if (type === TIMESTAMPTZ && misfits(TIMESTAMP) < (profile?.get('values') ?? 0)) return false
      return misfits(type) === 0
    }) ?? 'bytea'
  )
}

/** The type of a key column, or undefined where no type takes all of its values. */
function chooseKeyType(column: SourceColumn, profile: TableProfile | undefined): string | undefined {
  const widened = profile?.widened?.get(column.name)
  if (widened !== undefined) return undefined
  const counted = profile?.columns.get(column.name)
  return keyTypes(column.declared).find((type) => (counted?.get(asKey(type)) ?? 0) === 0)
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
  /** Other relations of the schema: their names are taken. */
  taken: ReadonlySet<string> = new Set(),
): PlannedTable[] {
  const problems: string[] = []
  const planned = sources.map((source) => {
    const target = findName(source.name, targets)
    const made = target === undefined || owned.has(target.name)
    if (target === undefined && taken.has(source.name)) {
      problems.push(
        `${schema}.${source.name} is the name of a view, sequence or index there: a table cannot be made`,
      )
    }
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
  const described = (name: string): SourceColumn =>
    source.columns.find((column) => column.name === name) as SourceColumn
  const keyType = (name: string): string | undefined =>
    name === source.rowidColumn ? 'bigint' : chooseKeyType(described(name), profile)
  const key = chooseKey(source, profile, (name) => keyType(name) !== undefined, warnings, problems)
  const columns = source.columns
    .filter((column) => !column.generated)
    .map((column): ColumnSpec => {
      checkName(column.name, `${source.name}.${column.name}`, problems)
      if (SYSTEM_COLUMNS.has(column.name) || column.name === HIDDEN_KEY) {
        problems.push(`${source.name}.${column.name}: PostgreSQL keeps this name for itself`)
      }
      const inKey = key.some((part) => part.kind !== 'rowid' && part.name === column.name)
      const type =
        (inKey ? keyType(column.name) : profile?.widened?.get(column.name)) ??
        chooseType(source, column, profile?.columns.get(column.name))
      const wanted = candidateTypes(column.declared)[0]
      // A zone, or none, in every value is a format of its own and no surprise; nor is the rowid.
      const expected = type === wanted || (type === TIMESTAMPTZ && wanted === TIMESTAMP)
      if (!expected && column.name !== source.rowidColumn) {
        warnings.push(
          `${source.name}.${column.name} (${column.declared || 'untyped'}) becomes ${type}, not ${wanted}: ` +
            (MANY_SPELLINGS.has(wanted ?? '') &&
            (profile?.columns.get(column.name)?.get(wanted ?? '') ?? 0) === 0
              ? 'it is in a key or a unique, where two spellings of a value must stay two'
              : 'not every value fits'),
        )
      }
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
  const key = chooseKey(source, profile, () => true, warnings, problems)
  if (target.name !== source.name) warnings.push(`${source.name} lands in ${target.name}`)
  if (!target.mine) {
    problems.push(
      `${target.schema}.${target.name} belongs to ${target.owner}: capture's gate and foreign keys need its owner's rights (GRANT ${quote(target.owner)} TO ${quote(target.role)};)`,
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
    if (
      key.some((part) => part.name === column.name) &&
      (keyCodecFor(found.type) === undefined || !found.exact)
    ) {
      problems.push(
        `${target.name}.${found.name} is a key of type ${found.type}${found.exact ? '' : ' with a collation that ignores differences'}, in which several spellings are one value: two rows of the source could become one (use text, uuid, date or a number)`,
      )
    }
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
  hasType: (column: string) => boolean,
  warnings: string[],
  problems: string[],
): readonly { kind: KeySpec['kind']; name: string }[] {
  const natural = naturalKey(source)
  const foreign = source.indexes.some(
    (index) =>
      index.origin === 'pk' &&
      index.parts.some((part) => !BUILT_IN_COLLATIONS.has(part.collation.toUpperCase())),
  )
  // A primary key of a rowid table may hold NULL, several times over (trap C15).
  const nullKeys = natural?.kind === 'primary' && profile?.nullKeys === true
  if (natural !== undefined && !nullKeys && !foreign && natural.columns.every(hasType)) {
    return natural.columns.map((name) => ({ kind: natural.kind, name }))
  }
  const why =
    natural === undefined
      ? 'it has no key'
      : nullKeys
        ? 'its key holds NULL'
        : 'its key holds values of several kinds'
  if (source.rowid === undefined) {
    problems.push(`${source.name} cannot be followed: ${why}, and it has no rowid that could be used`)
    return []
  }
  warnings.push(
    `${source.name}: ${why}, so the target gets a hidden column ${HIDDEN_KEY}, and VACUUM means a new copy`,
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
    scansByKey: source.rowid === undefined || key[0]?.kind === 'rowid' || key[0]?.name === source.rowidColumn,
    owned,
  }
}
