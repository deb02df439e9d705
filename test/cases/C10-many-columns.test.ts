import { expect, test } from 'vitest'
import type { Statement } from '../support/foreign.ts'
import { Scenario } from '../support/scenario.ts'

// json_object takes 127 arguments in older SQLite, 63 columns: a trigger that holds a row image would fail the
// application's write. Keys fit, however wide the row is.

const COLUMNS = Array.from({ length: 200 }, (_, index) => `c${index}`)
const TYPES = ['INTEGER', 'TEXT', 'REAL', 'BLOB', '']

function insert(id: number, verb = 'INSERT'): Statement {
  const values = COLUMNS.map((_, index) => {
    switch (index % 5) {
      case 0:
        return id * 1000 + index
      case 1:
        return `text ${id} ${index}`
      case 2:
        return id + index / 7
      case 3:
        return { hex: `00ff${String(index).padStart(4, '0')}` }
      default:
        return index % 2 === 0 ? null : `u${id}`
    }
  })
  return [`${verb} INTO wide VALUES (?${', ?'.repeat(COLUMNS.length)})`, [id, ...values]]
}

test('200 columns, in the copy and in a batch', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${COLUMNS.map((name, index) => `${name} ${TYPES[index % 5]}`).join(', ')}, UNIQUE (c0))`,
      insert(1),
      insert(2),
      insert(3),
    ],
    env: { HISTORY: 'on' },
  })
  await scenario.equalAtLagZero()
  // None may fail: `write` throws what the application would meet.
  await scenario.write([
    insert(4),
    insert(1, 'INSERT OR REPLACE'),
    `UPDATE wide SET c199 = 'last', c0 = c0 + 1 WHERE id = 2`,
    `UPDATE wide SET ${COLUMNS.filter((_, index) => index % 5 === 1)
      .map((name) => `${name} = 'new'`)
      .join(', ')} WHERE id = 3`,
    'UPDATE wide SET id = 50 WHERE id = 4',
    'DELETE FROM wide WHERE id = 1',
  ])
  await scenario.equalAtLagZero()
  // The history holds the images that the triggers do not.
  const [entry] = await scenario.postgres<{ columns: number }>(
    `SELECT max((SELECT count(*) FROM jsonb_object_keys(before)))::int AS columns FROM slipway.history`,
  )
  expect(entry).toEqual({ columns: 201 })
})
