import { type Affinity, decodeSql } from '../core/codec/decode.ts'
import { quote } from '../core/quote.ts'
import type { ColumnSpec, KeyColumn, TableSpec } from '../core/table.ts'
import { differs } from './compare.ts'
import { targetName } from './dormant.ts'
import { type KeyAffinity, keyTextSql } from './key-text.ts'
import { fromLog } from './reverse-capture.ts'
import { REFUSAL, REFUSED_TABLE } from './sift.ts'
import { quoteList, sameKey } from './stage.ts'

/** Characters of a value that SQLite cannot hold. */
const SHOWN = 200

/** Names that no column of a stage has. */
const KEY = '"_slipway_key"'
const UNREAD = '"_slipway_unread"'
const ALSO = '"_slipway_also"'
const HERE = '"_slipway_here"'

/**
 * Where patches and keys of gone rows wait until they are fetched: they outlive the transaction that computed them. Each
 * table's have numbers without gaps, so that a page is a range.
 */
export const PATCHES = 'pg_temp.slipway_patches'
export const GONE = 'pg_temp.slipway_gone'
/** Encoded keys of rows that SQLite has and the codecs have no image of, and of rows that are to be told in any case. */
export const UNREAD_KEYS = 'pg_temp.slipway_unread'
export const ALSO_KEYS = 'pg_temp.slipway_also'

/** The tables of a session. `marks` has a letter for each column: `-` equal, `v` a value, `m` a misfit, cut. */
export const SCRATCH = `${REFUSAL};${REFUSED_TABLE};
  CREATE TEMP TABLE IF NOT EXISTS slipway_patches (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tbl int, key text, is_new boolean, marks text, vals text[], weight int);
  CREATE TEMP TABLE IF NOT EXISTS slipway_gone (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tbl int, key text);
  CREATE TEMP TABLE IF NOT EXISTS slipway_unread (key text);
  CREATE TEMP TABLE IF NOT EXISTS slipway_also (key text)`

/** A part of the touched keys with the images of their rows. */
export interface PageSql {
  readonly table: TableSpec
  /** Place of the table in the results. */
  readonly place: number
  /** Stage of keys, and of images in the target's own types. */
  readonly touched: string
  readonly images: string
  /** Blocks of the stage of keys, from and to; undefined: all of it. */
  readonly blocks: readonly [number, number] | undefined
  /** How many keys and images there are: the planner knows nothing of a stage. */
  readonly keys: number
  readonly rows: number
  readonly unread: boolean
  readonly also: boolean
  readonly affinity: KeyAffinity
  /** Of a table that is compared whole: rows that were set aside on the way there are not in the target, and that is known. */
  readonly known: { readonly migration: string } | undefined
}

/** Keys out of what was logged between two snapshots; `from` yields `tbl` and `key`, `$1` is the table's name. */
export function touchSql(table: TableSpec, touched: string, from: string): string {
  const names = quoteList(table.key.columns.map((column) => column.target))
  const values = table.key.columns.map((column, index) => fromLog(column, 'l.key', index))
  const whole = table.key.columns.map((_, index) => `l.key->>${index} IS NOT NULL`).join(' AND ')
  return `INSERT INTO ${touched} (${names}) SELECT DISTINCT ${values.join(', ')} FROM ${from} l WHERE l.tbl = $1 AND l.op <> 'T' AND ${whole}`
}

/** The same into a stage that is emptied before, and the encoded keys: all in one statement. */
export function touchedKeysSql(
  table: TableSpec,
  touched: string,
  from: string,
  { affinity, emptying }: { readonly affinity: KeyAffinity; readonly emptying: readonly string[] },
): string {
  const first = emptying.map((sql, index) => `emptied${index} AS (${sql}), `)
  return `WITH ${first.join('')}put AS (${touchSql(table, touched, from)} RETURNING *) SELECT ${keyTextSql(table, 'k', affinity)} AS key FROM put k`
}

/** Encoded keys of some blocks of the stage. */
export function keysSql(
  table: TableSpec,
  touched: string,
  blocks: PageSql['blocks'],
  affinity: KeyAffinity,
): string {
  return `SELECT ${keyTextSql(table, 'k', affinity)} AS key FROM ${touched} k ${inBlocks(blocks)}`
}

function inBlocks(blocks: PageSql['blocks']): string {
  if (blocks === undefined) return ''
  const [from, to] = blocks
  return `WHERE k.ctid >= '(${from},0)'::tid AND k.ctid < '(${to},0)'::tid`
}

function keyPage(page: PageSql): string {
  const { table, touched, blocks, unread, also, affinity, keys } = page
  const key = keyTextSql(table, 'k', affinity)
  const within = (some: boolean, list: string): string =>
    some ? `${key} IN (SELECT u.key FROM ${list} u)` : 'false'
  return (
    `(SELECT k.*, ${key} AS ${KEY}, ${within(unread, UNREAD_KEYS)} AS ${UNREAD}, ${within(also, ALSO_KEYS)} AS ${ALSO} ` +
    `FROM ${touched} k ${inBlocks(blocks)} LIMIT ${Math.max(keys, 1)})`
  )
}

function imagePage({ images, rows }: PageSql): string {
  return `(SELECT true AS ${HERE}, s.* FROM ${images} s LIMIT ${Math.max(rows, 1)})`
}

/** Rows of the target that SQLite lacks, or has otherwise. */
export function patchesSql(page: PageSql): string {
  const { table } = page
  const isNew = `(s.${HERE} IS NULL AND NOT k.${UNREAD})`
  return resultsSql(
    page,
    `SELECT k.${KEY} AS key, ${isNew} AS is_new, k.${ALSO} AS also, ${marks(page, isNew)} AS marks, ${values(page, isNew)} AS vals
     FROM ${keyPage(page)} k JOIN ${targetName(table)} t ON ${sameKey(table, 't', 'k')}
     LEFT JOIN ${imagePage(page)} s ON ${sameKey(table, 's', 'k')}`,
  )
}

/** Rows of the target whose keys were not met while SQLite's table was walked. */
export function newcomersSql(page: PageSql, seen: string): string {
  const { table, affinity } = page
  return resultsSql(
    page,
    `SELECT ${keyTextSql(table, 't', affinity)} AS key, true AS is_new, false AS also, ${marks(page, 'true')} AS marks, ${values(page, 'true')} AS vals
     FROM ${targetName(table)} t WHERE NOT EXISTS (SELECT 1 FROM ${seen} k WHERE ${sameKey(table, 'k', 't')})
       AND ${table.key.columns.map((column) => `t.${quote(column.target)} IS NOT NULL`).join(' AND ')}`,
  )
}

/** Rows without a key can be found by nobody: one of them is told for all. */
export function keylessSql(page: PageSql): string {
  const { table } = page
  const isNull = table.key.columns.map((column) => `t.${quote(column.target)} IS NULL`)
  const key = JSON.stringify(table.key.columns.map(() => 'n')).replaceAll("'", "''")
  const marked = table.columns.map((column) =>
    table.key.columns.some(({ target }) => target === column.target) ? 'm' : '-',
  )
  const vals = table.columns.map((_, index) => (marked[index] === 'm' ? `'NULL'` : 'NULL'))
  return resultsSql(
    page,
    `SELECT '${key}' AS key, true AS is_new, false AS also, '${marked.join('')}' AS marks, ARRAY[${vals.join(', ')}]::text[] AS vals
     WHERE EXISTS (SELECT 1 FROM ${targetName(table)} t WHERE ${isNull.join(' OR ')})`,
  )
}

function resultsSql({ place }: PageSql, rows: string): string {
  // OFFSET keeps each value from being computed once for the result and once for the condition.
  return (
    `INSERT INTO ${PATCHES} (tbl, key, is_new, marks, vals, weight) ` +
    `SELECT ${place}, c.key, c.is_new, c.marks, c.vals, pg_column_size(c.vals) FROM (${rows} OFFSET 0) c ` +
    `WHERE c.is_new OR c.also OR c.marks ~ '[vm]'`
  )
}

/** Keys that SQLite has and the target has not: of rows with an image, and of those without. */
export function goneSql(page: PageSql): string[] {
  const { table, affinity, unread } = page
  const absent = (alias: string): string =>
    `NOT EXISTS (SELECT 1 FROM ${targetName(table)} t WHERE ${sameKey(table, 't', alias)})`
  const key = keyTextSql(table, 's', affinity)
  return [
    keysOut(page, `${key} AS key`, `${imagePage(page)} s WHERE ${absent('s')}${unknown(page, key)}`),
    ...(unread
      ? [
          keysOut(
            page,
            `k.${KEY}`,
            `${keyPage(page)} k WHERE k.${UNREAD} AND ${absent('k')}${unknown(page, `k.${KEY}`)}`,
          ),
        ]
      : []),
  ]
}

function keysOut({ place }: Pick<PageSql, 'place'>, key: string, from: string): string {
  return `INSERT INTO ${GONE} (tbl, key) SELECT ${place}, ${key} FROM ${from}`
}

/** The same for keys that no row of the target can have. */
export function impossibleSql(page: PageSql): string {
  const { table, touched, affinity } = page
  const possible = `SELECT 1 FROM ${touched} k WHERE ${keyTextSql(table, 'k', affinity)} = u.key`
  return keysOut(page, 'u.key', `${UNREAD_KEYS} u WHERE NOT EXISTS (${possible})${unknown(page, 'u.key')}`)
}

/** Keys that are to be told in any case and that neither side has. */
export function nowhereSql(place: number): string {
  const told = (list: string): string =>
    `NOT EXISTS (SELECT 1 FROM ${list} r WHERE r.tbl = ${place} AND r.key = u.key)`
  return keysOut({ place }, 'u.key', `${ALSO_KEYS} u WHERE ${told(PATCHES)} AND ${told(GONE)}`)
}

function unknown({ table, known }: PageSql, key: string): string {
  if (known === undefined) return ''
  const [migration, name] = [known.migration, table.name].map((text) => `'${text.replaceAll("'", "''")}'`)
  return (
    ` AND NOT EXISTS (SELECT 1 FROM slipway.quarantine q WHERE q.migration = ${migration} AND q.direction = 'forward' ` +
    `AND q.tbl = ${name} AND md5(q.key) = md5(${key}) AND q.key = ${key})`
  )
}

interface Judged {
  /** SQL of the target's value. */
  readonly t: string
  /** SQL: it has to be written. */
  readonly differs: string
  /** SQL of the source's text, NULL where there is none. */
  readonly text: string
}

function judged({ table, affinity }: PageSql, isNew: string): Judged[] {
  return table.columns.map((column): Judged => {
    const [t, s] = [`t.${quote(column.target)}`, `s.${quote(column.target)}`]
    const key = table.key.columns.find(({ target }) => target === column.target)
    return {
      t,
      differs:
        isNew === 'true'
          ? 'true'
          : key === undefined
            ? `(s.${HERE} IS NULL OR ${differs(column.type, s, t)})`
            : // A row is found by its key: another key is another row.
              isNew,
      text: key === undefined ? decodeSql(column, t) : keyDecodeSql(column, t, affinity(key)),
    }
  })
}

/** A key has to come back as the same key: what a double does not hold whole would be another one. */
function keyDecodeSql(column: ColumnSpec, t: string, affinity: Affinity | undefined): string {
  const text = decodeSql(column, t)
  if (!column.type.startsWith('numeric') || affinity === 'TEXT') return text
  const whole = affinity === 'REAL' ? 'false' : `${t} = trunc(${t}) AND abs(${t}) < 9223372036854775808`
  return `CASE WHEN ${whole} THEN ${text} WHEN abs(${t}) < 1e300 THEN CASE WHEN ${t}::float8::text::numeric = ${t} THEN ${text} END END`
}

function marks(page: PageSql, isNew: string): string {
  const letters = judged(page, isNew).map(
    (column) =>
      `CASE WHEN NOT ${column.differs} THEN '-' WHEN ${column.t} IS NULL OR (${column.text}) IS NOT NULL THEN 'v' ELSE 'm' END`,
  )
  return `array_to_string(ARRAY[${letters.join(', ')}]::text[], '')`
}

function values(page: PageSql, isNew: string): string {
  const texts = judged(page, isNew).map(
    (column) =>
      `CASE WHEN ${column.t} IS NOT NULL AND ${column.differs} THEN coalesce((${column.text}), left(${column.t}::text, ${SHOWN})) END`,
  )
  return `ARRAY[${texts.join(', ')}]::text[]`
}

/** What SQLite makes of numbers in a table's key. */
export function affinityOfKeys(
  table: TableSpec,
  of: ((table: TableSpec, column: string) => Affinity | undefined) | undefined,
): KeyAffinity {
  const known = new Map(table.key.columns.map((column) => [column.name, of?.(table, column.name)]))
  return ({ name }: KeyColumn) => (table.key.kind === 'rowid' ? 'INTEGER' : known.get(name))
}
