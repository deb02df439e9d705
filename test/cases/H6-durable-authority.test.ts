import { expect, test } from 'vitest'
import { openWriter } from '../../src/sqlite/open.ts'
import { openLocker } from '../../src/sqlite/write-lock.ts'
import { Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'

// better-sqlite3 is built for synchronous=NORMAL in WAL mode: a commit is not on the disk when it returns, and a power
// loss takes the fence back after PostgreSQL was opened. Whoever changes the authority commits with FULL.

const FULL = 2n
const NORMAL = 1n

test('commits that change the authority are synced; the others need not be', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, ['PRAGMA journal_mode = WAL', 'CREATE TABLE t (a)'])
  const locker = openLocker(path)
  const writer = openWriter(path)
  try {
    expect(locker.pragma('synchronous', { simple: true })).toBe(FULL)
    expect(writer.pragma('synchronous', { simple: true })).toBe(NORMAL)
    // And what it fires and checks is nothing.
    expect(locker.pragma('foreign_keys', { simple: true })).toBe(0n)
    expect(locker.pragma('recursive_triggers', { simple: true })).toBe(0n)
  } finally {
    writer.close()
    locker.close()
  }
})
