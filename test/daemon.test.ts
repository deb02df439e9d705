/** The daemon as an operator meets it: pausing, a target that is away, signals, and no secret anywhere. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { expectEqual } from './support/compare.ts'
import { Slipway, until, Workspace } from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { startOwnServer } from './support/postgres.ts'
import { Scenario } from './support/scenario.ts'
import { createSource } from './support/writers.ts'

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`]

test('replication pauses with its reason, keeps everything, and goes on', async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.slipway.mustRun(['replication', 'pause', '--reason', 'night shift'])
  await scenario.write([`INSERT INTO t VALUES (2, 'while paused')`])
  await sleep(600)
  const paused = await scenario.daemon.lag()
  expect(paused).toMatchObject({ state: 'paused', caught_up: false })
  expect(paused?.pending_changes).toBeGreaterThan(0)
  expect(paused?.reasons.join()).toMatch(/night shift/)
  expect(await scenario.postgres('SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1 }])
  const waiting = await scenario.slipway.run(['lag', '--wait', '--timeout', '1'])
  expect(waiting.code).toBe(1)
  await scenario.slipway.mustRun(['replication', 'resume'])
  const waited = await scenario.slipway.mustRun(['lag', '--wait', '--timeout', '15', '--json'])
  expect(JSON.parse(waited.stdout)).toMatchObject({ caught_up: true, state: 'running' })
  await scenario.equalAtLagZero()
})

test('while the target is away: a reason, a remedy, a growing lag, and never caught up', {
  timeout: 60_000,
}, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath)
  await using server = await startOwnServer()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: server.url,
  })
  const daemon = await slipway.start()
  await daemon.caughtUp()
  await server.stop('fast')
  await execute(sqlitePath, [`INSERT INTO accounts VALUES (9001, 'late', 0)`])
  await daemon.when('a reason', (lag) => lag.state === 'blocked' && lag.reasons.length > 0, 15_000)
  const first = await daemon.lag()
  await sleep(1200)
  const second = await daemon.lag()
  expect(second?.caught_up).toBe(false)
  expect(second?.lag_seconds ?? 0).toBeGreaterThan((first?.lag_seconds ?? 0) + 1)
  const status = await daemon.status()
  expect(status?.last_error?.remedy ?? '').not.toBe('')
  expect(status?.waits.length).toBeGreaterThan(0)
  const readiness = await fetch(`${daemon.url}/readyz`)
  expect(readiness.status).toBe(503)
  expect((await fetch(`${daemon.url}/healthz`)).status).toBe(200)
  await server.start()
  await daemon.caughtUp()
  await expectEqual({ sqlitePath, postgresUrl: server.url })
  // Away again, and the daemon asked to stop meanwhile: it does.
  await server.stop('fast')
  expect((await daemon.stop(15_000)).code).toBe(0)
})

test('an idle daemon whose server is put back to an older copy does not call it caught up', {
  timeout: 90_000,
}, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath)
  await using server = await startOwnServer()
  await using slipway = await Slipway.create({
    directory: workspace.path,
    sqlitePath,
    postgresUrl: server.url,
  })
  const daemon = await slipway.start()
  await daemon.caughtUp()
  await server.stop('fast')
  const copy = await server.saveData()
  await server.start()
  await execute(sqlitePath, [`INSERT INTO accounts VALUES (9001, 'forgotten', 0)`])
  await daemon.caughtUp()
  await expectEqual({ sqlitePath, postgresUrl: server.url })
  await server.stop('immediate')
  await server.restoreData(copy)
  await server.start()
  // From now on every "caught up" must be true, the very first one as well.
  const client = await server.connect()
  const deadline = Date.now() + 20_000
  let caughtUp = 0
  while (caughtUp < 20 && Date.now() < deadline) {
    const lag = await daemon.lag()
    if (lag?.caught_up !== true) continue
    caughtUp++
    const { rows } = await client.query('SELECT count(*)::int AS n FROM accounts WHERE id = 9001')
    expect(rows, JSON.stringify(lag)).toEqual([{ n: 1 }])
  }
  expect(caughtUp).toBe(20)
  await client.end()
})

test('no secret in the log, the answers and the files, at the most talkative level', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.prepare({
    source: SOURCE,
    env: { LOG_LEVEL: 'trace', CONTROL_TOKEN: 'token-of-the-test-0123456789' },
  })
  const role = await scenario.database.createRole('SUPERUSER')
  const secret = new URL(role.url).password
  await using slipway = await Slipway.create({
    directory: scenario.workspace.path,
    sqlitePath: scenario.path,
    postgresUrl: role.url,
    env: { LOG_LEVEL: 'trace', CONTROL_TOKEN: 'token-of-the-test-0123456789' },
  })
  const daemon = await slipway.start()
  await daemon.caughtUp()
  const seen: string[] = []
  for (const path of ['/lag', '/status', '/metrics', '/healthz', '/readyz', '/openapi.json', '/']) {
    seen.push(await (await fetch(daemon.url + path)).text())
  }
  for (const args of [
    ['status'],
    ['lag', '--json'],
    ['replication', 'pause', '--reason', 'x'],
    ['snapshot'],
  ]) {
    const result = await slipway.run(args)
    seen.push(result.stdout, result.stderr)
  }
  // A failure shows more than a success: the role loses its password under the living daemon.
  const client = await scenario.database.connect()
  await client.query(`ALTER ROLE ${role.name} PASSWORD 'another'`)
  await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role.name}'`)
  await slipway.run(['replication', 'resume'])
  await until(async () => (await daemon.lag())?.state === 'blocked', {
    ms: 20_000,
    describe: () => daemon.process.tail(),
  })
  seen.push(JSON.stringify(await daemon.status()))
  expect((await daemon.stop()).code).toBe(0)
  seen.push(daemon.process.stdout, daemon.process.stderr)
  const files = await execute(scenario.path, [`SELECT group_concat(value) FROM _slipway_control`])
  seen.push(JSON.stringify(files))
  for (const text of seen) {
    expect(text).not.toContain(secret)
    expect(text).not.toContain('token-of-the-test')
  }
  expect(daemon.process.stderr).toMatch(/password/)
})
