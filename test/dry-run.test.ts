/** `snapshot --dry-run`: everything a snapshot does, in a schema of its own, and nothing left of it on either side. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { RehearsalOutcome } from '../src/cli/work.ts'
import { type Process, until } from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { Scenario } from './support/scenario.ts'
import { createSource, TOTAL_BALANCE, Writer } from './support/writers.ts'

function hash(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

async function schemas(scenario: Scenario): Promise<string[]> {
  const rows = await scenario.postgres<{ name: string }>(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'slipway%' ORDER BY 1`,
  )
  return rows.map(({ name }) => name)
}

function files(scenario: Scenario): string[] {
  const folder = join(scenario.workspace.path, '.slipway', 'rehearsal')
  return existsSync(folder) ? readdirSync(folder) : []
}

async function expectNothingLeft(scenario: Scenario): Promise<void> {
  expect(await schemas(scenario)).toEqual([])
  expect(files(scenario)).toEqual([])
}

test.for(['wal', 'delete'] as const)(
  'a file in mode %s stays as it is',
  { timeout: 60_000 },
  async (mode) => {
    await using scenario = await Scenario.prepare({})
    await createSource(scenario.path, { fill: 2000, wal: mode === 'wal' })
    const before = hash(scenario.path)
    const told = await scenario.slipway.mustRun(['snapshot', '--dry-run'])
    expect(hash(scenario.path)).toBe(before)
    expect(told.stdout).toMatch(/Rehearsed 10 tables, [\d,]+ rows in .*every value equal/)
    expect(told.stdout).toMatch(/comparison of every value/)
    expect(told.stdout).toMatch(/Next: slipway snapshot\n$/)
    await expectNothingLeft(scenario)
    // No capture, and no table of the application's either.
    const outcome = JSON.parse(
      (await scenario.slipway.mustRun(['snapshot', '--dry-run', '--json'])).stdout,
    ) as RehearsalOutcome
    expect(outcome.steps.map(({ step }) => step)).toEqual([
      'file',
      'values',
      'copy',
      'keys',
      'indexes',
      'checks',
      'foreign_keys',
      'verify',
    ])
    expect(outcome.tables.map(({ table }) => table)).toHaveLength(10)
    expect(outcome.rows).toBeGreaterThan(2000)
    expect(
      await scenario.postgres(`SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace`),
    ).toEqual([])
  },
)

test('the application writes on meanwhile, and what was rehearsed is one state of it', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({})
  await createSource(scenario.path, { fill: 500 })
  const writer = new Writer({ path: scenario.path })
  await writer.ready()
  try {
    for (let run = 0; run < 3; run++) await scenario.slipway.mustRun(['snapshot', '--dry-run'])
  } finally {
    const report = await writer.stop()
    expect(report.unexpected).toEqual([])
    expect(report.acked).toBeGreaterThan(0)
  }
  const [sum] = await scenario.write([
    'SELECT (SELECT sum(balance) FROM accounts) + (SELECT coalesce(sum(amount), 0) FROM vaults)',
  ])
  expect(sum?.rows).toEqual([[TOTAL_BALANCE]])
  await expectNothingLeft(scenario)
})

const SOURCE = [
  'CREATE TABLE parents (id INTEGER PRIMARY KEY, "fullName" TEXT)',
  'CREATE TABLE children (id INTEGER PRIMARY KEY, "parentId" INTEGER, note TEXT)',
  'CREATE TABLE plain (a TEXT)',
  `INSERT INTO parents VALUES (1, 'Ann'), (2, 'Bob')`,
  `INSERT INTO children VALUES (10, 1, 'x'), (11, 2, 'y')`,
  `INSERT INTO plain VALUES ('x'), ('x'), (NULL)`,
]

const TARGET = `
  CREATE SEQUENCE numbers;
  CREATE TABLE other (id bigint PRIMARY KEY);
  CREATE TABLE parents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, full_name text NOT NULL, place bigint NOT NULL DEFAULT nextval('numbers'),
    other_id bigint REFERENCES other);
  CREATE TABLE children (id bigserial PRIMARY KEY, parent_id bigint REFERENCES parents ON DELETE CASCADE, note varchar(1), CHECK (note <> 'z'), UNIQUE (note));
  CREATE TABLE plain (a text);
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it fired'; END $$;
  CREATE TRIGGER t BEFORE INSERT ON parents FOR EACH ROW EXECUTE FUNCTION refuse();
`

test("the application's own tables are rehearsed by their structure, and neither they nor their sequences move", {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({ source: SOURCE, target: TARGET })
  const outcome = JSON.parse(
    (await scenario.slipway.mustRun(['snapshot', '--dry-run', '--json'])).stdout,
  ) as RehearsalOutcome
  expect(outcome.tables.map(({ table, rows, aside }) => [table, rows, aside])).toEqual([
    ['children', 2, 0],
    ['parents', 2, 0],
    ['plain', 3, 0],
  ])
  expect(outcome.findings.filter(({ code }) => code === 'constraint_refused')).toEqual([])
  expect(await scenario.postgres('SELECT last_value::int AS at, is_called FROM numbers')).toEqual([
    { at: 1, is_called: false },
  ])
  const [left] = await scenario.postgres(
    `SELECT (SELECT count(*) FROM parents)::int + (SELECT count(*) FROM children)::int + (SELECT count(*) FROM plain)::int AS rows,
            (SELECT count(*)::int FROM pg_constraint WHERE contype = 'f') AS keys,
            (SELECT count(*)::int FROM pg_attribute WHERE attname = '_slipway_rowid' AND NOT attisdropped) AS hidden`,
  )
  expect(left).toEqual({ rows: 0, keys: 2, hidden: 0 })
  await expectNothingLeft(scenario)
})

test('what will go wrong is said: orphans, rows that do not fit, uniques that cannot hold', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({
    source: [
      ...SOURCE,
      `INSERT INTO children VALUES (12, 99, 'q'), (13, 1, 'too long'), (14, 1, 'z'), (15, 2, 'q')`,
    ],
    target: TARGET,
  })
  writeFileSync(
    scenario.workspace.file('slipway.plan.json'),
    JSON.stringify({
      version: 1,
      schema: 'public',
      tables: { children: { duplicates: 'first', columns: { note: { misfit: 'quarantine' } } } },
    }),
  )
  const outcome = JSON.parse(
    (await scenario.slipway.mustRun(['snapshot', '--dry-run', '--json'])).stdout,
  ) as RehearsalOutcome
  expect(outcome.tables.find(({ table }) => table === 'children')).toMatchObject({ rows: 3, aside: 3 })
  expect(outcome.findings).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        code: 'rows_set_aside',
        table: 'children',
        count: 3,
        examples: ['id=13', 'id=14', 'id=15'],
      }),
      expect.objectContaining({
        code: 'constraint_refused',
        message: expect.stringMatching(/children_parent_id_fkey .*stays NOT VALID/),
      }),
    ]),
  )
  const told = await scenario.slipway.mustRun(['snapshot', '--dry-run'])
  expect(told.stdout).toMatch(/set aside/)
  await scenario.postgres('ALTER TABLE parents DISABLE TRIGGER t')
  await scenario.postgres(`INSERT INTO parents (full_name) VALUES ('there already')`)
  const refused = await scenario.slipway.run(['snapshot', '--dry-run'])
  expect(refused.code).toBe(3)
  expect(refused.stderr).toMatch(/parents .*rows already|parents .*holds/)
  await expectNothingLeft(scenario)
})

/** A rehearsal that stands still near its end: somebody holds a table to which a foreign key is to point. */
async function stuck(scenario: Scenario): Promise<{ process: Process; release: () => Promise<void> }> {
  const client = await scenario.database.connect()
  await client.query('BEGIN; LOCK TABLE other IN EXCLUSIVE MODE')
  const process = scenario.slipway.spawn(['snapshot', '--dry-run'])
  await until(
    async () =>
      (await scenario.postgres(`SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'other'::regclass`))
        .length > 0,
    { ms: 20_000, describe: () => `it does not come to the table\n${process.tail()}` },
  )
  return { process, release: async () => void (await client.query('ROLLBACK')) }
}

test('Ctrl-C takes everything away', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({ source: SOURCE, target: TARGET })
  const { process, release } = await stuck(scenario)
  process.signal('SIGINT')
  const ended = await process.end(20_000)
  await release()
  expect(ended.code, process.tail()).toBe(130)
  // By itself, and not since its time was up.
  expect(ended.stderr).toContain('nothing of the rehearsal is left')
  await expectNothingLeft(scenario)
})

test('what a killed rehearsal leaves behind the next one takes away', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({})
  await createSource(scenario.path, { fill: 60_000 })
  const process = scenario.slipway.spawn(['snapshot', '--dry-run'])
  await until(async () => (await schemas(scenario)).length > 0, {
    ms: 30_000,
    every: 5,
    describe: () => `no schema\n${process.tail()}`,
  })
  await process.kill()
  const [left] = await schemas(scenario)
  expect(left).toMatch(/^slipway_rehearsal_[0-9a-f]{8}$/)
  expect(files(scenario)).toHaveLength(1)
  // A schema of the same kind of name whose rehearsal lives is left alone.
  const client = await scenario.database.connect()
  await client.query(`SELECT pg_advisory_lock(${0x51195}, ${0x0000abcd})`)
  await client.query('CREATE SCHEMA slipway_rehearsal_0000abcd')
  const next = await scenario.slipway.mustRun(['snapshot', '--dry-run'])
  expect(next.stderr).toMatch(new RegExp(`dropped ${left}`))
  expect(await schemas(scenario)).toEqual(['slipway_rehearsal_0000abcd'])
  expect(files(scenario)).toEqual([])
})

test('after the snapshot it can be rehearsed again, beside the running daemon', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const outcome = await scenario.slipway.mustRun(['snapshot', '--dry-run'])
  expect(outcome.stdout).toMatch(/Rehearsed 3 tables, 7 rows/)
  await scenario.write([`INSERT INTO plain VALUES ('later')`])
  await scenario.equalAtLagZero()
  expect(files(scenario)).toEqual([])
  await execute(scenario.path, ['SELECT 1'])
})
