import { describe, expect, test } from 'vitest'
import { codes, columnOf, finding, plan, specOf, target } from '../support/plan.ts'

const table = (columns: string, ...rows: string[]): string[] => [
  `CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns})`,
  ...rows.map((row, index) => `INSERT INTO t VALUES (${index + 1}, ${row})`),
]

describe('the type of a column that slipway makes', () => {
  test.for([
    ['INTEGER', '7', 'bigint'],
    ['INTEGER', '1.5', 'double precision'],
    ['INTEGER', `'x'`, 'text'],
    ['INTEGER', `x'00'`, 'bytea'],
    ['BOOLEAN', '1', 'boolean'],
    ['BOOLEAN', '2', 'bigint'],
    ['DATETIME', `'2024-01-01 10:00:00'`, 'timestamp without time zone'],
    ['DATETIME', `'2024-01-01T10:00:00Z'`, 'timestamp with time zone'],
    ['DATETIME', `'0000-00-00 00:00:00'`, 'text'],
    // Seconds since 1970 are an integer and stay one: no value is altered unasked.
    ['INTEGER', '1700000000', 'bigint'],
    // STRING has NUMERIC affinity: what SQLite made of '007' is what there is (trap V9).
    ['STRING', `'007'`, 'bigint'],
    ['STRING', `'1.10'`, 'numeric'],
    ['VARCHAR(2)', `'longer'`, 'text'],
  ] as const)('%s with %s is %s', async ([declared, value, type]) => {
    const outcome = await plan({ source: table(`c ${declared}`, value, 'NULL') })
    expect(columnOf(outcome, 't', 'c').type).toBe(type)
    expect(codes(outcome)).toEqual([])
  })

  test('is the narrowest that every value fits, and a wider one is told with places', async () => {
    const outcome = await plan({ source: table('c INTEGER', '1', `'x'`, '2') })
    expect(finding(outcome, 'widened')).toMatchObject({
      table: 't',
      column: 'c',
      count: 1,
      examples: ['id=2'],
      message: expect.stringMatching(/becomes text, not bigint/),
    })
    expect(outcome.tables[0]?.warnings).toEqual([expect.stringMatching(/becomes text/)])
  })

  test('is the one that a copy found to be needed', async () => {
    const outcome = await plan({ source: table('c TEXT', `'x'`), widened: new Map([['c', 'bytea']]) })
    expect(columnOf(outcome, 't', 'c').type).toBe('bytea')
  })

  test('is the one of the plan, as long as the values allow it or the plan says what else', async () => {
    const source = table('c INTEGER', '1', '70000')
    const typed = (entry: object) => plan({ source, tables: { t: { columns: { c: entry } } } })
    expect(columnOf(await typed({ type: 'integer' }), 't', 'c').type).toBe('integer')
    const wider = await typed({ type: 'smallint' })
    expect(columnOf(wider, 't', 'c').type).toBe('bigint')
    expect(finding(wider, 'widened').examples).toEqual(['id=2'])
    const aside = await typed({ type: 'smallint', misfit: 'quarantine' })
    expect(columnOf(aside, 't', 'c')).toMatchObject({ type: 'smallint', misfit: 'quarantine' })
    expect(codes(aside, 'warns')).toEqual(['values_set_aside: c'])
    expect(codes(await typed({ type: 'smallint', misfit: 'fail' }))).toEqual(['values_do_not_fit: c'])
    expect(codes(await typed({ codec: 'epoch_s' }))).toEqual(['plan_rule: c'])
  })
})

test('a column that may become NULL by a transform is not NOT NULL', async () => {
  const source = table('c TEXT NOT NULL', `''`)
  const outcome = await plan({ source, tables: { t: { columns: { c: { transforms: ['empty_as_null'] } } } } })
  expect(columnOf(outcome, 't', 'c')).toMatchObject({ notNull: false, transforms: ['empty_as_null'] })
  expect(columnOf(await plan({ source }), 't', 'c').notNull).toBe(true)
})

test('names that PostgreSQL cannot have are changed by a rule, each is told', async () => {
  const long = 'й'.repeat(40)
  const outcome = await plan({
    source: [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, "xmin" TEXT, "xmin_" TEXT, "" TEXT, _slipway_rowid TEXT, "${long}a" TEXT, "${long}b" TEXT)`,
      `CREATE TABLE "${'t'.repeat(70)}" (id INTEGER PRIMARY KEY)`,
    ],
  })
  expect(codes(outcome)).toEqual([])
  const names = specOf(outcome, 't').columns.map((column) => column.target)
  expect(new Set(names).size).toBe(7)
  expect(names.slice(0, 5)).toEqual([
    'id',
    expect.stringMatching(/^xmin_\w+$/),
    'xmin_',
    'column_4',
    '_slipway_rowid_',
  ])
  expect(names.slice(5)).toEqual([
    expect.stringMatching(/^й{27}_[0-9a-f]{8}$/),
    expect.stringMatching(/^й{27}_[0-9a-f]{8}$/),
  ])
  for (const { spec } of outcome.tables) expect(Buffer.byteLength(spec.target)).toBeLessThanOrEqual(63)
  expect(outcome.findings.filter(({ code }) => code === 'renamed')).toHaveLength(6)
})

test('the same names come out every time, whatever else is in the table', async () => {
  const long = 'c'.repeat(70)
  const one = await plan({ source: [`CREATE TABLE t (id INTEGER PRIMARY KEY, ${long} TEXT)`] })
  const two = await plan({ source: [`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, ${long} TEXT)`] })
  expect(columnOf(one, 't', long).target).toBe(columnOf(two, 't', long).target)
})

test('the foreign keys among moved tables are known, by the names as they were declared', async () => {
  const source = [
    'CREATE TABLE Parent (A INTEGER, B TEXT, PRIMARY KEY (A, B))',
    'CREATE TABLE other (id INTEGER PRIMARY KEY)',
    `CREATE TABLE child (id INTEGER PRIMARY KEY, pa INTEGER, pb TEXT, o INTEGER REFERENCES other, c INTEGER REFERENCES child (ID),
       FOREIGN KEY (PA, PB) REFERENCES PARENT)`,
  ]
  expect(specOf(await plan({ source, tables: { other: { include: false } } }), 'child').parents).toEqual([
    { columns: ['pa', 'pb'], parent: 'Parent', parentColumns: ['A', 'B'] },
    { columns: ['c'], parent: 'child', parentColumns: ['id'] },
  ])
})

test("the key is the plan's where the source keeps it, else it is refused", async () => {
  const source = [
    'CREATE TABLE t (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, note TEXT UNIQUE)',
    `INSERT INTO t VALUES (1, 'a', NULL)`,
  ]
  const keyed = (key: readonly string[] | 'rowid') => plan({ source, tables: { t: { key } } })
  expect(specOf(await keyed(['slug']), 't').key).toEqual({
    kind: 'unique',
    columns: [{ name: 'slug', target: 'slug', type: 'text' }],
  })
  expect(specOf(await keyed('rowid'), 't').key.kind).toBe('rowid')
  expect(codes(await keyed(['note']))).toEqual(['key_unusable'])
})

test('a table or a column that the plan leaves out is not there', async () => {
  const outcome = await plan({
    source: [...table('c TEXT'), 'CREATE TABLE u (id INTEGER PRIMARY KEY)'],
    tables: { t: { columns: { c: { include: false } } }, u: { include: false } },
  })
  expect(outcome.tables.map(({ spec }) => spec.name)).toEqual(['t'])
  expect(specOf(outcome, 't').columns.map(({ name }) => name)).toEqual(['id'])
  expect(codes(outcome, 'warns')).toEqual(['column_left_out: c'])
})

test('a name that something else has is refused, unless the plan gives another', async () => {
  const source = ['CREATE TABLE t (id INTEGER PRIMARY KEY)']
  expect(codes(await plan({ source, taken: ['t'] }))).toEqual(['name_taken'])
  const moved = await plan({ source, taken: ['t'], tables: { t: { target: 'tt' } } })
  expect(codes(moved)).toEqual([])
  expect(specOf(moved, 't').target).toBe('tt')
})

test('a table beside tables of the application is made, and that is told (trap V20)', async () => {
  const outcome = await plan({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY)'],
    targets: [target('app_t', { id: 'bigint!' })],
  })
  expect(codes(outcome, 'warns')).toEqual(['table_made'])
})
