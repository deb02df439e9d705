import { afterEach, describe, expect, test } from 'vitest'
import type { TableFacts } from '../../src/core/assess/facts.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { openReader, readFacts } from '../../src/sqlite/open.ts'
import { ReaderGate } from '../../src/sqlite/reader-gate.ts'
import { surveyTable } from '../../src/sqlite/survey.ts'
import { Workspace } from '../support/daemon.ts'
import { execute, type Statement } from '../support/foreign.ts'

const workspaces: Workspace[] = []
afterEach(() => {
  for (const workspace of workspaces.splice(0)) workspace[Symbol.dispose]()
})

/** With windows as short as they can be, so that there are many. */
async function survey(
  statements: readonly Statement[],
): Promise<{ facts: TableFacts; windows: number; table: SourceTable }> {
  const workspace = new Workspace()
  workspaces.push(workspace)
  const path = workspace.file('app.db')
  await execute(path, statements)
  const database = openReader(path)
  try {
    const table = introspect(database, ['t'], []).tables[0] as SourceTable
    let windows = 0
    const facts = await surveyTable(database, table, {
      path,
      gate: new ReaderGate(path, Number.POSITIVE_INFINITY),
      signal: new AbortController().signal,
      encoding: readFacts(database, path).encoding,
      windowMs: 0,
      onRows: () => windows++,
    })
    return { facts, windows, table }
  } finally {
    database.close()
  }
}

const thousand = (row: string) =>
  `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000) INSERT INTO t SELECT ${row} FROM n`

describe('every row once, in many windows', () => {
  const shapes: [what: string, table: string, row: string][] = [
    ['by rowid, with gaps', 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `n * n - 5000, 'v' || n`],
    ['without a key', 'CREATE TABLE t (k INTEGER, a TEXT)', `n, 'v' || n`],
    ['by a text key', 'CREATE TABLE t (k TEXT PRIMARY KEY, a TEXT) WITHOUT ROWID', `'key' || n, 'v' || n`],
    [
      'by a key that is no UTF-8',
      'CREATE TABLE t (k TEXT PRIMARY KEY, a TEXT) WITHOUT ROWID',
      `CAST(x'ff' || n AS TEXT), 'v' || n`,
    ],
    [
      'by a key of several columns and kinds',
      'CREATE TABLE t (k, l TEXT COLLATE NOCASE, a TEXT, PRIMARY KEY (k, l)) WITHOUT ROWID',
      `CASE n % 4 WHEN 0 THEN n WHEN 1 THEN n / 3.0 WHEN 2 THEN 'k' || n ELSE CAST(n AS BLOB) END, 'l' || (n % 7), 'v' || n`,
    ],
  ]
  test.for(shapes)('%s', async ([, table, row]) => {
    const { facts, windows } = await survey([table, thousand(row)])
    expect(facts.rows).toBe(1000)
    expect(facts.columns.get('a')?.counts.text).toBe(1000)
    expect(facts.columns.get('a')?.bytes).toBe(3893)
    expect(windows).toBeGreaterThan(10)
  })

  test('a descending key, and a rowid that no name is left for: in one go', async () => {
    const descending = await survey([
      'CREATE TABLE t (k INTEGER, a TEXT, PRIMARY KEY (k DESC)) WITHOUT ROWID',
      thousand(`n, CASE n WHEN 7 THEN CAST(x'ff' AS TEXT) ELSE 'v' END`),
    ])
    expect([descending.facts.rows, descending.windows]).toEqual([1000, 1])
    expect(descending.facts.columns.get('a')?.examples.invalid_utf8).toEqual(['k=7'])
    const hidden = await survey([
      'CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ TEXT)',
      thousand(`'r', CASE n WHEN 500 THEN CAST(x'ff' AS TEXT) END, 'x'`),
    ])
    expect([hidden.facts.rows, hidden.windows]).toEqual([1000, 1])
    expect(hidden.facts.columns.get('oid')?.counts).toEqual({ null: 999, text: 1, invalid_utf8: 1 })
  })
})

describe('bytes', () => {
  test('U+FFFD is a character, and bytes that only look like it are not', async () => {
    const { facts } = await survey([
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (1, char(65533)), (2, CAST(x'ff' AS TEXT)), (3, CAST(x'61ff0062' AS TEXT)), (4, x'ff'), (5, 'я🚀')`,
    ])
    const counts = facts.columns.get('a')
    expect(counts?.counts).toEqual({ text: 4, blob: 1, invalid_utf8: 2, nul: 1 })
    expect(counts?.examples.invalid_utf8).toEqual(['id=2', 'id=3'])
  })

  test('long values are seen by their size and their bytes', async () => {
    const { facts } = await survey([
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)',
      `INSERT INTO t VALUES (1, replace(hex(zeroblob(50000)), '0', 'x'), NULL), (2, zeroblob(70000), 5),
         (3, CAST(zeroblob(70000) AS TEXT), NULL), (4, '[' || replace(hex(zeroblob(40000)), '00', '1,') || '1]', NULL)`,
    ])
    expect(facts.columns.get('a')?.counts).toEqual({ text: 3, blob: 1, nul: 1, json: 1 })
    expect(facts.columns.get('a')?.longestBytes).toBe(100_000)
    expect(facts.columns.get('b')?.counts).toEqual({ null: 3, integer: 1, int16: 1 })
  })

  test.for(['UTF-16le', 'UTF-16be'])('text in %s, and a surrogate that is alone', async (encoding) => {
    const alone = encoding === 'UTF-16le' ? '00d86100' : 'd8000061'
    const { facts } = await survey([
      `PRAGMA encoding = '${encoding}'`,
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
      `INSERT INTO t VALUES (1, 'я🚀'), (2, CAST(x'${alone}' AS TEXT)), (3, '2024-01-01')`,
    ])
    expect(facts.columns.get('a')?.counts).toEqual({ text: 3, invalid_utf8: 1, iso_date: 1 })
  })

  test('more columns than one SELECT can have', async () => {
    const columns = Array.from({ length: 1500 }, (_, index) => `c${index}`)
    const { facts } = await survey([
      `CREATE TABLE t (${columns.join(', ')})`,
      `INSERT INTO t (c0, c1499) VALUES ('first', 'last')`,
    ])
    expect(facts.rows).toBe(1)
    expect(facts.columns.size).toBe(1500)
    expect(facts.columns.get('c1499')?.counts).toEqual({ text: 1 })
    expect(facts.columns.get('c700')?.counts).toEqual({ null: 1 })
  })
})
