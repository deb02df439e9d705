import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { until, Workspace } from '../support/daemon.ts'
import { capture, fenceOf, NEVER } from '../support/fence.ts'
import { attempt, execute, type Outcome } from '../support/foreign.ts'

// The lock first: writers of other processes wait in their busy timeout. Then the triggers, inside it: whoever comes
// later meets them, in any process, also after a crash; and where it is undone, those who waited never know.

const SOURCE = [
  'PRAGMA journal_mode = WAL',
  'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)',
  `INSERT INTO t (v) VALUES ('first')`,
]

/** Compiled and run before it waits, and again once it has the lock; last something that reads. */
const PARKED = [
  `INSERT INTO t (v) VALUES ('prepared')`,
  ['SLEEP', [2.5]] as const,
  'BEGIN IMMEDIATE',
  `INSERT INTO t (v) VALUES ('prepared')`,
  'COMMIT',
  `INSERT INTO t (v) VALUES ('prepared')`,
  'SELECT count(*) > 0 FROM t',
]

async function parked(
  end: 'fence' | 'dispose' | 'undo',
): Promise<{ readonly outcomes: Outcome[][]; readonly rows: number; readonly inside: number }> {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  using fence = fenceOf(path, capture(path))
  const writers = [1, 2, 3, 4].map(async () => await attempt(path, PARKED))
  using reader = opened(path)
  await until(() => reader.count() === 5, { ms: 20_000, every: 5, describe: () => 'no writers' })
  using lock = await fence.lock(5_000, NEVER)
  // Each of them comes to its BEGIN IMMEDIATE meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 2_800))
  let inside = reader.count()
  if (end !== 'dispose') {
    lock.raise({ epoch: 2, attempt: 1 })
    await lock.commit({ ms: 1_000, signal: NEVER })
    // Nobody slipped in between.
    inside = Math.max(inside, reader.count())
    if (end === 'undo')
      lock.lower({ from: { authority: 'none', epoch: 2, attempt: 1 }, epoch: 1, attempt: 2 })
    await lock.commit()
  }
  lock[Symbol.dispose]()
  return { outcomes: await Promise.all(writers), rows: reader.count(), inside }
}

function opened(path: string): { count(): number } & Disposable {
  const database = new Database(path, { readonly: true })
  const statement = database.prepare('SELECT count(*) FROM t').pluck()
  return { count: () => statement.get() as number, [Symbol.dispose]: () => void database.close() }
}

const errors = (outcomes: Outcome[]): (string | undefined)[] => outcomes.map(({ error }) => error?.class)
const WELL = PARKED.map(() => undefined)

test('writers who wait meet the fence, with statements that they prepared before it', {
  timeout: 60_000,
}, async () => {
  const { outcomes, rows, inside } = await parked('fence')
  expect(inside).toBe(5)
  const refused = 'OperationalError'
  for (const one of outcomes) {
    expect(errors(one)).toEqual([undefined, undefined, undefined, refused, undefined, refused, undefined])
    expect(one[3]?.error).toMatchObject({
      name: 'SQLITE_ERROR',
      message: expect.stringContaining('slipway:'),
    })
  }
  expect(rows).toBe(5)
})

test.each(['dispose', 'undo'] as const)('they go on and never know: %s', { timeout: 60_000 }, async (end) => {
  const { outcomes, rows, inside } = await parked(end)
  expect(inside).toBe(5)
  expect(outcomes.map(errors)).toEqual([WELL, WELL, WELL, WELL])
  expect(rows).toBe(13)
})

test('six writers in a loop never slip through between the commit of the fence and the lock', {
  timeout: 60_000,
}, async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  using fence = fenceOf(path, capture(path))
  const loop = Array.from({ length: 2_000 }, () => [`INSERT INTO t (v) VALUES ('x')`]).flat()
  const writers = Array.from({ length: 6 }, async () => await attempt(path, [...loop, ['SLEEP', [0]]]))
  const reader = new Database(path, { readonly: true })
  const head = reader.prepare('SELECT max(seq) FROM _slipway_changelog').pluck()
  const seen: [number, number][] = []
  for (const attempt of [1, 3, 5, 7, 9]) {
    await new Promise((resolve) => setTimeout(resolve, 120))
    using lock = await fence.lock(10_000, NEVER)
    const held = head.get() as number
    lock.raise({ epoch: 2, attempt })
    await lock.commit({ ms: 1_000, signal: NEVER })
    seen.push([held, head.get() as number])
    lock.lower({ from: { authority: 'none', epoch: 2, attempt }, epoch: 1, attempt: attempt + 1 })
    await lock.commit()
  }
  reader.close()
  expect(seen.every(([held, later]) => held === later)).toBe(true)
  const outcomes = (await Promise.all(writers)).flat()
  // Each attempt was undone: whoever met its fence came in between, which the operating system may bring about.
  const met = outcomes.filter(({ error }) => error?.message.includes('slipway')).length
  expect(met).toBeLessThan(5)
  const [count] = await execute(path, [`SELECT count(*) FROM t WHERE v = 'x'`])
  const written = outcomes.filter(({ error, rowid }) => error === undefined && rowid !== 0).length
  expect(count?.rows).toEqual([[written]])
})
