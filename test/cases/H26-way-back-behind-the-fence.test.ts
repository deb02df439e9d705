import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { RowPatch } from '../../src/core/reverse.ts'
import { attempt } from '../support/foreign.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, row, spec } from '../support/reverse-batch.ts'

// Slipway writes past the fence in its own transaction; whoever else writes meanwhile waits, and then meets the fence.

const T = spec('t', ['id bigint', 'a text'])
const FENCE = ['INSERT', 'UPDATE', 'DELETE'].map(
  (event) =>
    `CREATE TRIGGER _slipway_t_${event}_fence BEFORE ${event} ON t
     WHEN EXISTS (SELECT 1 FROM _slipway_control WHERE name IN ('fence', 'pause') AND CAST(value AS INTEGER) > CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
     BEGIN SELECT json_extract('{}', (SELECT 'slipway: PostgreSQL leads ' || name FROM _slipway_control LIMIT 1)); END`,
)

test('while a batch is being written, and after it', async () => {
  using back = new WayBack([
    'CREATE TABLE _slipway_control (name TEXT PRIMARY KEY, value TEXT)',
    'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)',
    `INSERT INTO t VALUES (1, 'x'), (2, 'y')`,
    ...FENCE,
  ])
  let writing = (): void => undefined
  const locked = new Promise<void>((resolve) => {
    writing = resolve
  })
  const big = 'x'.repeat(2_000_000)
  async function* slowly(): AsyncIterable<readonly RowPatch[]> {
    for (let id = 10; id < 20; id++) yield [row(T, `["i${id}"]`, { id: String(id), a: `${id}${big}` })]
    writing()
    for (let i = 0; i < 20; i++) {
      await sleep(20)
      yield [patch(T, '["i1"]', { a: `step ${i}` })]
    }
    // Swapped: rows are taken out and put in again, past the fence as well.
    yield [patch(T, '["i1"]', { a: 'y' }), patch(T, '["i2"]', { a: 'step 19' })]
  }
  const batch = back.next([{ table: T }])
  const applied = back.writer.apply({
    ...batch,
    tables: batch.tables.map((each) => ({ ...each, patches: slowly })),
  })
  await locked
  const statements = [
    `INSERT INTO t VALUES (99, 'mine')`,
    `UPDATE OR IGNORE t SET a = 'mine'`,
    'DELETE FROM t',
    'REPLACE INTO t VALUES (1, NULL)',
    'SELECT count(*) FROM t WHERE id < 10',
  ]
  const during = await attempt(back.path, statements)
  expect(await applied).toMatchObject({ upserted: 32 })
  const after = await attempt(back.path, statements)
  for (const outcomes of [during, after]) {
    for (const { error } of outcomes.slice(0, 4)) {
      expect(error).toMatchObject({ class: 'OperationalError', message: expect.stringMatching(/slipway/) })
    }
    expect(outcomes[4]?.rows).toEqual([[2]])
  }
  expect(back.read('SELECT id, a FROM t WHERE id < 10')).toEqual([
    [1, 'y'],
    [2, 'step 19'],
  ])
  expect(back.read(`SELECT value FROM _slipway_control WHERE name = 'fence'`)).toEqual([['9007199254740991']])
})

test('a pause of writes that still stands is not taken for a refusal of each row', async () => {
  using back = new WayBack([
    'CREATE TABLE _slipway_control (name TEXT PRIMARY KEY, value TEXT)',
    'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)',
    `INSERT INTO t VALUES (1, 'x')`,
    ...FENCE,
    `INSERT INTO _slipway_control VALUES ('pause', '9007199254740991')`,
  ])
  const applied = back.apply({ table: T, gone: ['["i1"]'], patches: [row(T, '["i2"]', { id: '2', a: 'z' })] })
  const end = await applied.then(
    () => 'written',
    (error: Error) => error.message,
  )
  expect(end).toMatch(/^written$|slipway/)
  expect(back.writer.aside(1).total).toBe(0)
})
