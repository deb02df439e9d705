import fc from 'fast-check'
import { expect, test } from 'vitest'
import { foreignKeyViolations } from '../../src/sqlite/reverse-foreign-keys.ts'
import { WayBack } from '../support/reverse.ts'

const { signal } = new AbortController()

test('rows without a parent are counted by key, as SQLite itself counts them', async () => {
  using back = new WayBack([
    'CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE, a, b, UNIQUE (a, b))',
    `INSERT INTO p VALUES (1, 'X', 1, 'b'), (2, '05', x'00', NULL)`,
    `CREATE TABLE c (p REFERENCES p, code INTEGER REFERENCES p (code), a, b, gone REFERENCES nowhere (x),
       FOREIGN KEY (a, b) REFERENCES p (a, b))`,
    `INSERT INTO c VALUES (1, 'x', 1, 'b', NULL), ('2', 5, 1, NULL, NULL), (3, 'y', 1, 'c', 1), ('z', '05', x'00', 'q', 2)`,
    `CREATE TABLE w (k PRIMARY KEY, p REFERENCES p) WITHOUT ROWID`,
    `INSERT INTO w VALUES (1, 9), (2, 2)`,
    'CREATE TABLE none (id INTEGER PRIMARY KEY, p REFERENCES p)',
  ])
  const found = await foreignKeyViolations(back.path, ['p', 'c', 'w', 'none'], signal)
  const counts = new Map<string, number>()
  for (const table of ['c', 'w']) {
    for (const [parent, id] of back.read<[string, number]>(
      `SELECT parent, fkid FROM pragma_foreign_key_check(?)`,
      table,
    )) {
      const name = `${table} ${parent} ${id}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
  }
  expect(found.reduce((sum, { count }) => sum + count, 0)).toBe(
    [...counts.values()].reduce((a, b) => a + b, 0),
  )
  expect(found).toEqual(
    expect.arrayContaining([
      { table: 'c', parent: 'nowhere', columns: ['gone'], count: 2 },
      { table: 'c', parent: 'p', columns: ['a', 'b'], count: 2 },
      { table: 'w', parent: 'p', columns: ['p'], count: 1 },
    ]),
  )
})

test('of many rows, with gaps, in slices', async () => {
  using back = new WayBack([
    'CREATE TABLE p (id INTEGER PRIMARY KEY)',
    'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)',
    `WITH RECURSIVE n(i) AS (VALUES (-40000) UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO p SELECT i FROM n WHERE i % 2`,
    `INSERT INTO c SELECT id * 3, CASE WHEN id % 3 THEN id ELSE id + 1 END FROM p`,
  ])
  const [exact] = back.read<[number]>('SELECT count(*) FROM pragma_foreign_key_check')
  expect(await foreignKeyViolations(back.path, ['c'], signal)).toEqual([
    { table: 'c', parent: 'p', columns: ['p'], count: exact?.[0] },
  ])
})

test('any values in columns of any affinity', async () => {
  const type = fc.constantFrom(
    '',
    'TEXT',
    'INTEGER',
    'REAL',
    'NUMERIC',
    'TEXT COLLATE NOCASE',
    'TEXT COLLATE RTRIM',
  )
  const value = fc.constantFrom(
    '1',
    "'1'",
    "'01'",
    '1.0',
    "'1.0'",
    "x'31'",
    "'a'",
    "'A'",
    "'a '",
    'NULL',
    '1e20',
    "'1e0'",
  )
  await fc.assert(
    fc.asyncProperty(
      type,
      type,
      fc.array(value, { maxLength: 6 }),
      fc.array(value, { maxLength: 8 }),
      async (one, other, parents, children) => {
        using back = new WayBack([
          `CREATE TABLE p (x ${one} UNIQUE)`,
          `CREATE TABLE c (y ${other} REFERENCES p (x))`,
          ...parents.map((each) => `INSERT OR IGNORE INTO p VALUES (${each})`),
          ...children.map((each) => `INSERT INTO c VALUES (${each})`),
        ])
        const [exact] = back.read<[number]>('SELECT count(*) FROM pragma_foreign_key_check')
        const found = await foreignKeyViolations(back.path, ['c'], signal)
        expect(found.reduce((sum, { count }) => sum + count, 0)).toBe(exact?.[0])
      },
    ),
    { numRuns: 60 },
  )
})
