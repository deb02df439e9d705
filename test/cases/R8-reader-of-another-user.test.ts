import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { BIN, Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'

// Even a reader leaves -wal and -shm behind: under another uid they would lock the application out.

const root = process.getuid?.() === 0

test.runIf(root)('another user may not look at a file in WAL mode that nobody has open', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, ['PRAGMA journal_mode = WAL', 'CREATE TABLE t (id INTEGER PRIMARY KEY)'])
  chmodSync(workspace.path, 0o777)
  const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
  const look = (as: number) =>
    spawnSync(process.execPath, [BIN, 'assess', path, 'embedded'], {
      cwd: workspace.path,
      env: { PATH: process.env.PATH, HOME: workspace.path, LOG_LEVEL: 'error' },
      encoding: 'utf8',
      uid: as,
    })
  const refused = look(uid)
  expect(refused.stderr).toMatch(/^error: .* belongs to uid 0, slipway runs as uid \d+/m)
  expect(refused.status).toBe(3)
  expect(existsSync(`${path}-shm`)).toBe(false)

  // The owner leaves files that are the owner's.
  chownSync(path, uid, uid)
  const owner = look(uid)
  expect([owner.status, owner.stderr]).toEqual([0, expect.any(String)])
  expect(statSync(`${path}-shm`).uid).toBe(uid)
})

test('the owner may', async () => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, ['PRAGMA journal_mode = WAL', 'CREATE TABLE t (id INTEGER PRIMARY KEY)'])
  const { status, stderr } = spawnSync(process.execPath, [BIN, 'assess', path, 'embedded'], {
    cwd: workspace.path,
    env: { PATH: process.env.PATH, HOME: workspace.path, LOG_LEVEL: 'error' },
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, expect.not.stringContaining('error:')])
})
