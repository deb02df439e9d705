import { describe, expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { Scenario } from '../support/scenario.ts'

// Tables that the application's own migrations have made: their types and constraints judge.

describe('existing tables', () => {
  test('values that their types do not take', async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, at TEXT, u TEXT, j TEXT, fine TEXT)',
        `INSERT INTO t VALUES
           (1, 5, '2024-01-01T00:00:00Z', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{}', 'x'),
           (2, 70000, '0000-00-00 00:00:00', '', '{"a": "\\u0000"}', 'y'),
           (3, NULL, 'now', 'none', '{', NULL)`,
      ],
      target: `CREATE TABLE t (id bigint PRIMARY KEY, n smallint, at timestamptz, u uuid, j jsonb, fine text)`,
    })
    const { result, serious, find } = await assess(scenario)
    expect(result.code).toBe(3)
    expect(serious).toEqual([
      'blocks values_do_not_fit t.at',
      'blocks values_do_not_fit t.j',
      'blocks values_do_not_fit t.n',
      'blocks values_do_not_fit t.u',
    ])
    expect(find('values_do_not_fit', 't', 'at')).toMatchObject({ count: 2, examples: ['id=2', 'id=3'] })
    expect(find('values_do_not_fit', 't', 'at')?.message).toContain('1 date 0000-00-00 and 1 word that')
    expect(find('values_do_not_fit', 't', 'at')?.remedy).toContain('zero_date_as_null')
    expect(find('values_do_not_fit', 't', 'n')).toMatchObject({ count: 1, examples: ['id=2'] })
    expect(find('values_do_not_fit', 't', 'u')?.remedy).toContain('empty_as_null')
  })

  test('a unique that the source does not keep, whose rows are there twice', async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE articles (id INTEGER PRIMARY KEY, canonical_link TEXT, slug TEXT UNIQUE, title TEXT)',
        `INSERT INTO articles VALUES (1, 'l', 'a', 'One'), (2, 'l', 'b', 'ONE'), (3, 'm', 'c', 'x'), (4, NULL, 'd', NULL), (5, NULL, 'e', NULL)`,
      ],
      target: `CREATE TABLE articles (id bigint PRIMARY KEY, canonical_link text UNIQUE, slug text UNIQUE, title text);
               CREATE UNIQUE INDEX articles_title ON articles (lower(title))`,
    })
    const { result, serious, assessment } = await assess(scenario)
    expect(result.code).toBe(3)
    expect(serious).toEqual(['blocks duplicates articles', 'blocks duplicates articles'])
    const duplicates = assessment.findings.filter(({ code }) => code === 'duplicates')
    expect(duplicates.map(({ count, examples }) => [count, examples])).toEqual([
      [2, ['id=1 and 1 more']],
      [2, ['id=1 and 1 more']],
    ])
    expect(duplicates.map(({ message }) => /\((.+?)\) of articles/.exec(message)?.[1])).toEqual([
      'canonical_link',
      'lower(title)',
    ])
  })

  test('the plan that it proposes sets aside what does not fit, and keeps one of each duplicate', {
    timeout: 60_000,
  }, async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, at TEXT, link TEXT, words TEXT)',
        `INSERT INTO t VALUES (1, 5, '2024-01-01T00:00:00Z', 'l', 'x'), (2, 70000, 'now', 'm', 'y'),
           (3, 7, NULL, 'l', 'z'), (4, 8, NULL, 'n', 'cut' || char(0)), (5, 9, NULL, 'o', NULL)`,
      ],
      target: `CREATE TABLE t (id bigint PRIMARY KEY, n smallint, at timestamptz, link text UNIQUE, words text NOT NULL)`,
    })
    const first = await assess(scenario, ['--write-plan'])
    expect(first.result.code).toBe(3)
    const again = await assess(scenario)
    expect(again.result.code, again.serious.join('\n')).toBe(0)
    expect(again.serious).toEqual([
      'warns duplicates t',
      'warns not_text t.words',
      'warns null_in_not_null t.words',
      'warns values_set_aside t.at',
      'warns values_set_aside t.n',
    ])
    await scenario.slipway.mustRun(['snapshot'])
    expect(await scenario.postgres('SELECT id::int FROM t ORDER BY id')).toEqual([{ id: 1 }])
    expect(await scenario.postgres('SELECT count(*)::int AS n FROM slipway.quarantine')).toEqual([{ n: 4 }])
  })

  test('rows that are there already, and what the way back would miss', async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)',
        'CREATE TABLE t (id INTEGER PRIMARY KEY, kind INTEGER REFERENCES kinds, n INTEGER CHECK (n > 0))',
        `INSERT INTO kinds VALUES (1, 'a')`,
        'INSERT INTO t VALUES (1, 1, 1)',
      ],
      target: `CREATE TABLE kinds (id bigint PRIMARY KEY, name text);
               CREATE TABLE t (id bigint PRIMARY KEY, kind bigint, n bigint);
               INSERT INTO kinds VALUES (7, 'seeded')`,
    })
    const { serious, find } = await assess(scenario)
    expect(serious).toEqual([
      'blocks target_not_empty kinds',
      'warns target_lacks_check t',
      'warns target_lacks_foreign_key t',
      'warns target_lacks_not_null kinds',
      'warns target_lacks_unique kinds',
    ])
    expect(find('target_not_empty')?.remedy).toContain('TRUNCATE "public"."kinds"')
  })

  test('nothing is said of tables that keep what the source keeps', async () => {
    await using scenario = await Scenario.prepare({
      source: [
        'CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)',
        'CREATE TABLE t (id INTEGER PRIMARY KEY, kind INTEGER REFERENCES kinds, at TIMESTAMP)',
        `INSERT INTO kinds VALUES (1, 'a')`,
        `INSERT INTO t VALUES (1, 1, '2024-01-01T00:00:00Z')`,
      ],
      target: `CREATE TABLE kinds (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
               CREATE TABLE t (id bigint PRIMARY KEY, kind bigint REFERENCES kinds, at timestamptz)`,
    })
    const { result, serious } = await assess(scenario)
    expect(serious).toEqual([])
    expect(result.code).toBe(0)
  })

  test('a migration that has begun: its own rows are no obstacle', { timeout: 60_000 }, async () => {
    await using scenario = await Scenario.replicating({
      source: ['CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)', `INSERT INTO t VALUES (1, 'x')`],
    })
    const { result, serious, find, assessment } = await assess(scenario)
    expect(serious).toEqual([])
    expect(result.code).toBe(0)
    expect(find('migration_begun')?.message).toContain('replicating')
    expect(assessment.source.captured).toBe(true)
    expect(assessment.tables.map(({ table }) => table)).toEqual(['t'])
  })
})
