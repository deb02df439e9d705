/** `recover`: a person says who leads, where no process can know it. */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { standingOf } from '../src/core/authority.ts'
import { recover } from '../src/wiring/recover.ts'
import { freePort, until } from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { Scenario } from './support/scenario.ts'
import { configOf, DEAF, refusals, Sides } from './support/sides.ts'

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)',
  'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT)',
  `CREATE TRIGGER one AFTER INSERT ON t BEGIN INSERT INTO log (what) VALUES ('one ' || NEW.a); END`,
  `CREATE TRIGGER two AFTER INSERT ON t BEGIN INSERT INTO log (what) VALUES ('two ' || NEW.a); END`,
  `INSERT INTO t (a) VALUES ('first')`,
]
const TABLES = ['t', 'log']
const FENCE = expect.stringContaining('slipway: writes are closed here')

const write = (a: string): string => `INSERT INTO t (a) VALUES ('${a}')`

/** Replicated once, and the daemon stopped. */
async function stopped(): Promise<Scenario> {
  const scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.daemon.stop()
  return scenario
}

async function schema(scenario: Scenario): Promise<unknown> {
  const [rows] = await execute(scenario.path, [
    `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid`,
  ])
  return rows?.rows
}

describe('SQLite shall lead', () => {
  test('an undecided fence: the triggers come back in their order, and replication goes on', async () => {
    await using scenario = await stopped()
    const before = await schema(scenario)
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('fence')
    }
    expect(await refusals(scenario, write('no'))).toEqual({ sqlite: FENCE, postgres: '25006' })
    const authorityFile = scenario.workspace.file('authority.json')
    const config = configOf(scenario, { AUTHORITY_FILE: authorityFile })
    const outcome = await recover(config, { authority: 'sqlite', observer: DEAF })
    // SQLite's fence said 2 already.
    expect(outcome).toMatchObject({ authority: 'sqlite', epoch: 3, warnings: [] })
    expect(await schema(scenario)).toEqual(before)
    expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
    expect(JSON.parse(readFileSync(authorityFile, 'utf8'))).toMatchObject({ authority: 'sqlite', epoch: 3 })
    await scenario.start()
    await scenario.equalAtLagZero()
    await scenario.write([write('later')])
    await scenario.equalAtLagZero()
  })

  test('PostgreSQL led and accepted writes: it is closed, and made equal again', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('settle')
    }
    expect(await refusals(scenario, write('only in PostgreSQL'))).toEqual({
      sqlite: FENCE,
      postgres: undefined,
    })
    const outcome = await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
    expect(outcome.epoch).toBe(3)
    expect(outcome.done.join('\n')).toContain(
      'PostgreSQL is closed to applications (was: postgres in epoch 2)',
    )
    await scenario.write([write('again')])
    // PostgreSQL has given out 2: nobody gets it twice.
    const [rows] = await scenario.write(['SELECT id, a FROM t ORDER BY id'])
    expect(rows?.rows).toEqual([
      [1, 'first'],
      [3, 'again'],
    ])
    await scenario.start()
    await scenario.daemon.caughtUp()
    expect(await scenario.postgres('SELECT id::int, a FROM t ORDER BY id')).toEqual([
      { id: 1, a: 'first' },
      { id: 3, a: 'again' },
    ])
  })

  test('writers of PostgreSQL that are in flight are waited for', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('settle')
    }
    const writer = await scenario.database.connect()
    await writer.query(`BEGIN; ${write('in flight')}`)
    const recovering = recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
    await until(
      async () =>
        (await scenario.postgres(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`))
          .length > 0,
      { ms: 10_000, every: 5, describe: () => 'it does not wait' },
    )
    await writer.query('COMMIT')
    expect((await recovering).epoch).toBe(3)
    expect(await refusals(scenario, write('late'))).toMatchObject({ postgres: '25006' })
  })

  test('PostgreSQL is gone: the file opens all the same, and no secret is told', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('fence')
    }
    const POSTGRES_URL = `postgres://news:hunter2-hunter2@127.0.0.1:${await freePort()}/news`
    const config = configOf(scenario, { POSTGRES_URL })
    const outcome = await recover(config, { authority: 'sqlite', observer: DEAF })
    expect(outcome).toMatchObject({ epoch: 3, warnings: [expect.stringMatching(/could not be closed/)] })
    expect(JSON.stringify(outcome)).not.toContain('hunter2')
    expect(await refusals(scenario, write('yes'))).toMatchObject({ sqlite: undefined })
    await expect(recover(config, { authority: 'postgres', observer: DEAF })).rejects.toMatchObject({
      code: 'target_unreachable',
    })
  })

  test('PostgreSQL was put back to an older state: it learns the new epoch', async () => {
    await using scenario = await stopped()
    await using sides = await Sides.of(scenario, TABLES)
    await sides.switchOver('settle')
    // As a backup from before the switchover has it.
    await scenario.postgres(
      `UPDATE slipway.control SET authority = 'sqlite', epoch = 1, phase = 'replicating', attempt = 0`,
    )
    await scenario.postgres(`SELECT setval('slipway.gate_1', 2)`)
    expect(standingOf(sides.fence.notes(), await sides.state()).kind).toBe('divided')
    await sides[Symbol.asyncDispose]()
    await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
    await using after = await Sides.of(scenario, TABLES, 'another')
    expect(standingOf(after.fence.notes(), await after.state())).toEqual({ kind: 'sqlite', behind: false })
    expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
  })

  test('notes that somebody has overwritten', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('fence')
    }
    await execute(scenario.path, [`UPDATE _slipway_control SET value = 'me' WHERE name = 'authority'`])
    const outcome = await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
    expect(outcome).toMatchObject({ epoch: 3, warnings: [expect.stringMatching(/damaged/)] })
    expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
  })

  test('killed in between, it is run again', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('settle')
    }
    // PostgreSQL is closed first; then a trigger has lost its table, and SQLite stays closed as well.
    await execute(scenario.path, ['ALTER TABLE t RENAME TO away'])
    await expect(recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })).rejects.toMatchObject({
      code: 'trigger_not_restored',
    })
    await execute(scenario.path, ['ALTER TABLE away RENAME TO t'])
    expect(await refusals(scenario, write('no'))).toEqual({ sqlite: FENCE, postgres: '25006' })
    expect((await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })).epoch).toBe(4)
    expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
  })
})

describe('PostgreSQL shall lead', () => {
  test('SQLite is fenced, identities stand above both, and the way back proves nothing', async () => {
    await using scenario = await stopped()
    await scenario.write([write('never copied'), 'DELETE FROM t WHERE id = 2'])
    const outcome = await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    expect(outcome).toMatchObject({ authority: 'postgres', epoch: 2, warnings: [] })
    expect(await refusals(scenario, write('new'))).toEqual({ sqlite: FENCE, postgres: undefined })
    expect(await scenario.postgres('SELECT id::int, a FROM t ORDER BY id')).toEqual([
      { id: 1, a: 'first' },
      { id: 3, a: 'new' },
    ])
    await using sides = await Sides.of(scenario, TABLES)
    const state = await sides.state()
    expect(state).toMatchObject({ authority: 'postgres', epoch: 2, phase: 'switched_over', awake: true })
    expect([...state.unsafe.keys()]).toEqual(['recovered'])
    const notes = sides.fence.notes()
    expect(notes).toMatchObject({ authority: 'postgres', epoch: 2, closed: true })
    expect(notes.position?.token).toMatch(/^recovered-/)
    expect(state.reverseStart?.token).not.toBe(notes.position?.token)
    expect(standingOf(notes, state)).toEqual({ kind: 'postgres' })
  })

  test('what sleeps on PostgreSQL acts again', async () => {
    await using scenario = await Scenario.replicating({
      source: [
        'CREATE TABLE p (id INTEGER PRIMARY KEY)',
        'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)',
        'INSERT INTO p VALUES (1)',
      ],
    })
    await scenario.daemon.stop()
    await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    await expect(scenario.postgres('INSERT INTO c VALUES (1, 9)')).rejects.toMatchObject({ code: '23503' })
    await scenario.postgres('INSERT INTO c VALUES (1, 1)')
  })

  test('the file is missing, and is fenced once it is back', async () => {
    await using scenario = await stopped()
    const away = `${scenario.path}.away`
    renameSync(scenario.path, away)
    const first = await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    expect(first).toMatchObject({ epoch: 2, warnings: [expect.stringMatching(/there is no file/)] })
    expect(existsSync(scenario.path)).toBe(false)
    await scenario.postgres(write('yes'))
    renameSync(away, scenario.path)
    const second = await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    expect(second).toMatchObject({ epoch: 3, warnings: [] })
    expect(await refusals(scenario, write('both'))).toEqual({ sqlite: FENCE, postgres: undefined })
  })

  test('a file from before slipway is fenced as well', async () => {
    await using scenario = await stopped()
    for (const suffix of ['', '-wal', '-shm'])
      if (existsSync(scenario.path + suffix))
        renameSync(scenario.path + suffix, `${scenario.path}.old${suffix}`)
    await execute(scenario.path, ['PRAGMA journal_mode = WAL', ...SOURCE])
    await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    expect(await refusals(scenario, write('both'))).toEqual({ sqlite: FENCE, postgres: undefined })
    const back = await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
    expect(back.epoch).toBe(3)
    expect(await refusals(scenario, write('both'))).toEqual({ sqlite: undefined, postgres: '25006' })
    const [log] = await scenario.write([`SELECT what FROM log ORDER BY n DESC LIMIT 2`])
    expect(log?.rows.flat().toSorted()).toEqual(['one both', 'two both'])
  })

  test('PostgreSQL had closed itself behind an undecided rollback', async () => {
    await using scenario = await stopped()
    {
      await using sides = await Sides.of(scenario, TABLES)
      await sides.switchOver('settle')
      await sides.rollBack('decide')
    }
    expect(await refusals(scenario, write('no'))).toEqual({ sqlite: FENCE, postgres: '25006' })
    const outcome = await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
    expect(outcome).toMatchObject({ epoch: 4, warnings: [] })
    expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: FENCE, postgres: undefined })
  })
})

describe('refused, and nothing is changed', () => {
  test('while a daemon lives', async () => {
    await using scenario = await Scenario.replicating({ source: SOURCE })
    for (const authority of ['sqlite', 'postgres'] as const) {
      await expect(recover(configOf(scenario), { authority, observer: DEAF })).rejects.toMatchObject({
        code: 'held_elsewhere',
        exit: 1,
      })
    }
    await scenario.write([write('more')])
    await scenario.equalAtLagZero()
  })

  test('where PostgreSQL does not have all rows, or the migration has ended', async () => {
    await using scenario = await stopped()
    const cases: [phase: string, authority: 'sqlite' | 'postgres', code: string][] = [
      ['snapshotting', 'postgres', 'not_copied'],
      ['finalized', 'postgres', 'wrong_phase'],
      ['finalized', 'sqlite', 'wrong_phase'],
    ]
    for (const [phase, authority, code] of cases) {
      await scenario.postgres('UPDATE slipway.control SET phase = $1', [phase])
      await expect(recover(configOf(scenario), { authority, observer: DEAF })).rejects.toMatchObject({ code })
    }
    expect(await scenario.postgres('SELECT epoch::int, attempt FROM slipway.control')).toEqual([
      { epoch: 1, attempt: 0 },
    ])
  })

  test('where the file belongs to another migration, or nobody knows of one', async () => {
    await using scenario = await stopped()
    await execute(scenario.path, [`UPDATE _slipway_control SET value = 'x other' WHERE name = 'owner'`])
    await expect(
      recover(configOf(scenario), { authority: 'postgres', observer: DEAF }),
    ).rejects.toMatchObject({ code: 'source_owned' })
    await using empty = await Scenario.prepare({ source: ['CREATE TABLE t (id INTEGER PRIMARY KEY)'] })
    await expect(recover(configOf(empty), { authority: 'sqlite', observer: DEAF })).rejects.toMatchObject({
      code: 'not_captured',
    })
    await expect(recover(configOf(empty), { authority: 'postgres', observer: DEAF })).rejects.toMatchObject({
      code: 'migration_unknown',
    })
  })
})
