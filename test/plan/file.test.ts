/** The plan as a file: written, read, edited wrongly, and out of date. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/core/errors.ts'
import { refuseBlocked } from '../../src/core/plan.ts'
import { planChanges } from '../../src/core/plan-check.ts'
import type { PlanFile } from '../../src/core/plan-file.ts'
import { planFileOf } from '../../src/core/plan-write.ts'
import { loadPlan, readPlanFile } from '../../src/wiring/plan-file.ts'
import { PlanSchema } from '../../src/wiring/plan-schema.ts'
import { codes, type PlanCase, plan, specOf, target, unique } from '../support/plan.ts'

const folder = mkdtempSync(join(tmpdir(), 'slipway-plan-'))
let files = 0

function written(content: unknown): string {
  const path = join(folder, `plan-${files++}.json`)
  writeFileSync(path, typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`)
  return path
}

/** Plans, writes the plan, reads it, and plans by it. */
async function roundTrip(given: PlanCase) {
  const first = await plan(given)
  const file = planFileOf({ schema: 'app', skipped: [], ...first })
  const read = readPlanFile(written(file))
  return { first, file, read, second: await plan({ ...given, plan: read }) }
}

const SOURCE = [
  `CREATE TABLE "odd ""name""" (k TEXT PRIMARY KEY, "constructor" INTEGER, at DATETIME, "xmin" TEXT, d AS (k || k))`,
  `INSERT INTO "odd ""name""" VALUES ('a', 1, '2024-01-01T10:00:00Z', 'x')`,
  'CREATE TABLE constructor (a, b)',
  'INSERT INTO constructor VALUES (NULL, 1.5)',
  'CREATE TABLE articles (id INTEGER PRIMARY KEY, link TEXT NOT NULL, price NUMERIC, seen TEXT, extra TEXT, ok BOOLEAN)',
  `INSERT INTO articles VALUES (1, 'a', 1.234, NULL, 'x', 1), (2, 'a', 5, '2024-01-01 10:00:00', 'x', 1)`,
]

const ARTICLES = target(
  'articles',
  { id: 'bigint!', link: 'text!', price: 'numeric(10,2)', seen: 'timestamp with time zone!', ok: 'boolean' },
  { uniques: [unique('articles_pkey', ['id'], { primary: true }), unique('articles_link_key', ['link'])] },
)

describe('a plan that is written and read back', () => {
  test('plans the same', async () => {
    const { first, second, file } = await roundTrip({ source: SOURCE })
    expect(second.tables.map(({ spec }) => spec)).toEqual(first.tables.map(({ spec }) => spec))
    expect(codes(second)).toEqual([])
    expect(Object.keys(file.tables)).toEqual(['articles', 'constructor', 'odd "name"'])
    expect(file.tables['odd "name"']).toEqual({
      target: 'odd "name"',
      key: ['k'],
      columns: {
        k: { declared: 'TEXT', target: 'k', type: 'text' },
        constructor: { declared: 'INTEGER', target: 'constructor', type: 'bigint' },
        at: {
          declared: 'DATETIME',
          target: 'at',
          type: 'timestamp with time zone',
          format: 'YYYY-MM-DDTHH:MM:SSZ',
        },
        xmin: { note: expect.stringContaining('xmin_'), declared: 'TEXT', target: 'xmin_', type: 'text' },
      },
    })
  })

  test('is the same text every time', async () => {
    const { first, file, second, read } = await roundTrip({ source: SOURCE, targets: [ARTICLES] })
    const again = planFileOf({ schema: 'app', skipped: [], ...first })
    expect(JSON.stringify(again)).toBe(JSON.stringify(file))
    // And written once more by the run that followed it.
    const next = planFileOf({ schema: 'app', skipped: [], ...second, plan: read })
    expect(JSON.stringify(next, null, 1)).toBe(JSON.stringify(file, null, 1))
  })

  test('decides with care what blocked, and says why', async () => {
    const { first, second, file } = await roundTrip({ source: SOURCE, targets: [ARTICLES] })
    expect(codes(first)).toEqual([
      'column_missing: extra',
      'duplicates',
      'null_in_not_null: seen',
      'values_do_not_fit: price',
    ])
    expect(codes(second)).toEqual([])
    expect(file.tables.articles).toMatchObject({
      duplicates: 'first',
      note: expect.stringContaining('articles_link_key'),
      columns: {
        price: { misfit: 'quarantine', note: expect.stringContaining('cannot hold 1 value') },
        seen: { misfit: 'quarantine', zone: 'UTC' },
        extra: { include: false },
        ok: { declared: 'BOOLEAN', target: 'ok', type: 'boolean' },
      },
    })
    expect(specOf(second, 'articles').duplicates).toBe('first')
  })

  test('keeps what is left out, and the notes and proposals of others', async () => {
    const first = await plan({ source: SOURCE, tables: { articles: { note: 'mine' } } })
    const file = planFileOf({
      schema: 'app',
      ...first,
      skipped: [{ name: 'alembic_version', reason: 'bookkeeping' }],
      plan: { version: 1, schema: 'app', tables: { articles: { note: 'mine' } } },
      proposals: new Map([['articles', new Map([['link', { transforms: ['strip_nul'] }]])]]),
    })
    expect(file.tables.alembic_version).toEqual({ include: false, note: 'bookkeeping' })
    expect(file.tables.articles).toMatchObject({
      note: 'mine',
      columns: { link: { transforms: ['strip_nul'] } },
    })
    expect(codes(await plan({ source: SOURCE, plan: readPlanFile(written(file)) }))).toEqual([])
  })
})

describe('a plan that cannot be used', () => {
  const wrong = (content: unknown): Failure => {
    const path = written(content)
    try {
      readPlanFile(path)
    } catch (error) {
      expect(error).toBeInstanceOf(Failure)
      expect(error).toMatchObject({ code: 'plan_invalid', exit: 2, message: expect.stringContaining(path) })
      return error as Failure
    }
    throw new Error('it was taken')
  }
  const entry = (column: object, table: object = {}): PlanFile =>
    ({ version: 1, schema: 'app', tables: { 'my t': { ...table, columns: { id: column } } } }) as PlanFile

  test.for([
    ['{\n "version": 1,\n oops', /no JSON: .*line 3/],
    ['{\n "version": 1\n', /no JSON: .*line \d/],
    ['[]', /must be object/],
    [{ version: 2, schema: 'app', tables: {} }, /version: 2 is not one of 1/],
    [{ version: 1, tables: {} }, /schema/],
    [
      entry({ codec: 'epoch' }),
      /tables\."my t"\.columns\.id\.codec: "epoch" is not one of .*; did you mean epoch_s\?/,
    ],
    [entry({ colour: 'red' }), /tables\."my t"\.columns\.id\.colour is unknown/],
    [entry({ zones: 'UTC' }), /zones is unknown; did you mean zone\?/],
    [entry({}, { duplicate: 'first' }), /duplicate is unknown; did you mean duplicates\?/],
    [entry({ zone: 'Europe/Moskow' }), /no zone "Europe\/Moskow"; did you mean Europe\/Moscow\?/],
    [entry({ type: 'text); DROP TABLE x; --' }), /is no type of PostgreSQL/],
    [entry({ transforms: ['strip_nuls'] }), /did you mean strip_nul\?/],
    [entry({ target: '' }), /target/],
    [entry({}, { key: [] }), /key/],
  ] as const)('%j', ([content, said]) => {
    expect(wrong(content).message).toMatch(said)
  })

  test('tells every problem at once', () => {
    const { facts } = wrong(entry({ codec: 'x', misfit: 'y' }, { existing_rows: 'z' }))
    expect(facts.problems).toHaveLength(3)
  })

  test('is no plan where none is named and none is there; else it is missed', () => {
    const planFile = join(folder, 'absent.json')
    expect(loadPlan({ planFile, planFileNamed: false })).toBeUndefined()
    expect(() => loadPlan({ planFile, planFileNamed: true })).toThrow(/cannot be read/)
  })
})

describe('a plan that no longer fits', () => {
  async function outdated(source: readonly string[], change: (file: PlanFile) => PlanFile = (file) => file) {
    const file = change(planFileOf({ schema: 'app', skipped: [], ...(await plan({ source: SOURCE })) }))
    const outcome = await plan({ source, plan: file })
    try {
      refuseBlocked(outcome.findings, 'app')
    } catch (error) {
      expect(error).toMatchObject({ code: 'plan_outdated', exit: 3 })
      return ((error as Failure).facts.problems as string[]).toSorted()
    }
    return []
  }

  test.for([
    ['ALTER TABLE articles ADD COLUMN fresh TEXT', /articles\.fresh is new/],
    ['ALTER TABLE articles DROP COLUMN extra', /names articles\.extra, and there is no such column/],
    ['DROP TABLE constructor', /names the table constructor, and the source has none/],
  ] as const)('%s', async ([change, said]) => {
    expect(await outdated([...SOURCE, change])).toEqual([expect.stringMatching(said)])
  })

  test('says each difference, and what a renamed thing may be', async () => {
    const changed = [
      ...SOURCE,
      'ALTER TABLE articles RENAME COLUMN extra TO extras',
      'DROP TABLE constructor',
      'CREATE TABLE constructors (a TEXT)',
    ]
    expect(await outdated(changed)).toEqual([
      expect.stringMatching(/articles\.extras is new/),
      expect.stringMatching(/articles\.extra, .*did you mean extras\?/),
      expect.stringMatching(/table constructor, .*did you mean constructors\?/),
    ])
  })

  test('because a column is declared in another way, or the schema is another', async () => {
    const changed = SOURCE.map((sql) => sql.replace('price NUMERIC', 'price REAL'))
    expect(await outdated(changed)).toEqual([
      expect.stringMatching(/price was declared NUMERIC, and is REAL now/),
    ])
    expect(await outdated(SOURCE, (file) => ({ ...file, schema: 'other' }))).toEqual([
      expect.stringMatching(/schema other, and POSTGRES_SCHEMA is app/),
    ])
  })

  test('but not because of tables that it does not name, nor because of what it leaves out', async () => {
    const more = [...SOURCE, 'CREATE TABLE more (id INTEGER PRIMARY KEY)', 'DROP TABLE constructor']
    const without = (file: PlanFile): PlanFile => ({
      ...file,
      tables: { ...file.tables, constructor: { include: false } },
    })
    expect(await outdated(more, without)).toEqual([])
  })
})

test('what a running migration does not follow is told', async () => {
  const { tables } = await plan({ source: SOURCE })
  const specs = tables.map(({ spec }) => spec)
  const written = planFileOf({ schema: 'app', skipped: [], ...(await plan({ source: SOURCE })) })
  expect(planChanges(undefined, specs)).toEqual([])
  expect(planChanges(written, specs)).toEqual([])
  const edited: PlanFile = {
    ...written,
    tables: {
      articles: {
        duplicates: 'last',
        columns: {
          price: { type: 'text', misfit: 'fail' },
          seen: { transforms: ['trim'] },
          extra: { include: false },
        },
      },
    },
  }
  expect(planChanges(edited, specs)).toEqual([
    'articles: duplicates last, not unset',
    'articles.price: misfit fail, not unset',
    'articles.price: type text, not numeric',
    'articles.seen: transforms trim, not unset',
    'articles.extra is left out',
  ])
})

test('the published schema is the one that is used', () => {
  const published = JSON.parse(readFileSync(new URL('../../docs/plan.schema.json', import.meta.url), 'utf8'))
  expect(published).toEqual(JSON.parse(JSON.stringify(PlanSchema)))
})
