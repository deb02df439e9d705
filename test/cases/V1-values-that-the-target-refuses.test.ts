import { expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { Scenario } from '../support/scenario.ts'

// The target was made by the application's own migrations, with an enum and a CHECK that SQLite does not have. A row
// that breaks them is set aside; everything else goes on, and a fitting image of the row clears it.

interface Entry {
  readonly tbl: string
  readonly shown: string
  readonly kind: string
  readonly col: string | null
  readonly reason: string
}

async function aside(scenario: Scenario): Promise<Entry[]> {
  return await scenario.postgres<Entry & Record<string, unknown>>(
    'SELECT tbl, shown, kind, col, reason FROM slipway.quarantine ORDER BY tbl, shown',
  )
}

const SOURCE = [
  'CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT NOT NULL, total INTEGER)',
  'CREATE TABLE notes (id INTEGER PRIMARY KEY, v TEXT)',
  `INSERT INTO orders VALUES (1, 'new', 10), (2, 'paid', 20), (3, 'new', 30)`,
  `INSERT INTO notes VALUES (1, 'x')`,
]
const TARGET = `
  CREATE TYPE order_state AS ENUM ('new', 'paid');
  CREATE TABLE orders (id bigint PRIMARY KEY, state order_state NOT NULL, total bigint CONSTRAINT positive CHECK (total > 0));
  CREATE TABLE notes (id bigint PRIMARY KEY, v text)`

test('written live', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE, target: TARGET })
  await scenario.write([
    `UPDATE orders SET state = 'lost' WHERE id = 1`,
    'UPDATE orders SET total = -1 WHERE id = 2',
    `INSERT INTO orders VALUES (4, 'new', 40)`,
  ])
  await until(async () => ((await aside(scenario)).length === 2 ? true : undefined), {
    ms: 20_000,
    describe: () => scenario.daemon.process.tail(),
  })
  expect(await aside(scenario)).toMatchObject([
    { tbl: 'orders', shown: 'id=1', col: 'state' },
    {
      tbl: 'orders',
      shown: 'id=2',
      kind: 'refused',
      col: 'total',
      reason: expect.stringContaining('"positive"'),
    },
  ])
  // The stream goes on.
  await scenario.write([`INSERT INTO notes VALUES (2, 'later')`])
  await until(async () => ((await scenario.compareRows('notes')).postgres === 2 ? true : undefined), {
    ms: 20_000,
    describe: () => scenario.daemon.process.tail(),
  })
  expect(await scenario.postgres('SELECT id::int FROM orders ORDER BY id')).toEqual([{ id: 3 }, { id: 4 }])
  await scenario.write([`UPDATE orders SET state = 'paid' WHERE id = 1`, 'DELETE FROM orders WHERE id = 2'])
  await scenario.equalAtLagZero()
  expect(await aside(scenario)).toEqual([])
})

test('there from the start', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({
    source: [...SOURCE, 'UPDATE orders SET total = 0 WHERE id = 3'],
    target: TARGET,
  })
  await scenario.start()
  await scenario.daemon.caughtUp()
  expect(await aside(scenario)).toMatchObject([{ shown: 'id=3', kind: 'refused' }])
  expect(await scenario.postgres('SELECT id::int FROM orders ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }])
  await scenario.write(['UPDATE orders SET total = 3 WHERE id = 3'])
  await scenario.equalAtLagZero()
})
