import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// NUL in TEXT: SQLite's own functions cut there, PostgreSQL's text refuses it. Never a silent cut.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB)',
  `INSERT INTO t VALUES (1, 'fine', x'00')`,
]
const NUL = `CAST(x'6100620a' AS TEXT)`

test('there from the start: moved whole, or refused with table, key and column', async () => {
  await using scenario = await Scenario.prepare({
    source: [...SOURCE, `INSERT INTO t VALUES (42, ${NUL}, NULL)`],
  })
  const result = await scenario.slipway.run(['snapshot'])
  if (result.code === 0) {
    // A column of bytes holds it.
    expect((await scenario.compare()).differences).toEqual([])
    return
  }
  expect(result.code, result.stderr).toBe(3)
  const error = /^error: .*$/m.exec(result.stderr)?.[0] ?? ''
  for (const part of [/\bt\b/, /\b42\b/, /\ba\b/, /NUL|U\+0000/i]) expect(error).toMatch(part)
  expect(result.stderr).toMatch(/^remedy: /m)
})

test('written while replicating: told, and mended once the row is', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write([
    `INSERT INTO t VALUES (42, ${NUL}, NULL)`,
    `INSERT INTO t VALUES (43, 'after', NULL)`,
  ])
  if ((await scenario.mendedOrStopped()) === 'equal') return
  const status = JSON.stringify(await scenario.daemon.status())
  for (const part of [/\bt\b/, /\b42\b/, /NUL|U\+0000/i]) expect(status).toMatch(part)
  await scenario.write([`UPDATE t SET a = 'mended' WHERE id = 42`])
  await scenario.equalAtLagZero(30_000)
})

test('in a key', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: ['CREATE TABLE t (k TEXT PRIMARY KEY, n INTEGER)', `INSERT INTO t VALUES ('a', 1), ('ab', 2)`],
  })
  await scenario.write([`INSERT INTO t VALUES (${NUL}, 3)`, `UPDATE t SET n = 9 WHERE k = 'a'`])
  if ((await scenario.mendedOrStopped()) === 'equal') return
  await scenario.write(['DELETE FROM t WHERE n = 3'])
  await scenario.equalAtLagZero(30_000)
})
