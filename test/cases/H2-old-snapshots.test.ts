import { expect, test } from 'vitest'
import { GateRig, refusal } from '../support/gate.ts'
import { createDatabase } from '../support/postgres.ts'

// The control row is subject to MVCC: a transaction in REPEATABLE READ or SERIALIZABLE sees it as it was when it began.
// The gate's value is not, so whoever began in another epoch is refused, whatever it sees.

const SIGNAL = new AbortController().signal
const INSERT = `INSERT INTO t (a) VALUES ('old snapshot')`
const LEVELS = ['REPEATABLE READ', 'SERIALIZABLE'] as const

for (const level of LEVELS) {
  test(`${level}: begun while the other side led, refused after every change`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    const begun = async () => {
      const client = await database.connect()
      await client.query(`BEGIN ISOLATION LEVEL ${level}; SELECT 1 FROM t`)
      return client
    }
    const duringSqlite = await begun()
    await rig.pass('switchover')
    // It never saw PostgreSQL lead; begun again, it may write.
    expect(await refusal(duringSqlite, INSERT)).toBe('25006')
    await duringSqlite.query('ROLLBACK')
    expect(await refusal(duringSqlite, `BEGIN ISOLATION LEVEL ${level}; ${INSERT}; COMMIT`)).toBeUndefined()

    const [duringPostgres, later] = [await begun(), await begun()]
    await rig.pass('rollback')
    expect(await refusal(duringPostgres, INSERT)).toBe('25006')
    await rig.pass('switchover')
    expect(await refusal(later, INSERT)).toBe('25006')
    const { rows } = await rig
      .connection('look')
      .use((client) => client.query('SELECT count(*)::int AS n FROM t'))
    expect(rows[0].n).toBe(2)
  })

  test(`${level}: nothing passes between what is proposed and its COMMIT`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    const [before, old] = [await database.connect(), await database.connect()]
    await old.query(`BEGIN ISOLATION LEVEL ${level}; SELECT 1 FROM t`)
    const notes = await rig.gate.begin('switchover')
    await rig.gate.prepare()
    await using decision = await rig.gate.open(notes, 'switchover', 2_000, SIGNAL)
    await decision.propose(new Map())
    expect(await refusal(before, `BEGIN ISOLATION LEVEL ${level}; ${INSERT}`)).toBe('25006')
    expect(await refusal(old, INSERT)).toBe('25006')
    await decision.commit()
  })
}

test('a value that an aborted decision has set opens nothing', async () => {
  await using database = await createDatabase()
  await using rig = await GateRig.create({ url: database.url })
  const [admin, app] = [await database.connect(), await database.connect()]
  const { id } = await rig.state()
  // Of the next epoch, as a decision sets it right before its COMMIT.
  await admin.query(`BEGIN; SELECT setval('slipway.gate_${id}', 5); ROLLBACK`)
  for (const level of ['READ COMMITTED', ...LEVELS])
    expect(await refusal(app, `ROLLBACK; BEGIN ISOLATION LEVEL ${level}; ${INSERT}`), level).toBe('25006')
  await app.query('ROLLBACK')
  // The undo of that attempt sets it back, so that nothing of it is left in a later epoch.
  await rig.gate.begin('switchover')
  expect(await rig.gate.undo('switchover', 1)).toBe('undone')
  const value = async () =>
    (await admin.query(`SELECT last_value FROM slipway.gate_${id}`)).rows[0].last_value
  expect(await value()).toBe('2')

  await rig.pass('switchover')
  expect(await refusal(app, INSERT)).toBeUndefined()
  // Closed for an epoch that never came: PostgreSQL leads, so the undo opens it again.
  await admin.query(`BEGIN; SELECT setval('slipway.gate_${id}', 6); ROLLBACK`)
  expect(await refusal(app, INSERT)).toBe('25006')
  await rig.gate.begin('rollback')
  expect(await rig.gate.undo('rollback', 2)).toBe('undone')
  expect(await refusal(app, INSERT)).toBeUndefined()
})
