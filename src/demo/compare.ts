/**
 * Compares a SQLite file with its copy in PostgreSQL, row by row and value by value. It shares no code with
 * the replicator on purpose. Both sides are streamed in the order of the key, each out of one snapshot, so
 * that memory stays bounded; it is meant for a source that nobody writes to, since it keeps a read open.
 */
import Database from 'better-sqlite3'
import pg from 'pg'
import { type SqliteValue, sameValue } from './compare-values.ts'

export interface CompareOptions {
  /** A path, or a connection that stays open: then in whatever transaction it is in. */
  readonly sqlite: string | Database.Database
  readonly postgresUrl: string
  readonly schema: string
  /** Default: every table of the file but bookkeeping. Names are the same on both sides. */
  readonly tables?: readonly string[]
  /** How many differences to describe per table; all are counted. Default 20. */
  readonly describe?: number
}

export interface Difference {
  readonly key: string
  /** The column, or `undefined` where the whole row is on one side only. */
  readonly column?: string
  readonly sqlite: string
  readonly postgres: string
}

export interface TableComparison {
  readonly table: string
  readonly sqliteRows: number
  readonly postgresRows: number
  readonly different: number
  readonly differences: readonly Difference[]
}

const BOOKKEEPING = /^(sqlite_|_slipway_|knex_migrations)/
const FETCH_ROWS = 500
const SHOWN_CHARACTERS = 60

export async function compareDatabases(options: CompareOptions): Promise<readonly TableComparison[]> {
  const given = typeof options.sqlite === 'string' ? undefined : options.sqlite
  const sqlite = given ?? new Database(options.sqlite as string, { readonly: true, fileMustExist: true })
  const inTransaction = sqlite.inTransaction
  const client = new pg.Client({ connectionString: options.postgresUrl })
  await client.connect()
  try {
    await client.query("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'")
    await client.query('SET extra_float_digits = 1')
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    if (!sqlite.inTransaction) sqlite.exec('BEGIN')
    const results: TableComparison[] = []
    for (const table of options.tables ?? tablesOf(sqlite)) {
      results.push(await compareTable(sqlite, client, options, table))
    }
    return results
  } finally {
    if (given === undefined) sqlite.close()
    else if (!inTransaction) sqlite.exec('COMMIT')
    await client.end()
  }
}

/** Neither virtual tables nor the tables in which those keep their data. */
function tablesOf(sqlite: Database.Database): string[] {
  const names = sqlite
    .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
    .pluck()
    .all() as string[]
  return names.filter((name) => !BOOKKEEPING.test(name))
}

async function compareTable(
  sqlite: Database.Database,
  client: pg.Client,
  options: CompareOptions,
  table: string,
): Promise<TableComparison> {
  const shape = shapeOf(sqlite, table)
  const left = sqliteRows(sqlite, table, shape)
  const right = postgresRows(client, `${quoted(options.schema)}.${quoted(table)}`, shape)
  const limit = options.describe ?? 20
  const differences: Difference[] = []
  const counts = { sqliteRows: 0, postgresRows: 0, different: 0 }
  const found = (difference: Difference) => {
    counts.different++
    if (differences.length < limit) differences.push(difference)
  }

  try {
    let one = left.next()
    let other = await right.next()
    while (!one.done || !other.done) {
      const order = one.done ? 1 : other.done ? -1 : compareKeys(shape, one.value, other.value)
      if (order <= 0) counts.sqliteRows++
      if (order >= 0) counts.postgresRows++
      if (order < 0) found({ key: keyOf(shape, one.value!), sqlite: 'a row', postgres: 'no row' })
      if (order > 0) found({ key: postgresKey(shape, other.value!), sqlite: 'no row', postgres: 'a row' })
      if (order === 0) {
        for (const difference of compareRow(shape, one.value!, other.value!)) found(difference)
      }
      if (order <= 0) one = left.next()
      if (order >= 0) other = await right.next()
    }
  } finally {
    // An open statement would keep the file from being closed.
    left.return(undefined)
  }
  return { table, ...counts, differences }
}

/** Columns with the key's first; `key` counts how many of them are the key's. */
interface Shape {
  readonly columns: readonly { readonly sqlite: string; readonly postgres: string }[]
  readonly key: number
}

/** Generated columns are left out. A table without a primary key is walked by its rowid, which slipway keeps in a hidden column. */
function shapeOf(sqlite: Database.Database, table: string): Shape {
  const all = sqlite
    .prepare('SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden = 0')
    .safeIntegers(false)
    .all(table) as {
    name: string
    pk: number
  }[]
  const same = ({ name }: { name: string }) => ({ sqlite: quoted(name), postgres: quoted(name) })
  const key = all.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk)
  const rest = all.filter(({ pk }) => pk === 0)
  if (key.length > 0) return { columns: [...key, ...rest].map(same), key: key.length }
  return { columns: [{ sqlite: 'rowid', postgres: '"_slipway_rowid"' }, ...rest.map(same)], key: 1 }
}

function* sqliteRows(
  sqlite: Database.Database,
  table: string,
  shape: Shape,
): Generator<readonly SqliteValue[], undefined> {
  const values = shape.columns.map(
    ({ sqlite: name }) =>
      `typeof(${name}), CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) ELSE ${name} END`,
  )
  const order = shape.columns.slice(0, shape.key).map(({ sqlite: name }) => `${name} COLLATE BINARY`)
  const select = sqlite
    .prepare(`SELECT ${values.join(', ')} FROM ${quoted(table)} ORDER BY ${order.join(', ')}`)
    .raw()
    .safeIntegers()
  for (const row of select.iterate() as IterableIterator<unknown[]>) {
    yield shape.columns.map((_, i) => ({ type: row[2 * i], value: row[2 * i + 1] }) as SqliteValue)
  }
}

interface PostgresRow {
  readonly values: readonly (string | null)[]
  readonly oids: readonly number[]
}

async function* postgresRows(
  client: pg.Client,
  table: string,
  shape: Shape,
): AsyncGenerator<PostgresRow, undefined> {
  const names = shape.columns.map(({ postgres }) => postgres)
  const { fields } = await client.query(`SELECT ${names.join(', ')} FROM ${table} LIMIT 0`)
  const oids = fields.map((field) => field.dataTypeID)
  const order = names.slice(0, shape.key).map((name, i) => (isText(oids[i]!) ? `${name} COLLATE "C"` : name))
  await client.query(
    `DECLARE rows NO SCROLL CURSOR FOR SELECT ${names.join(', ')} FROM ${table} ORDER BY ${order.join(', ')}`,
  )
  for (;;) {
    const { rows } = await client.query<(string | null)[]>({
      text: `FETCH ${FETCH_ROWS} FROM rows`,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig,
    })
    for (const values of rows) yield { values, oids }
    if (rows.length < FETCH_ROWS) break
  }
  await client.query('CLOSE rows')
}

function compareRow(shape: Shape, one: readonly SqliteValue[], other: PostgresRow): Difference[] {
  const differences: Difference[] = []
  shape.columns.forEach((column, i) => {
    if (sameValue(one[i]!, other.values[i]!, other.oids[i]!)) return
    differences.push({
      key: keyOf(shape, one),
      column: column.sqlite.slice(1, -1),
      sqlite: shown(one[i]!),
      postgres: other.values[i] === null ? 'NULL' : shorten(other.values[i]!),
    })
  })
  return differences
}

/** The order that both engines give their rows: numbers by value, text and blobs by their bytes. */
function compareKeys(shape: Shape, one: readonly SqliteValue[], other: PostgresRow): number {
  for (let i = 0; i < shape.key; i++) {
    const [left, right, oid] = [one[i]!, other.values[i]!, other.oids[i]!]
    if (sameValue(left, right, oid)) continue
    if (left.type === 'null' || right === null)
      throw new Error(`NULL in the key of a row: ${keyOf(shape, one)}`)
    if (left.type === 'integer' && /^-?\d+$/.test(right)) return left.value < BigInt(right) ? -1 : 1
    if (left.type === 'integer' || left.type === 'real') return left.value < Number(right) ? -1 : 1
    if (left.type === 'text' && (isText(oid) || oid === UUID))
      return Buffer.compare(left.value, Buffer.from(right))
    if (left.type === 'blob') return Buffer.compare(left.value, Buffer.from(right.slice(2), 'hex'))
    throw new Error(`A key of the type with OID ${oid} has no order that both engines share.`)
  }
  return 0
}

const UUID = 2950

function isText(oid: number): boolean {
  return oid === 25 || oid === 1042 || oid === 1043
}

function keyOf(shape: Shape, row: readonly SqliteValue[]): string {
  return row.slice(0, shape.key).map(shown).join(', ')
}

function postgresKey(shape: Shape, row: PostgresRow): string {
  return row.values.slice(0, shape.key).join(', ')
}

function shown(value: SqliteValue): string {
  if (value.type === 'null') return 'NULL'
  if (value.type === 'blob') return shorten(`x'${value.value.toString('hex')}'`)
  return shorten(value.value.toString())
}

function shorten(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : text.slice(0, SHOWN_CHARACTERS) + '…'
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
