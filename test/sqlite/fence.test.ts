/** SQLite's side of a change of authority: who leads, by compare-and-set; triggers, dump, foreign DDL, crashes. */
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import type { Notes } from '../../src/core/authority.ts'
import { uninstallCapture } from '../../src/sqlite/capture.ts'
import { closeFence, openFence } from '../../src/sqlite/fence-sql.ts'
import { openReader, openWriter } from '../../src/sqlite/open.ts'
import { captureDrift } from '../../src/sqlite/own-schema.ts'
import { Workspace } from '../support/daemon.ts'
import { dump } from '../support/dump.ts'
import { buildEverything } from '../support/everything.ts'
import { capture, fenceOf, holder, NEVER } from '../support/fence.ts'
import { attempt, execute, replaceFiles } from '../support/foreign.ts'
import { createSource } from '../support/writers.ts'

const SOURCE = [
  'PRAGMA journal_mode = WAL',
  'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE)',
  'CREATE TABLE log (what TEXT)',
  `CREATE TRIGGER T_added AFTER INSERT ON T BEGIN INSERT INTO log VALUES ('added ' || NEW.a); END`,
  `INSERT INTO t (a) VALUES ('one'), ('two')`,
]

const NONE: Notes = { authority: 'none', epoch: 2, attempt: 1 }
const POSITION = { snapshot: '10:10:', token: 'token' }

interface Given extends Disposable {
  readonly path: string
  readonly tables: readonly string[]
  readonly fence: ReturnType<typeof fenceOf>
}

async function given(source: readonly string[] = SOURCE, exclude: readonly string[] = []): Promise<Given> {
  const workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, source)
  const tables = capture(path, exclude)
  const fence = fenceOf(path, tables)
  return {
    path,
    tables,
    fence,
    [Symbol.dispose]: () => {
      fence[Symbol.dispose]()
      workspace[Symbol.dispose]()
    },
  }
}

/** Fences the file for epoch 2 and lets go of the lock. */
async function raise({ fence }: Given): Promise<void> {
  using lock = await fence.lock(5_000, NEVER)
  lock.raise({ epoch: 2, attempt: 1 })
  await lock.commit()
}

async function lower(
  { fence }: Given,
  from: Notes = NONE,
  used?: ReadonlyMap<string, bigint>,
): Promise<void> {
  using lock = await fence.lock(5_000, NEVER)
  lock.lower({ from, epoch: 1, attempt: 2, ...(used === undefined ? {} : { used }) })
  await lock.commit()
}

/** Everything but slipway's notes; triggers in their order, the rest by name. */
function content(path: string): unknown {
  const { schema, pragmas, rows } = dump(path)
  const isTrigger = (line: string): boolean => line.startsWith('trigger|')
  return {
    schema: schema.filter((line) => !isTrigger(line)).sort(),
    triggers: schema.filter(isTrigger),
    pragmas,
    rows: Object.fromEntries(Object.entries(rows).filter(([table]) => table !== '_slipway_control')),
  }
}

function drift(path: string): string | undefined {
  const reader = openReader(path)
  try {
    const installation = reader
      .prepare(`SELECT value FROM _slipway_control WHERE name = 'installation'`)
      .pluck()
      .get() as string
    return captureDrift(reader, installation)
  } finally {
    reader.close()
  }
}

describe('notes', () => {
  test('a file that slipway never saw: SQLite leads, and there is nothing to fence', async () => {
    using workspace = new Workspace()
    const path = workspace.file('app.db')
    await execute(path, SOURCE)
    using fence = fenceOf(path, ['t'])
    expect(fence.notes()).toEqual({
      authority: 'sqlite',
      epoch: 1,
      attempt: 0,
      position: undefined,
      pauses: [],
      closed: false,
    })
    await expect(fence.lock(100, NEVER)).rejects.toMatchObject({ code: 'not_captured' })
    await expect(fence.pause('deploy', new Date(Date.now() + 60_000))).rejects.toMatchObject({
      code: 'not_captured',
    })
  })

  test('tell each step of a switchover and of the way back', async () => {
    using at = await given()
    const { fence } = at
    using lock = await fence.lock(5_000, NEVER)
    lock.raise({ epoch: 2, attempt: 1 })
    expect(lock.notes).toMatchObject({ ...NONE, closed: true })
    expect(fence.notes()).toMatchObject({ authority: 'sqlite', epoch: 1, closed: false })
    await lock.commit({ ms: 1_000, signal: NEVER })
    expect(fence.notes()).toMatchObject({ ...NONE, closed: true })
    lock.lead({ from: NONE, epoch: 2, attempt: 1, position: POSITION })
    await lock.commit()
    const leads = { authority: 'postgres', epoch: 2, attempt: 1 } as const
    expect(fence.notes()).toMatchObject({ ...leads, position: POSITION, closed: true })
    const [refused] = await attempt(at.path, [`INSERT INTO t (a) VALUES ('x')`])
    expect(refused?.error?.message).toContain('writes are closed here, PostgreSQL leads since epoch 2')
    using back = await fence.lock(5_000, NEVER)
    back.lower({ from: leads, epoch: 3, attempt: 2 })
    await back.commit()
    expect(fence.notes()).toMatchObject({
      authority: 'sqlite',
      epoch: 3,
      attempt: 2,
      position: undefined,
      closed: false,
    })
    await execute(at.path, [`INSERT INTO t (a) VALUES ('x')`])
  })

  test('that nobody can read are told, not guessed', async () => {
    using at = await given()
    await execute(at.path, [
      `INSERT INTO _slipway_control VALUES ('authority', 'sqlite'), ('epoch', 'x'), ('attempt', 0)`,
    ])
    expect(() => at.fence.notes()).toThrow(expect.objectContaining({ code: 'notes_damaged' }))
  })

  test('of a file that was put in the place of another are those of the new file', async () => {
    using at = await given()
    await raise(at)
    await execute(at.path, [['COPY_FILES', [`${at.path}.copy`]]])
    await lower(at)
    expect(at.fence.notes().authority).toBe('sqlite')
    replaceFiles(`${at.path}.copy`, at.path)
    expect(at.fence.notes()).toMatchObject(NONE)
  })
})

describe('compare-and-set', () => {
  const wrong: [string, Partial<Notes>][] = [
    ['another attempt', { attempt: 2 }],
    ['another epoch', { epoch: 3 }],
    ['another authority', { authority: 'postgres' }],
  ]
  test.each(wrong)('lower and lead refuse %s, and change nothing', async (_what, change) => {
    using at = await given()
    await raise(at)
    const before = dump(at.path)
    const from = { ...NONE, ...change }
    using lock = await at.fence.lock(5_000, NEVER)
    expect(() => lock.lower({ from, epoch: 1, attempt: 9 })).toThrow(
      expect.objectContaining({ code: 'fence_stale' }),
    )
    expect(() => lock.lead({ from, epoch: 2, attempt: 9, position: POSITION })).toThrow(
      expect.objectContaining({ code: 'fence_stale' }),
    )
    await lock.commit()
    expect(dump(at.path)).toEqual(before)
  })

  test('raise takes the next epoch only, and once', async () => {
    using at = await given()
    using lock = await at.fence.lock(5_000, NEVER)
    for (const epoch of [1, 3]) {
      expect(() => lock.raise({ epoch, attempt: 1 })).toThrow(
        expect.objectContaining({ code: 'fence_stale' }),
      )
    }
    lock.raise({ epoch: 2, attempt: 1 })
    expect(() => lock.raise({ epoch: 2, attempt: 1 })).toThrow(
      expect.objectContaining({ code: 'fence_stale' }),
    )
  })

  test('a coordinator that slept does not open the fence of its successor', async () => {
    using at = await given()
    await raise(at)
    // The successor undoes it and fences again.
    await lower(at)
    using next = await at.fence.lock(5_000, NEVER)
    next.raise({ epoch: 2, attempt: 3 })
    await next.commit()
    await expect(lower(at)).rejects.toMatchObject({ code: 'fence_stale' })
    expect(at.fence.notes()).toMatchObject({ authority: 'none', epoch: 2, attempt: 3, closed: true })
  })
})

describe('the lock', () => {
  test('ends with its time and names the reason; a dispose leaves nothing', async () => {
    using at = await given()
    using other = fenceOf(at.path, at.tables)
    {
      using held = await at.fence.lock(5_000, NEVER)
      held.raise({ epoch: 2, attempt: 1 })
      await expect(other.lock(50, NEVER)).rejects.toMatchObject({ code: 'source_locked' })
      const gaveUp = AbortSignal.timeout(50)
      await expect(other.lock(60_000, gaveUp)).rejects.toThrow(/abort/i)
    }
    using free = await other.lock(5_000, NEVER)
    expect(free.notes).toMatchObject({ authority: 'sqlite', closed: false })
  })

  test('is had beside writers who keep it nearly all the time', { timeout: 60_000 }, async () => {
    using at = await given()
    const greedy = Array.from({ length: 120 }, (_, n) => [
      'BEGIN IMMEDIATE',
      `UPDATE log SET what = '${n}'`,
      ['SLEEP', [0.005]] as const,
      'COMMIT',
    ]).flat()
    const writers = [1, 2, 3].map(async () => await attempt(at.path, greedy))
    for (let round = 0; round < 5; round++) {
      using lock = await at.fence.lock(5_000, NEVER)
      expect(lock.notes.authority).toBe('sqlite')
    }
    await Promise.all(writers)
  })
})

describe('raise and lower', () => {
  test('of every kind of table leave the file as it was', { timeout: 60_000 }, async () => {
    using workspace = new Workspace()
    const path = workspace.file('app.db')
    await createSource(path, { fill: 200 })
    await buildEverything(path)
    await execute(path, [
      'CREATE TABLE "odd "" \'name\' ключ" ("a b" TEXT PRIMARY KEY) WITHOUT ROWID',
      'CREATE TABLE exact (id INTEGER PRIMARY KEY, v ANY) STRICT',
      // Names like ours, on a table that is moved, and in the place where ours would be.
      'CREATE TRIGGER _slipway_items_insert_fence AFTER DELETE ON items BEGIN SELECT 1; END',
      `CREATE TRIGGER "_slipway_it's" AFTER UPDATE ON items BEGIN SELECT 'INTO _slipway'; END`,
      'CREATE TRIGGER "new ""one""" AFTER INSERT ON "ODD "" \'NAME\' КЛЮЧ" BEGIN SELECT "a string"; END'.replace(
        'КЛЮЧ',
        'ключ',
      ),
      'CREATE TRIGGER later BEFORE INSERT ON ITEMS WHEN 0 BEGIN SELECT raise(IGNORE); END',
    ])
    const tables = capture(path, ['search*'])
    using fence = fenceOf(path, tables)
    const before = content(path)
    for (const attempt of [1, 3]) {
      using lock = await fence.lock(5_000, NEVER)
      const fingerprint = lock.fingerprint()
      lock.raise({ epoch: 2, attempt })
      expect(lock.fingerprint()).toBe(fingerprint)
      await lock.commit({ ms: 1_000, signal: NEVER })
      expect(lock.notes.closed).toBe(true)
      expect(content(path)).not.toEqual(before)
      lock.lower({ from: { ...NONE, attempt }, epoch: 1, attempt: attempt + 1 })
      expect(lock.fingerprint()).toBe(fingerprint)
      await lock.commit()
      expect(content(path)).toEqual(before)
    }
    expect(drift(path)).toBeUndefined()
  })

  test('the way through: only the writer itself, and only for its transaction', async () => {
    using at = await given()
    await raise(at)
    await at.fence.pause('a deploy', new Date(Date.now() + 600_000))
    const writer = openWriter(at.path)
    try {
      expect(() => openFence(writer)).toThrow(/inside a transaction/)
      writer.exec('BEGIN IMMEDIATE')
      openFence(writer)
      writer.exec(`INSERT INTO t (a) VALUES ('from the other side')`)
      closeFence(writer)
      expect(() => writer.exec(`INSERT INTO t (a) VALUES ('x')`)).toThrow(/writes are closed here/)
      writer.exec('COMMIT')
      // Neither the application's trigger nor capture has acted.
      expect(writer.prepare('SELECT count(*) FROM log').pluck().get()).toBe(2n)
      expect(writer.prepare(`SELECT count(*) FROM _slipway_changelog WHERE tbl = 't'`).pluck().get()).toBe(0n)
    } finally {
      writer.close()
    }
    const [refused] = await attempt(at.path, [`DELETE FROM t`])
    expect(refused?.error?.class).toBe('OperationalError')
    expect(at.fence.notes().pauses).toMatchObject([{ reason: 'a deploy' }])
  })

  test('ids that the other engine gave out are not given again', async () => {
    using at = await given([
      ...SOURCE,
      "CREATE TABLE plain (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'AUTOINCREMENT') -- AUTOINCREMENT",
      'CREATE TABLE empty (id INTEGER PRIMARY KEY AUTOINCREMENT)',
      'CREATE TABLE never (id INTEGER PRIMARY KEY AUTOINCREMENT)',
    ])
    const sequences = async () =>
      (await execute(at.path, ['SELECT name, seq FROM sqlite_sequence ORDER BY name']))[0]?.rows
    await raise(at)
    await lower(
      at,
      NONE,
      new Map([
        ['T', 40n],
        ['plain', 50n],
        ['empty', 9_007_199_254_740_993n],
        ['never', 0n],
        ['gone', 5n],
      ]),
    )
    expect(await sequences()).toEqual([
      ['empty', { integer: '9007199254740993' }],
      ['t', 40],
    ])
    using lock = await at.fence.lock(5_000, NEVER)
    lock.raise({ epoch: 2, attempt: 3 })
    lock.lower({ from: { ...NONE, attempt: 3 }, epoch: 1, attempt: 4, used: new Map([['t', 3n]]) })
    await lock.commit()
    expect(await sequences()).toContainEqual(['t', 40])
    const [, inserted] = await execute(at.path, [
      'DELETE FROM t',
      `INSERT INTO t (a) VALUES ('new') RETURNING id`,
    ])
    expect(inserted?.rows).toEqual([[41]])
  })
})

describe('foreign DDL behind the fence', () => {
  const changes: readonly (readonly [string, readonly string[]])[] = [
    ['a new column', ['ALTER TABLE t ADD COLUMN n']],
    ['an index', ['CREATE INDEX t_i ON t (a, id)']],
    ['a trigger', ['CREATE TRIGGER mine AFTER UPDATE ON t BEGIN SELECT 1; END']],
    [
      'a table made again with the same text',
      [
        'CREATE TABLE kept AS SELECT * FROM log',
        'DROP TABLE log',
        'CREATE TABLE log (what TEXT)',
        'DROP TABLE kept',
      ],
    ],
    ['VACUUM', ['VACUUM']],
    ['a fence trigger dropped', ['DROP TRIGGER _slipway_log_insert_fence']],
  ]
  test.each(changes)('%s: the fingerprint differs, and replication will know', async (_what, ddl) => {
    using at = await given()
    await raise(at)
    const before = await fingerprint(at)
    expect(await fingerprint(at)).toBe(before)
    await execute(at.path, ddl)
    const after = await fingerprint(at)
    expect(after).not.toBe(before)
    await lower(at)
    expect(await fingerprint(at)).toBe(after)
    expect(drift(at.path)).toMatch(/schema of the source was changed/)
  })

  async function fingerprint({ fence }: Given): Promise<string> {
    using lock = await fence.lock(5_000, NEVER)
    return lock.fingerprint()
  }

  test('before a pause, between two, and after: none is hidden by what slipway changes itself', async () => {
    for (const when of [0, 1, 2, 3]) {
      using at = await given()
      const foreign = async (now: number): Promise<void> => {
        if (now === when) await execute(at.path, ['CREATE TABLE foreign_one (a)', 'DROP TABLE foreign_one'])
      }
      await foreign(0)
      await at.fence.pause('one', new Date(Date.now() + 600_000))
      await foreign(1)
      await at.fence.resume()
      await foreign(2)
      await raise(at)
      await foreign(3)
      await lower(at)
      expect(drift(at.path), String(when)).toMatch(/schema of the source was changed/)
    }
    using untouched = await given()
    await untouched.fence.pause('one', new Date(Date.now() + 600_000))
    await untouched.fence.resume()
    await raise(untouched)
    await lower(untouched)
    expect(drift(untouched.path)).toBeUndefined()
  })

  test("an application's trigger that finds its table gone keeps the fence up, by its name; the remedy works", async () => {
    using at = await given()
    await raise(at)
    await execute(at.path, ['DROP TABLE t', 'CREATE TABLE other (a)'])
    const before = dump(at.path)
    using lock = await at.fence.lock(5_000, NEVER)
    const failure = thrown(() => lock.lower({ from: NONE, epoch: 1, attempt: 2 }))
    expect(failure).toMatchObject({
      code: 'trigger_not_restored',
      message: expect.stringContaining('T_added'),
    })
    await lock.commit()
    expect(dump(at.path)).toEqual(before)
    const sql = /"(UPDATE _slipway_control .*)"$/.exec(failure.remedy ?? '')?.[1]
    await execute(at.path, [String(sql)])
    await lower(at)
    expect(dump(at.path).schema.join('\n')).not.toContain('T_added')
    await execute(at.path, [`INSERT INTO log VALUES ('open')`])
  })

  test('and one whose columns are gone', async () => {
    using at = await given()
    await raise(at)
    await execute(at.path, ['ALTER TABLE t RENAME COLUMN a TO b'])
    await expect(lower(at)).rejects.toMatchObject({ code: 'trigger_not_restored' })
    await execute(at.path, ['ALTER TABLE t RENAME COLUMN b TO a'])
    await lower(at)
    await execute(at.path, [`INSERT INTO t (a) VALUES ('three')`])
  })

  test('capture that no longer fits does not fail the writes of the application', async () => {
    using at = await given([...SOURCE, 'DROP TRIGGER T_added'])
    await raise(at)
    await execute(at.path, ['ALTER TABLE t RENAME COLUMN a TO b'])
    await lower(at)
    await execute(at.path, [`INSERT INTO t (b) VALUES ('three')`, `INSERT INTO log VALUES ('x')`])
    expect(drift(at.path)).toMatch(/schema of the source was changed/)
    expect(dump(at.path).schema.join('\n')).toContain('_slipway_log_insert')
  })

  test('a table that was made again is closed when PostgreSQL leads', async () => {
    using at = await given()
    await raise(at)
    await execute(at.path, ['DROP TABLE log', 'CREATE TABLE log (what TEXT)', 'DROP TABLE t'])
    expect(at.fence.notes().closed).toBe(false)
    using lock = await at.fence.lock(5_000, NEVER)
    lock.lead({ from: NONE, epoch: 2, attempt: 1, position: POSITION })
    await lock.commit()
    const [refused] = await attempt(at.path, [`INSERT INTO log VALUES ('x')`])
    expect(refused?.error?.message).toMatch(/PostgreSQL leads since epoch 2/)
  })

  test('a moved table that is gone: nothing is fenced', async () => {
    using at = await given()
    await execute(at.path, ['DROP TABLE log'])
    using lock = await at.fence.lock(5_000, NEVER)
    expect(() => lock.raise({ epoch: 2, attempt: 1 })).toThrow(
      expect.objectContaining({ code: 'source_changed', message: expect.stringContaining('"log"') }),
    )
  })
})

function thrown(run: () => void): {
  readonly code: string
  readonly message: string
  readonly remedy?: string
} {
  try {
    run()
  } catch (error) {
    return error as { code: string; message: string; remedy?: string }
  }
  throw new Error('nothing was thrown')
}

describe('kill -9', () => {
  test('between raise and commit leaves nothing', { timeout: 60_000 }, async () => {
    using at = await given()
    const before = content(at.path)
    const process = await holder(at.path, at.tables, 'raise')
    await process.kill()
    expect(at.fence.notes()).toMatchObject({ authority: 'sqlite', epoch: 1, closed: false })
    expect(content(at.path)).toEqual(before)
    await execute(at.path, [`INSERT INTO t (a) VALUES ('goes on')`])
  })

  test('after the commit leaves the fence, which another process undoes', { timeout: 60_000 }, async () => {
    using at = await given()
    const before = content(at.path)
    const process = await holder(at.path, at.tables, 'fence')
    await process.kill()
    expect(at.fence.notes()).toMatchObject({ ...NONE, closed: true })
    const [refused] = await attempt(at.path, [`INSERT INTO t (a) VALUES ('x')`])
    expect(refused?.error?.message).toMatch(/epoch 2, undecided/)
    await lower(at)
    expect(content(at.path)).toEqual(before)
    await execute(at.path, [`INSERT INTO t (a) VALUES ('goes on')`])
  })
})

describe('capture', () => {
  test('is not installed behind the fence, where the triggers that stand aside would come back twice', async () => {
    using at = await given()
    await raise(at)
    expect(() => capture(at.path)).toThrow(expect.objectContaining({ code: 'source_fenced' }))
    await lower(at)
    expect(capture(at.path)).toEqual(at.tables)
  })

  test('installed again during a pause, the pause goes on and fires first', async () => {
    using at = await given([
      ...SOURCE,
      "CREATE TRIGGER silent BEFORE INSERT ON t WHEN NEW.a = 'silent' BEGIN SELECT raise(IGNORE); END",
    ])
    await at.fence.pause('a deploy', new Date(Date.now() + 600_000))
    capture(at.path)
    expect(at.fence.notes()).toMatchObject({ closed: true, pauses: [{ reason: 'a deploy' }] })
    const outcomes = await attempt(at.path, [
      `INSERT INTO t (a) VALUES ('silent')`,
      `INSERT OR REPLACE INTO t (a) VALUES ('one')`,
    ])
    expect(outcomes.map((outcome) => outcome.error?.message)).toEqual([
      expect.stringContaining('paused'),
      expect.stringContaining('paused'),
    ])
    await at.fence.resume()
    await execute(at.path, [`INSERT INTO t (a) VALUES ('three')`])
    expect(drift(at.path)).toBeUndefined()
  })

  test('a file that was opened by hand is not taken for captured, and gets its triggers back', async () => {
    using at = await given()
    await raise(at)
    await execute(at.path, [
      `UPDATE _slipway_control SET value = 'sqlite' WHERE name = 'authority'`,
      `UPDATE _slipway_control SET value = '0' WHERE name = 'fence'`,
      `INSERT INTO t (a) VALUES ('by hand')`,
    ])
    expect(drift(at.path)).toMatch(/set aside/)
    capture(at.path)
    expect(drift(at.path)).toBeUndefined()
    await execute(at.path, [`INSERT INTO t (a) VALUES ('again')`])
    const [log] = await execute(at.path, ['SELECT what FROM log'])
    expect(log?.rows.at(-1)).toEqual(['added again'])
  })

  test.each(['lowered', 'fenced', 'paused'])(
    'uninstalled from a %s file leaves what was there',
    async (how) => {
      using workspace = new Workspace()
      const path = workspace.file('app.db')
      await execute(path, SOURCE)
      const before = content(path)
      const tables = capture(path)
      const at = { path, tables, fence: fenceOf(path, tables) } as unknown as Given
      if (how === 'paused') await at.fence.pause('a deploy', new Date(Date.now() + 600_000))
      else await raise(at)
      if (how === 'lowered') await lower(at)
      at.fence[Symbol.dispose]()
      await uninstallCapture(path)
      expect(content(path)).toEqual(before)
      const database = new Database(path)
      database.exec(`INSERT INTO t (a) VALUES ('free')`)
      expect(database.prepare('SELECT what FROM log').pluck().all()).toContain('added free')
      database.close()
    },
  )
})
