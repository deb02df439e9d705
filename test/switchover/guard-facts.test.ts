import { truncateSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Config } from '../../src/core/config.ts'
import type { GuardFacts } from '../../src/core/guard-facts.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import { NO_RUN, type SwitchRequest } from '../../src/core/switch-run.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import type { ControlState } from '../../src/postgres/control-state.ts'
import { countOrphans, readDisks, readSourceGuardFacts } from '../../src/sqlite/guard-facts.ts'
import { introspect } from '../../src/sqlite/introspect.ts'
import { openReader } from '../../src/sqlite/open.ts'
import { guardsOf, refusing } from '../../src/switchover/guards.ts'
import { type FactDeps, gatherFacts } from '../../src/wiring/guard-facts.ts'
import { until, Workspace } from '../support/daemon.ts'
import { attempt, execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

const OPEN = { pass: async () => undefined }

function tablesOf(path: string, names: readonly string[]): readonly SourceTable[] {
  const reader = openReader(path)
  try {
    return introspect(reader, names, []).tables
  } finally {
    reader.close()
  }
}

describe('with a migration that replicates', () => {
  let scenario: Scenario
  let connection: Connection
  let control: ControlState
  const names = ['articles', 'comments', 'odd', 'own']

  beforeAll(async () => {
    scenario = await Scenario.replicating({
      source: [
        'CREATE TABLE articles (id INTEGER PRIMARY KEY, link TEXT UNIQUE)',
        'CREATE TABLE comments (id INTEGER PRIMARY KEY, article INTEGER REFERENCES articles)',
        'CREATE TABLE odd (k TEXT PRIMARY KEY, a) WITHOUT ROWID',
        'CREATE TABLE own (id INTEGER PRIMARY KEY, a TEXT)',
        `CREATE TRIGGER own_touch AFTER UPDATE ON own BEGIN SELECT RAISE(ABORT, 'never'); END`,
        `INSERT INTO articles VALUES (1, 'x'), (2, 'y')`,
        'INSERT INTO comments VALUES (1, 1), (2, 7), (3, NULL)',
        `INSERT INTO odd VALUES ('a', 1)`,
        `INSERT INTO own VALUES (1, 'a')`,
      ],
    })
    await scenario.daemon.stop()
    connection = new Connection(scenario.database.url, sessionName('test', 'control'))
    control = (await new Control(connection, 'app', 'test').read()) as ControlState
  })
  afterAll(async () => {
    await connection.close()
    await scenario[Symbol.asyncDispose]()
  })

  async function source(waitMs = 10_000) {
    const { signal } = new AbortController()
    return await readSourceGuardFacts({
      path: scenario.path,
      tables: tablesOf(scenario.path, names),
      waitMs,
      signal,
    })
  }

  const deps = (change: Partial<FactDeps> = {}): FactDeps => ({
    config: {
      sqlitePath: scenario.path,
      stateDir: scenario.workspace.path,
      migrationName: 'app',
      maxPauseMs: 2_000,
      maxWalMb: 1,
      changelogRetentionSeconds: 3_600,
    } as Config,
    passage: 'switchover',
    askedAt: Date.now(),
    signal: new AbortController().signal,
    phase: 'replicating',
    authority: 'sqlite',
    state: 'running',
    reasons: [],
    id: control.id,
    holder: 'test',
    tables: control.tables,
    backup: control.backup,
    sources: () => tablesOf(scenario.path, names),
    gate: OPEN,
    connection,
    lagSeconds: () => 0,
    quarantine: () => [],
    drift: () => [],
    unsafe: () => new Map(),
    reverseCapture: () => [],
    verify: () => null,
    rights: () => [],
    parity: () => [],
    rehearsal: () => [],
    lastSwitchover: null,
    pace: { batchSeconds: null, pending: 0, batchChanges: 5_000 },
    hook: null,
    ...change,
  })

  const request = (passage: 'switchover' | 'rollback'): SwitchRequest => ({
    passage,
    wait_seconds: 1,
    dry_run: true,
    verify: 'recent',
    override: [],
    force: false,
  })
  const LIMITS = { maxLagSeconds: 5, verifyMaxAgeSeconds: 3600, maxPauseMs: 2_000 }
  const inTheWay = (facts: GuardFacts) =>
    refusing(guardsOf(facts, request(facts.passage), LIMITS)).map(({ code, value }) => [code, value])

  test('everything is measured, and nothing is in the way', async () => {
    const facts = await gatherFacts(deps())
    expect(facts).toMatchObject({
      capture: [],
      lockMs: expect.any(Number),
      tables: expect.arrayContaining(names),
      backup: { exists: true, path: control.backup?.path, bytes: control.backup?.bytes },
      disks: [{ path: scenario.workspace.path }, { path: scenario.workspace.path }],
      target: { transactions: [], prepared: [], unlogged: [] },
      foreignKeys: [{ key: 'comments (article)', rows: 1 }],
      foreignKeysBefore: null,
    })
    expect(inTheWay(facts)).toEqual([])
  })

  test('a rollback asks other questions', async () => {
    const noted = { code: 'foreign_keys', ok: true, value: ['comments (article): 1'], limit: null }
    const guards = [{ ...noted, remedy: '', overridable: true }]
    const facts = await gatherFacts(
      deps({
        passage: 'rollback',
        phase: 'switched_over',
        authority: 'postgres',
        reverseCapture: () => ['public.articles has no capture'],
        unsafe: () => new Map([['ddl', 'a column was added']]),
        lastSwitchover: { ...NO_RUN, guards },
        rights: () => Promise.reject(new Error('not asked')),
      }),
    )
    expect(facts.foreignKeysBefore).toEqual([{ key: 'comments (article)', rows: 1 }])
    expect(inTheWay(facts)).toEqual([
      ['unsafe', ['ddl: a column was added']],
      ['capture', ['public.articles has no capture']],
    ])
  })

  test('what fails is not measured, and hides no other', async () => {
    const facts = await gatherFacts(
      deps({
        parity: () => Promise.reject(new Error('the server said no')),
        lagSeconds: () => {
          throw new Error('no stream')
        },
        drift: () => ['articles: in doubt'],
      }),
    )
    expect([facts.parity, facts.lagSeconds]).toEqual([
      { unmeasured: 'the server said no' },
      { unmeasured: 'no stream' },
    ])
    expect(inTheWay(facts)).toEqual([
      ['lag', null],
      ['drift', ['articles: in doubt']],
      ['parity', null],
    ])
  })

  test('a backup that is gone or cut off', async () => {
    const backup = control.backup as NonNullable<ControlState['backup']>
    const gone = await gatherFacts(deps({ backup: { ...backup, path: `${backup.path}.gone` } }))
    expect(inTheWay(gone)).toEqual([['backup', `${backup.path}.gone`]])
    truncateSync(backup.path, backup.bytes - 1)
    expect(inTheWay(await gatherFacts(deps()))).toEqual([['backup', backup.path]])
  })

  test('a request that is given up ends', async () => {
    const abort = new AbortController()
    const asking = gatherFacts(deps({ signal: abort.signal, rehearsal: () => new Promise(() => undefined) }))
    abort.abort()
    // The question that never ends is left alone after its time; the others end at once.
    await expect(asking).rejects.toMatchObject({ name: 'AbortError' })
  })

  test('the canary waits for a writer, and gives up', async () => {
    const holding = attempt(scenario.path, ['BEGIN IMMEDIATE', ['SLEEP', [1.5]], 'COMMIT'])
    await until(
      async () =>
        (await source(0).then(
          () => undefined,
          (error: { code?: string }) => error.code,
        )) === 'source_locked',
      { ms: 10_000, every: 10, describe: () => 'nobody holds the lock' },
    )
    const found = await source()
    expect(found.capture).toEqual([])
    expect(found.lockMs).toBeGreaterThan(0)
    await holding
  })

  test('the canary leaves no trace', async () => {
    const before = await execute(scenario.path, ['SELECT max(seq), count(*) FROM _slipway_changelog'])
    await source()
    const after = await execute(scenario.path, ['SELECT max(seq), count(*) FROM _slipway_changelog'])
    expect(after[0]?.rows).toEqual(before[0]?.rows)
  })

  test('a trigger that is gone, and one that was put in its place', async () => {
    const [row] = await execute(scenario.path, [
      `SELECT sql FROM sqlite_schema WHERE name = '_slipway_articles_update'`,
    ])
    await execute(scenario.path, ['DROP TRIGGER _slipway_articles_update'])
    const found = await source()
    expect(found.capture).toEqual([
      expect.stringMatching(/was changed since capture/),
      expect.stringMatching(/^articles: a change was made on trial and was not captured$/),
    ])
    await execute(scenario.path, [String(row?.rows[0]?.[0])])
    expect((await source()).capture).toEqual([expect.stringMatching(/was changed since capture/)])
  })
})

describe('rows without parents', () => {
  test('are counted by key, as SQLite itself counts them', async () => {
    using workspace = new Workspace()
    const path = workspace.file('app.db')
    const names = ['parents', 'a', 'b', 'c', 'd', 'lost']
    await execute(path, [
      'PRAGMA journal_mode = WAL',
      'CREATE TABLE parents (id INTEGER PRIMARY KEY, x TEXT COLLATE NOCASE, y INTEGER, UNIQUE (x, y))',
      'CREATE TABLE a (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents)',
      'CREATE TABLE b (x TEXT, y TEXT, FOREIGN KEY (x, y) REFERENCES parents (x, y))',
      'CREATE TABLE c (k TEXT PRIMARY KEY, p REFERENCES parents (id)) WITHOUT ROWID',
      'CREATE TABLE d (id INTEGER PRIMARY KEY, up INTEGER REFERENCES d)',
      'CREATE TABLE lost (p INTEGER REFERENCES nowhere)',
      `INSERT INTO parents VALUES (1, 'One', 1), (2, 'Two', 2)`,
      'WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50000) INSERT INTO a SELECT n * 2 - 40000, n % 3 FROM n',
      `INSERT INTO b VALUES ('one', '1'), ('ONE', 1), ('two', 1), ('two', NULL), (NULL, 9)`,
      `INSERT INTO c VALUES ('x', 1), ('y', '2'), ('z', 3)`,
      'INSERT INTO d VALUES (1, 2), (2, 1), (3, 9), (4, NULL)',
      'INSERT INTO lost VALUES (1)',
    ])
    const { signal } = new AbortController()
    const found = await countOrphans(path, tablesOf(path, names), OPEN, signal)
    const [counted] = await execute(path, [
      `SELECT "table", count(*) FROM pragma_foreign_key_check WHERE "table" <> 'lost' GROUP BY 1 ORDER BY 1`,
    ])
    expect(found).toEqual([
      { key: 'a (p)', rows: 16_666 },
      { key: 'b (x, y)', rows: 1 },
      { key: 'c (p)', rows: 1 },
      { key: 'd (up)', rows: 1 },
    ])
    expect(found.map(({ key, rows }) => [key[0], rows])).toEqual(counted?.rows)
  })
})

test('the room on a disk', async () => {
  using workspace = new Workspace()
  const [disk] = await readDisks([{ path: workspace.path, neededBytes: 5 }])
  expect(disk).toMatchObject({ path: workspace.path, neededBytes: 5 })
  expect(disk?.freeBytes).toBeGreaterThan(0)
  await expect(readDisks([{ path: workspace.file('gone'), neededBytes: 5 }])).rejects.toThrow(/ENOENT/)
})
