/**
 * An independent comparison of a SQLite file with a PostgreSQL schema. It shares no code with `src`: what it
 * calls equal is equal by its own reading of both engines. Every row of every user table is compared by value:
 *
 * - integers exactly (64 bits), doubles by their bits, text and BLOBs by their bytes, booleans as 0 and 1;
 * - timestamps as instants in microseconds (a naive time counts as UTC), numeric by decimal value;
 * - json by its bytes, jsonb by its meaning (order of keys and spelling of numbers apart);
 * - NULL equals NULL and nothing else.
 *
 * A row is found by its primary key, compared byte for byte whatever the collation. Tables without a primary
 * key, or with NULL in it, are compared as multisets; the hidden column `_slipway_rowid` is ignored.
 */
import Database from 'better-sqlite3'
import pg from 'pg'

export interface Difference {
  readonly table: string
  /** The key as text; for a table without a key the whole row. */
  readonly key: string
  /** Undefined: the row as a whole (missing, extra) or the table. */
  readonly column?: string
  readonly sqlite: string
  readonly postgres: string
}

export interface Comparison {
  readonly equal: boolean
  readonly tables: number
  /** Rows in SQLite. */
  readonly rows: number
  /** The first ones; `total` counts all. */
  readonly differences: readonly Difference[]
  readonly total: number
}

export interface CompareOptions {
  readonly sqlitePath: string
  readonly postgresUrl: string
  /** Default: `public`. */
  readonly schema?: string
  /** Tables that are left out, by name in SQLite. */
  readonly exclude?: readonly string[]
  /** Columns that are left out, `table.column`. */
  readonly excludeColumns?: readonly string[]
  /** How many differences to keep; default 20. */
  readonly limit?: number
}

const HIDDEN = '_slipway_rowid'
const ABSENT = '(absent)'

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

type SqliteValue = bigint | number | Buffer | null
/** A value with its storage class, text as bytes. */
interface Stored {
  readonly type: string
  readonly value: SqliteValue
}

interface Column {
  readonly name: string
  readonly primary: number
  readonly generated: boolean
}

/** Compares the whole file with the whole schema. Takes one read transaction on each side. */
export async function compare(options: CompareOptions): Promise<Comparison> {
  const schema = options.schema ?? 'public'
  const differences: Difference[] = []
  let total = 0
  let rows = 0
  let tables = 0
  const differ = (difference: Difference): void => {
    total++
    if (differences.length < (options.limit ?? 20)) differences.push(difference)
  }
  const sqlite = new Database(options.sqlitePath, { readonly: true, timeout: 10_000 })
  const postgres = new pg.Client({ connectionString: options.postgresUrl })
  await postgres.connect()
  try {
    sqlite.defaultSafeIntegers(true)
    sqlite.exec('BEGIN')
    await postgres.query(`SET TimeZone = 'UTC'`)
    await postgres.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    for (const name of userTables(sqlite)) {
      if (options.exclude?.includes(name)) continue
      tables++
      const left = new Set(options.excludeColumns ?? [])
      const columns = columnsOf(sqlite, name).filter((column) => !left.has(`${name}.${column.name}`))
      const types = await typesOf(postgres, schema, name)
      if (types.size === 0) {
        differ({ table: name, key: '', sqlite: 'a table', postgres: ABSENT })
        continue
      }
      for (const column of columns) {
        if (!types.has(column.name) && !column.generated) {
          differ({ table: name, key: '', column: column.name, sqlite: 'a column', postgres: ABSENT })
        }
      }
      const shared = columns.filter((column) => types.has(column.name))
      rows += await compareTable(sqlite, postgres, schema, name, shared, types, differ)
    }
  } finally {
    sqlite.close()
    await postgres.end()
  }
  return { equal: total === 0, tables, rows, differences, total }
}

/** Equal, or an error that shows the first differences. */
export async function expectEqual(options: CompareOptions): Promise<Comparison> {
  const result = await compare(options)
  if (!result.equal)
    throw new Error(`SQLite and PostgreSQL differ in ${result.total} places:\n${show(result)}`)
  return result
}

/** Differences as lines. */
export function show(result: Comparison): string {
  return result.differences
    .map(
      (d) =>
        `  ${d.table}[${d.key}]${d.column ? `.${d.column}` : ''}: sqlite ${d.sqlite}, postgres ${d.postgres}`,
    )
    .join('\n')
}

function userTables(sqlite: Database.Database): string[] {
  const list = sqlite
    .prepare(`SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name`)
    .all() as { name: string; type: string }[]
  return list
    .filter(({ name, type }) => type === 'table' && !/^sqlite_/i.test(name) && !name.startsWith('_slipway_'))
    .map(({ name }) => name)
}

function columnsOf(sqlite: Database.Database, table: string): Column[] {
  const list = sqlite.prepare('SELECT name, pk, hidden FROM pragma_table_xinfo(?)').all(table) as {
    name: string
    pk: bigint
    hidden: bigint
  }[]
  return list
    .filter(({ hidden }) => hidden !== 1n)
    .map(({ name, pk, hidden }) => ({ name, primary: Number(pk), generated: hidden !== 0n }))
}

async function typesOf(postgres: pg.Client, schema: string, table: string): Promise<Map<string, string>> {
  const { rows } = await postgres.query<{ name: string; type: string }>(
    `SELECT a.attname AS name, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL) AS type
       FROM pg_attribute a
       JOIN pg_class c ON c.oid = a.attrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_type t ON t.oid = a.atttypid
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped`,
    [schema, table],
  )
  return new Map(rows.filter(({ name }) => name !== HIDDEN).map(({ name, type }) => [name, type]))
}

async function compareTable(
  sqlite: Database.Database,
  postgres: pg.Client,
  schema: string,
  table: string,
  columns: readonly Column[],
  types: ReadonlyMap<string, string>,
  differ: (difference: Difference) => void,
): Promise<number> {
  const kinds = columns.map((column) => types.get(column.name)!)
  const primary = columns
    .map((column, index) => ({ index, order: column.primary }))
    .filter(({ order }) => order > 0)
    .sort((a, b) => a.order - b.order)
    .map(({ index }) => index)
  const keyOf = (row: readonly string[]): string =>
    primary.length === 0 || primary.some((index) => row[index] === 'NULL')
      ? row.join(' | ')
      : primary.map((index) => row[index]).join(' | ')

  // What PostgreSQL shows, by key; a key may come more than once (a multiset).
  const there = new Map<string, string[][]>()
  for await (const row of targetRows(postgres, schema, table, columns, kinds)) {
    const key = keyOf(row)
    const same = there.get(key)
    if (same === undefined) there.set(key, [row])
    else same.push(row)
  }

  let rows = 0
  for (const stored of sourceRows(sqlite, table, columns)) {
    rows++
    const row = stored.map((value, index) => fromSqlite(value, kinds[index]!))
    const key = keyOf(row)
    const candidates = there.get(key)
    const other = candidates?.pop()
    if (other === undefined) {
      differ({ table, key: short(key), sqlite: 'a row', postgres: ABSENT })
      continue
    }
    if (candidates!.length === 0) there.delete(key)
    for (const [index, value] of row.entries()) {
      if (value !== other[index]) {
        const column = columns[index]!.name
        differ({ table, key: short(key), column, sqlite: short(value), postgres: short(other[index]!) })
      }
    }
  }
  for (const [key, left] of there) {
    for (let count = 0; count < left.length; count++) {
      differ({ table, key: short(key), sqlite: ABSENT, postgres: 'a row' })
    }
  }
  return rows
}

function short(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}… (${text.length})`
}

function* sourceRows(
  sqlite: Database.Database,
  table: string,
  columns: readonly Column[],
): Generator<Stored[]> {
  const select = columns.flatMap(({ name }) => {
    const column = quoted(name)
    return [
      `typeof(${column})`,
      `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`,
    ]
  })
  if (select.length === 0) return
  // CAST gives text as it lies in the file: UTF-8, or UTF-16 of either order.
  const encoding = String(sqlite.pragma('encoding', { simple: true }))
  const statement = sqlite.prepare(`SELECT ${select.join(', ')} FROM ${quoted(table)}`).raw(true)
  for (const raw of statement.iterate() as IterableIterator<SqliteValue[]>) {
    const row: Stored[] = []
    for (let index = 0; index < raw.length; index += 2) {
      const type = String(raw[index])
      const value = raw[index + 1] as SqliteValue
      row.push({ type, value: type === 'text' ? utf8(value as Buffer, encoding) : value })
    }
    yield row
  }
}

function utf8(bytes: Buffer, encoding: string): Buffer {
  if (encoding === 'UTF-8') return bytes
  return Buffer.from((encoding === 'UTF-16be' ? Buffer.from(bytes).swap16() : bytes).toString('utf16le'))
}

/** How PostgreSQL is asked for a column, so that nothing is lost on the way to a string. */
function selection(column: string, type: string): string {
  switch (type) {
    case 'double precision':
    case 'real':
      return `encode(float8send(${column}::float8), 'hex')`
    case 'boolean':
      return `${column}::int::text`
    case 'bytea':
      return `encode(${column}, 'hex')`
    case 'timestamp with time zone':
    case 'timestamp without time zone':
      return `CASE WHEN isfinite(${column}) THEN (extract(epoch FROM ${column}) * 1000000)::numeric(30,0)::text ELSE ${column}::text END`
    case 'text':
    case 'character varying':
    case 'character':
    case 'json':
      return `encode(convert_to(${column}::text, 'UTF8'), 'hex')`
    default:
      return `${column}::text`
  }
}

async function* targetRows(
  postgres: pg.Client,
  schema: string,
  table: string,
  columns: readonly Column[],
  kinds: readonly string[],
): AsyncGenerator<string[]> {
  const select = columns.map(({ name }, index) => selection(quoted(name), kinds[index]!))
  await postgres.query(
    `DECLARE compared NO SCROLL CURSOR FOR SELECT ${select.join(', ')} FROM ${quoted(schema)}.${quoted(table)}`,
  )
  for (;;) {
    const { rows } = await postgres.query<(string | null)[]>({
      text: 'FETCH 5000 FROM compared',
      rowMode: 'array',
    })
    if (rows.length === 0) break
    for (const row of rows) yield row.map((value, index) => fromPostgres(value, kinds[index]!))
  }
  await postgres.query('CLOSE compared')
}

// One canonical string per value. The prefix tells kinds apart, so that 1 and '1' never meet by chance.

function fromPostgres(value: string | null, type: string): string {
  if (value === null) return 'NULL'
  switch (type) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return `integer ${value}`
    case 'double precision':
    case 'real':
      return `double ${value}`
    case 'boolean':
      return `boolean ${value}`
    case 'bytea':
      return `bytes ${value}`
    case 'timestamp with time zone':
    case 'timestamp without time zone':
      return `instant ${value}`
    case 'numeric':
      return `decimal ${decimal(value)}`
    case 'jsonb':
      return `json ${meaning(value)}`
    case 'text':
    case 'character varying':
    case 'character':
    case 'json':
      return text(Buffer.from(value, 'hex'))
    default:
      return text(Buffer.from(value))
  }
}

function fromSqlite({ type, value }: Stored, target: string): string {
  if (value === null) return 'NULL'
  const plain = `${type} ${type === 'blob' || type === 'text' ? (value as Buffer).toString('hex') : String(value)}`
  const characters = type === 'text' ? (value as Buffer).toString('latin1') : undefined
  switch (target) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return plain
    case 'double precision':
    case 'real':
      return type === 'real' || (type === 'integer' && BigInt(Number(value)) === value)
        ? bits(Number(value))
        : plain
    case 'boolean':
      return type === 'integer' ? `boolean ${value}` : plain
    case 'bytea':
      return type === 'integer' || type === 'real'
        ? `bytes ${Buffer.from(spelled(value, type)).toString('hex')}`
        : `bytes ${(value as Buffer).toString('hex')}`
    case 'timestamp with time zone':
    case 'timestamp without time zone':
      return characters === undefined ? plain : instant(characters)
    case 'numeric':
      return type === 'blob' ? plain : `decimal ${decimal(characters ?? String(value))}`
    case 'jsonb':
      return type === 'text' ? `json ${meaning((value as Buffer).toString('utf8'))}` : plain
    default:
      // A number in a column of text is the text of the number.
      return type === 'text'
        ? text(value as Buffer)
        : type === 'blob'
          ? plain
          : text(Buffer.from(spelled(value, type)))
  }
}

function text(bytes: Buffer): string {
  const readable = bytes.toString('utf8')
  // Hex where UTF-8 would not come back as the same bytes, so that no two byte strings look alike.
  return Buffer.from(readable).equals(bytes)
    ? `text ${JSON.stringify(readable)}`
    : `text x'${bytes.toString('hex')}'`
}

function bits(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return `double ${bytes.toString('hex')}`
}

/** A double in a column of text: SQLite writes 1.0 and 1.0e+20 where JavaScript writes 1 and 100000000000000000000. */
function spelled(value: SqliteValue, type: string): string {
  if (type !== 'real') return String(value)
  const number = value as number
  if (!Number.isFinite(number)) return number > 0 ? 'Inf' : '-Inf'
  const [digits, exponent] = number.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (power >= -5 && power < 17) {
    const plain = Math.abs(number) < 1e-6 ? number.toFixed(25).replace(/0+$/, '') : String(number)
    return plain.includes('.') ? plain : `${plain}.0`
  }
  const sign = power < 0 ? '-' : '+'
  return `${digits.includes('.') ? digits : `${digits}.0`}e${sign}${String(Math.abs(power)).padStart(2, '0')}`
}

/** Decimal value in one spelling: digits without leading or trailing zeros, and the power of ten. */
function decimal(text: string): string {
  const match = /^\s*([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*$/.exec(text)
  if (match === null) return `not a number: ${text}`
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  if (digits === '') return '0'
  const trimmed = digits.replace(/0+$/, '')
  const power = Number(exponent) - fraction.length + (digits.length - trimmed.length)
  return `${sign === '-' ? '-' : ''}${trimmed}e${power}`
}

/** Microseconds since 1970 of `YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]][zone]`. */
function instant(text: string): string {
  const form =
    /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/
  const match = form.exec(text)
  if (match === null) return `text ${JSON.stringify(text)}`
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hour), Number(minute), Number(second))
  const offset = /^([+-])(\d\d):?(\d\d)?$/.exec(zone)
  const minutes =
    offset === null ? 0 : (offset[1] === '-' ? -1 : 1) * (Number(offset[2]) * 60 + Number(offset[3] ?? 0))
  const millis = BigInt(date.getTime()) - BigInt(minutes) * 60_000n
  return `instant ${millis * 1000n + BigInt(fraction.padEnd(6, '0') || '0')}`
}

/** JSON with sorted keys (the last of equal ones, as jsonb keeps it) and numbers by decimal value. */
function meaning(source: string): string {
  type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown
  const reviver: Reviver = (_key, value, context) => {
    if (typeof value === 'number') return { '\u0000number': decimal(context.source ?? String(value)) }
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  try {
    return JSON.stringify(JSON.parse(source, reviver as Parameters<typeof JSON.parse>[1]))
  } catch {
    return `not JSON: ${source}`
  }
}
