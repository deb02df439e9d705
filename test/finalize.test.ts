/** The end of a migration: `finalize`, and `uninstall` after it. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Connection } from '../src/postgres/connection.ts'
import { checkConfirmation, type FinalizeDeps, finalize } from '../src/wiring/finalize.ts'
import { uninstall } from '../src/wiring/uninstall.ts'
import { until } from './support/daemon.ts'
import { dump } from './support/dump.ts'
import { Scenario } from './support/scenario.ts'
import { configOf, DEAF, refusals, Sides } from './support/sides.ts'

const SOURCE = [
  'CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT CHECK (length(a) < 9))',
  'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)',
  'CREATE TABLE k (a TEXT)',
  `CREATE TRIGGER touch AFTER INSERT ON p BEGIN UPDATE p SET a = a || '!' WHERE id = NEW.id; END`,
  `INSERT INTO p (a) VALUES ('one')`,
  'INSERT INTO c VALUES (1, 1)',
  `INSERT INTO k VALUES ('x')`,
]
const TABLES = ['p', 'c', 'k']

/** What the reverse capture leaves in PostgreSQL, without its insides. */
const CAPTURE = `
  CREATE FUNCTION slipway.capture_1_abc() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE FUNCTION slipway.capture_11_abc() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE FUNCTION slipway.ring_1() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE SEQUENCE slipway.bell_1;
  CREATE TRIGGER " slipway_capture" AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION slipway.capture_1_abc();
  CREATE TRIGGER " slipway_capture_wake" AFTER INSERT ON p EXECUTE FUNCTION slipway.ring_1();
  INSERT INTO slipway.changelog (migration, tbl, op) VALUES (1, 'p', 'T'), (2, 'other', 'T')`

async function switched(): Promise<{ scenario: Scenario; sides: Sides }> {
  const scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.daemon.stop()
  const sides = await Sides.of(scenario, TABLES)
  await sides.switchOver('settle')
  await scenario.postgres(CAPTURE)
  return { scenario, sides }
}

async function depsOf(sides: Sides, connection: Connection): Promise<FinalizeDeps> {
  const { id, tables } = await sides.state()
  return {
    connection,
    control: sides.control,
    id,
    tables,
    signal: new AbortController().signal,
    endReverse: () => Promise.resolve(),
    step: () => undefined,
  }
}

async function ours(scenario: Scenario): Promise<string[]> {
  const rows = await scenario.postgres<{ name: string }>(
    `SELECT tgname AS name FROM pg_trigger WHERE tgname LIKE ' slipway%'
     UNION ALL SELECT relname FROM pg_class WHERE relname LIKE 'bell%'
     UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('slipway') AND proname <> 'gate' ORDER BY 1`,
  )
  return rows.map((row) => row.name)
}

describe('finalize', () => {
  test('takes the way back, and leaves SQLite fenced', async () => {
    const { scenario, sides } = await switched()
    await using _scenario = scenario
    await using _sides = sides
    const connection = new Connection(scenario.database.url, 'finalize')
    const deps = await depsOf(sides, connection)
    const ended: string[] = []
    await finalize({
      ...deps,
      endReverse: async () => void ended.push((await sides.state()).phase),
    })
    // The phase comes first: nothing of the way back is admitted from then on.
    expect(ended).toEqual(['finalized'])
    expect(await ours(scenario)).toEqual(['capture_11_abc'])
    expect(await scenario.postgres('SELECT tbl FROM slipway.changelog')).toEqual([{ tbl: 'other' }])
    expect(await refusals(scenario, `INSERT INTO p (a) VALUES ('two')`)).toEqual({
      sqlite: expect.stringContaining('slipway: writes are closed here'),
      postgres: undefined,
    })
    await expect(sides.gate.begin('rollback')).rejects.toMatchObject({ code: 'wrong_phase' })
    // Again, as after a crash.
    await finalize(deps)
    expect((await sides.state()).phase).toBe('finalized')
    await connection.close()
  })

  test('waits for whoever has a table, without keeping readers waiting', async () => {
    const { scenario, sides } = await switched()
    await using _scenario = scenario
    await using _sides = sides
    const connection = new Connection(scenario.database.url, 'finalize')
    const reader = await scenario.database.connect()
    await reader.query('BEGIN; SELECT * FROM p')
    const finalizing = finalize(await depsOf(sides, connection))
    const waits = `SELECT 1 FROM pg_locks WHERE relation = 'p'::regclass AND NOT granted`
    await until(async () => (await scenario.postgres(waits)).length > 0, {
      ms: 10_000,
      every: 5,
      describe: () => 'it does not wait',
    })
    // Behind a lock that is asked for without end this would wait as well.
    expect(await scenario.postgres('SELECT count(*)::int AS n FROM p')).toEqual([{ n: 1 }])
    await reader.query('COMMIT')
    await finalizing
    expect(await ours(scenario)).toEqual(['capture_11_abc'])
    await connection.close()
  })

  test('only where PostgreSQL leads at rest, by its holder, and by name', async () => {
    await using scenario = await Scenario.replicating({ source: SOURCE })
    await scenario.daemon.stop()
    await using sides = await Sides.of(scenario, TABLES)
    const connection = new Connection(scenario.database.url, 'finalize')
    const deps = await depsOf(sides, connection)
    await expect(finalize(deps)).rejects.toMatchObject({ code: 'wrong_phase', status: 409 })
    await sides.switchOver('settle')
    await sides.gate.begin('rollback')
    await expect(finalize(deps)).rejects.toMatchObject({ code: 'wrong_phase' })
    await scenario.postgres(`UPDATE slipway.control SET phase = 'switched_over', holder = 'another'`)
    await expect(finalize(deps)).rejects.toMatchObject({ code: 'displaced' })
    await connection.close()
    expect(() => checkConfirmation({ migrationName: 'app' }, 'app')).not.toThrow()
    expect(() => checkConfirmation({ migrationName: 'app' }, 'App')).toThrow(
      expect.objectContaining({ code: 'not_confirmed', status: 422 }),
    )
  })
})

describe('uninstall', () => {
  const options = { observer: DEAF, sqliteOnly: false }

  async function finalized(): Promise<Scenario> {
    const { scenario, sides } = await switched()
    const connection = new Connection(scenario.database.url, 'finalize')
    await finalize(await depsOf(sides, connection))
    await connection.close()
    await sides[Symbol.asyncDispose]()
    return scenario
  }

  test('after finalize: nothing is left, and the file is open and stale, which is said', async () => {
    await using plain = await Scenario.prepare({ source: SOURCE })
    const before = dump(plain.path)
    await using scenario = await finalized()
    // Ids that the application drew stay drawn.
    await scenario.postgres(`SELECT setval(pg_get_serial_sequence('p', 'id'), 50)`)
    const outcome = await uninstall(configOf(scenario), options)
    expect(outcome.warnings).toEqual([expect.stringMatching(/open to writes again, and stale/)])
    expect(outcome.postgres).toEqual(['migration app', 'schema slipway'])
    expect(dump(scenario.path).schema).toEqual(before.schema)
    expect(dump(scenario.path).rows).toEqual(before.rows)
    expect(await ours(scenario)).toEqual([])
    const inserted = await scenario.postgres(`INSERT INTO p (a) VALUES ('later') RETURNING id::int`)
    expect(inserted).toEqual([{ id: 51 }])
    // What woke up in the switchover stays awake.
    await expect(scenario.postgres('INSERT INTO c VALUES (2, 99)')).rejects.toMatchObject({ code: '23503' })
    await expect(scenario.postgres(`INSERT INTO p (a) VALUES ('longer than eight')`)).rejects.toMatchObject({
      code: '23514',
    })
    const columns = await scenario.postgres(
      `SELECT column_name FROM information_schema.columns WHERE table_name = 'k'`,
    )
    expect(columns).toEqual([{ column_name: 'a' }])
  })

  test('after finalize, when the file has been put away', async () => {
    await using scenario = await finalized()
    for (const suffix of ['', '-wal', '-shm']) rmSync(scenario.path + suffix, { force: true })
    const outcome = await uninstall(configOf(scenario), options)
    expect(outcome).toMatchObject({ sqlite: [], warnings: [] })
    await expect(uninstall(configOf(scenario), options)).rejects.toMatchObject({ code: 'source_missing' })
  })

  test('is refused while PostgreSQL leads, and while a change of authority is not ended', async () => {
    await using scenario = await Scenario.replicating({ source: SOURCE })
    await scenario.daemon.stop()
    const refused = async (code: string): Promise<void> => {
      await expect(uninstall(configOf(scenario), options)).rejects.toMatchObject({ code, exit: 1 })
    }
    const by = async (name: string, work: (sides: Sides) => Promise<unknown>): Promise<void> => {
      await using sides = await Sides.of(scenario, TABLES, name)
      await work(sides)
    }
    await by('one', (sides) => sides.switchOver('fence'))
    await refused('wrong_authority')
    await by('two', async (sides) => {
      await sides.gate.undo('switchover', 1)
      using lock = await sides.fence.lock(5_000, new AbortController().signal)
      lock.lower({ from: { authority: 'none', epoch: 2, attempt: 1 }, epoch: 1, attempt: 2 })
      await lock.commit()
      lock[Symbol.dispose]()
      await sides.switchOver('settle')
    })
    await refused('wrong_authority')
    await by('three', (sides) => sides.rollBack('decide'))
    await refused('wrong_authority')
    await by('four', async (sides) => {
      using lock = await sides.fence.lock(5_000, new AbortController().signal)
      lock.lower({ from: lock.notes, epoch: 3, attempt: 9 })
      await lock.commit()
    })
    const outcome = await uninstall(configOf(scenario), options)
    // Awake since the switchover, and not put to sleep again: neither is lost nor made twice.
    expect(outcome.warnings).toEqual([])
    await expect(scenario.postgres('INSERT INTO c VALUES (2, 99)')).rejects.toMatchObject({ code: '23503' })
  })
})
