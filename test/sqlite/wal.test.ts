/** The log's size is read from its frames, since its file never shrinks (trap H14). */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, expect, test } from 'vitest'
import { ReaderGate } from '../../src/sqlite/reader-gate.ts'
import { readWal } from '../../src/sqlite/wal.ts'

const folder = mkdtempSync(join(tmpdir(), 'slipway-wal-'))
const path = join(folder, 'a.db')
afterAll(() => rmSync(folder, { recursive: true }))

test('used bytes fall with a reset, the file does not', async () => {
  expect(readWal(path)).toEqual({ fileBytes: 0, usedBytes: 0, generation: '' })
  const database = new Database(path)
  database.pragma('journal_mode = WAL')
  database.pragma('wal_autocheckpoint = 0')
  database.exec('CREATE TABLE t (x)')
  const insert = database.prepare('INSERT INTO t VALUES (zeroblob(100000))')
  for (let i = 0; i < 50; i++) insert.run()
  const grown = readWal(path)
  expect(grown.usedBytes).toBeGreaterThan(5_000_000)
  expect(grown.usedBytes).toBeLessThanOrEqual(grown.fileBytes)

  const gate = new ReaderGate(path, 1_000_000, 400)
  const waited = gate.pass(new AbortController().signal)
  expect(gate.waiting).toBeDefined()
  database.pragma('wal_checkpoint(PASSIVE)')
  // The next writer starts the log again from its beginning.
  insert.run()
  await waited
  expect(gate.waiting).toBeUndefined()
  const after = readWal(path)
  expect(after.generation).not.toBe(grown.generation)
  expect(after.usedBytes).toBeLessThan(200_000)
  expect(statSync(`${path}-wal`).size).toBe(grown.fileBytes)
  database.close()
})
