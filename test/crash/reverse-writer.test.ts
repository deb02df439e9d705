/** A process that is killed while it brings changes back to SQLite: a batch is there whole, or not at all. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { dump } from '../support/dump.ts'
import { WayBack } from '../support/reverse.ts'
import { patch, START, spec } from '../support/reverse-batch.ts'

const T = spec('t', ['id bigint', 'a text'])
const SCHEMA = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
  `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, '0' FROM n`,
]

async function started(path: string, mode: 'hold' | 'run'): Promise<ChildProcess> {
  const script = join(import.meta.dirname, '../support/reverse-child.ts')
  const child = spawn(process.execPath, [script, path, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  return child
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

test('in the middle of a batch: nothing of it is there, the lock is free, and the batch comes again', async () => {
  using back = new WayBack(SCHEMA)
  const before = dump(back.path)
  const child = await started(back.path, 'hold')
  const other = new Database(back.path, { timeout: 0 })
  expect(() => other.exec('BEGIN IMMEDIATE')).toThrow(/locked/)
  await killed(child)
  other.exec('BEGIN IMMEDIATE; ROLLBACK')
  other.close()
  expect(dump(back.path)).toEqual(before)
  expect(back.writer.position()).toEqual(START)
  expect((await back.apply({ table: T, patches: [patch(T, '["i1"]', { a: 'again' })] })).upserted).toBe(1)
})

test('at any moment: rows and position agree', async () => {
  using back = new WayBack(SCHEMA)
  let last = 0
  for (let round = 0; round < 6; round++) {
    const child = await started(back.path, 'run')
    await sleep(20 + round * 17)
    await killed(child)
    const { token } = back.writer.position()
    expect(Number(token)).toBeGreaterThan(last)
    last = Number(token)
    expect(back.read('SELECT DISTINCT a FROM t')).toEqual([[token]])
    expect(back.read('PRAGMA integrity_check')).toEqual([['ok']])
  }
})
