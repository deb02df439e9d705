import { readFileSync } from 'node:fs'
import { Failure } from '../core/errors.ts'
import { literal, quote } from '../core/quote.ts'
import type { SourceColumn, SourceIndex, SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import { renderTemplate } from '../core/template.ts'

/** A template's text; the folder lies beside `src` in a checkout and beside `dist` in a package. */
export function template(name: string): string {
  const here = import.meta.url.includes('/dist/') ? '../../../triggers' : '../../triggers'
  return readFileSync(new URL(`${here}/sqlite/${name}.sql`, import.meta.url), 'utf8')
}

/** Unix time in ms from functions that every SQLite has; `now` stands still within a statement. */
export const NOW = `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`

/** Strings, quoted names, words, and single characters. */
const TOKEN = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[\p{L}_][\p{L}\p{N}_$]*|[\s\S]/gu

export function changelogSql(keyColumns: number): string {
  const keys = Array.from({ length: keyColumns }, (_, index) => `, k${index}`).join('')
  return renderTemplate(template('changelog'), { keys }).get('') as string
}

export function controlSql(): string {
  return renderTemplate(template('control'), {}).get('') as string
}

/** The CREATE TRIGGER statements that capture one table, in the order in which they are created. */
export function captureSql(source: SourceTable, table: TableSpec): string[] {
  const key = table.key.columns.map((column) => column.name)
  const isRowid = table.key.kind === 'rowid' || source.rowidColumn === key[0]
  const common = {
    table: quote(source.name),
    table_literal: literal(source.name),
    now: NOW,
    key_columns: key.map((_, index) => `k${index}`).join(', '),
    new_key: key.map((name) => `NEW.${quote(name)}`).join(', '),
    old_key: key.map((name) => `OLD.${quote(name)}`).join(', '),
    row_key: key.map((name) => quote(name)).join(', '),
  }
  const keyChanged = key
    .map((name) => {
      const [o, n] = [`OLD.${quote(name)}`, `NEW.${quote(name)}`]
      return isRowid ? `${o} IS NOT ${n}` : `${o} IS NOT ${n} COLLATE BINARY OR typeof(${o}) <> typeof(${n})`
    })
    .join(' OR ')
  const name = (suffix: string): string => quote(`_slipway_${source.name}_${suffix}`)
  const statements: string[] = []
  const displacing = uniquesThatDisplace(source, isRowid).map((index) => ({
    match: matchSql(source, index),
    changed: changedSql(index),
  }))
  if (!isRowid && source.rowid !== undefined) {
    // A given rowid displaces the row that has it, whatever its key. Left out it is -1 here, which matches nobody.
    const rowid = quote(source.rowid)
    displacing.push({ match: `${rowid} = NEW.${rowid}`, changed: `OLD.${rowid} IS NOT NEW.${rowid}` })
  }
  displacing.forEach((unique, number) => {
    const rendered = renderTemplate(template('displaced'), {
      ...common,
      ...unique,
      insert_name: name(`displaced_insert_${number}`),
      update_name: name(`displaced_update_${number}`),
    })
    statements.push(...rendered.values())
  })
  const capture = renderTemplate(template('capture'), {
    ...common,
    insert_name: name('insert'),
    update_name: name('update'),
    delete_name: name('delete'),
    key_changed: keyChanged,
  })
  // Created last: the newest trigger fires first, so no application trigger can silence ours (trap H11).
  return [...statements, ...capture.values()]
}

/**
 * Uniques through which REPLACE can delete a row of another key: every unique but the rowid itself, and but a
 * primary key in which equal means the same bytes (traps C1, H11).
 */
function uniquesThatDisplace(source: SourceTable, keyIsRowid: boolean): SourceIndex[] {
  return source.indexes.filter((index) => {
    if (!index.unique) return false
    if (index.origin !== 'pk' || keyIsRowid) return true
    return !index.parts.every((part) => {
      const declared = source.columns.find((column) => column.name === part.column)?.declared ?? ''
      return part.collation === 'BINARY' && hasOneFormPerValue(declared, source.strict)
    })
  })
}

/** An untyped (or BLOB) column keeps 1 and 1.0 apart and calls them equal; typed columns store one of them. */
function hasOneFormPerValue(declared: string, strict: boolean): boolean {
  if (strict && /^any$/i.test(declared)) return false
  return declared !== '' && !(/BLOB/i.test(declared) && !/INT|CHAR|CLOB|TEXT/i.test(declared))
}

function matchSql(source: SourceTable, index: SourceIndex): string {
  const parts = index.parts.map((part) => {
    const collate = part.collation === 'BINARY' ? 'COLLATE BINARY' : `COLLATE ${quote(part.collation)}`
    if (part.column !== undefined) {
      const column = source.columns.find((c) => c.name === part.column) as SourceColumn
      if (column.generated) refuseUnknownInputs(source, index)
      return `${quote(part.column)} = ${ofNew(column)} ${collate}`
    }
    const expression = part.expression
    if (expression === undefined) throw unmatchable(source, index, 'its expression could not be read')
    if (namesIn(expression).has(source.rowidColumn?.toLowerCase() ?? '')) throw rowidDependence(source, index)
    return `(${expression}) = (${ofNewRow(expression, source)}) ${collate}`
  })
  // A partial unique displaces only rows that are in it; the new row's side is left out: a superset is harmless.
  return [...parts, ...(index.where === undefined ? [] : [`(${index.where})`])].join(' AND ')
}

/**
 * A default as an expression. A bare or double-quoted word is a string in a DEFAULT and a column elsewhere: pasted
 * into a trigger it would fail each insert of the application.
 */
export function defaultValue(sql: string): string {
  const text = sql.trim()
  if (/^(true|false|null|current_time|current_date|current_timestamp)$/i.test(text)) return text
  if (/^[\p{L}_][\p{L}\p{N}_$]*$/u.test(text)) return literal(text)
  if (/^(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])$/.test(text)) return literal(unquoted(text))
  return `(${text})`
}

/** A column of the new row as it will be written: OR REPLACE turns a NULL into the default of a NOT NULL column. */
function ofNew(column: SourceColumn): string {
  const value = `NEW.${quote(column.name)}`
  return column.notNull && column.defaultSql !== null && !column.generated
    ? `coalesce(${value}, ${defaultValue(column.defaultSql)})`
    : value
}

/**
 * A generated column is computed in a BEFORE trigger from the row as it was given: without the rowid that is still to
 * be chosen, and with the NULLs that REPLACE is still to turn into defaults. Where it reads such a column, what it
 * displaces cannot be told (trap H11).
 */
function refuseUnknownInputs(source: SourceTable, index: SourceIndex): void {
  const generated = /\bAS\s*\(([\s\S]*?)\)\s*(?:STORED|VIRTUAL|,|\)|$)/gi
  const names = new Set([...source.sql.matchAll(generated)].flatMap((match) => [...namesIn(match[1] ?? '')]))
  if (names.has(source.rowidColumn?.toLowerCase() ?? '')) throw rowidDependence(source, index)
  const late = source.columns.find(
    (column) =>
      column.notNull &&
      column.defaultSql !== null &&
      !column.generated &&
      names.has(column.name.toLowerCase()),
  )
  if (late !== undefined)
    throw unmatchable(source, index, `it depends on ${late.name}, whose NULL becomes its default later`)
}

function rowidDependence(source: SourceTable, index: SourceIndex): Failure {
  return unmatchable(
    source,
    index,
    `it depends on ${source.rowidColumn}, which is not known before the row is in`,
  )
}

/** Names in an expression, in lower case; string literals are none. */
function namesIn(expression: string): Set<string> {
  const tokens = expression.match(TOKEN) ?? []
  return new Set(
    tokens.filter((token) => /^["`[\p{L}_]/u.test(token)).map((token) => unquoted(token).toLowerCase()),
  )
}

function unmatchable(source: SourceTable, index: SourceIndex, why: string): Failure {
  return new Failure({
    code: 'capture_unmatchable',
    message: `${source.name}: rows displaced by REPLACE through the unique index ${index.name} cannot be captured: ${why}`,
    remedy: `Leave the table out (EXCLUDE_TABLES=${source.name}), or replace the index by one on plain columns.`,
    facts: { table: source.name, index: index.name },
  })
}

function changedSql(index: SourceIndex): string {
  // A partial unique is entered by a change of any column of its WHERE; an expression may read any column.
  if (index.where !== undefined || index.parts.some((part) => part.column === undefined)) return '1'
  return index.parts
    .map(
      (part) =>
        `OLD.${quote(part.column as string)} IS NOT NEW.${quote(part.column as string)} COLLATE BINARY`,
    )
    .join(' OR ')
}

function unquoted(token: string): string {
  return /^["`[]/.test(token) ? token.slice(1, -1).replaceAll('""', '"').replaceAll('``', '`') : token
}

/** The expression of an index with every column of the table read from the new row. */
export function ofNewRow(expression: string, source: SourceTable): string {
  const columns = new Map(source.columns.map((column) => [column.name.toLowerCase(), column]))
  const tokens = expression.match(TOKEN) ?? []
  return tokens
    .map((text, index) => {
      if (!/^["`[\p{L}_]/u.test(text)) return text
      const following = tokens.slice(index + 1).find((next) => next.trim() !== '')
      if (following === '(' || following === '.') return text
      const column = columns.get(unquoted(text).toLowerCase())
      return column === undefined ? text : ofNew(column)
    })
    .join('')
}
