import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Process } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// A schema may call functions and collations that only the application registers: reading it must not need them.

const SCHEMA = `
  CREATE TABLE checked (id INTEGER PRIMARY KEY, v TEXT CHECK (is_fine(v)));
  INSERT INTO checked VALUES (1, 'x');
  CREATE TABLE indexed (id INTEGER PRIMARY KEY, v TEXT);
  CREATE INDEX indexed_fold ON indexed (fold(v));
  INSERT INTO indexed VALUES (1, 'x');
  CREATE TABLE computed (id INTEGER PRIMARY KEY, v TEXT, w TEXT AS (fold(v)));
  INSERT INTO computed (id, v) VALUES (1, 'x');
  CREATE TABLE triggered (id INTEGER PRIMARY KEY, v TEXT);
  INSERT INTO triggered VALUES (1, 'x');
  CREATE TRIGGER tell AFTER INSERT ON triggered BEGIN SELECT notify(NEW.id), fold(NEW.v); END;
  CREATE TABLE sorted (id INTEGER PRIMARY KEY, v TEXT COLLATE human);
  CREATE INDEX sorted_v ON sorted (v);
  INSERT INTO sorted VALUES (1, 'x');
  CREATE TABLE keyed (k TEXT COLLATE human PRIMARY KEY, v TEXT);
  INSERT INTO keyed VALUES ('a', 'x');
  CREATE TABLE clustered (k TEXT COLLATE human PRIMARY KEY, v TEXT) WITHOUT ROWID;
  INSERT INTO clustered VALUES ('a', 'x');
  CREATE VIEW shown AS SELECT fold(v) AS v FROM indexed;
  CREATE TABLE plain (id INTEGER PRIMARY KEY, v TEXT);
  INSERT INTO plain VALUES (1, 'x');
`

const APPLICATION = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.create_function('is_fine', 1, lambda v: 1, deterministic=True)
db.create_function('fold', 1, lambda v: v and v.lower(), deterministic=True)
db.create_function('notify', 1, lambda v: None)
db.create_collation('human', lambda a, b: (a > b) - (a < b))
db.execute('PRAGMA journal_mode = WAL')
db.executescript(sys.argv[2])
`

async function application(path: string, sql: string): Promise<void> {
  const result = await new Process('python3', ['-c', APPLICATION, path, sql]).end(30_000)
  expect(result.stderr).toBe('')
}

test('they are named by table, and every value that can be read is', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({})
  await application(scenario.path, SCHEMA)
  const { result, serious, find, assessment } = await assess(scenario)
  expect(serious).toEqual([
    'blocks source_collation clustered.k',
    'warns application_collation clustered',
    'warns application_collation keyed',
    'warns application_collation sorted',
    'warns application_function checked',
    'warns application_function computed',
    'warns application_function indexed',
    'warns application_function triggered',
    'warns check_left_out checked',
    'warns collation_differs keyed.k',
    'warns collation_differs sorted.v',
    'warns generated_left_out computed.w',
    'warns hidden_key keyed',
    'warns index_left_out indexed',
    'warns index_left_out keyed',
    'warns index_left_out sorted',
    'warns triggers_left_out triggered',
    'warns view_left_behind shown',
  ])
  expect(find('hidden_key', 'keyed')?.message).toContain('a collation that only the application has')
  expect(find('application_function', 'triggered')?.examples).toEqual(['fold', 'notify'])
  expect(find('application_function', 'checked')?.examples).toEqual(['is_fine'])
  expect(find('view_left_behind', 'shown')?.message).toContain('it calls fold')
  expect(result.code).toBe(3)
  const rows = new Map(assessment.tables.map((each) => [each.table, each.rows]))
  expect([...rows.values()]).toEqual([1, 0, 1, 1, 1, 1, 1, 1])
  expect(rows.get('clustered')).toBe(0)
})

test('columns that only the application can compare are held against the types of an existing table', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({
    target:
      'CREATE TABLE sorted (id bigint PRIMARY KEY, at timestamptz, ok boolean, n numeric(5,2) UNIQUE, t text UNIQUE)',
  })
  await application(
    scenario.path,
    `CREATE TABLE sorted (id INTEGER PRIMARY KEY, at TEXT COLLATE human, ok TEXT COLLATE human, n TEXT COLLATE human, t TEXT COLLATE human);
     INSERT INTO sorted VALUES (1, '2024-01-01T00:00:00Z', 'true', '1.5', 'a'), (2, 'now', 'maybe', '1.50', 'A'), (3, NULL, NULL, NULL, 'a')`,
  )
  const { serious } = await assess(scenario)
  expect(serious.filter((line) => line.startsWith('blocks'))).toEqual([
    'blocks duplicates sorted',
    'blocks duplicates sorted',
    'blocks values_do_not_fit sorted.at',
    'blocks values_do_not_fit sorted.ok',
  ])
})

test('capture breaks no write of the application', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({ env: { EXCLUDE_TABLES: 'clustered' } })
  await application(scenario.path, SCHEMA)
  await scenario.start()
  await scenario.daemon.caughtUp()
  await application(
    scenario.path,
    ['checked', 'indexed', 'computed', 'triggered', 'sorted', 'plain']
      .map(
        (table) => `INSERT INTO ${table} (id, v) VALUES (2, 'Y'); UPDATE ${table} SET v = 'z' WHERE id = 1;`,
      )
      .join('\n') + `INSERT INTO keyed VALUES ('b', 'y')`,
  )
  await scenario.daemon.caughtUp()
  for (const table of ['checked', 'indexed', 'computed', 'triggered', 'sorted', 'plain']) {
    expect(await scenario.postgres(`SELECT id::int, v FROM ${table} ORDER BY id`), table).toEqual([
      { id: 1, v: 'z' },
      { id: 2, v: 'Y' },
    ])
  }
})
