import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { dump } from '../support/dump.ts'
import { capture, fenceOf, holder } from '../support/fence.ts'
import { attempt, execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// A pause of writes is a fence with an end. The trigger judges it by the clock, so that it ends also where nobody is
// left to end it.

const SOURCE = [
  'PRAGMA journal_mode = WAL',
  'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)',
  'CREATE TABLE log (what TEXT)',
  `CREATE TRIGGER logged AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.v); END`,
  `INSERT INTO t (v) VALUES ('first')`,
]

const later = (seconds: number): Date => new Date(Date.now() + seconds * 1000)

test('ends by itself, with no process of ours alive; what it leaves is taken away later', {
  timeout: 60_000,
}, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  const tables = capture(path)
  const bare = dump(path)
  const until = Date.now() + 6_000
  const process = await holder(path, tables, `pause ${until}`)
  expect(await process.end(20_000)).toMatchObject({ code: 0 })
  const statements = [
    `INSERT INTO t (v) VALUES ('second')`,
    ['SLEEP', [Math.max(0, until - Date.now()) / 1000 + 0.5]] as const,
    `INSERT INTO t (v) VALUES ('second')`,
  ]
  const [during, , after] = await attempt(path, statements)
  expect(during?.error?.message).toContain(
    `writes are paused until ${new Date(until).toISOString()} (a test)`,
  )
  expect(after?.error).toBeUndefined()
  using fence = fenceOf(path, tables)
  expect(fence.notes()).toMatchObject({ closed: false, pauses: [] })
  expect(dump(path).schema.join('\n')).toContain('_slipway_t_insert_fence')
  expect(await fence.tidy()).toBe(true)
  expect(dump(path).schema).toEqual(bare.schema)
  expect(await fence.tidy()).toBe(true)
})

test('several reasons; the same words replace each other; resume ends them all', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  const tables = capture(path)
  const { schema } = dump(path)
  using fence = fenceOf(path, tables)
  const [short, long, longer] = [later(60), later(600), later(900)]
  await fence.pause('a deploy', short)
  await fence.pause("a backup's\nend", long)
  await fence.pause('a deploy', longer)
  expect(fence.notes()).toMatchObject({
    closed: true,
    pauses: [
      { reason: "a backup's end", until: long },
      { reason: 'a deploy', until: longer },
    ],
  })
  // The triggers of others are where they were.
  expect(dump(path).schema.slice(0, schema.length)).toEqual(schema)
  expect(await fence.tidy()).toBe(true)
  const [refused] = await attempt(path, [`INSERT INTO t (v) VALUES ('x')`])
  expect(refused?.error?.message).toContain(longer.toISOString())
  await fence.resume()
  expect(fence.notes()).toMatchObject({ closed: false, pauses: [] })
  expect(dump(path).schema).toEqual(schema)
  await execute(path, [`INSERT INTO t (v) VALUES ('x')`])
})

test('goes on over a switchover that is undone, and ends over one that is not', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  const tables = capture(path)
  const { schema } = dump(path)
  using fence = fenceOf(path, tables)
  await fence.pause('a deploy', later(600))
  const none = { authority: 'none', epoch: 2, attempt: 1 } as const
  {
    using lock = await fence.lock(5_000, new AbortController().signal)
    lock.raise({ epoch: 2, attempt: 1 })
    await lock.commit()
  }
  const [refused] = await attempt(path, [`INSERT INTO t (v) VALUES ('x')`])
  expect(refused?.error?.message).toContain('undecided')
  {
    using lock = await fence.lock(5_000, new AbortController().signal)
    lock.lower({ from: none, epoch: 1, attempt: 2 })
    await lock.commit()
  }
  const [paused] = await attempt(path, [`INSERT INTO t (v) VALUES ('x')`])
  expect(paused?.error?.message).toContain('a deploy')
  {
    using lock = await fence.lock(5_000, new AbortController().signal)
    lock.raise({ epoch: 2, attempt: 3 })
    await lock.commit()
  }
  await fence.resume()
  expect(fence.notes()).toMatchObject({ authority: 'none', closed: true, pauses: [] })
  using lock = await fence.lock(5_000, new AbortController().signal)
  lock.lower({ from: { ...none, attempt: 3 }, epoch: 1, attempt: 4 })
  await lock.commit()
  expect(dump(path).schema.toSorted()).toEqual(schema.toSorted())
  await execute(path, [`INSERT INTO t (v) VALUES ('x')`])
})

test('replication goes on, before, during and after; a foreign change in between is seen', {
  timeout: 120_000,
}, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE.slice(1) })
  const tables = ['t', 'log']
  const pauses = async (reason: string): Promise<void> => {
    using fence = fenceOf(scenario.path, tables)
    await scenario.write([`INSERT INTO t (v) VALUES ('before ${reason}')`])
    await fence.pause(reason, later(600))
    await scenario.daemon.caughtUp(20_000)
    const [refused] = await scenario.attempt([`INSERT INTO t (v) VALUES ('during')`])
    expect(refused?.error?.class).toBe('OperationalError')
    await fence.resume()
    await scenario.write([`INSERT INTO t (v) VALUES ('after ${reason}')`])
    await scenario.daemon.caughtUp(20_000)
  }
  await pauses('one')
  await pauses('two')
  const daemon = scenario.daemon
  expect(scenario.slipway.copiesAnew(), daemon.process.tail()).toBe(0)
  expect(daemon.process.stderr).not.toContain('schema of the source was changed')
  expect((await scenario.compare()).differences).toEqual([])
  // A daemon that starts within a pause goes on where it was.
  using fence = fenceOf(scenario.path, tables)
  await fence.pause('three', later(600))
  expect((await daemon.stop()).code).toBe(0)
  await scenario.start()
  await scenario.daemon.caughtUp(20_000)
  expect(scenario.daemon.process.stderr).not.toContain('schema of the source was changed')
  // An index of the application's meanwhile: every table is in doubt, and the pause still goes on.
  await scenario.write(['CREATE INDEX t_v ON t (v, id)'])
  expect(await scenario.mendedOrStopped(), scenario.daemon.process.tail()).toBe('equal')
  const [refused] = await scenario.attempt([`INSERT INTO t (v) VALUES ('during')`])
  expect(refused?.error?.message).toContain('three')
  await fence.resume()
  await scenario.write([`INSERT INTO t (v) VALUES ('last')`])
  await scenario.daemon.caughtUp(20_000)
  expect((await scenario.compare()).differences).toEqual([])
})
