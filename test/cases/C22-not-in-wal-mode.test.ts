import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Workspace } from '../support/daemon.ts'
import { dump, journalMode } from '../support/dump.ts'
import { execute } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// Outside WAL a reader stands in the writer's way. The mode stays in the file, so it is changed with consent only,
// and given back.

const SOURCE = ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x'), (2, 'y')`]

async function inDeleteMode(workspace: Workspace): Promise<string> {
  const path = workspace.file('app.db')
  await execute(path, SOURCE)
  expect(journalMode(path)).toBe('delete')
  return path
}

test('without consent: exit 3, the remedy, and not a byte changed', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const path = await inDeleteMode(workspace)
  const before = readFileSync(path)
  await using scenario = await Scenario.prepare({ adopt: path })
  for (const command of ['snapshot', 'start']) {
    const { code, stderr } = await scenario.slipway.run([command])
    expect(code, stderr).toBe(3)
    expect(stderr).toMatch(/error: .*journal mode "delete"/)
    expect(stderr).toMatch(/remedy: .*--enable-wal/)
    expect(readFileSync(path).equals(before)).toBe(true)
  }
  // Nothing was made on the other side either.
  expect(await scenario.postgres(`SELECT 1 FROM pg_class WHERE relname = 't'`)).toEqual([])
})

test('with consent: WAL while slipway is there, the old mode after it', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const path = await inDeleteMode(workspace)
  const before = dump(path)
  await using scenario = await Scenario.prepare({ adopt: path })
  await scenario.start(['--enable-wal'])
  await scenario.equalAtLagZero()
  expect(journalMode(path)).toBe('wal')
  await scenario.write([`INSERT INTO t VALUES (3, 'z')`])
  await scenario.equalAtLagZero()
  expect((await scenario.daemon.stop()).code).toBe(0)
  // Consent is given once: the mode is noted in the file.
  await scenario.start()
  await scenario.write([`DELETE FROM t WHERE id = 3`])
  await scenario.equalAtLagZero()
  expect((await scenario.daemon.stop()).code).toBe(0)
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(journalMode(path)).toBe('delete')
  expect(dump(path)).toEqual(before)
})

test('consent and a refusal: the mode that it had', { timeout: 60_000 }, async () => {
  using workspace = new Workspace()
  const path = await inDeleteMode(workspace)
  await using scenario = await Scenario.prepare({
    adopt: path,
    target: `CREATE TABLE t (id bigint PRIMARY KEY, a text); INSERT INTO t VALUES (9, 'mine')`,
  })
  const { code, stderr } = await scenario.slipway.run(['snapshot', '--enable-wal'])
  expect(code, stderr).toBe(3)
  expect(journalMode(path)).toBe('delete')
})

test('a file that was in WAL mode stays so', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  expect((await scenario.daemon.stop()).code).toBe(0)
  await scenario.slipway.mustRun(['uninstall', '--yes'])
  expect(journalMode(scenario.path)).toBe('wal')
})
