import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// Under REPLACE the ON DELETE CASCADE of the children runs although the parent's DELETE trigger does not.

const SOURCE = [
  'CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE)',
  'CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id) ON DELETE CASCADE, n INTEGER)',
  'CREATE TABLE grandchildren (id INTEGER PRIMARY KEY, child_id INTEGER REFERENCES children (id) ON DELETE CASCADE)',
  'CREATE TABLE orphans (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id) ON DELETE SET NULL)',
  'CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id) ON DELETE CASCADE ON UPDATE CASCADE)',
  `INSERT INTO parents VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
  'INSERT INTO children VALUES (1, 1, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0)',
  'INSERT INTO grandchildren VALUES (1, 1), (2, 2), (3, 3), (4, 4)',
  'INSERT INTO orphans VALUES (1, 1), (2, 2), (3, 3)',
  'INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, NULL), (6, 5)',
]

test.for([
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
])('foreign_keys = %i, recursive_triggers = %i', async ([foreignKeys, recursive]) => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.write(
    [
      `INSERT OR REPLACE INTO parents VALUES (10, 'a')`,
      `INSERT OR REPLACE INTO parents VALUES (2, 'b again')`,
      'DELETE FROM tree WHERE id = 2',
      'UPDATE tree SET id = 50 WHERE id = 5',
      `REPLACE INTO parents (name) VALUES ('c')`,
    ],
    { pragmas: { foreign_keys: foreignKeys ?? 0, recursive_triggers: recursive ?? 0 } },
  )
  const [children] = await scenario.write(['SELECT count(*) FROM children'])
  expect(children?.rows).toEqual([[foreignKeys === 1 ? 0 : 4]])
  await scenario.equalAtLagZero()
})
