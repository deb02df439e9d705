/** What identifies a row of a table, and the specification that is put together around it. */
import type { Finding } from './finding.ts'
import type { Match } from './plan-match.ts'
import type { TableProfile } from './plan-profile.ts'
import { BUILT_IN_COLLATIONS, naturalKey } from './plan-types.ts'
import type { SourceTable } from './source-schema.ts'
import { type ColumnSpec, HIDDEN_KEY, type KeyColumn, type KeySpec, type TableSpec } from './table.ts'

/** Source names of the key's columns, or the rowid's name where nothing else identifies a row. */
export type ChosenKey = readonly { readonly kind: KeySpec['kind']; readonly name: string }[]

/** Columns that may become the key: their values are looked at as such. */
export function keyCandidates({ source, plan }: Match): ReadonlySet<string> {
  const planned = plan?.key === undefined || plan.key === 'rowid' ? [] : plan.key
  return new Set([...(naturalKey(source)?.columns ?? []), ...planned])
}

/** `hasType`: whether the target can hold every value of a column as a key. */
export function chooseKey(
  match: Match,
  profile: TableProfile | undefined,
  hasType: (column: string) => boolean,
  findings: Finding[],
): ChosenKey {
  const { source } = match
  const wanted = match.plan?.key
  if (wanted !== undefined && wanted !== 'rowid')
    return plannedKey(source, wanted, profile?.nullKeys === true, hasType, findings)
  const natural = naturalKey(source)
  const foreign = source.indexes.some(
    (index) =>
      index.origin === 'pk' &&
      index.parts.some((part) => !BUILT_IN_COLLATIONS.has(part.collation.toUpperCase())),
  )
  // A primary key of a rowid table may hold NULL, several times over (trap C15).
  const nullKeys = natural?.kind === 'primary' && profile?.nullKeys === true
  const left = natural?.columns.some((name) => match.plan?.columns?.[name]?.include === false) === true
  const fits = natural !== undefined && !nullKeys && !foreign && !left && natural.columns.every(hasType)
  if (fits && wanted === undefined) return natural.columns.map((name) => ({ kind: natural.kind, name }))
  const why =
    natural === undefined
      ? 'it has no key'
      : wanted === 'rowid'
        ? 'the plan asks for it'
        : nullKeys
          ? 'its key holds NULL'
          : left
            ? 'the plan leaves its key out'
            : foreign
              ? 'its key is compared by a collation that only the application has'
              : 'its key holds values of several kinds'
  if (source.rowid === undefined) {
    findings.push({
      code: 'no_key',
      severity: 'blocks',
      table: source.name,
      message: `${source.name} cannot be followed: ${why}, and it has no rowid that could be used`,
      remedy: 'Give it a primary key, or leave it out.',
    })
    return []
  }
  findings.push({
    code: 'hidden_key',
    severity: 'warns',
    table: source.name,
    message: `${source.name}: ${why}, so the target gets a hidden column ${HIDDEN_KEY}, and VACUUM means a new copy`,
    remedy: 'Give it a primary key in SQLite if VACUUM is run while slipway works; else nothing.',
  })
  return [{ kind: 'rowid', name: source.rowid }]
}

/** The key that the plan names: the source has to keep it unique, or two rows would become one. */
function plannedKey(
  source: SourceTable,
  names: readonly string[],
  nullKeys: boolean,
  hasType: (column: string) => boolean,
  findings: Finding[],
): ChosenKey {
  const primary = source.columns.filter((column) => column.primary > 0).map((column) => column.name)
  const same = (others: readonly (string | undefined)[]): boolean =>
    others.length === names.length && others.every((name) => name !== undefined && names.includes(name))
  const index = source.indexes.find(
    (each) =>
      each.unique &&
      each.where === undefined &&
      each.parts.every(
        (part) =>
          part.collation === 'BINARY' &&
          (each.origin === 'pk' || source.columns.find((column) => column.name === part.column)?.notNull),
      ) &&
      same(each.parts.map((part) => part.column)),
  )
  const problem = !(same(primary) || index !== undefined)
    ? 'the source does not keep them unique and without NULL'
    : nullKeys && same(primary)
      ? 'it holds NULL'
      : names.every(hasType)
        ? undefined
        : 'not every value fits a key of the target'
  if (problem !== undefined) {
    findings.push({
      code: 'key_unusable',
      severity: 'blocks',
      table: source.name,
      message: `${source.name}: the plan's key (${names.join(', ')}) cannot be used: ${problem}`,
      remedy: 'Name the primary key or a unique index of the source, or "rowid", as the key in the plan.',
    })
  }
  return names.map((name) => ({ kind: same(primary) ? 'primary' : 'unique', name }))
}

/** A table's specification; `tables` are all that are moved, for the parents among them. */
export function assemble(
  match: Match,
  schema: string,
  key: ChosenKey,
  columns: readonly ColumnSpec[],
  tables: readonly SourceTable[],
): TableSpec {
  const { source, plan } = match
  const keyColumns = key.map((part): KeyColumn => {
    if (part.kind === 'rowid') return { name: part.name, target: HIDDEN_KEY, type: 'bigint' }
    const column = columns.find((c) => c.name === part.name)
    return {
      name: part.name,
      target: column?.target ?? part.name,
      type: column?.type ?? 'text',
      ...(column?.codec === undefined ? {} : { codec: column.codec }),
      ...(column?.labels === undefined ? {} : { labels: column.labels }),
    }
  })
  const parents = parentsOf(source, tables)
  return {
    name: source.name,
    schema,
    target: match.kind === 'own' ? match.target : match.target.name,
    key: { kind: key[0]?.kind ?? 'primary', columns: keyColumns },
    columns,
    rowid: source.rowid,
    scansByKey: source.rowid === undefined || key[0]?.kind === 'rowid' || key[0]?.name === source.rowidColumn,
    owned: match.kind === 'own',
    ...(match.kind === 'existing' && plan?.existing_rows === 'delete' ? { emptied: true } : {}),
    ...(plan?.duplicates === undefined ? {} : { duplicates: plan.duplicates }),
    ...(parents.length === 0 ? {} : { parents }),
  }
}

/** Foreign keys among moved tables; names of SQLite ignore ASCII case, ours are as they were declared. */
function parentsOf(
  source: SourceTable,
  tables: readonly SourceTable[],
): { columns: string[]; parent: string; parentColumns: string[] }[] {
  const named = (table: SourceTable, names: readonly string[]): string[] =>
    names.flatMap(
      (name) => table.columns.find((c) => c.name.toLowerCase() === name.toLowerCase())?.name ?? [],
    )
  return source.foreignKeys.flatMap((foreign) => {
    const parent = tables.find((table) => table.name.toLowerCase() === foreign.parent.toLowerCase())
    if (parent === undefined) return []
    const columns = named(source, foreign.columns)
    const parentColumns = named(parent, foreign.parentColumns)
    const whole = columns.length === foreign.columns.length && columns.length === parentColumns.length
    return whole && columns.length > 0 ? [{ columns, parent: parent.name, parentColumns }] : []
  })
}
