import type pg from 'pg'
import { type Affinity, decodeSql } from '../core/codec/decode.ts'
import { parseType } from '../core/codec/types.ts'
import { Failure, messageOf } from '../core/errors.ts'
import { literal, quote } from '../core/quote.ts'
import type { RowPatch } from '../core/reverse.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import type { WayBackFinding, WayBackSample } from '../core/way-back.ts'
import { differs } from './compare.ts'
import { sqlstate } from './connection.ts'
import { targetName } from './dormant.ts'
import { keyTextSql, shownKeySql } from './key-text.ts'
import { affinityOfKeys } from './reverse-compare.ts'
import { copyInto, quoteList, targetColumns } from './stage.ts'

/** Rows of a table that are rehearsed. */
const SAMPLES = 20
/** Rows that are looked at to find them: of each end of the key, and from anywhere. */
const OF_AN_END = 100
const OF_ANYWHERE = 400
const SHOWN = 100

const N = '"_slipway_n"'
const SAMPLE = 'pg_temp.slipway_way_back'
const BACK = 'pg_temp.slipway_came_back'

/**
 * Some rows of a table, of as many shapes as it has: the first and the last by key, NULLs and none, short and long,
 * times with and without a fraction. In a transaction of the caller's, which ends with a rollback: they are kept in a
 * temporary table, so that nobody can change them before they are compared.
 */
export async function takeSamples(
  client: pg.ClientBase,
  table: TableSpec,
  affinities: ReadonlyMap<string, Affinity>,
): Promise<WayBackSample[]> {
  const affinity = affinityOfKeys(table, (_, column) => affinities.get(column))
  await client.query(`DROP TABLE IF EXISTS ${SAMPLE}`)
  const places = await choosePlaces(client, table)
  await client.query(
    `CREATE TEMP TABLE slipway_way_back AS SELECT row_number() OVER ()::int AS ${N}, ${quoteList(targetColumns(table))}
     FROM ${targetName(table)} WHERE ctid = ANY ($1::tid[])`,
    [places],
  )
  const texts = table.columns.map((column) => {
    const x = `t.${quote(column.target)}`
    return `CASE WHEN ${x} IS NOT NULL THEN ${decodeSql(column, x)} END`
  })
  const shown = table.columns.map(({ target }) => `left(t.${quote(target)}::text, ${SHOWN})`)
  const { rows } = await client.query(
    `SELECT ${N} AS n, ${keyTextSql(table, 't', affinity)} AS key, ${shownKeySql(table, 't')} AS shown,
            ${arraySql(texts)} AS texts, ${arraySql(shown)} AS values FROM ${SAMPLE} t ORDER BY ${N}`,
  )
  return rows.map(({ n, key, shown, texts, values }) => ({ n, shown, patch: patchOf(key, texts, values) }))
}

function arraySql(items: readonly string[]): string {
  return items.length === 0 ? 'ARRAY[]::text[]' : `ARRAY[${items.join(', ')}]::text[]`
}

function patchOf(
  key: string,
  texts: readonly (string | null)[],
  shown: readonly (string | null)[],
): RowPatch {
  const values: [number, string | null][] = []
  const misfits: [number, string][] = []
  for (const [place, text] of texts.entries()) {
    const value = shown[place] ?? null
    if (text === null && value !== null) misfits.push([place, value])
    else values.push([place, text])
  }
  return { key, isNew: true, values, misfits }
}

async function choosePlaces(client: pg.ClientBase, table: TableSpec): Promise<string[]> {
  const name = targetName(table)
  const { rows: sizes } = await client.query('SELECT reltuples AS n FROM pg_class WHERE oid = $1::regclass', [
    name,
  ])
  const rows = Number(sizes[0].n)
  // Twice as many as are wanted: pages are drawn, not rows.
  const percent = rows > OF_ANYWHERE * 2 ? (100 * OF_ANYWHERE * 2) / rows : 100
  const shapes = arraySql(table.columns.map(({ target, type }) => shapeSql(type, `t.${quote(target)}`)))
  const keys = table.key.columns.map(({ target }) => `t.${quote(target)}`)
  const found = (from: string): string => `(SELECT t.ctid::text AS place, ${shapes} AS shapes FROM ${from})`
  const end = (direction: string): string =>
    found(`${name} t ORDER BY ${keys.map((key) => `${key} ${direction}`).join(', ')} LIMIT ${OF_AN_END}`)
  const anywhere = found(`${name} t TABLESAMPLE SYSTEM (${percent}) LIMIT ${OF_ANYWHERE}`)
  const result = await client.query<Candidate>([end('ASC'), end('DESC'), anywhere].join(' UNION ALL '))
  return choose(result.rows)
}

interface Candidate {
  readonly place: string
  readonly shapes: readonly string[]
}

/** Those that show most of what was not seen yet, from the first by key on, and then any. */
function choose(candidates: readonly Candidate[]): string[] {
  const seen = new Set<string>()
  const chosen: string[] = []
  const unseen = ({ shapes }: Candidate): string[] =>
    shapes.map((shape, column) => `${column} ${shape}`).filter((each) => !seen.has(each))
  let left = [...candidates]
  for (let next = left[0]; next !== undefined && chosen.length < SAMPLES; ) {
    chosen.push(next.place)
    for (const each of unseen(next)) seen.add(each)
    left = left.filter((one) => unseen(one).length > 0)
    next = left.reduce<Candidate | undefined>(
      (best, one) => (best === undefined || unseen(one).length > unseen(best).length ? one : best),
      undefined,
    )
  }
  const others = new Set(candidates.map(({ place }) => place)).difference(new Set(chosen))
  return [...chosen, ...[...others].slice(0, SAMPLES - chosen.length)]
}

const SHORT = /^(smallint|integer|bigint|boolean|real|double precision|numeric|date|uuid|time|timestamp)/

/** SQL of what a value looks like: its digits and letters stand for any; of what is long only how long it is. */
function shapeSql(type: string, x: string): string {
  const looks = `regexp_replace(regexp_replace(${x}::text, '[0-9]', '9', 'g'), '[A-Za-z]+', 'a', 'g')`
  const long = `'long ' || floor(log(pg_column_size(${x})))`
  const short = SHORT.test(parseType(type).name) && !parseType(type).array
  const sized = short ? looks : `CASE WHEN pg_column_size(${x}) < 50 THEN ${looks} ELSE ${long} END`
  return `CASE WHEN ${x} IS NULL THEN 'NULL' ELSE ${sized} END`
}

/** Compares what came back with the samples: `lines` are COPY text of whole rows, each with the number of its sample. */
export async function compareSamples(
  client: pg.ClientBase,
  table: TableSpec,
  lines: readonly { readonly n: number; readonly line: Buffer }[],
): Promise<WayBackFinding[]> {
  if (lines.length === 0) return []
  await client.query(`DROP TABLE IF EXISTS ${BACK}`)
  await client.query(`CREATE TEMP TABLE slipway_came_back AS SELECT * FROM ${SAMPLE} WITH NO DATA`)
  const rows = {
    rows: lines.length,
    bytes: 0,
    read: () => lines.map(({ n, line }) => Buffer.concat([Buffer.from(`${n}\t`), line, NEWLINE])),
  }
  try {
    await copyInto(client, BACK, ['_slipway_n', ...targetColumns(table)], rows, table)
  } catch (error) {
    if (!/^2[23]/.test(sqlstate(error) ?? '')) throw error
    const column = error instanceof Failure ? String(error.facts.column ?? '') : ''
    return [{ table: table.name, column, key: '', reason: messageOf(error) }]
  }
  const columns = [
    ...(table.key.kind === 'rowid' ? [{ name: 'rowid', target: HIDDEN_KEY, type: 'bigint' }] : []),
    ...table.columns,
  ]
  const findings: WayBackFinding[] = []
  for (const { name, target, type } of columns) {
    const [was, is] = [`t.${quote(target)}`, `b.${quote(target)}`]
    const { rows: wrong } = await client.query(
      `SELECT ${shownKeySql(table, 't')} AS key, left(${was}::text, ${SHOWN}) AS was, left(${is}::text, ${SHOWN}) AS is
       FROM ${SAMPLE} t JOIN ${BACK} b USING (${N}) WHERE ${differs(type, was, is)} ORDER BY ${N}`,
    )
    for (const { key, was, is } of wrong) {
      const reason = `${shown(was)} comes back from SQLite as ${shown(is)}`
      findings.push({ table: table.name, column: name, key, reason })
    }
  }
  return findings
}

const NEWLINE = Buffer.from('\n')

function shown(text: string | null): string {
  return text === null ? 'NULL' : literal(text)
}
