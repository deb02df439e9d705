/**
 * A change of authority that meets somebody in its way ends in time, as if it had never been asked for: writes go on
 * where they went, nothing is left of it, and the next attempt works.
 */
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { execute } from '../support/foreign.ts'
import {
  type Answer,
  ask,
  atStep,
  locks,
  pass,
  refusals,
  refusedBy,
  Turnstile,
  traces,
} from '../support/passages.ts'
import { startOwnServer } from '../support/postgres.ts'
import { Scenario, type ScenarioOptions } from '../support/scenario.ts'

/** A pause is undone after it; whoever writes waits that long and a second at the most. */
const PAUSE_MS = 2_000
const PATIENCE_MS = PAUSE_MS + 1_000

const SOURCE = [
  'CREATE TABLE feeds (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)',
  `CREATE TABLE articles (id INTEGER PRIMARY KEY, feed INTEGER REFERENCES feeds (id) ON DELETE CASCADE, link TEXT UNIQUE,
     title TEXT, seen INTEGER NOT NULL DEFAULT 0)`,
  'CREATE TRIGGER second AFTER INSERT ON articles BEGIN UPDATE articles SET seen = seen * 10 + 2 WHERE id = NEW.id; END',
  'CREATE TRIGGER first AFTER INSERT ON articles BEGIN UPDATE articles SET seen = seen * 10 + 1 WHERE id = NEW.id; END',
  `INSERT INTO feeds (name) VALUES ('a'), ('b')`,
  `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
   INSERT INTO articles (feed, link, title) SELECT 1 + i % 2, 'link ' || i, 'title ' || i FROM n`,
]

const WRITE = `INSERT INTO articles (feed, title) VALUES (1, 'while it was tried')`
/** More than can be drained within the deadline. */
const huge = (rows: number): string =>
  `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
   INSERT INTO articles (feed, title) SELECT 1, 'one of many ' || i FROM n`

/** Every change of authority stops after its guards, until the test lets it go on. */
async function replicating(
  turnstile: Turnstile,
  more: Pick<ScenarioOptions, 'server'> = {},
): Promise<Scenario> {
  const env = { MAX_PAUSE_MS: String(PAUSE_MS), ...turnstile.env }
  return await Scenario.replicating({ source: SOURCE, env, ...more })
}

/** PostgreSQL leads. */
async function switched(turnstile: Turnstile, more: Pick<ScenarioOptions, 'server'> = {}): Promise<Scenario> {
  const scenario = await replicating(turnstile, more)
  turnstile.open()
  await pass(scenario, 'switchover')
  return scenario
}

/** A writer of SQLite whose patience is the deadline and a second: an error would be one that users see. */
async function patientWriter(scenario: Scenario): Promise<void> {
  await execute(scenario.path, [WRITE], { pragmas: { busy_timeout: PATIENCE_MS } })
}

/** The same on PostgreSQL. */
async function patientTargetWriter(scenario: Scenario): Promise<void> {
  const client = await scenario.database.connect()
  try {
    await client.query(`SET statement_timeout = ${PATIENCE_MS}`)
    await client.query(WRITE)
  } finally {
    await client.end()
  }
}

function expectUndone(answer: Answer): void {
  expect(answer).toMatchObject({ status: 504, body: { code: 'undone', run: { state: 'undone' } } })
  expect(answer.body.remedy).not.toBe('')
}

/** Afterwards nothing is left of it, and the next one works. */
async function nothingHappened(scenario: Scenario, before: unknown): Promise<void> {
  await scenario.daemon.caughtUp()
  expect(await traces(scenario)).toEqual(before)
  expect(await locks(scenario)).toEqual([])
  const leads = (before as { control: { authority: string } }).control.authority
  const heard = await refusals(scenario, WRITE, WRITE)
  expect(heard).toMatchObject({ [leads]: undefined })
  expect(heard[leads === 'sqlite' ? 'postgres' : 'sqlite']).toMatch(/25006|slipway/)
  await scenario.equalAtLagZero()
}

test('a writer that keeps a SQLite transaction open refuses the guards', async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  const before = await traces(scenario)
  const application = new Database(scenario.path)
  application.exec(`BEGIN IMMEDIATE; ${WRITE}`)
  const answer = await ask(scenario, 'switchover')
  expect(answer.status).toBe(412)
  expect(refusedBy(answer)).toEqual(['capture'])
  application.exec('COMMIT')
  application.close()
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a writer that takes SQLite after the guards, and does not give it back', async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  const before = await traces(scenario)
  const answered = ask(scenario, 'switchover', { wait_seconds: 3 })
  await turnstile.reached()
  const application = new Database(scenario.path)
  application.exec(`BEGIN IMMEDIATE; ${WRITE}`)
  turnstile.open()
  expectUndone(await answered)
  application.exec('COMMIT')
  application.close()
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a drain of SQLite that is slower than the deadline', { timeout: 120_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  const before = await traces(scenario)
  const application = new Database(scenario.path)
  const answered = ask(scenario, 'switchover', { wait_seconds: 60 })
  await turnstile.reached()
  application.exec(`BEGIN IMMEDIATE; ${huge(200_000)}`)
  turnstile.open()
  await atStep(scenario, 'hold')
  application.exec('COMMIT')
  application.close()
  await atStep(scenario, 'drain')
  await patientWriter(scenario)
  expectUndone(await answered)
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a lock on a moved table, taken when writers wait already', { timeout: 120_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  const before = await traces(scenario)
  const blocker = await scenario.database.connect()
  const application = new Database(scenario.path)
  const answered = ask(scenario, 'switchover', { wait_seconds: 60 })
  await turnstile.reached()
  application.exec(`BEGIN IMMEDIATE; ${WRITE}`)
  turnstile.open()
  await atStep(scenario, 'hold')
  // A reader of PostgreSQL is in the way of the foreign keys that come back.
  await blocker.query('BEGIN; LOCK TABLE feeds IN SHARE UPDATE EXCLUSIVE MODE; SELECT count(*) FROM articles')
  application.exec('COMMIT')
  application.close()
  await atStep(scenario, 'decide')
  await patientWriter(scenario)
  const answer = await answered
  expectUndone(answer)
  expect(answer.body.run?.reason).toMatch(/locked by pid \d+|the pause had to end/)
  await blocker.query('COMMIT')
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a lock on a moved table before the pause', { timeout: 120_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  const before = await traces(scenario)
  const blocker = await scenario.database.connect()
  await blocker.query('BEGIN; LOCK TABLE feeds IN SHARE UPDATE EXCLUSIVE MODE')
  const answered = ask(scenario, 'switchover', { wait_seconds: 60 })
  await turnstile.reached()
  turnstile.open()
  const answer = await answered
  expectUndone(answer)
  expect(answer.body.run).toMatchObject({ pause_ms: null })
  expect(answer.body.run?.reason).toMatch(/feeds/)
  await blocker.query('COMMIT')
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a VACUUM of a large table, at the decision', { timeout: 120_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await replicating(turnstile)
  await scenario.write([huge(20_000)])
  await scenario.daemon.caughtUp()
  const before = await traces(scenario)
  const vacuum = await scenario.database.connect()
  await vacuum.query('SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1')
  const application = new Database(scenario.path)
  const answered = ask(scenario, 'switchover', { wait_seconds: 60 })
  await turnstile.reached()
  application.exec(`BEGIN IMMEDIATE; ${WRITE}`)
  turnstile.open()
  await atStep(scenario, 'hold')
  const { pid } = (await vacuum.query('SELECT pg_backend_pid() AS pid')).rows[0]
  const cleaning = vacuum.query('VACUUM articles').catch((error: Error) => error.message)
  application.exec('COMMIT')
  application.close()
  expectUndone(await answered)
  await scenario.postgres('SELECT pg_cancel_backend($1)', [pid])
  expect(await cleaning).toMatch(/cancel/)
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'switchover')
})

test('a PostgreSQL transaction that has written and stays open', { timeout: 120_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await switched(turnstile)
  const before = await traces(scenario)
  const application = await scenario.database.connect()
  const answered = ask(scenario, 'rollback')
  await turnstile.reached()
  await application.query(`BEGIN; ${WRITE}`)
  turnstile.open()
  await atStep(scenario, 'hold')
  await patientTargetWriter(scenario)
  const answer = await answered
  expectUndone(answer)
  expect(answer.body.run?.reason).toMatch(/did not end in time: pid \d+|the pause had to end/)
  await application.query('COMMIT')
  await nothingHappened(scenario, before)
  // One that is older than a pause may last is seen before anybody waits.
  await application.query(`BEGIN; ${WRITE}`)
  await new Promise((done) => setTimeout(done, PAUSE_MS + 500))
  const refused = await ask(scenario, 'rollback')
  expect(refused.status).toBe(412)
  expect(refusedBy(refused)).toEqual(['transactions'])
  await application.query('ROLLBACK')
  turnstile.open()
  await pass(scenario, 'rollback')
  await scenario.equalAtLagZero()
})

test('a drain of PostgreSQL that is slower than the deadline', { timeout: 180_000 }, async () => {
  using turnstile = new Turnstile()
  await using scenario = await switched(turnstile)
  const before = await traces(scenario)
  const application = await scenario.database.connect()
  const answered = ask(scenario, 'rollback', { wait_seconds: 60 })
  await turnstile.reached()
  await application.query('BEGIN')
  await application.query(huge(100_000))
  turnstile.open()
  await atStep(scenario, 'hold')
  await application.query('COMMIT')
  await atStep(scenario, 'drain')
  await patientTargetWriter(scenario)
  expectUndone(await answered)
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'rollback')
  await scenario.equalAtLagZero()
})

test('a prepared transaction', { timeout: 120_000 }, async () => {
  await using server = await startOwnServer()
  const setup = await server.connect()
  await setup.query('ALTER SYSTEM SET max_prepared_transactions = 5')
  await server.stop()
  await server.start()
  using turnstile = new Turnstile()
  await using scenario = await switched(turnstile, { server })
  const before = await traces(scenario)
  const application = await scenario.database.connect()
  await application.query(`BEGIN; ${WRITE}; PREPARE TRANSACTION 'half done'`)
  const refused = await ask(scenario, 'rollback')
  expect(refused.status).toBe(412)
  expect(refusedBy(refused)).toContain('prepared')
  const answered = ask(scenario, 'rollback', { override: ['prepared', 'transactions'] })
  await turnstile.reached()
  turnstile.open()
  const answer = await answered
  expectUndone(answer)
  expect(answer.body.run?.overrides).toContain('prepared')
  expect(answer.body.run?.reason).toMatch(/half done|the pause had to end/)
  await application.query(`COMMIT PREPARED 'half done'`)
  await nothingHappened(scenario, before)
  turnstile.open()
  await pass(scenario, 'rollback')
  await scenario.equalAtLagZero()
})
