import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { warnOfOldWriter } from '../../src/sqlite/writer-version.ts'
import { Workspace } from '../support/daemon.ts'
import { execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// Until 3.51.3 (and 3.50.7, 3.44.6) a reset of the log beside other connections could damage the file. So both
// versions are looked at, and slipway never resets the log: not by a checkpoint of its own, not when it closes.

const versions: [version: string, warns: boolean][] = [
  ['3.8.11', true],
  ['3.40.1', true],
  ['3.44.5', true],
  ['3.44.6', false],
  ['3.45.0', true],
  ['3.50.6', true],
  ['3.50.7', false],
  ['3.51.0', true],
  ['3.51.2', true],
  ['3.51.3', false],
  ['3.54.0', false],
]

test.for(versions)('a file that was last written by SQLite %s: warned of %s', async ([version, warns]) => {
  using workspace = new Workspace()
  const path = workspace.file('app.db')
  await execute(path, ['CREATE TABLE t (a)'])
  const bytes = readFileSync(path)
  const [major, minor, patch] = version.split('.').map(Number)
  bytes.writeUInt32BE(major! * 1_000_000 + minor! * 1000 + patch!, 96)
  writeFileSync(path, bytes)
  const warning = await warnOfOldWriter(path)
  if (warns) expect(warning).toContain(`SQLite ${version},`)
  else expect(warning).toBeUndefined()
})

test('our own SQLite is free of it', () => {
  const database = new Database(':memory:')
  const [major, minor, patch] = (database.prepare('SELECT sqlite_version()').pluck().get() as string)
    .split('.')
    .map(Number)
  database.close()
  expect(major! * 1_000_000 + minor! * 1000 + patch!).toBeGreaterThanOrEqual(3_051_003)
})

/** The log's salts: other ones after each reset. The log carries no locks that closing it could drop. */
function generation(path: string): string {
  const file = openSync(`${path}-wal`, 'r')
  const bytes = Buffer.alloc(8)
  const read = readSync(file, bytes, 0, 8, 16)
  closeSync(file)
  return read === 8 ? bytes.toString('hex') : 'no log'
}

test('the log is never reset by slipway', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({
    source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`],
    env: { CHANGELOG_RETENTION_SECONDS: '0' },
  })
  const application = new Database(scenario.path)
  application.pragma('wal_autocheckpoint = 0')
  const insert = application.prepare(`INSERT INTO t (a) VALUES ('y')`)
  // Far below the thousand pages after which any connection's commit moves the log into the file.
  for (let i = 0; i < 50; i++) insert.run()
  const salts = generation(scenario.path)
  let bytes = statSync(`${scenario.path}-wal`).size
  const unchanged = (when: string): void => {
    expect(generation(scenario.path), when).toBe(salts)
    const now = statSync(`${scenario.path}-wal`).size
    expect(now, when).toBeGreaterThanOrEqual(bytes)
    bytes = now
  }
  await scenario.slipway.mustRun(['snapshot'])
  unchanged('after the snapshot')
  await scenario.start()
  for (let i = 0; i < 20; i++) insert.run()
  await scenario.equalAtLagZero()
  unchanged('while replicating')
  expect((await scenario.daemon.stop()).code).toBe(0)
  unchanged('after the daemon')
  await scenario.start()
  await scenario.daemon.caughtUp()

  // The application goes, which as one of several is no reason to checkpoint; then slipway is the last, and leaves
  // the log where it is: an application that starts at this moment must not meet a reset.
  application.close()
  unchanged('without the application')
  expect((await scenario.daemon.stop()).code).toBe(0)
  unchanged('after the last connection')
  const [row] = await scenario.write(['SELECT count(*) FROM t'])
  expect(row?.rows).toEqual([[71]])
})
