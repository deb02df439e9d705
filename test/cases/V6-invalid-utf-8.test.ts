import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Bytes that are no UTF-8 stand in TEXT as they are; a careless reader turns them into U+FFFD without a word.

const SOURCE = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)',
  `INSERT INTO t VALUES (1, 'fine'), (2, char(65533))`,
]

const KINDS: [what: string, hex: string][] = [
  ['a lone byte', '61ff62'],
  ['a cut sequence', 'd0'],
  ['an overlong slash', 'c0af'],
  ['a surrogate', 'eda080'],
  ['beyond U+10FFFF', 'f4908080'],
]

test.for(KINDS)('%s from the start: moved whole, or refused with table, key and column', async ([, hex]) => {
  await using scenario = await Scenario.prepare({
    source: [...SOURCE, `INSERT INTO t VALUES (42, CAST(x'${hex}' AS TEXT))`],
  })
  const result = await scenario.slipway.run(['snapshot'])
  if (result.code === 0) {
    expect((await scenario.compare()).differences).toEqual([])
    return
  }
  expect(result.code, result.stderr).toBe(3)
  const error = /^error: .*$/m.exec(result.stderr)?.[0] ?? ''
  for (const part of [/\bt\b/, /\b42\b/, /\ba\b/, /UTF-8/i]) expect(error).toMatch(part)
  expect(result.stderr).toMatch(/^remedy: /m)
})

test('written while replicating: told, and mended once the row is', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write([
    `INSERT INTO t VALUES (42, CAST(x'61ff62' AS TEXT))`,
    `INSERT INTO t VALUES (43, 'after')`,
  ])
  if ((await scenario.mendedOrStopped()) === 'equal') return
  const status = JSON.stringify(await scenario.daemon.status())
  for (const part of [/\bt\b/, /\b42\b/, /UTF-8/i]) expect(status).toMatch(part)
  await scenario.write([`UPDATE t SET a = 'mended' WHERE id = 42`])
  await scenario.equalAtLagZero(30_000)
})
