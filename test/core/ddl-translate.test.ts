/**
 * Each translated expression on both engines, for a set of rows: the same answer or no translation. What is refused is
 * refused by name.
 */
import Database from 'better-sqlite3'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ExpressionContext, expressionContext } from '../../src/core/ddl/context.ts'
import { planGenerated } from '../../src/core/ddl/generated.ts'
import { translateCondition, translateExpression } from '../../src/core/ddl/translate.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import type { TableSpec } from '../../src/core/table.ts'
import { createTableSql } from '../../src/postgres/schema.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

/** Columns with the type that each gets in PostgreSQL. */
const COLUMNS: readonly (readonly [name: string, declared: string, type: string])[] = [
  ['id', 'INTEGER PRIMARY KEY', 'bigint'],
  ['n', 'INTEGER', 'bigint'],
  ['m', 'INTEGER NOT NULL', 'bigint'],
  ['small', 'INTEGER', 'integer'],
  ['r', 'REAL', 'double precision'],
  ['mixed', 'NUMERIC', 'double precision'],
  ['price', 'DECIMAL(10,2)', 'numeric'],
  ['t', 'TEXT', 'text'],
  ['u', 'TEXT NOT NULL', 'text'],
  ['nocase', 'TEXT COLLATE NOCASE', 'text'],
  ['right', 'TEXT COLLATE RTRIM', 'text'],
  ['flag', 'BOOLEAN', 'boolean'],
  ['day', 'DATE', 'date'],
  ['j', 'TEXT', 'jsonb'],
  ['loose', '', 'text'],
  ['at', 'DATETIME', 'timestamp without time zone'],
  ['odd name', 'INTEGER', 'bigint'],
]

type Row = readonly (string | number | bigint | null)[]

const ROWS: readonly Row[] = [
  // n, m, small, r, mixed, price, t, u, nocase, right, flag, day, j, loose, at, odd name
  [0, 0, 0, 0, 0, 0, '', '', '', '', 0, '2024-01-01', '{}', 'x', '2024-01-01 00:00:00', 0],
  [1, 2, 3, 1.5, 2, 0.1, 'a', 'b', 'Abc', 'x  ', 1, '2024-02-29', '[1]', 'y', '2024-01-01 00:00:00', 1],
  [
    -7,
    3,
    -3,
    -2.5,
    -2,
    -0.99,
    'B',
    'a@b.c',
    'aBC',
    'x',
    1,
    '1999-12-31',
    '"é"',
    '5',
    '2024-01-01 00:00:00',
    -1,
  ],
  [null, 7, null, null, null, null, null, '100%', null, null, null, null, null, null, null, null],
  [
    9007199254740993n,
    -1,
    2147483647,
    0.30000000000000004,
    1e15,
    12345678.9,
    'É_%',
    'ÀB',
    'éA',
    'y ',
    0,
    '2024-12-31',
    'null',
    'z',
    '2024-01-01 00:00:00',
    5,
  ],
  [5, 5, 5, 5, 5, 5, 'Zz', 'zz top', 'zZ', 'zz', 1, '2024-06-01', 'true', 'w', '2024-01-01 00:00:00', 9],
  [
    4611686018427387904n,
    1,
    1,
    0.1,
    0.1,
    0.3,
    'line\nbreak',
    'a[b]-c^',
    '_',
    '_',
    0,
    '0001-01-01',
    '0',
    'v',
    '2024-01-01 00:00:00',
    2,
  ],
  [-1, 64, 10, 1e10, 1e10, 99, '🚀x', '123', 'K', ' ', 0, '2024-01-02', '1', '', '2024-01-01 00:00:00', 3],
]

let database: TestDatabase
let client: pg.Client
let source: SourceTable
let spec: TableSpec
let context: ExpressionContext
const sqlite = new Database(':memory:')

beforeAll(async () => {
  sqlite.defaultSafeIntegers(true)
  sqlite.exec(`CREATE TABLE t (${COLUMNS.map(([name, declared]) => `"${name}" ${declared}`).join(', ')})`)
  const marks = COLUMNS.map(() => '?').join(', ')
  ROWS.forEach((row, i) => void sqlite.prepare(`INSERT INTO t VALUES (${marks})`).run(i + 1, ...row))
  source = introspect(sqlite, [], []).tables[0] as SourceTable
  spec = {
    name: 't',
    schema: 'public',
    target: 't',
    key: { kind: 'primary', columns: [{ name: 'id', target: 'id', type: 'bigint' }] },
    columns: COLUMNS.map(([name, declared, type]) => ({
      name,
      target: name,
      type,
      notNull: / NOT NULL/.test(declared),
    })),
    rowid: 'rowid',
    owned: true,
  }
  context = expressionContext(source, spec)
  database = await createDatabase()
  client = await database.connect()
  await client.query(createTableSql(source, spec))
  const values = COLUMNS.map((_, i) => `$${i + 1}`).join(', ')
  for (const [i, row] of ROWS.entries()) {
    await client.query(
      `INSERT INTO t VALUES (${values})`,
      [i + 1, ...row].map((value) => (value === null ? null : String(value))),
    )
  }
})

afterAll(async () => {
  await database.drop()
  sqlite.close()
})

/** As both engines can say it: a truth as 0 or 1, a number by its value, text as it is. */
function said(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value)) {
    return Number.isSafeInteger(Number(value)) || value.includes('.') ? Number(value) : value
  }
  return value
}

async function onBoth(expression: string, sql: string): Promise<void> {
  const left = sqlite.prepare(`SELECT ${expression} FROM t ORDER BY id`).pluck().all()
  const { rows } = await client.query({ text: `SELECT ${sql} FROM t ORDER BY id`, rowMode: 'array' })
  expect(
    rows.map(([value]) => said(value)),
    `${expression} → ${sql}`,
  ).toEqual(left.map(said))
}

const CONDITIONS = [
  'n > 0',
  'n >= 0 AND n < 10',
  'm > 0 OR n IS NULL',
  'NOT n',
  'n',
  'r',
  'flag',
  'NOT flag',
  'n = m',
  'n <> m',
  'n == 5',
  'n != 5',
  'n IS m',
  'n IS NOT m',
  'n IS NOT DISTINCT FROM m',
  'n IS DISTINCT FROM m',
  'n IS NULL',
  'n ISNULL',
  'n NOTNULL',
  'n NOT NULL',
  'm IS NOT NULL',
  'n BETWEEN 0 AND 5',
  'n NOT BETWEEN 0 AND 5',
  'n BETWEEN m AND 100',
  'n IN (0, 1, 5)',
  'n NOT IN (0, 1, 5)',
  'n IN (0, NULL)',
  'n NOT IN (0, NULL)',
  'n IN ()',
  'n > 9007199254740992',
  'n > 0.5',
  'n > -1.5e0',
  'n = 0x5',
  'n = 1_0 - 5',
  'n < 9223372036854775807',
  'n >= -9223372036854775808',
  'r = 0.1',
  'r >= 0.30000000000000',
  'r > 1',
  'r < mixed',
  'mixed = 0.1',
  'price = 0.1',
  'price BETWEEN 0 AND 99.99',
  'price > n',
  'price IS NOT NULL AND price >= 0',
  'n + m > 5',
  'n - m * 2 > -5',
  'small + small > 0',
  'small * small > 0',
  'n / m = 0',
  'n % m = 1',
  '-7 / 2 = n',
  'n / 2 = 2',
  'r / 2 > 0.1',
  'r / n > 0.1',
  'r * 2 = 10',
  '-n > 0',
  '+n > 0',
  'n & 1',
  'n & m = 1',
  '(n | 2) = 3',
  '~n = -6',
  'flag = 1',
  'flag = 0',
  'flag IN (0, 1)',
  'flag <> 0',
  'flag = 2',
  'flag > 0',
  'flag IS TRUE',
  'flag IS NOT TRUE',
  'flag IS FALSE',
  'flag = TRUE',
  'n IS TRUE',
  'n = TRUE',
  '(n > 0) = (m > 0)',
  '(n > 0) + (m > 0) = 1',
  '(n > 0) = 1',
  'TRUE',
  'FALSE OR n = 5',
  't = u',
  `t = 'a'`,
  `t <> 'a'`,
  `t < 'b'`,
  `t > u`,
  `t >= 'É'`,
  `t IN ('a', 'B')`,
  `t NOT IN ('a', 'B')`,
  `t IS 'a'`,
  `t <> ''`,
  `t || u = 'ab'`,
  `n || '' = '5'`,
  `t || n = 'a1'`,
  `nocase = 'ABC'`,
  `nocase = 'É' OR nocase = 'ÉA'`,
  `nocase < 'b'`,
  `nocase > 'Z'`,
  `nocase IN ('abc', 'ZZ')`,
  `nocase <> t`,
  `t <> nocase`,
  `nocase = 'abc' COLLATE BINARY`,
  `t = 'A' COLLATE NOCASE`,
  `t COLLATE NOCASE IN ('A', 'b')`,
  `"right" = 'x'`,
  `[right] = 'y    '`,
  `"right" = ''`,
  `"right" > 'x'`,
  `t LIKE 'A'`,
  `t LIKE '%Z%'`,
  `t LIKE '_'`,
  `t LIKE 'é%'`,
  `t NOT LIKE 'z%'`,
  `u LIKE '%@%.%'`,
  `t LIKE '%\\_%'`,
  `t LIKE '%!_%' ESCAPE '!'`,
  `u LIKE '%!%' ESCAPE '!' OR n = 5`,
  `u LIKE '%!%%' ESCAPE '!'`,
  `t LIKE 'line%break'`,
  `n LIKE '5%'`,
  `t LIKE u`,
  `u GLOB '*[0-9]*'`,
  `u NOT GLOB '*[^0-9]*'`,
  `u GLOB '???'`,
  `u GLOB 'a[[]b]-*'`,
  `u GLOB '*^'`,
  `t GLOB 'line*break'`,
  `t GLOB '[a-zA-Z]*'`,
  `t GLOB '[^a]*'`,
  `t GLOB '[]a]'`,
  `t GLOB '🚀?'`,
  `t GLOB '?x'`,
  `n GLOB '[0-9]'`,
  `length(t) > 1`,
  `length(t) + 1 > n`,
  `length(n) = 1`,
  `length(trim(u)) > 0`,
  `lower(t) = 'é_%'`,
  `upper(t) = 'ZZ'`,
  `lower(nocase) = nocase`,
  `substr(t, 1, 1) = 'a'`,
  `substr(u, 2) = '@b.c'`,
  `substr(u, -2) = '.c'`,
  `substr(u, 0, 2) = 'a'`,
  `substr(u, instr(u, '@') + 1) = 'b.c'`,
  `substr(u, 1, instr(u, '@') - 1) = 'a'`,
  `instr(u, '@') > 0`,
  `trim(nocase) <> ''`,
  `ltrim(u, 'a') = '@b.c'`,
  `rtrim("right") = 'x'`,
  `replace(u, 'z', 'y') = 'yy top'`,
  `coalesce(n, m) > 0`,
  `ifnull(t, u) = '100%'`,
  `coalesce(flag, 0) = 0`,
  `nullif(t, '') IS NULL`,
  `nullif(nocase, 'abc') IS NULL`,
  `iif(n > 0, m, -m) > 0`,
  `abs(n) > 4`,
  `abs(r) > 2`,
  `max(n, m) > 5`,
  `min(n, m, small) < 0`,
  `CASE WHEN n > 0 THEN 1 ELSE 0 END`,
  `CASE n WHEN 5 THEN 'five' WHEN 1 THEN 'one' END = 'one'`,
  `CASE nocase WHEN 'ABC' THEN 1 WHEN 'zz' THEN 2 END = 2`,
  `CASE WHEN n > 0 THEN n > m ELSE 0 END`,
  `CAST(n AS TEXT) = '5'`,
  `CAST(n AS REAL) / 2 = 2.5`,
  `CAST(flag AS INTEGER) = 1`,
  `typeof(n) = 'integer'`,
  `typeof(m) = 'integer'`,
  `typeof(n) IN ('integer', 'null')`,
  `typeof(t) = 'text' OR t IS NULL`,
  `typeof(n) <> 'text'`,
  `typeof(t) = 'null'`,
  `typeof(r) = 'real'`,
  `typeof(flag) = 'integer'`,
  `day > '2024-01-31'`,
  `day BETWEEN '2024-01-01' AND '2024-12-31'`,
  `day IS NULL OR day <> '2024-02-29'`,
  `json_valid(j)`,
  `j IS NULL OR json_valid(j)`,
  `loose IS NOT NULL`,
  `at IS NULL`,
  `"odd name" > 0`,
  '`odd name` + [odd name] > 2',
  't.n > 0 -- the rest is talk\n',
  'n /* really */ > 0',
  `likely(n > 0)`,
  'n = m OR n = 5 AND m = 5',
  'NOT n = 5',
  'NOT n > 3 IS NULL',
  '1 = 1',
  'n COLLATE NOCASE = 5',
]

describe('conditions', () => {
  test.each(CONDITIONS)('%s', async (expression) => {
    const condition = translateCondition(expression, context)
    if ('reason' in condition) throw new Error(condition.reason)
    const truth = `CASE WHEN (${expression}) THEN 1 WHEN NOT (${expression}) THEN 0 END`
    await onBoth(truth, condition.sql)
  })
})

test('a name in double quotes that is no column is a string, as it was in older schemas', async () => {
  const condition = translateCondition('t = "a" OR "u" = "b"', context)
  if ('reason' in condition) throw new Error(condition.reason)
  await onBoth(`t = 'a' OR u = 'b'`, condition.sql)
})

const VALUES = [
  'n + 1',
  'm * 2 - 1',
  'r * 2.5',
  'r + n',
  'abs(n)',
  `t || ' ' || u`,
  `coalesce(t, '') || '-' || m`,
  'lower(u)',
  'upper(nocase)',
  'length(u)',
  'm > 3',
  `CASE WHEN m > 3 THEN 'big' ELSE 'small' END`,
  'iif(flag, u, NULL)',
  'n / 0',
  'n % 0',
  'round(n)',
  `replace(trim(u), ' ', '-')`,
  'CAST(m AS TEXT)',
  'nullif(u, t)',
]

describe('values', () => {
  test.each(VALUES)('%s', async (expression) => {
    const value = translateExpression(expression, context)
    if ('reason' in value) throw new Error(value.reason)
    await onBoth(expression, value.sql)
  })

  test.each(VALUES)('%s in an index and a generated column', async (expression) => {
    const value = translateExpression(expression, context)
    if ('reason' in value) throw new Error(value.reason)
    // PostgreSQL takes immutable expressions alone.
    if (value.value.kind === 'null') return expect(value.sql).toBe('NULL')
    await client.query(`CREATE INDEX probe ON t ((${value.sql}))`)
    await client.query('DROP INDEX probe')
    const { rows } = await client.query(`SELECT pg_typeof(${value.sql}) AS type FROM t LIMIT 1`)
    await client.query(
      `ALTER TABLE t ADD COLUMN probe ${rows[0].type} GENERATED ALWAYS AS (${value.sql}) STORED`,
    )
    await client.query('ALTER TABLE t DROP COLUMN probe')
    expect(rows).toHaveLength(1)
  })
})

describe('refused, with the reason', () => {
  test.each([
    [`n = '5'`, /rules of its own/],
    [`t = 5`, /rules of its own/],
    [`t > n`, /rules of its own/],
    [`loose = 'x'`, /declared without a type/],
    [`at > '2024-01-01'`, /timestamp/],
    [`day > '2024-02-30'`, /no day/],
    [`day > 'tomorrow'`, /no day/],
    [`price * 2 > 1`, /other digits/],
    [`mixed / 2 > 1`, /other digits/],
    [`r = n`, /exact number and a double/],
    [`t`, /no condition/],
    [`t = CURRENT_TIMESTAMP`, /current time/],
    [`date(t) = t`, /date\(\)/],
    [`t REGEXP 'x'`, /cannot be read/],
    [`n IN (SELECT 1)`, /cannot be read/],
    [`(n, m) = (1, 2)`, /cannot be read/],
    [`mine(n)`, /mine\(\) has no certain counterpart/],
    [`round(r, 2) = 1`, /round\(\)/],
    [`json_extract(j, '$.a') = 1`, /json_extract/],
    [`j ->> 'a' = 1`, /JSON/],
    [`json_valid(t)`, /json or jsonb/],
    [`t GLOB u`, /not fixed/],
    [`t GLOB '[z-a]'`, /empty/],
    [`t GLOB '[a'`, /not closed/],
    [`t LIKE 'a' ESCAPE 'x'`, /ESCAPE/],
    [`t = 'x' COLLATE mine`, /MINE exists in the application only/],
    [`CAST(t AS INTEGER) > 0`, /CAST/],
    [`CAST(r AS INTEGER) > 0`, /CAST/],
    [`missing > 0`, /no column for missing/],
    [`rowid > 0`, /no column for rowid/],
    [`n << 1 > 0`, /shifts/],
    [`substr(t, n, 2) = 'a'`, /not fixed/],
    [`typeof(mixed) = 'real'`, /typeof/],
    [`n = 99999999999999999999`, /64 bits/],
    [`r = 0.12345678901234567`, /a double keeps/],
    [`random() > 0`, /random\(\)/],
    [`n = (`, /cannot be read/],
    [`n = ?`, /cannot be read/],
    [`${'('.repeat(200)}n${')'.repeat(200)} > 0`, /too deep/],
  ])('%s', (expression, reason) => {
    const result = translateCondition(expression, context)
    expect('reason' in result ? result.reason : result.sql).toMatch(reason)
  })

  test('a column whose values the plan changes is not looked into', () => {
    const columns = spec.columns.map((column) =>
      column.name === 't' ? { ...column, transforms: ['empty_as_null' as const] } : column,
    )
    const changed = expressionContext(source, { ...spec, columns })
    for (const expression of [`t = 'a'`, 't IS NOT NULL', `coalesce(t, '') = ''`])
      expect(translateCondition(expression, changed)).toHaveProperty('reason')
    expect(translateCondition('n > 0', changed)).toHaveProperty('sql')
  })

  test('one that is spelled in another way is not looked into, but for NULL', () => {
    const columns = spec.columns.map((column) =>
      column.name === 'n'
        ? { ...column, codec: 'epoch_s' as const, type: 'timestamp with time zone' }
        : column,
    )
    const changed = expressionContext(source, { ...spec, columns })
    expect(translateCondition('n > 0', changed)).toHaveProperty('reason')
    expect(translateCondition('n IS NULL', changed)).toHaveProperty('sql', '"n" IS NULL')
  })
})

test('generated columns build on each other, in any order; what cannot be is left out with the reason', async () => {
  const other = new Database(':memory:')
  other.defaultSafeIntegers(true)
  other.exec(`CREATE TABLE g (a INTEGER, b TEXT,
    third INT AS (second + 1), second INTEGER GENERATED ALWAYS AS (first * 2) STORED, first INT AS (a + 1) VIRTUAL,
    shown TEXT AS (upper(b) || first), half REAL AS (a / 2), big BOOLEAN AS (a > 3), lost TEXT AS (printf('%d', a)),
    of_lost TEXT AS (lost || 'x'), untyped AS (b || '!'), numbered INTEGER AS (b || '1'))`)
  for (const values of [`1, 'x'`, `NULL, NULL`, `7, 'É'`])
    other.exec(`INSERT INTO g (a, b) VALUES (${values})`)
  const table = introspect(other, [], []).tables[0] as SourceTable
  const generatedSpec: TableSpec = {
    name: 'g',
    schema: 'public',
    target: 'g',
    key: { kind: 'rowid', columns: [{ name: 'rowid', target: '_slipway_rowid', type: 'bigint' }] },
    columns: [
      { name: 'a', target: 'A', type: 'bigint', notNull: false },
      { name: 'b', target: 'b', type: 'text', notNull: false },
    ],
    rowid: 'rowid',
    owned: true,
  }
  const plan = planGenerated(table, generatedSpec)
  expect(plan.made.map(({ name, type }) => `${name} ${type}`)).toEqual([
    'third bigint',
    'second bigint',
    'first bigint',
    'shown text',
    'half double precision',
    'big boolean',
    'untyped text',
  ])
  expect(plan.left.map(({ name }) => name)).toEqual(['lost', 'of_lost', 'numbered'])
  expect(plan.left[0]?.reason).toMatch(/printf/)
  await client.query(createTableSql(table, generatedSpec))
  await client.query(
    `INSERT INTO g ("A", b, _slipway_rowid) VALUES (1, 'x', 1), (NULL, NULL, 2), (7, 'É', 3)`,
  )
  const list = plan.made.map(({ name }) => name).join(', ')
  const left = other.prepare(`SELECT ${list} FROM g ORDER BY rowid`).raw().all() as unknown[][]
  const { rows } = await client.query({
    text: `SELECT ${list} FROM g ORDER BY _slipway_rowid`,
    rowMode: 'array',
  })
  expect(rows.map((row: unknown[]) => row.map(said))).toEqual(left.map((row) => row.map(said)))
  other.close()
})
