import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import type { PlanFile } from '../../src/core/plan-file.ts'
import { assess } from '../support/assess.ts'
import { Slipway, Workspace } from '../support/daemon.ts'
import { dump } from '../support/dump.ts'
import { createDatabase } from '../support/postgres.ts'
import { Scenario } from '../support/scenario.ts'

const CHINOOK = process.env.CHINOOK_DB ?? new URL('../../../shared/data/chinook.db', import.meta.url).pathname

const CLEAN = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, n INTEGER, at TIMESTAMP)',
  `INSERT INTO t VALUES (1, 'x', 5, '2024-01-01 00:00:00'), (2, '', NULL, NULL)`,
]
const WITH_NUL = [...CLEAN, `INSERT INTO t VALUES (3, 'cut' || char(0) || 'here', 1, NULL)`]
const WITH_VIEW = [...CLEAN, 'CREATE VIEW v AS SELECT a FROM t']

describe('exit codes', () => {
  test('0 for a clean database, and one sentence', async () => {
    await using scenario = await Scenario.prepare({ source: CLEAN })
    const { result, assessment, serious } = await assess(scenario)
    expect(serious).toEqual([])
    expect(result.code).toBe(0)
    expect(assessment.summary).toMatchObject({ blocks: 0, tables: 1, rows: 2 })
    expect(assessment.target).toMatchObject({ schema: 'public', schemaExists: true })
    expect(result.stderr).toContain('Next: slipway snapshot')
  })

  test('0 with warnings, 4 with --strict', async () => {
    await using scenario = await Scenario.prepare({ source: WITH_VIEW })
    expect((await assess(scenario)).result.code).toBe(0)
    const { result, serious } = await assess(scenario, ['--strict'])
    expect(serious).toEqual(['warns view_left_behind v'])
    expect(result.code).toBe(4)
  })

  test('3 where a decision is needed, also with --strict', async () => {
    await using scenario = await Scenario.prepare({ source: WITH_NUL })
    const { result, assessment } = await assess(scenario, ['--strict'])
    expect(result.code).toBe(3)
    expect(assessment.sentence).toMatch(/^Moves in about \d+ s; 1 column needs a decision\.$/)
    expect(result.stderr).toContain('Next: slipway assess --write-plan')
  })

  test('3 for what is no database, and where there is none', async () => {
    using workspace = new Workspace()
    const sqlitePath = workspace.file('app.db')
    const postgresUrl = 'postgres://nobody@127.0.0.1:1/none'
    await using slipway = await Slipway.create({ directory: workspace.path, sqlitePath, postgresUrl })
    const missing = await slipway.run(['assess'])
    expect([missing.code, missing.stderr]).toEqual([3, expect.stringMatching(/^error: .*no file/m)])
    writeFileSync(sqlitePath, Buffer.alloc(4096, 7))
    const encrypted = await slipway.run(['assess'])
    expect([encrypted.code, encrypted.stderr]).toEqual([3, expect.stringMatching(/not an SQLite database/)])
  })
})

test('a file that another process keeps for itself: told, and looked at afterwards', async () => {
  await using scenario = await Scenario.prepare({ source: ['PRAGMA journal_mode = DELETE', ...CLEAN] })
  const holding = new Database(scenario.path)
  holding.exec('BEGIN EXCLUSIVE')
  const refused = await scenario.slipway.run(['assess'])
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringMatching(/locked by another process/)])
  holding.exec('COMMIT')
  holding.close()
  expect((await assess(scenario)).serious).toEqual(['warns journal_not_wal'])
})

test('facts of the file', async () => {
  await using scenario = await Scenario.prepare({
    first: [`PRAGMA encoding = 'UTF-16le'`, 'PRAGMA auto_vacuum = 2'],
    source: [...CLEAN, 'PRAGMA user_version = 7'],
  })
  // A connection that stays, and never checkpoints.
  const application = new Database(scenario.path)
  application.pragma('wal_autocheckpoint = 0')
  application.exec('CREATE TABLE large (id INTEGER PRIMARY KEY, b BLOB)')
  application.exec('INSERT INTO large VALUES (1, randomblob(2000000))')
  const { assessment, serious, find } = await assess(scenario, [], { MAX_WAL_MB: '1' })
  application.close()
  expect(serious).toEqual(['warns wal_large'])
  expect(find('user_version')?.message).toContain('7')
  expect(find('encoding_utf16')).toMatchObject({ severity: 'info' })
  expect(assessment.source).toMatchObject({
    journalMode: 'wal',
    encoding: 'UTF-16le',
    autoVacuum: 'incremental',
    captured: false,
    writerVersion: expect.stringMatching(/^3\.\d+\.\d+$/),
  })
  expect(assessment.source.walBytes).toBeGreaterThan(2_000_000)
})

describe('for people', () => {
  test('tables, findings with remedies, the sentence, and what comes next', async () => {
    await using scenario = await Scenario.prepare({ source: [...WITH_NUL, ...WITH_VIEW.slice(-1)] })
    const { code, stdout } = await scenario.slipway.run(['assess'])
    expect(code).toBe(3)
    expect(stdout).toMatch(/^table +rows +size +key +becomes\nt +3 +\d+ B +id +t \(new\)$/m)
    expect(stdout).toMatch(/^t\n {2}blocks {2}a: 1 text has a NUL character.* \(id=3\) \[text_nul\]\n +→ /m)
    expect(stdout).toMatch(/^v\n {2}warns {3}a view .* \[view_left_behind\]\n +→ /m)
    expect(stdout).toMatch(/^good to know\n/m)
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([
      'Moves in about 3 s; 1 column needs a decision.',
      'Next: slipway assess --write-plan',
    ])
  })
})

describe('PostgreSQL', () => {
  test('that cannot be reached: the source is looked at all the same', async () => {
    await using scenario = await Scenario.prepare({ source: WITH_NUL })
    const { result, assessment, serious } = await assess(scenario, [], {
      POSTGRES_URL: 'postgres://someone:hunter22@127.0.0.1:1/none',
    })
    expect(result.code).toBe(3)
    expect(serious).toEqual(['blocks target_unreachable', 'blocks text_nul t.a'])
    expect(assessment.target).toBeNull()
    expect(assessment.sentence).toMatch(/^Cannot move yet: PostgreSQL .* cannot be reached/)
    expect(result.stdout + result.stderr).not.toContain('hunter22')
  })

  test('rights that are missing come with their GRANTs', async () => {
    await using scenario = await Scenario.prepare({ source: CLEAN })
    const role = await scenario.database.createRole()
    const { result, find, assessment } = await assess(scenario, [], { POSTGRES_URL: role.url })
    expect(result.code).toBe(3)
    expect(find('target_rights')?.remedy).toContain(`GRANT CREATE ON DATABASE`)
    expect(assessment.tables).toHaveLength(1)
  })

  test('a trial server is not made for a look', async () => {
    await using scenario = await Scenario.prepare({ source: CLEAN })
    const { result, find } = await assess(scenario, [], { POSTGRES_URL: 'embedded' })
    expect(result.code).toBe(0)
    expect(find('target_embedded_new')).toBeDefined()
    expect(existsSync(scenario.workspace.file('.slipway/postgres'))).toBe(false)
  })
})

describe('the plan', () => {
  test('is proposed, decides, and is not overwritten once it was edited', async () => {
    await using scenario = await Scenario.prepare({ source: WITH_NUL })
    const path = scenario.workspace.file('slipway.plan.json')
    const first = await assess(scenario, ['--write-plan'])
    expect(first.assessment.plan).toEqual({ path, written: true })
    expect(first.result.code).toBe(3)
    const plan = JSON.parse(readFileSync(path, 'utf8')) as PlanFile
    expect(plan).toMatchObject({ version: 1, schema: 'public' })
    expect(plan.tables.t).toMatchObject({ target: 't', key: ['id'] })
    expect(plan.tables.t?.columns?.a).toMatchObject({ declared: 'TEXT', target: 'a', type: 'bytea' })
    expect(plan.tables.t?.columns?.a?.note).toContain('strip_nul')
    expect(plan.tables.t?.columns?.n).toEqual({ declared: 'INTEGER', target: 'n', type: 'bigint' })

    // Decided: no more than good to know.
    const decided = await assess(scenario)
    expect(decided.result.code).toBe(0)
    expect(decided.find('text_nul')).toMatchObject({ severity: 'info' })
    expect(decided.find('text_nul')?.message).toContain('type bytea')

    // As it was written it is ours to write anew, and comes out the same.
    const text = readFileSync(path, 'utf8')
    expect((await assess(scenario, ['--write-plan'])).result.code).toBe(3)
    expect(readFileSync(path, 'utf8')).toBe(text)

    writeFileSync(path, `${text} `)
    const refused = await scenario.slipway.run(['assess', '--write-plan'])
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/edited by a person/)])
    expect(readFileSync(path, 'utf8')).toBe(`${text} `)
    expect((await assess(scenario, ['--write-plan', '--force'])).result.code).toBe(3)
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  test('leaves behind rows whose key is no text, and keeps NULLs out of what is NOT NULL', {
    timeout: 60_000,
  }, async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE k (k TEXT PRIMARY KEY, v TEXT)',
        `INSERT INTO k VALUES ('a', 'x'), ('b' || char(0), 'y')`,
        'CREATE TABLE c (k TEXT PRIMARY KEY, v TEXT UNIQUE) WITHOUT ROWID',
        `INSERT INTO c VALUES ('a', 'x'), ('b' || char(0), 'y'), ('c', CAST(x'ff' AS TEXT))`,
        'CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID',
        `INSERT INTO w VALUES ('a'), (CAST(x'ff' AS TEXT))`,
        'CREATE TABLE n (id INTEGER PRIMARY KEY, m INTEGER)',
        'INSERT INTO n VALUES (1, 1), (2, NULL)',
        'PRAGMA writable_schema = 1',
        `UPDATE sqlite_schema SET sql = replace(sql, 'm INTEGER', 'm INTEGER NOT NULL') WHERE name = 'n'`,
        'PRAGMA writable_schema = RESET',
      ],
    })
    expect((await assess(scenario, ['--write-plan'])).serious).toEqual([
      'blocks null_in_not_null n.m',
      'blocks text_invalid_utf8 c.v',
      'blocks text_invalid_utf8 w.k',
      'blocks text_nul c.k',
      'blocks text_nul k.k',
    ])
    // By its key it is walked, and bytes that are no text have no place in that order.
    const still = await assess(scenario)
    expect(still.serious).toEqual(['blocks text_invalid_utf8 w.k', 'warns null_in_not_null n.m'])
    expect(still.find('text_invalid_utf8', 'w')?.remedy).toContain('EXCLUDE_TABLES=w')
    const env = { EXCLUDE_TABLES: 'w' }
    const { result, serious } = await assess(scenario, [], env)
    expect(result.code, serious.join('\n')).toBe(0)
    await scenario.slipway.mustRun(['snapshot'], { env })
    expect(await scenario.postgres('SELECT k FROM k')).toEqual([{ k: 'a' }])
    expect(await scenario.postgres('SELECT k FROM c ORDER BY k')).toEqual([{ k: 'a' }, { k: 'c' }])
    expect(await scenario.postgres('SELECT id::int FROM n')).toEqual([{ id: 1 }])
  })

  test('that is none is an error of configuration', async () => {
    await using scenario = await Scenario.prepare({ source: CLEAN })
    writeFileSync(scenario.workspace.file('slipway.plan.json'), '{ "tables"')
    const result = await scenario.slipway.run(['assess'])
    expect([result.code, result.stderr]).toEqual([
      2,
      expect.stringMatching(/^error: the plan .*slipway\.plan\.json is not usable: it is no JSON/),
    ])
  })
})

test('Chinook: nothing blocks, and what is said is true', async (context) => {
  if (!existsSync(CHINOOK)) return context.skip(`no ${CHINOOK} (CHINOOK_DB names another place)`)
  using workspace = new Workspace()
  const sqlitePath = workspace.file('chinook.db')
  copyFileSync(CHINOOK, sqlitePath)
  const before = dump(sqlitePath)
  await using database = await createDatabase()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: database.url,
  })
  const { code, stdout } = await slipway.run(['assess'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^in all +15,607 /m)
  const codes = [...stdout.matchAll(/^ {2}(?:blocks|warns) .*\[(\w+)\]$/gm)].map((match) => match[1])
  expect(codes).toEqual(['journal_not_wal', 'wal_reset_bug'])
  expect(stdout).toMatch(/^Next: slipway snapshot --enable-wal$/m)
  expect(dump(sqlitePath)).toEqual(before)
})
