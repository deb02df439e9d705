import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { GateRig, refusal, spec } from '../support/gate.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

// The gate of PostgreSQL through changes of authority and pauses of writes, by real sessions.

const SIGNAL = new AbortController().signal
const INSERT = `INSERT INTO t (a) VALUES ('x')`

async function rigOn(database: TestDatabase): Promise<GateRig> {
  return await GateRig.create({ url: database.url })
}

test('closed, open after the switchover, closed after the rollback, and so on', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  for (let round = 0; round < 3; round++) {
    expect(await refusal(app, INSERT)).toBe('25006')
    await rig.pass('switchover')
    expect(await refusal(app, INSERT)).toBeUndefined()
    expect(await rig.state()).toMatchObject({
      authority: 'postgres',
      phase: 'switched_over',
      epoch: 2 + 2 * round,
    })
    expect(rig.first.control.epoch).toBe(2 + 2 * round)
    await rig.pass('rollback')
    expect(await rig.state()).toMatchObject({
      authority: 'sqlite',
      phase: 'replicating',
      epoch: 3 + 2 * round,
    })
  }
  expect(await refusal(app, INSERT)).toBe('25006')
})

test('the refusal says what to do', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  const hint = async (): Promise<string | undefined> =>
    await app.query(INSERT).then(
      () => undefined,
      (error: { hint?: string }) => error.hint,
    )
  expect(await hint()).toMatch(/SQLite leads: write there/)
  await rig.gate.begin('switchover')
  expect(await hint()).toMatch(/being switched over/)
  await rig.gate.undo('switchover', 1)
  await rig.pass('switchover')
  await rig.gate.pause('deploy of the bot', new Date(Date.now() + 60_000))
  expect(await hint()).toMatch(/paused until 20\d\d-.* UTC \(deploy of the bot\)/)
})

test('a switchover or rollback begins in its phase only, and every attempt has its own number', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  await expect(rig.gate.begin('rollback')).rejects.toMatchObject({ code: 'displaced' })
  const first = await rig.gate.begin('switchover')
  expect(first).toEqual({ authority: 'sqlite', epoch: 1, attempt: 1 })
  // After a crash of the one that had begun.
  expect(await rig.gate.begin('switchover')).toMatchObject({ attempt: 2 })
  expect(await rig.gate.undo('switchover', 1)).toBe('undone')
  expect(await rig.state()).toMatchObject({ phase: 'replicating', attempt: 3 })
  // What was begun before the undo can no longer be opened.
  await rig.gate.begin('switchover')
  await rig.gate.prepare()
  await expect(rig.gate.open(first, 'switchover', 1_000, SIGNAL)).rejects.toMatchObject({ code: 'displaced' })
  const admin = await database.connect()
  await admin.query(`UPDATE slipway.control SET phase = 'catching_up'`)
  await expect(rig.gate.begin('switchover')).rejects.toMatchObject({ code: 'wrong_phase', status: 409 })
})

test('an undo of a rollback opens the gate again; too late is told', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  await rig.pass('switchover')
  const notes = await rig.gate.begin('rollback')
  await using decision = await rig.gate.open(notes, 'rollback', 1_000, SIGNAL)
  const parked = refusal(app, INSERT)
  await decision.propose(new Map())
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
  // It never knew.
  expect(await parked).toBeUndefined()
  await expect(decision.commit()).rejects.toThrow()
  expect(await rig.state()).toMatchObject({ authority: 'postgres', epoch: 2, phase: 'switched_over' })
  await decision[Symbol.asyncDispose]()
  await rig.pass('rollback')
  expect(await rig.gate.undo('rollback', 2)).toBe('decided')
  await expect(rig.gate.undo('rollback', 7)).rejects.toMatchObject({ code: 'authority_divided' })
})

test('a pause of writes refuses, ends by itself, and is resumed', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  await expect(rig.gate.pause('too early', new Date(Date.now() + 1_000))).rejects.toMatchObject({
    code: 'wrong_authority',
    status: 409,
  })
  await rig.pass('switchover')
  await rig.gate.pause('short', new Date(Date.now() + 700))
  expect(await refusal(app, INSERT)).toBe('25006')
  expect((await rig.state()).pauses).toMatchObject([{ reason: 'short' }])
  // Nobody lifts it.
  await until(async () => ((await refusal(app, INSERT)) === undefined ? true : undefined), {
    ms: 10_000,
    describe: () => 'the pause does not end',
  })
  expect((await rig.state()).pauses).toEqual([])

  await rig.gate.pause('long', new Date(Date.now() + 60_000))
  await rig.gate.pause('longer', new Date(Date.now() + 120_000))
  expect((await rig.state()).pauses.map(({ reason }) => reason).toSorted()).toEqual(['long', 'longer'])
  expect(await refusal(app, INSERT)).toBe('25006')
  await rig.gate.resume()
  expect(await refusal(app, INSERT)).toBeUndefined()
  expect((await rig.state()).pauses).toEqual([])
})

test('a pause of writes outlives the undo of a rollback, and ends with a rollback', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  await rig.pass('switchover')
  await rig.gate.pause('maintenance', new Date(Date.now() + 60_000))
  await rig.gate.begin('rollback')
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
  expect(await refusal(app, INSERT)).toBe('25006')
  await rig.gate.resume()
  expect(await refusal(app, INSERT)).toBeUndefined()
  await rig.gate.pause('over by then', new Date(Date.now() + 300))
  await rig.pass('rollback')
  await sleep(400)
  // The clock of a pause opens nothing in another epoch.
  expect(await refusal(app, INSERT)).toBe('25006')
  expect((await rig.state()).pauses).toEqual([])
})

test('while writers are waited for, they go on; who comes later waits and never knows', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const [writer, other, late] = [await database.connect(), await database.connect(), await database.connect()]
  await rig.pass('switchover')
  await writer.query('BEGIN')
  await writer.query(INSERT)
  // Holds a row that the writer will ask for, and has not met the gate yet: both wait through us.
  await other.query('BEGIN')
  await other.query('SELECT * FROM t WHERE id = 1 FOR UPDATE')
  const notes = await rig.gate.begin('rollback')
  const opening = rig.gate.open(notes, 'rollback', 20_000, SIGNAL)
  const writing = writer.query(`UPDATE t SET a = 'writer' WHERE id = 1`)
  const crossing = other.query(`UPDATE t SET a = 'other' WHERE id = 1`).then(() => other.query('COMMIT'))
  const errors = [crossing, writing.then(() => writer.query(INSERT)).then(() => writer.query('COMMIT'))].map(
    (each) => each.then(() => undefined, String),
  )
  expect(await Promise.all(errors)).toEqual([undefined, undefined])
  await using decision = await opening
  const parked = refusal(late, INSERT)
  await decision[Symbol.asyncDispose]()
  expect(await parked).toBeUndefined()
})

test('a writer that does not end is named, and nobody else was refused', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const writer = await database.connect()
  await rig.pass('switchover')
  await writer.query(`SET application_name = 'nightly import'; BEGIN`)
  await writer.query(INSERT)
  const other = await database.connect()
  const ended = new AbortController()
  const answers = (async () => {
    const seen = new Set<string | undefined>()
    while (!ended.signal.aborted) seen.add(await refusal(other, INSERT))
    return [...seen]
  })()
  try {
    const notes = await rig.gate.begin('rollback')
    await expect(rig.gate.open(notes, 'rollback', 900, SIGNAL)).rejects.toMatchObject({
      code: 'writers_in_flight',
      message: expect.stringMatching(/nightly import/),
    })
    expect(await rig.gate.undo('rollback', 2)).toBe('undone')
  } finally {
    ended.abort()
  }
  expect(await answers).toEqual([undefined])
  expect(await refusal(writer, 'COMMIT')).toBeUndefined()
  await rig.pass('rollback')
  expect((await rig.state()).authority).toBe('sqlite')
})

test('a coordinator that is frozen with the gate held is given up by the server', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const app = await database.connect()
  await rig.pass('switchover')
  const notes = await rig.gate.begin('rollback')
  await using decision = await rig.gate.open(notes, 'rollback', 300, SIGNAL)
  // Nothing is sent from here on. Whoever waits is let through, not refused.
  expect(await refusal(app, INSERT)).toBeUndefined()
  await expect(decision.propose(new Map())).rejects.toMatchObject({ code: 'target_unreachable' })
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
})

test('an aborted open ends its transaction at once', async () => {
  await using database = await createDatabase()
  await using rig = await rigOn(database)
  const [writer, app] = [await database.connect(), await database.connect()]
  await rig.pass('switchover')
  await writer.query('BEGIN')
  await writer.query(INSERT)
  const notes = await rig.gate.begin('rollback')
  const aborter = new AbortController()
  const opening = rig.gate.open(notes, 'rollback', 60_000, aborter.signal)
  opening.catch(() => undefined)
  aborter.abort()
  await expect(opening).rejects.toThrow()
  expect(await refusal(app, INSERT)).toBeUndefined()
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
})

test('what passed before the switchover and what the gate does on partitions', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({
    url: database.url,
    tables: [spec('p')],
    schema: `CREATE TABLE p (id bigint PRIMARY KEY, a text) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)`,
  })
  const app = await database.connect()
  const attempts = ['INSERT INTO p VALUES (1)', 'INSERT INTO p1 VALUES (2)', 'TRUNCATE p2', 'TRUNCATE p']
  for (const sql of attempts) expect(await refusal(app, sql), sql).toBe('25006')
  await rig.pass('switchover')
  for (const sql of attempts) expect(await refusal(app, sql), sql).toBeUndefined()
  await rig.pass('rollback')
  for (const sql of attempts) expect(await refusal(app, sql), sql).toBe('25006')
})
