/** PostgreSQL is gone while it leads: SQLite is opened by force, and a server that comes back may do nothing. */
import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { ask, pass, refusals } from '../support/passages.ts'
import { startOwnServer } from '../support/postgres.ts'
import { Scenario } from '../support/scenario.ts'

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)',
  'CREATE TABLE log (what TEXT)',
  `CREATE TRIGGER logged AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.v); END`,
  `INSERT INTO t (v) VALUES ('a')`,
]
const WRITE = `INSERT INTO t (v) VALUES ('x')`

test('a forced rollback, and the server that comes back', { timeout: 180_000 }, async () => {
  await using server = await startOwnServer()
  await using scenario = await Scenario.replicating({ source: SOURCE, server })
  await pass(scenario, 'switchover')
  await scenario.postgres(`INSERT INTO t (v) VALUES ('came back')`)
  await scenario.daemon.caughtUp()
  // Where the server answers there is nothing to force: the guards have their say.
  await server.stop()
  const { daemon } = scenario
  await daemon.when('blocked', (lag) => lag.state === 'blocked')
  const plain = await ask(scenario, 'rollback')
  expect(plain.status).toBeGreaterThanOrEqual(400)
  const [closed] = await scenario.attempt([WRITE])
  expect(closed?.error?.message).toMatch(/slipway/)
  const forced = await ask(scenario, 'rollback', { force: true })
  expect(forced).toMatchObject({ status: 200, body: { state: 'done', forced: true, to: 'sqlite', epoch: 3 } })
  const [inserted, log] = await scenario.write([`${WRITE} RETURNING id`, 'SELECT what FROM log'])
  // Above what PostgreSQL had given out and sent back; the triggers act again.
  expect([inserted?.rows, log?.rows]).toEqual([[[3]], [['a'], ['x']]])
  expect(await daemon.status()).toMatchObject({ authority: 'sqlite' })

  await server.start()
  await daemon.when('refused', (lag) => lag.reasons.some((reason) => /epoch/.test(reason)), 60_000)
  const status = await daemon.status()
  expect(status?.last_error).toMatchObject({
    code: 'divided',
    remedy: expect.stringMatching(/slipway recover/),
  })
  await until(async () => (await refusals(scenario, WRITE, WRITE)).postgres === '25006', {
    ms: 30_000,
    describe: () => 'the server that came back is open',
  })
  expect((await refusals(scenario, WRITE, WRITE)).sqlite).toBeUndefined()
  expect((await ask(scenario, 'switchover')).status).toBeGreaterThanOrEqual(400)
  // A daemon that is started now says the same, and works on neither side.
  await daemon.kill()
  await scenario.start()
  await scenario.daemon.when('refused', (lag) => lag.reasons.some((reason) => /epoch/.test(reason)))
  expect((await scenario.daemon.status())?.last_error).toMatchObject({ code: 'divided' })
  await scenario.daemon.stop()

  await scenario.slipway.mustRun(['recover', '--authority', 'sqlite', '--accept-loss'])
  await scenario.start()
  await scenario.daemon.caughtUp(60_000)
  const { equal } = await scenario.compare()
  expect(equal).toBe(true)
  expect((await refusals(scenario, WRITE, WRITE)).postgres).toBe('25006')
  await scenario.daemon.caughtUp()
  await pass(scenario, 'switchover')
  expect(await refusals(scenario, WRITE, WRITE)).toMatchObject({ postgres: undefined })
  await pass(scenario, 'rollback')
  expect((await scenario.compare()).equal).toBe(true)
})

test('finalize, and uninstall after it', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await pass(scenario, 'switchover')
  expect((await scenario.daemon.post('/finalize', { confirm: 'other' })).status).toBe(422)
  expect((await scenario.daemon.post('/finalize', { confirm: 'app' })).status).toBe(200)
  expect(await refusals(scenario, WRITE, WRITE)).toMatchObject({
    sqlite: expect.stringMatching(/slipway/),
    postgres: undefined,
  })
  expect((await ask(scenario, 'rollback')).status).toBe(409)
  await scenario.daemon.stop()
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(await scenario.postgres(`SELECT 1 FROM pg_namespace WHERE nspname = 'slipway'`)).toEqual([])
  expect(await scenario.postgres(`SELECT tgname FROM pg_trigger WHERE NOT tgisinternal`)).toEqual([])
  const [left, log] = await scenario.write([
    `SELECT name FROM sqlite_schema WHERE name GLOB '_slipway*'`,
    `SELECT name FROM sqlite_schema WHERE type = 'trigger'`,
  ])
  expect([left?.rows, log?.rows]).toEqual([[], [['logged']]])
})
