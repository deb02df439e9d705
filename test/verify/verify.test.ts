import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { VerifyReport } from '../../src/core/operator.ts'
import { until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'
import { createSource, startWriters, stopWriters } from '../support/writers.ts'

// Verify proves equality while both sides move, names what differs by key and column, and repairs just that.

async function verify(scenario: Scenario, body: object = {}): Promise<VerifyReport> {
  const started = await scenario.daemon.post('/verify', body)
  expect(started.status, JSON.stringify(started.body)).toBe(202)
  const { id } = started.body as VerifyReport
  return await until(
    async () => {
      const report = await scenario.daemon.get<VerifyReport>('/verify')
      return report?.id === id && report.state !== 'running' ? report : undefined
    },
    { ms: 60_000, describe: () => `verify does not end\n${scenario.daemon.process.tail()}` },
  )
}

/** Past the gate, as somebody with the server's rights could. */
async function corrupt(scenario: Scenario, ...statements: string[]): Promise<void> {
  const client = await scenario.database.connect()
  try {
    await client.query('BEGIN')
    await client.query(`SELECT set_config('slipway.pass', (SELECT secret FROM slipway.control), true)`)
    for (const sql of statements) await client.query(sql)
    await client.query('COMMIT')
  } finally {
    await client.end()
  }
}

const SOURCE = [
  'CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT, r REAL, b BLOB, u TEXT UNIQUE)',
  `INSERT INTO n SELECT value, 'a' || value, value / 7.0, x'00ff', 'u' || value FROM generate_series(1, 500)`,
  'CREATE TABLE w (k TEXT, l INTEGER, v TEXT, PRIMARY KEY (k, l)) WITHOUT ROWID',
  `INSERT INTO w SELECT 'k' || (value % 10), value, 'v' FROM generate_series(1, 200)`,
  'CREATE TABLE p (code TEXT PRIMARY KEY, v TEXT)',
  `INSERT INTO p SELECT 'c' || value, 'v' FROM generate_series(1, 200)`,
  'CREATE TABLE bag (a TEXT, n INTEGER)',
  `INSERT INTO bag SELECT 'b', value % 5 FROM generate_series(1, 100)`,
].map((sql) =>
  // Python's SQLite has no generate_series.
  sql.replace(
    /FROM generate_series\(1, (\d+)\)/,
    (_, n) =>
      `FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${n}) SELECT value FROM s)`,
  ),
)

const DAMAGE = [
  `UPDATE n SET a = 'A7' WHERE id = 7`,
  `UPDATE n SET r = r + 1e-15 WHERE id = 8`,
  `UPDATE n SET b = '\\x01ff' WHERE id = 9`,
  'DELETE FROM n WHERE id IN (1, 250, 500)',
  `INSERT INTO n VALUES (1000, 'extra', 1, NULL, 'u250')`,
  `INSERT INTO n VALUES (-5, 'extra', 1, NULL, 'u-5')`,
  `UPDATE w SET v = 'other' WHERE l = 15`,
  `INSERT INTO w VALUES ('zz', 1, 'extra')`,
  'DELETE FROM w WHERE l = 200',
  `DELETE FROM p WHERE code = 'c50'`,
  `INSERT INTO p VALUES ('C50', 'extra'), ('', 'extra')`,
  `UPDATE p SET v = NULL WHERE code = 'c51'`,
  'UPDATE bag SET n = 77 WHERE _slipway_rowid = 3',
]

const EXPECTED = [
  'bag rowid=3 different n',
  'n id=-5 extra ',
  'n id=1 missing ',
  'n id=1000 extra ',
  'n id=250 missing ',
  'n id=500 missing ',
  'n id=7 different a',
  'n id=8 different r',
  'n id=9 different b',
  `p code='' extra `,
  `p code='C50' extra `,
  `p code='c50' missing `,
  `p code='c51' different v`,
  `w k='k0', l=200 missing `,
  `w k='k5', l=15 different v`,
  `w k='zz', l=1 extra `,
]

function told(report: VerifyReport): string[] {
  return report.samples
    .map(
      ({ table, key, kind, columns }) => `${table} ${key} ${kind} ${columns.map((c) => c.column).join(',')}`,
    )
    .sort()
}

test('names exactly the keys and columns that differ, repairs exactly those, and is clean then', {
  timeout: 120_000,
}, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, env: { CHUNK_ROWS: '60' } })
  expect(await verify(scenario)).toMatchObject({
    state: 'done',
    equal: true,
    mismatched: 0,
    rows_compared: 1000,
  })
  await corrupt(scenario, ...DAMAGE)
  const found = await verify(scenario)
  expect(told(found)).toEqual(EXPECTED)
  expect(found).toMatchObject({ state: 'done', equal: false, mismatched: EXPECTED.length, repaired: 0 })
  // Looking changes nothing.
  expect(told(await verify(scenario, { tables: ['n'] }))).toEqual(
    EXPECTED.filter((line) => line.startsWith('n ')),
  )
  const repaired = await verify(scenario, { repair: true })
  expect(told(repaired)).toEqual(EXPECTED)
  expect(repaired.repaired).toBe(EXPECTED.length)
  expect(await verify(scenario)).toMatchObject({ equal: true, mismatched: 0 })
  await scenario.equalAtLagZero()
})

test('no false alarm under writers, and what is damaged under them is found', {
  timeout: 180_000,
}, async () => {
  await using scenario = await Scenario.prepare({ env: { CHUNK_ROWS: '200' } })
  await createSource(scenario.path, { fill: 2000 })
  await scenario.start()
  await scenario.daemon.caughtUp(30_000)
  const writers = await startWriters(4, { path: scenario.path, rate: 50, seed: 'verify' })
  for (let run = 0; run < 10; run++) {
    const report = await verify(scenario)
    expect(report.samples, `run ${run}`).toEqual([])
    expect(report).toMatchObject({ state: 'done', equal: true })
  }
  // A row that the writers leave alone.
  await scenario.write([
    'CREATE TABLE still (id INTEGER PRIMARY KEY, v TEXT)',
    `INSERT INTO still VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
  ])
  // The change of the schema put every table in doubt: that is over when this run of its own has ended.
  await until(
    async () => {
      const report = await scenario.daemon.get<VerifyReport>('/verify')
      return report?.state === 'done' && report.reason !== 'asked for'
    },
    { ms: 60_000, describe: () => scenario.daemon.process.tail() },
  )
  await scenario.daemon.when('replicating', (lag) => lag.phase === 'replicating')
  await corrupt(scenario, `UPDATE still SET v = 'z' WHERE id = 2`, 'DELETE FROM still WHERE id = 3')
  const found = await verify(scenario)
  expect(told(found)).toEqual(['still id=2 different v', 'still id=3 missing '])
  expect(told(await verify(scenario, { repair: true }))).toEqual(told(found))
  expect(await verify(scenario)).toMatchObject({ equal: true })
  const status = await scenario.daemon.status()
  expect(status?.source.wal_bytes).toBeLessThan(80 * 1024 * 1024)
  expect((await stopWriters(writers)).unexpected).toEqual([])
  await scenario.daemon.caughtUp(30_000)
  expect((await scenario.compare()).differences).toEqual([])
})

test('a run goes on after the daemon was killed', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, env: { CHUNK_ROWS: '1' } })
  await corrupt(
    scenario,
    `UPDATE bag SET n = 99 WHERE _slipway_rowid = 1`,
    'DELETE FROM p WHERE code = $$c9$$',
  )
  await scenario.daemon.post('/verify', {})
  await sleep(300)
  await scenario.daemon.kill()
  await scenario.start()
  const report = await until(
    async () => {
      const now = await scenario.daemon.get<VerifyReport>('/verify')
      return now?.state === 'done' ? now : undefined
    },
    { ms: 60_000, describe: () => scenario.daemon.process.tail() },
  )
  expect(told(report)).toEqual([`bag rowid=1 different n`, `p code='c9' missing `])
})
