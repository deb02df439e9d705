import { expect, test } from 'vitest'
import { WayBack } from '../support/reverse.ts'
import { patch, row, spec } from '../support/reverse-batch.ts'

// By a NOCASE key 'ABC' would be changed, or deleted, for 'abc'.

test('a key is found by its bytes', async () => {
  const t = spec('t', ['k text', 'n bigint'])
  using back = new WayBack([
    'CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
    `INSERT INTO t VALUES ('ABC', 1), ('xyz', 2)`,
  ])
  await back.apply({ table: t, gone: ['["tabc"]'] })
  expect(back.read('SELECT k, n FROM t')).toEqual([
    ['ABC', 1],
    ['xyz', 2],
  ])
  await expect(back.apply({ table: t, patches: [patch(t, '["tXYZ"]', { n: '9' })] })).rejects.toMatchObject({
    code: 'source_drift',
  })
})

test('another spelling of a key is another row, in the place of the first', async () => {
  const t = spec('t', ['k text', 'n bigint'])
  using back = new WayBack([
    'CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)',
    `INSERT INTO t VALUES ('abc', 1)`,
  ])
  await back.apply({ table: t, gone: ['["tabc"]'], patches: [row(t, '["tABC"]', { k: 'ABC', n: '2' })] })
  expect(back.read('SELECT k, n FROM t')).toEqual([['ABC', 2]])
  // Both at once is what SQLite cannot hold.
  const both = await back.apply({ table: t, patches: [row(t, '["tabc"]', { k: 'abc', n: '3' })] })
  expect(both).toMatchObject({ upserted: 0, quarantined: 1 })
  expect(back.read('SELECT k, n FROM t')).toEqual([['ABC', 2]])
})
