import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { readWal } from '../../src/sqlite/wal.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, row, spec } from '../support/reverse-batch.ts'

// An application that had switched automatic checkpoints off does none while it is fenced: then slipway has to.

const T = spec('t', ['id bigint', 'a text'])

test('the log stays small although nobody else checkpoints', async () => {
  using back = new WayBack(['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)'])
  const application = new Database(back.path)
  try {
    application.pragma('wal_autocheckpoint = 0')
    application.prepare('SELECT count(*) FROM t').get()
    const rows = Array.from({ length: 500 }, (_, i) =>
      row(T, `["i${i}"]`, { id: String(i), a: 'x'.repeat(2000) }),
    )
    await back.apply({ table: T, patches: rows })
    let most = 0
    for (let round = 0; round < 40; round++) {
      const patches = rows.map(({ key }) => patch(T, key, { a: String(round % 10).repeat(2000) }))
      await back.apply({ table: T, patches })
      most = Math.max(most, readWal(back.path).usedBytes)
    }
    expect(most).toBeGreaterThan(4 * 1024 * 1024)
    expect(most).toBeLessThan(8 * 1024 * 1024)
  } finally {
    application.close()
  }
})

test('a reader that holds the log keeps nothing from being written', async () => {
  using back = new WayBack([
    'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
    `INSERT INTO t VALUES (1, 'old')`,
  ])
  const application = new Database(back.path, { readonly: true })
  try {
    application.exec('BEGIN')
    expect(application.prepare('SELECT a FROM t').pluck().get()).toBe('old')
    for (let round = 0; round < 8; round++) {
      await back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'x'.repeat(1_500_000 + round) })] })
    }
    expect(application.prepare('SELECT a FROM t').pluck().get()).toBe('old')
    application.exec('COMMIT')
    expect(application.prepare('SELECT length(a) FROM t').pluck().get()).toBe(1_500_007)
  } finally {
    application.close()
  }
})
