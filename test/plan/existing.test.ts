import { describe, expect, test } from 'vitest'
import { refuseBlocked } from '../../src/core/plan.ts'
import { codes, columnOf, finding, plan, specOf, target, unique } from '../support/plan.ts'

const PK = unique('t_pkey', ['id'], { primary: true })

function one(columns: string, ...rows: string[]): string[] {
  return [
    `CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns})`,
    ...rows.map((row, index) => `INSERT INTO t VALUES (${index + 1}, ${row})`),
  ]
}

describe('names', () => {
  const source = ['CREATE TABLE AlbumArtist (ArtistId INTEGER PRIMARY KEY, FullName TEXT)']

  test('in another style are found, and told', async () => {
    const outcome = await plan({
      source,
      targets: [target('album_artist', { artist_id: 'bigint!', full_name: 'text' })],
    })
    expect(specOf(outcome, 'AlbumArtist')).toMatchObject({
      target: 'album_artist',
      owned: false,
      key: { columns: [{ name: 'ArtistId', target: 'artist_id' }] },
    })
    expect(codes(outcome)).toEqual([])
    expect(codes(outcome, 'warns')).toContain('mapped')
  })

  test('that may be two are refused; the plan names one', async () => {
    const targets = ['album_artist', 'albumartist'].map((name) =>
      target(name, { artist_id: 'bigint!', full_name: 'text' }),
    )
    expect(codes(await plan({ source, targets }))).toEqual(['table_ambiguous'])
    const named = await plan({ source, targets, tables: { AlbumArtist: { target: 'albumartist' } } })
    expect(codes(named)).toEqual([])
    expect(specOf(named, 'AlbumArtist').target).toBe('albumartist')
  })

  test('of columns that may be two, or that are not there, are refused', async () => {
    const targets = [target('album_artist', { artist_id: 'bigint!', full_name: 'text', fullname: 'text' })]
    expect(codes(await plan({ source, targets }))).toEqual([
      'column_ambiguous: FullName',
      'column_missing: FullName',
    ])
    const wrong = await plan({
      source,
      targets,
      tables: { AlbumArtist: { columns: { FullName: { target: 'ful_name' } } } },
    })
    expect(finding(wrong, 'column_missing').message).toMatch(/did you mean full_name/)
    const left = await plan({
      source,
      targets,
      tables: { AlbumArtist: { columns: { FullName: { include: false } } } },
    })
    expect(codes(left)).toEqual([])
  })

  test('of two tables never lead to one', async () => {
    const both = [...source, 'CREATE TABLE album_artists (id INTEGER PRIMARY KEY)']
    const targets = [target('album_artist', { artist_id: 'bigint!', full_name: 'text', id: 'bigint' })]
    const tables = { album_artists: { target: 'album_artist' }, AlbumArtist: { target: 'album_artist' } }
    expect(codes(await plan({ source: both, targets, tables }))).toContain('same_target')
    // A table that is named exactly is not taken by another one of similar letters.
    const twin = [
      `CREATE TABLE foo_bar (id INTEGER PRIMARY KEY)`,
      'CREATE TABLE fooBar (id INTEGER PRIMARY KEY)',
    ]
    const outcome = await plan({
      source: twin,
      targets: [target('foo_bar', { id: 'bigint!' }, { uniques: [PK] })],
    })
    expect(codes(outcome)).toEqual([])
    expect(specOf(outcome, 'fooBar')).toMatchObject({ target: 'fooBar', owned: true })
  })
})

describe('values', () => {
  test('that a type cannot hold block with places, until the plan decides', async () => {
    const given = {
      source: one('price NUMERIC', '1.5', '2.345', '7'),
      targets: [target('t', { id: 'bigint!', price: 'numeric(10,2)' }, { uniques: [PK] })],
    }
    expect(finding(await plan(given), 'values_do_not_fit')).toMatchObject({
      severity: 'blocks',
      table: 't',
      column: 'price',
      count: 1,
      examples: ['id=2'],
      remedy: expect.stringMatching(/--write-plan.*PLAN_FILE/),
    })
    const decide = (entry: object) => plan({ ...given, tables: { t: { columns: { price: entry } } } })
    const aside = await decide({ misfit: 'quarantine' })
    expect(codes(aside)).toEqual([])
    expect(columnOf(aside, 't', 'price').misfit).toBe('quarantine')
    expect(codes(await decide({ misfit: 'fail' }))).toEqual(['values_do_not_fit: price'])
    expect(codes(await decide({ misfit: 'widen' }))).toEqual([
      'values_do_not_fit: price',
      'widen_not_ours: price',
    ])
    expect(codes(await decide({ type: 'numeric(12,2)', misfit: 'quarantine' }))).toEqual([
      'plan_outdated: price',
    ])
  })

  test('that are NULL where the target has NOT NULL block likewise', async () => {
    const given = {
      source: one('a TEXT, b TEXT NOT NULL', `NULL, ''`, `'x', ''`),
      targets: [target('t', { id: 'bigint!', a: 'text!', b: 'text!' }, { uniques: [PK] })],
    }
    expect(finding(await plan(given), 'null_in_not_null')).toMatchObject({
      column: 'a',
      count: 1,
      examples: ['id=1'],
    })
    const aside = await plan({ ...given, tables: { t: { columns: { a: { misfit: 'quarantine' } } } } })
    expect(codes(aside)).toEqual([])
  })

  test('without a zone in a type with one count as UTC, told, or as the plan says (trap V18)', async () => {
    const given = {
      source: one('at DATETIME', `'2024-01-01 10:00:00'`, `'2024-01-01T10:00:00Z'`),
      targets: [target('t', { id: 'bigint!', at: 'timestamp with time zone' }, { uniques: [PK] })],
    }
    const told = await plan(given)
    expect(finding(told, 'naive_times')).toMatchObject({ severity: 'warns', count: 1, examples: ['id=1'] })
    expect(columnOf(told, 't', 'at')).toMatchObject({ zone: 'UTC', format: 'YYYY-MM-DDTHH:MM:SSZ' })
    const decided = await plan({ ...given, tables: { t: { columns: { at: { zone: 'Europe/Moscow' } } } } })
    expect(columnOf(decided, 't', 'at').zone).toBe('Europe/Moscow')
    expect(codes(decided, 'warns')).toEqual([])
  })

  test('of an enum and of a domain go by its labels and by what it is made of', async () => {
    const outcome = await plan({
      source: one('mood TEXT, price NUMERIC', `'sad', 1.5`, `'sad', 1.234`),
      targets: [
        target(
          't',
          { id: 'bigint!', mood: 'mood', price: 'money_amount' },
          { uniques: [PK] },
          {
            mood: { labels: ['sad', 'happy'] },
            price: { base: 'numeric(10,2)' },
          },
        ),
      ],
    })
    expect(columnOf(outcome, 't', 'mood')).toMatchObject({ type: 'mood', labels: ['sad', 'happy'] })
    expect(columnOf(outcome, 't', 'price').type).toBe('numeric(10,2)')
    expect(codes(outcome)).toEqual(['values_do_not_fit: price'])
  })

  test('of text that go into bytes are told', async () => {
    const given = {
      source: one('b TEXT', `'cafe'`),
      targets: [target('t', { id: 'bigint!', b: 'bytea' }, { uniques: [PK] })],
    }
    expect(codes(await plan(given), 'warns')).toEqual(['text_as_bytes: b'])
  })
})

describe('columns that only one side has', () => {
  test('of the target: with a default, without one, filled by a trigger', async () => {
    const outcome = await plan({
      source: one('a TEXT'),
      targets: [
        target(
          't',
          {
            id: 'bigint!',
            a: 'text',
            tier: 'text!',
            must: 'text!',
            search: 'tsvector',
            seen: 'timestamp with time zone',
            total: 'bigint',
          },
          {
            uniques: [PK],
            triggers: [
              {
                name: 'fill',
                updateOf: ['a'],
                body: `tsvector_update_trigger('search', 'pg_catalog.simple', 'a')`,
              },
              { name: 'touch', updateOf: undefined, body: 'BEGIN NEW.seen := now(); RETURN NEW; END' },
            ],
          },
          { tier: { hasDefault: true }, total: { generated: true } },
        ),
      ],
    })
    expect(codes(outcome)).toEqual(['column_required'])
    expect(codes(outcome, 'warns')).toEqual(['column_extra', 'filled_by_trigger', 'filled_by_trigger'])
    expect(codes(outcome, 'info')).toEqual(['triggers_asleep'])
    const [search, seen] = outcome.findings.filter(({ code }) => code === 'filled_by_trigger')
    expect(search?.remedy).toContain('UPDATE "app"."t" SET "a" = "a";')
    expect(seen?.remedy).toContain('UPDATE "app"."t" SET "seen" = …')
  })

  test('of the source: generated there, or computed by SQLite', async () => {
    const source = [
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, loud TEXT, quiet TEXT AS (lower(a)), both TEXT AS (a || a) STORED)`,
      `INSERT INTO t (id, a, loud) VALUES (1, 'x', 'X')`,
    ]
    const columns = { id: 'bigint!', a: 'text', loud: 'text', quiet: 'text', both: 'text' }
    const outcome = await plan({
      source,
      targets: [
        target('t', columns, { uniques: [PK] }, { loud: { generated: true }, both: { generated: true } }),
      ],
    })
    expect(codes(outcome)).toEqual([])
    expect(codes(outcome, 'warns')).toEqual(['computed_by_target: loud', 'generated_columns: quiet'])
    expect(specOf(outcome, 't').columns.map(({ name }) => name)).toEqual(['id', 'a'])
  })
})

describe('uniques of the target', () => {
  const links = (uniques: Parameters<typeof target>[2]) =>
    target('t', { id: 'bigint!', link: 'text', lang: 'text' }, uniques)

  test('that the source keeps are no matter; others are counted', async () => {
    const kept = await plan({
      source: [
        'CREATE TABLE t (id INTEGER PRIMARY KEY, link TEXT UNIQUE, lang TEXT)',
        `INSERT INTO t VALUES (1, 'a', 'de')`,
      ],
      targets: [links({ uniques: [PK, unique('t_link_key', ['link']), unique('t_both', ['lang', 'link'])] })],
    })
    expect(codes(kept, 'warns')).toEqual([])
    const source = one(
      'link TEXT, lang TEXT',
      `'a', 'de'`,
      `'a', 'en'`,
      `'a', NULL`,
      `'b', 'de'`,
      `NULL, NULL`,
      `NULL, NULL`,
    )
    const given = { source, targets: [links({ uniques: [PK, unique('t_link_key', ['link'])] })] }
    expect(finding(await plan(given), 'duplicates')).toMatchObject({
      severity: 'blocks',
      count: 3,
      examples: ['id=1 and 2 more'],
    })
    const first = await plan({ ...given, tables: { t: { duplicates: 'first' } } })
    expect(codes(first)).toEqual([])
    expect(specOf(first, 't').duplicates).toBe('first')
    const none = await plan({
      source,
      targets: [links({ uniques: [PK, unique('t_both', ['link', 'lang'])] })],
    })
    expect(codes(none)).toEqual([])
    expect(codes(none, 'warns')).toEqual(['unique_not_in_source'])
    const nulls = await plan({
      source,
      targets: [links({ uniques: [PK, unique('t_both', ['link', 'lang'], { nullsEqual: true })] })],
    })
    expect(finding(nulls, 'duplicates')).toMatchObject({ count: 2, examples: ['id=5 and 1 more'] })
  })

  test('on lower(), partial ones and other expressions', async () => {
    const source = one('link TEXT UNIQUE, lang TEXT', `'a', 'de'`, `'A', 'de'`)
    const expression = (parts: string[], facts = {}) =>
      plan({
        source,
        targets: [links({ uniques: [PK, unique('t_u', parts, { columns: undefined, ...facts })] })],
      })
    expect(codes(await expression(['lower(link)']))).toEqual(['duplicates'])
    expect(codes(await expression(['lower((link)::text)']))).toEqual(['duplicates'])
    expect(codes(await expression(['md5(link)']), 'warns')).toEqual(['unique_not_counted'])
    const partial = await expression(['lang'], { columns: ['lang'], where: '(id > 7)' })
    expect(codes(partial)).toEqual([])
    expect(finding(partial, 'duplicates').message).toContain('(id > 7)')
  })

  test('to which two spellings are one value', async () => {
    const source = one(
      'u TEXT UNIQUE, at TEXT UNIQUE, n TEXT UNIQUE',
      `'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '2024-01-01 10:00:00.5Z', 'x'`,
      `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-01-01T12:00:00.500+02:00', 'X'`,
    )
    const outcome = await plan({
      source,
      targets: [
        target(
          't',
          { id: 'bigint!', u: 'uuid', at: 'timestamp with time zone', n: 'citext' },
          { uniques: [PK, unique('t_u', ['u']), unique('t_at', ['at']), unique('t_n', ['n'])] },
          { n: { exact: false } },
        ),
      ],
    })
    expect(codes(outcome)).toEqual(['duplicates', 'duplicates', 'duplicates'])
  })
})

test('rows that are there already, rights, keys of a type with many spellings', async () => {
  const source = ['CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)', `INSERT INTO t VALUES ('a', 1)`]
  const facts = { empty: false, rows: 3, uniques: [PK], rowSecurity: true }
  const given = {
    source,
    targets: [
      target('t', { id: 'citext!', n: 'bigint' }, facts, { id: { exact: false }, n: { writable: false } }),
    ],
  }
  const outcome = await plan(given)
  expect(codes(outcome)).toEqual(['key_type: id', 'target_not_empty', 'target_rights', 'target_row_security'])
  expect(finding(outcome, 'target_not_empty').count).toBe(3)
  const agreed = await plan({ ...given, tables: { t: { existing_rows: 'delete', key: 'rowid' } } })
  expect(codes(agreed)).toEqual(['target_rights', 'target_row_security'])
  expect(specOf(agreed, 't')).toMatchObject({ emptied: true, key: { kind: 'rowid' } })
  const theirs = await plan({
    source,
    targets: [target('t', { id: 'text!', n: 'bigint' }, { mine: false, owner: 'boss', uniques: [PK] })],
  })
  expect(codes(theirs)).toEqual(['target_owner'])
})

test('everything that blocks is refused in one failure, with what to do', async () => {
  const { findings } = await plan({
    source: one('a TEXT, b INTEGER', `NULL, 70000`),
    targets: [
      target('t', { id: 'bigint!', a: 'text!', b: 'smallint' }, { uniques: [PK], empty: false, rows: 1 }),
    ],
  })
  expect(() => refuseBlocked(findings, 'app')).toThrow(
    expect.objectContaining({
      code: 'plan_refused',
      exit: 3,
      message: expect.stringMatching(/NOT NULL.*cannot hold 1 value of t\.b.*holds 1 row already/s),
    }),
  )
  expect(() =>
    refuseBlocked(
      findings.filter(({ severity }) => severity !== 'blocks'),
      'app',
    ),
  ).not.toThrow()
})
