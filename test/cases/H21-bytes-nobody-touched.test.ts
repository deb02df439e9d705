import { expect, test } from 'vitest'
import { ReverseSide } from '../postgres/reverse-side.ts'
import { buildEverything } from '../support/everything.ts'
import { Scenario } from '../support/scenario.ts'

// What comes back writes only columns whose value is another one: a row that was written whole would lose what
// PostgreSQL keeps in another spelling (…123456789Z, 1e20 in an INTEGER, the order of JSON).

const SPELLED = [
  `CREATE TABLE spelled (id INTEGER PRIMARY KEY, at TEXT, big INTEGER, json TEXT, price NUMERIC, ok BOOLEAN, note TEXT)`,
  `INSERT INTO spelled VALUES
     (1, '2024-05-06T07:08:09.100Z', 100000000000000000000, '{"b": 1.0, "a":[ ]}', 1.10, 1, 'one'),
     (2, '2024-05-06 07:08:09+02:00', 7, '[1,2]', 12, 0, 'two')`,
  `CREATE TABLE uuids (id TEXT PRIMARY KEY, v TEXT)`,
  `INSERT INTO uuids VALUES ('a0eebc999c0b4ef8bb6d6bb9bd380a11', 'x'), ('b0eebc999c0b4ef8bb6d6bb9bd380a11', 'y')`,
  `CREATE TABLE binary_uuids (id BLOB PRIMARY KEY, v TEXT) WITHOUT ROWID`,
  `INSERT INTO binary_uuids VALUES (x'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'x')`,
  `CREATE TABLE moments (at INTEGER PRIMARY KEY, v TEXT)`,
  `INSERT INTO moments VALUES (1714979289, 'x'), (0, 'y'), (-1, 'z')`,
  `CREATE TABLE days (day TEXT PRIMARY KEY, v TEXT)`,
  `INSERT INTO days VALUES ('2024-05-06', 'x'), ('0001-01-01', 'y')`,
  `CREATE TABLE decimals (k NUMERIC PRIMARY KEY, v TEXT)`,
  `INSERT INTO decimals VALUES (1, 'one'), (2.5, 'two and a half'), (1e18, 'large'), (0.1, 'tenth')`,
]

/** The application's own tables: types that slipway would not choose by itself. */
const TARGET = `
  CREATE TABLE spelled (id bigint PRIMARY KEY, at timestamptz, big numeric, json jsonb, price numeric(10,2), ok boolean, note text);
  CREATE TABLE uuids (id uuid PRIMARY KEY, v text);
  CREATE TABLE binary_uuids (id uuid PRIMARY KEY, v text);
  CREATE TABLE moments (at timestamptz PRIMARY KEY, v text);
  CREATE TABLE days (day date PRIMARY KEY, v text);
  CREATE TABLE decimals (k numeric PRIMARY KEY, v text)`

const KEYED = ['uuids', 'binary_uuids', 'moments', 'days', 'decimals']

async function switched(scenario: Scenario): Promise<ReverseSide> {
  const { code, stderr } = await scenario.daemon.stop()
  expect(code, stderr).toBe(0)
  return await ReverseSide.adopt(scenario)
}

function dumpOf(side: ReverseSide, name: string): unknown[][] {
  const columns = side.rows(`SELECT name FROM pragma_table_info('${name}')`).flat()
  const list = columns.map((column) => `typeof("${column}"), hex("${column}")`)
  return side.rows(`SELECT ${list.join(', ')} FROM "${name}" ORDER BY 1, 2`)
}

test('only cells whose value is another one are written', { timeout: 90_000 }, async () => {
  await using scenario = await Scenario.replicating({ source: SPELLED, target: TARGET })
  await using side = await switched(scenario)
  const names = side.tables.map(({ name }) => name)
  expect(names.toSorted()).toEqual(['spelled', ...KEYED].toSorted())
  expect((await side.follow({ whole: names })).patches).toEqual({})
  const before = new Map(names.map((name) => [name, dumpOf(side, name)]))

  // Every row is touched and none is changed: each key finds its row.
  for (const name of ['spelled', ...KEYED])
    await side.sql(`UPDATE ${name} SET ${name === 'spelled' ? 'note = note' : 'v = v'}`)
  const untouched = await side.follow()
  expect({ gone: untouched.gone, patches: untouched.patches }).toEqual({ gone: {}, patches: {} })

  await side.sql(`UPDATE spelled SET note = note || '!', json = json || '{}' WHERE id = 1`)
  const { patches } = await side.follow()
  expect(patches.spelled).toEqual([{ key: '["i1"]', isNew: false, values: [[6, 'one!']], misfits: [] }])
  for (const name of KEYED) await side.sql(`UPDATE ${name} SET v = v || '!'`)
  await side.follow()
  for (const name of names) {
    const changed = name === 'spelled' ? 1 : before.get(name)?.length
    const now = dumpOf(side, name)
    const cells = now.flatMap((row, at) =>
      row.filter((cell, column) => cell !== before.get(name)?.[at]?.[column]),
    )
    expect(cells, name).toHaveLength(changed ?? 0)
  }

  // Rows that PostgreSQL made, and their keys as SQLite has them.
  await side.sql(`INSERT INTO uuids VALUES ('c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'new')`)
  await side.sql(`INSERT INTO binary_uuids VALUES ('c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'new')`)
  await side.sql(`INSERT INTO moments VALUES ('2030-01-01Z', 'new'), ('2030-01-01 00:00:00.5Z', 'too fine')`)
  await side.sql(`INSERT INTO days VALUES ('2030-01-01', 'new')`)
  await side.sql(
    `INSERT INTO decimals VALUES (5.00, 'whole'), (7.25, 'not'), (12345678901234567890.5, 'too long')`,
  )
  const made = await side.read()
  if (made.kind !== 'batch') throw new Error(made.kind)
  const told: Record<string, unknown[]> = {}
  for (const { table, patches } of made.batch.tables) {
    const list: unknown[] = []
    for await (const page of patches())
      list.push(...page.map(({ key, isNew, misfits }) => [key, isNew, misfits.length]))
    told[table.name] = list
  }
  expect(told).toEqual({
    uuids: [['["tc0eebc999c0b4ef8bb6d6bb9bd380a11"]', true, 0]],
    binary_uuids: [['["bc0eebc999c0b4ef8bb6d6bb9bd380a11"]', true, 0]],
    moments: [
      ['["i1893456000"]', true, 0],
      ['["t2030-01-01 00:00:00.5+00"]', true, expect.any(Number)],
    ],
    days: [['["t2030-01-01"]', true, 0]],
    decimals: [
      ['["i5"]', true, 0],
      ['["r401d000000000000"]', true, 0],
      [expect.stringContaining('["r'), true, 1],
    ],
  })
})

test('of everything at once nothing is different that nobody touched', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.prepare({ env: { EXCLUDE_TABLES: 'texts,strict_all' } })
  await buildEverything(scenario.path)
  await scenario.start()
  await scenario.daemon.caughtUp(40_000)
  await using side = await switched(scenario)
  const names = side.tables.map(({ name }) => name)
  expect(names.length).toBeGreaterThan(20)
  const whole = await side.follow({ whole: names })
  expect({ gone: whole.gone, patches: whole.patches }).toEqual({ gone: {}, patches: {} })
  for (const { schema, target, columns } of side.tables) {
    const column = `"${columns.at(-1)?.target.replaceAll('"', '""')}"`
    await side.sql(`UPDATE "${schema}"."${target.replaceAll('"', '""')}" SET ${column} = ${column}`)
  }
  const touched = await side.follow()
  expect(touched.changes).toBeGreaterThan(50)
  expect({ gone: touched.gone, patches: touched.patches }).toEqual({ gone: {}, patches: {} })
})
