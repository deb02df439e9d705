import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { Compared, Difference, KeyPage, Ride } from '../core/ports.ts'
import { literal, quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { keyTextSql, shownKeySql } from './key-text.ts'
import { sameKey } from './stage.ts'

/** Differences that are told of one range. */
export const SAMPLES = 20
/** Characters of a value that are shown. */
const SHOWN = 200
/** Keys of one page. */
const PAGE = 10_000

/** Types whose own equality is that of their bytes; all others are compared by their text. */
const BY_VALUE = new Set([
  'smallint',
  'integer',
  'bigint',
  'boolean',
  'bytea',
  'date',
  'uuid',
  'time without time zone',
  'timestamp without time zone',
  'timestamp with time zone',
])

/** SQL: the two values differ, in a bit or in being there. */
export function differs(type: string, a: string, b: string): string {
  if (BY_VALUE.has(type)) return `${a} IS DISTINCT FROM ${b}`
  // -0 equals 0 and is another value.
  if (type === 'double precision') return `float8send(${a}) IS DISTINCT FROM float8send(${b})`
  if (type === 'real') return `float4send(${a}) IS DISTINCT FROM float4send(${b})`
  return `${a}::text COLLATE "C" IS DISTINCT FROM ${b}::text COLLATE "C"`
}

interface Compare {
  readonly table: TableSpec
  /** Stage with the source's rows, typed as the target. */
  readonly rows: string
  /** Stage for keys: of a ride by keys it holds those that the source does not have. */
  readonly gone: string
  readonly ride: Ride
  /** Undefined where nothing can be set aside. */
  readonly migration: string | undefined
}

/**
 * Differences between a stage and the target. Where there are any, the stage of rows then holds just those that are
 * missing or different, and the stage of keys those that only the target has.
 */
export async function compareStage(
  client: pg.ClientBase,
  { table, rows, gone, ride, migration }: Compare,
): Promise<Omit<Compared, 'rows' | 'repaired' | 'displaced'>> {
  const target = targetName(table)
  const range = rangeSql(table, ride)
  const different =
    compared(table)
      .map((column) => differs(column.type, `s.${column.name}`, `t.${column.name}`))
      .join(' OR ') || 'false'
  const join = `${sameKey(table, 's', 't')}${range === undefined ? '' : ` AND ${range}`}`
  const counts = await client.query(
    `SELECT count(*) FILTER (WHERE t.ctid IS NULL) AS missing,
            count(*) FILTER (WHERE t.ctid IS NOT NULL AND (${different})) AS different
     FROM ${rows} s LEFT JOIN ${target} t ON ${join}`,
  )
  const samples: Difference[] = []
  const extra = await findExtras(client, table, { rows, gone, range })
  if (extra > 0) samples.push(...(await sampleExtras(client, table, gone)))
  let missing = Number(counts.rows[0].missing)
  const changed = Number(counts.rows[0].different)
  if (missing + changed === 0 && extra === 0)
    return { missing: 0, extra: 0, different: 0, quarantined: 0, samples }
  await client.query(`DELETE FROM ${rows} s USING ${target} t WHERE ${join} AND NOT (${different})`)
  // What is set aside is not in the target, and that is known.
  const aside =
    missing === 0 || migration === undefined
      ? 0
      : ((
          await client.query(
            `DELETE FROM ${rows} s WHERE EXISTS (SELECT 1 FROM slipway.quarantine q
               WHERE q.migration = $1 AND q.direction = 'forward' AND q.tbl = $2
                 AND md5(q.key) = md5(${keyTextSql(table, 's')}) AND q.key = ${keyTextSql(table, 's')})
             AND NOT EXISTS (SELECT 1 FROM ${target} t WHERE ${join})`,
            [migration, table.name],
          )
        ).rowCount ?? 0)
  missing -= aside
  if (missing + changed > 0) samples.push(...(await sampleRows(client, table, rows, join)))
  return { missing, extra, different: changed, quarantined: aside, samples: samples.slice(0, SAMPLES) }
}

/** Fills the stage of keys with those that only the target has, and counts them. */
async function findExtras(
  client: pg.ClientBase,
  table: TableSpec,
  { rows, gone, range }: { readonly rows: string; readonly gone: string; readonly range: string | undefined },
): Promise<number> {
  const target = targetName(table)
  if (range === undefined) {
    await client.query(
      `DELETE FROM ${gone} g WHERE NOT EXISTS (SELECT 1 FROM ${target} t WHERE ${sameKey(table, 'g', 't')})`,
    )
    return Number((await client.query(`SELECT count(*) AS n FROM ${gone}`)).rows[0].n)
  }
  const keys = table.key.columns.map((column) => `t.${quote(column.target)}`).join(', ')
  const { rowCount } = await client.query(
    `INSERT INTO ${gone} SELECT ${keys} FROM ${target} t
     WHERE ${range} AND NOT EXISTS (SELECT 1 FROM ${rows} s WHERE ${sameKey(table, 's', 't')})`,
  )
  return rowCount ?? 0
}

/** True where the ride's range covers the target's rows as well, so that those too many are found with it. */
export function coversRange(table: TableSpec, { keys }: Ride): boolean {
  return keys === undefined && coversTarget(table)
}

/** The target's part of a range, where the target's key orders as the walk does. */
function rangeSql(table: TableSpec, ride: Ride): string | undefined {
  const { after, chunk } = ride
  if (!coversRange(table, ride)) return undefined
  const key = `t.${quote(table.key.columns[0]?.target as string)}`
  const bounds = [
    ...(after === undefined ? [] : [`${key} > ${integerOf(after)}`]),
    ...(chunk.exhausted || chunk.last === undefined ? [] : [`${key} <= ${integerOf(chunk.last)}`]),
  ]
  return bounds.length === 0 ? 'true' : bounds.join(' AND ')
}

/** True where a range of the walk is a range of the target's key as well. */
export function coversTarget(table: TableSpec): boolean {
  const key = table.key.columns[0]
  return (
    table.scansByKey === true &&
    table.key.columns.length === 1 &&
    key !== undefined &&
    /^(bigint|integer|smallint)$/.test(key.type)
  )
}

function integerOf(encoded: string): string {
  const [field = ''] = JSON.parse(encoded) as string[]
  if (!/^i-?\d+$/.test(field)) throw new Error(`not an integer key: ${encoded}`)
  return `${literal(field.slice(1))}::bigint`
}

/** Columns that are compared: all but the key, whose rows are joined by it. */
function compared(table: TableSpec): { name: string; source: string; type: string }[] {
  const keys = new Set(table.key.columns.map((column) => column.target))
  return table.columns
    .filter((column) => !keys.has(column.target))
    .map((column) => ({ name: quote(column.target), source: column.name, type: column.type }))
}

async function sampleExtras(client: pg.ClientBase, table: TableSpec, gone: string): Promise<Difference[]> {
  const { rows } = await client.query(
    `SELECT ${shownKeySql(table, 'g')} AS key FROM ${gone} g LIMIT ${SAMPLES}`,
  )
  return rows.map((row) => ({ table: table.name, key: row.key, kind: 'extra', columns: [] }))
}

function shownSql(text: string): string {
  return `CASE WHEN length(${text}) > ${SHOWN} THEN left(${text}, ${SHOWN}) || '…' ELSE ${text} END`
}

async function sampleRows(
  client: pg.ClientBase,
  table: TableSpec,
  stage: string,
  join: string,
): Promise<Difference[]> {
  const columns = compared(table)
  const texts = (alias: string): string =>
    columns.length === 0
      ? 'NULL::text[]'
      : `ARRAY[${columns.map((column) => shownSql(`${alias}.${column.name}::text`)).join(', ')}]`
  const flags =
    columns.length === 0
      ? 'NULL::boolean[]'
      : `ARRAY[${columns.map((c) => differs(c.type, `s.${c.name}`, `t.${c.name}`)).join(', ')}]`
  const { rows } = await client.query(
    `SELECT ${shownKeySql(table, 's')} AS key, t.ctid IS NULL AS missing, ${texts('s')} AS source, ${texts('t')} AS target, ${flags} AS flags
     FROM ${stage} s LEFT JOIN ${targetName(table)} t ON ${join} LIMIT ${SAMPLES}`,
  )
  return rows.map((row): Difference => {
    if (row.missing) return { table: table.name, key: row.key, kind: 'missing', columns: [] }
    const wrong = columns.flatMap((column, index) =>
      row.flags[index]
        ? [{ column: column.source, source: row.source[index], target: row.target[index] }]
        : [],
    )
    return { table: table.name, key: row.key, kind: 'different', columns: wrong }
  })
}

/** A page of the target's keys, encoded as core/key.ts says; `keyText` is SQL that yields the encoded key. */
export async function readKeyPage(
  client: pg.ClientBase,
  table: TableSpec,
  after: readonly string[] | undefined,
  keyText: string,
): Promise<KeyPage> {
  const keys = table.key.columns.map((column) => `t.${quote(column.target)}`)
  const where =
    after === undefined
      ? ''
      : `WHERE (${keys.join(', ')}) > (${table.key.columns.map((column, i) => `$${i + 1}::${column.type}`).join(', ')})`
  const { rows } = await client.query(
    `SELECT ${keyText} AS key, ARRAY[${keys.map((key) => `${key}::text`).join(', ')}] AS place
     FROM ${targetName(table)} t ${where} ORDER BY ${keys.join(', ')} LIMIT ${PAGE}`,
    after === undefined ? [] : [...after],
  )
  return {
    keys: rows.map((row) => row.key),
    next: rows.length < PAGE ? undefined : rows.at(-1)?.place,
  }
}

/** Compared is only what stands at the same position on both sides. */
export function refuseMoved(at: bigint, stands: bigint): void {
  if (at === stands) return
  throw new Failure({
    code: 'position_moved',
    policy: 'transient',
    message: `the target stands at ${stands}, the rows to compare at ${at}: they are read again`,
  })
}
