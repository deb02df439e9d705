/** An insert without an id works on either side after every change of authority, and no id is ever given twice. */
import { expect, test } from 'vitest'
import { pass } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

const SOURCE = [
  'CREATE TABLE plain (id INTEGER PRIMARY KEY, v TEXT)',
  'CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)',
  'CREATE TABLE "Odd Name" ("The Id" INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)',
  'CREATE TABLE keyless (v TEXT)',
  `INSERT INTO plain (v) VALUES ('a'), ('b')`,
  `INSERT INTO counted (v) VALUES ('a'), ('b'), ('c')`,
  `DELETE FROM counted WHERE id = 3`,
  `INSERT INTO "Odd Name" (v) VALUES ('a')`,
  `INSERT INTO keyless VALUES ('a')`,
]

const INSERTS: readonly (readonly [table: string, id: string, sql: string])[] = [
  ['plain', 'id', `INSERT INTO plain (v) VALUES ('new') RETURNING id`],
  ['counted', 'id', `INSERT INTO counted (v) VALUES ('new') RETURNING id`],
  ['"Odd Name"', '"The Id"', `INSERT INTO "Odd Name" (v) VALUES ('new') RETURNING "The Id"`],
]

async function insertOnSqlite(scenario: Scenario, sql: string): Promise<number> {
  const [outcome] = await scenario.write([sql])
  return outcome?.rows[0]?.[0] as number
}

async function insertOnPostgres(scenario: Scenario, sql: string): Promise<number> {
  const client = await scenario.database.connect()
  const { rows } = await client.query({ text: sql, rowMode: 'array' })
  await client.end()
  return Number(rows[0]?.[0])
}

const CYCLES = 3

async function cycles(
  scenario: Scenario,
  inserts: readonly (readonly [string, string, string])[],
  remove: string,
) {
  const given = new Map<string, number[]>(inserts.map(([table]) => [table, []]))
  const insert = async (on: 'sqlite' | 'postgres'): Promise<void> => {
    for (const [table, , sql] of inserts) {
      for (let n = 0; n < 2; n++) {
        const id =
          on === 'sqlite' ? await insertOnSqlite(scenario, sql) : await insertOnPostgres(scenario, sql)
        given.get(table)?.push(id)
      }
    }
  }
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await insert('sqlite')
    await pass(scenario, 'switchover')
    await insert('postgres')
    // The newest goes: what is counted must not come again.
    await scenario.postgres(remove)
    await insert('postgres')
    await scenario.postgres(remove)
    await scenario.daemon.caughtUp()
    await pass(scenario, 'rollback')
  }
  await insert('sqlite')
  return given
}

test('tables that slipway made', { timeout: 180_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  const given = await cycles(
    scenario,
    INSERTS,
    'DELETE FROM counted WHERE id = (SELECT max(id) FROM counted)',
  )
  for (const [table, ids] of given) {
    expect(new Set(ids).size, `${table}: ${ids}`).toBe(ids.length)
    expect(ids, table).toEqual(ids.toSorted((a, b) => a - b))
  }
  await scenario.equalAtLagZero()
})

test('a table without a key takes rows on both sides', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SOURCE })
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await scenario.write([`INSERT INTO keyless VALUES ('sqlite')`])
    await pass(scenario, 'switchover')
    await scenario.postgres(`INSERT INTO keyless (v) VALUES ('postgres'), ('postgres')`)
    await scenario.postgres(`UPDATE keyless SET v = 'changed' WHERE v = 'a'`)
    await scenario.daemon.caughtUp()
    await pass(scenario, 'rollback')
    await scenario.equalAtLagZero()
  }
  const [counts] = await scenario.write([
    `SELECT sum(v = 'sqlite'), sum(v = 'postgres'), sum(v = 'changed') FROM keyless`,
  ])
  expect(counts?.rows).toEqual([[CYCLES, 2 * CYCLES, 1]])
})

const TARGET = `
  CREATE TABLE plain (id serial PRIMARY KEY, v text);
  CREATE SEQUENCE numbers;
  CREATE TABLE counted (id bigint PRIMARY KEY DEFAULT nextval('numbers'::text), v text);
  CREATE TABLE "Odd Name" ("The Id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
  CREATE TABLE keyless (v text);
`

test('tables that the application made: serial, a sequence that nobody owns, identity', {
  timeout: 180_000,
}, async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE.filter((sql) => !/keyless/.test(sql)),
    target: TARGET,
  })
  const given = await cycles(
    scenario,
    INSERTS,
    'DELETE FROM counted WHERE id = (SELECT max(id) FROM counted)',
  )
  for (const [table, ids] of given) {
    expect(new Set(ids).size, `${table}: ${ids}`).toBe(ids.length)
    expect(ids, table).toEqual(ids.toSorted((a, b) => a - b))
  }
  await scenario.equalAtLagZero()
})
