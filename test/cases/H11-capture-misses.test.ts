import { describe, expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Ways past the first draft's capture. What cannot be captured is refused before anything is made.

describe('captured', () => {
  test.for([0, 1])('with recursive_triggers = %i', async (recursive) => {
    await using scenario = await Scenario.replicating({
      source: [
        'CREATE TABLE names (name TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
        `INSERT INTO names VALUES ('abc', 1), ('def', 2)`,
        `CREATE TABLE presets (id INTEGER PRIMARY KEY, slug TEXT NOT NULL DEFAULT 'draft' UNIQUE, n INTEGER)`,
        `INSERT INTO presets VALUES (1, 'draft', 1), (2, 'x', 2)`,
        `CREATE TABLE clauses (id INTEGER PRIMARY KEY, slug TEXT NOT NULL ON CONFLICT REPLACE DEFAULT 'draft' UNIQUE ON CONFLICT REPLACE)`,
        `INSERT INTO clauses VALUES (1, 'draft')`,
        'CREATE TABLE untyped (k PRIMARY KEY, n INTEGER)',
        `INSERT INTO untyped VALUES (2, 2), (3, 3), (5, 4)`,
        'CREATE TABLE quiet (id INTEGER PRIMARY KEY, a TEXT UNIQUE)',
        `INSERT INTO quiet VALUES (1, 'a'), (2, 'b')`,
      ],
    })
    await scenario.write(
      [
        `INSERT OR REPLACE INTO names VALUES ('ABC', 3)`,
        `UPDATE OR REPLACE names SET name = 'Abc' WHERE name = 'def'`,
        `INSERT OR REPLACE INTO presets VALUES (3, NULL, 3)`,
        `UPDATE OR REPLACE presets SET slug = NULL WHERE id = 2`,
        'INSERT INTO clauses (slug) VALUES (NULL)',
        `INSERT INTO clauses VALUES (9, 'y')`,
        'UPDATE clauses SET slug = NULL WHERE id = 9',
        `INSERT OR REPLACE INTO untyped VALUES (7, 7)`,
      ],
      { pragmas: { recursive_triggers: recursive } },
    )
    const [left] = await scenario.write([
      'SELECT (SELECT count(*) FROM names), (SELECT count(*) FROM presets), (SELECT count(*) FROM clauses)',
    ])
    expect(left?.rows).toEqual([[1, 1, 1]])
    await scenario.equalAtLagZero()
  })

  test('1 replaced by 1.0 in an untyped key', { timeout: 60_000 }, async () => {
    await using scenario = await Scenario.replicating({
      source: [
        'CREATE TABLE untyped (k PRIMARY KEY, n INTEGER)',
        'INSERT INTO untyped VALUES (1, 1), (5, 5)',
      ],
    })
    await scenario.write(['INSERT OR REPLACE INTO untyped VALUES (1.0, 10)'])
    // A target key of text tells 1 from 1.0, one of bigint does not hold 1.0: equal, or told.
    await scenario.mendedOrStopped()
  })

  test('an application trigger made later that ends the program with RAISE(IGNORE)', async () => {
    await using scenario = await Scenario.replicating({
      source: [
        'CREATE TABLE quiet (id INTEGER PRIMARY KEY, a TEXT UNIQUE)',
        `INSERT INTO quiet VALUES (1, 'a'), (2, 'b')`,
        'CREATE TRIGGER hush AFTER INSERT ON quiet WHEN NEW.id > 100 BEGIN SELECT RAISE(IGNORE); END',
        'CREATE TRIGGER never BEFORE INSERT ON quiet WHEN NEW.id > 1000 BEGIN SELECT RAISE(IGNORE); END',
      ],
    })
    await scenario.write([
      `INSERT INTO quiet VALUES (101, 'comes in all the same')`,
      `INSERT INTO quiet VALUES (1001, 'stays out')`,
      `INSERT OR REPLACE INTO quiet VALUES (102, 'a')`,
    ])
    const [ids] = await scenario.write(['SELECT group_concat(id) FROM (SELECT id FROM quiet ORDER BY id)'])
    expect(ids?.rows).toEqual([['2,101,102']])
    await scenario.equalAtLagZero()
    // The same, made while slipway is there: it would fire before ours.
    await scenario.write([
      'CREATE TRIGGER hush_more AFTER INSERT ON quiet WHEN NEW.id > 50 BEGIN SELECT RAISE(IGNORE); END',
      `INSERT INTO quiet VALUES (60, 'unseen by a trigger that comes later')`,
    ])
    await scenario.mendedOrStopped()
  })
})

describe('refused', () => {
  const refused: [what: string, sql: string[]][] = [
    [
      'a unique generated from an omitted id',
      [
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, g TEXT AS (id % 10) STORED UNIQUE)',
        `INSERT INTO t (a) VALUES ('x')`,
      ],
    ],
    [
      'a unique expression of an omitted id',
      [
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
        'CREATE UNIQUE INDEX t_e ON t (id % 10)',
        `INSERT INTO t (a) VALUES ('x')`,
      ],
    ],
  ]
  test.for(refused)('%s', async ([, source]) => {
    await using scenario = await Scenario.prepare({ source })
    const result = await scenario.slipway.run(['snapshot'])
    if (result.code === 0) {
      // Captured after all? Then it must hold.
      await scenario.start()
      await scenario.write([
        `INSERT INTO t (a) VALUES ('2'), ('3')`,
        `INSERT OR REPLACE INTO t VALUES (11, 'displaces 1')`,
      ])
      await scenario.write(
        Array.from({ length: 12 }, (_, n) => `INSERT OR REPLACE INTO t (a) VALUES ('${n}')`),
      )
      await scenario.equalAtLagZero()
      return
    }
    expect(result.code, result.stderr).toBe(3)
    expect(result.stderr).toMatch(/^error: .*\bt\b.*unique/m)
    // Refused means untouched.
    const [own] = await scenario.write([
      `SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_slipway%' ESCAPE '\\'`,
    ])
    expect(own?.rows).toEqual([[0]])
  })
})
