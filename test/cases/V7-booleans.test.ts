import { expect, test } from 'vitest'
import { Engines } from '../codec/engines.ts'
import { Scenario } from '../support/scenario.ts'

// SQLite has no booleans: 0 and 1 stand beside 't', 'true', 'yes' and 2. PostgreSQL takes the words and not 2.

test('0 and 1 into the boolean of an existing table; 2 and words are told, never guessed', {
  timeout: 60_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, b BOOLEAN)',
      'INSERT INTO t VALUES (1, 0), (2, 1), (3, NULL)',
    ],
    target: 'CREATE TABLE t (id bigint PRIMARY KEY, b boolean)',
  })
  await scenario.equalAtLagZero()
  await scenario.write(['UPDATE t SET b = 2 WHERE id = 1'])
  expect(await scenario.mendedOrStopped()).toBe('stopped')
  await scenario.write(['UPDATE t SET b = 1 WHERE id = 1'])
  await scenario.equalAtLagZero(30_000)
})

test('words by the codec that says so, and back in the words of the column', async () => {
  await using engines = await Engines.open()
  const rule = { type: 'boolean', codec: 'words' } as const
  const yes = ['t', 'T', 'true', 'True', 'TRUE', 'yes', 'y', 'on', 'ON', '1', 1n]
  const no = ['f', 'F', 'false', 'False', 'FALSE', 'no', 'n', 'off', 'OFF', '0', 0n]
  const targets = async (values: (string | bigint)[]): Promise<unknown[]> => [
    ...new Set((await engines.toAndFro(rule, '', values)).map(({ target }) => target)),
  ]
  expect(await targets(yes)).toEqual(['true'])
  expect(await targets(no)).toEqual(['false'])
  // 'tr' and 'tru' too are true to PostgreSQL; no application means them.
  expect(await targets([2n, -1n, '2', 'tr', 'maybe', '', ' t'])).toEqual([undefined])
  for (const format of ['t/f', 'TRUE/FALSE', 'Yes/No', 'on/off']) {
    const words = format.split('/')
    const journeys = await engines.toAndFro({ ...rule, format }, '', words)
    expect(journeys.map(({ back }) => Buffer.from(back?.bytes ?? '', 'hex').toString())).toEqual(words)
  }
})
