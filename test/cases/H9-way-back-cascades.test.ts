import { expect, test } from 'vitest'
import { openReader } from '../../src/sqlite/open.ts'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, row, spec } from '../support/reverse-batch.ts'

// With foreign keys on, as better-sqlite3 has them, a parent that goes or moves takes its children along.

const PARENTS = spec('p', ['id bigint', 'u text'])
const CHILDREN = spec('c', ['id bigint', 'p bigint'])

test('no cascade acts on the way back, neither by a delete nor by a swap of unique values', async () => {
  using back = new WayBack([
    'CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE)',
    'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE, u TEXT REFERENCES p (u) ON UPDATE CASCADE ON DELETE SET NULL)',
    `INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    `INSERT INTO c VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')`,
  ])
  const before = dump(back.path).rows.c
  await back.apply({
    table: PARENTS,
    gone: ['["i3"]'],
    patches: [patch(PARENTS, '["i1"]', { u: 'b' }), patch(PARENTS, '["i2"]', { u: 'a' })],
  })
  expect(dump(back.path).rows.c).toEqual(before)
  const reader = openReader(back.path)
  const violations = reader.pragma('foreign_key_check') as { table: string; rowid: bigint }[]
  reader.close()
  expect(violations.map(({ table, rowid }) => `${table} ${rowid}`).toSorted()).toEqual(['c 3', 'c 3'])
})

test('children before parents, tables in any order', async () => {
  using back = new WayBack([
    'CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE)',
    'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p)',
  ])
  const applied = await back.apply(
    { table: CHILDREN, patches: [row(CHILDREN, '["i1"]', { id: '1', p: '7' })] },
    { table: PARENTS, patches: [row(PARENTS, '["i7"]', { id: '7', u: 'x' })] },
  )
  expect(applied).toMatchObject({ upserted: 2, quarantined: 0 })
  expect(back.read('SELECT * FROM pragma_foreign_key_check')).toEqual([])
})
