import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeNewsroom } from '../../src/demo/newsroom.ts'
import { Traffic } from '../../src/demo/traffic.ts'
import type { Tally } from '../../src/demo/writer.ts'

let dir: string
let path: string
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'slipway-traffic-'))
  path = join(dir, 'newsroom.db')
  await makeNewsroom({
    path,
    seed: 1,
    rows: { articles: 300, dlq: 50, digests: 5, pending_publications: 60 },
  })
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('every kind of work is done, leaves no transaction open and changes what it should', () => {
  const db = new Database(path)
  db.pragma('synchronous = OFF')
  const traffic = new Traffic(db, 2)
  const kinds = new Map<string, number>()
  for (let i = 0; i < 1_500; i++) {
    const before = db.prepare('SELECT total_changes()').pluck().get() as number
    const { name, statements } = traffic.step()
    const changes = (db.prepare('SELECT total_changes()').pluck().get() as number) - before
    expect(db.inTransaction, name).toBe(false)
    if (statements > 0 && name === 'insert') expect(changes).toBe(1)
    kinds.set(name, (kinds.get(name) ?? 0) + statements)
  }
  expect(kinds.size).toBe(15)
  const { rolled_back: rolledBack, ...kept } = Object.fromEntries(kinds)
  expect(rolledBack).toBe(0)
  expect(Object.values(kept).every((count) => count > 0)).toBe(true)
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
  // No swap has been left half-way.
  expect(
    db.prepare("SELECT count(*) FROM articles WHERE canonical_link LIKE 'swapping:%'").pluck().get(),
  ).toBe(0)
  db.close()
})

test.each(['SIGTERM', 'the end of its input'])(
  'the writer tells what it has done, ended by %s',
  async (how) => {
    const script = join(import.meta.dirname, '../../src/demo/writer.ts')
    const writer = spawn(process.execPath, [script, path, '3', '200'], { stdio: ['pipe', 'pipe', 'inherit'] })
    let output = ''
    writer.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    await once(writer.stdout, 'data')
    const closed = once(writer, 'close')
    if (how === 'SIGTERM') writer.kill('SIGTERM')
    else writer.stdin.end()
    expect(await closed).toEqual([0, null])
    const tally = JSON.parse(output.trim().split('\n').at(-1)!) as Tally
    expect(tally).toMatchObject({ final: true, failed: 0, errors: [] })
    expect(tally.acknowledged).toBeGreaterThan(10)
    expect(tally.acknowledged).toBeGreaterThanOrEqual(
      tally.transactions - (tally.by_kind.rolled_back ?? 0) - 5,
    )
  },
)
