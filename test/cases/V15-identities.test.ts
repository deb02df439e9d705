import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// A key that SQLite counts by itself needs something in PostgreSQL that counts, and that lets explicit values in
// (P7). Where it stands is set by the decision to switch, which is not part of this yet.

test('an INTEGER PRIMARY KEY becomes an identity BY DEFAULT', async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)',
      'CREATE TABLE rowid_key (id INTEGER PRIMARY KEY, a TEXT)',
      'CREATE TABLE text_key (id TEXT PRIMARY KEY, a TEXT)',
      `INSERT INTO counted (a) VALUES ('x'), ('y')`,
      'CREATE TABLE empty (id INTEGER PRIMARY KEY)',
    ],
  })
  const rows = await scenario.postgres<{ name: string; identity: string }>(
    `SELECT table_name AS name, coalesce(identity_generation, '') AS identity FROM information_schema.columns
      WHERE table_schema = 'public' AND column_name = 'id' ORDER BY 1`,
  )
  expect(rows).toEqual([
    { name: 'counted', identity: 'BY DEFAULT' },
    { name: 'empty', identity: 'BY DEFAULT' },
    { name: 'rowid_key', identity: 'BY DEFAULT' },
    { name: 'text_key', identity: '' },
  ])
  await scenario.write([`INSERT INTO counted VALUES (100, 'explicit')`, 'INSERT INTO empty VALUES (NULL)'])
  await scenario.equalAtLagZero()
})
