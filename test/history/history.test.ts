import { describe, expect, test } from 'vitest'
import { pruneHistory, readChanges, resetHistory } from '../../src/postgres/history.ts'
import { type Change, MIGRATION, spec, TargetSide } from './target-side.ts'

const NOTES = spec('notes', { id: 'bigint', body: 'text' })
const NOTES_DDL = 'CREATE TABLE notes (id bigint PRIMARY KEY, body text)'

const changes = (side: TargetSide, after = '0', limit = 1000) =>
  readChanges(side.connection, MIGRATION, after, limit, true)

describe('what is noted', () => {
  test('images as text, exactly; the target’s own columns with the old row; generated ones never', async () => {
    const types = {
      'the "key"': 'text',
      real: 'double precision',
      exact: 'numeric',
      blob: 'bytea',
      raw: 'json',
      parsed: 'jsonb',
      moment: 'timestamp with time zone',
      flag: 'boolean',
      padded: 'character(5)',
      mood: 'mood',
      list: 'text[]',
      big: 'bigint',
    }
    const table = spec('all kinds', types)
    await using side = await TargetSide.create(
      `CREATE TYPE mood AS ENUM ('fine', 'it''s bad');
       CREATE TABLE "all kinds" ("the ""key""" text PRIMARY KEY, real float8, exact numeric, blob bytea, raw json,
         parsed jsonb, moment timestamptz, flag boolean, padded char(5), mood mood, list text[], big bigint,
         extra text DEFAULT 'kept', computed text GENERATED ALWAYS AS (upper(extra)) STORED)`,
      [table],
    )
    const key = String.raw`ключ\t\\N`
    const row = (real: string) =>
      [
        key,
        real,
        '1.10',
        String.raw`\\x00ff`,
        '{ "b":1,  "a" : 0.10 }',
        '{"a": 1.0, "b": [null]}',
        '2024-02-29 23:59:59.123456+00',
        't',
        'ab',
        "it's bad",
        String.raw`{"a,b",NULL,"\\"q\\""}`,
        '9223372036854775807',
      ].join('\t')
    await side.apply([{ table, rows: [row('5e-324')] }])
    await side.apply([{ table, rows: [row('0.30000000000000004')] }])
    await side.apply([{ table, gone: [key] }])
    const image = {
      'the "key"': 'ключ\t\\N',
      exact: '1.10',
      blob: '\\x00ff',
      raw: '{ "b":1,  "a" : 0.10 }',
      parsed: '{"a": 1.0, "b": [null]}',
      moment: '2024-02-29 23:59:59.123456+00',
      flag: 'true',
      padded: 'ab',
      mood: "it's bad",
      list: '{"a,b",NULL,"\\"q\\""}',
      big: '9223372036854775807',
    }
    const first = { ...image, real: '5e-324' }
    const second = { ...image, real: '0.30000000000000004' }
    const report = await changes(side)
    expect(report).toMatchObject({ history: 'on', next: null })
    expect(
      report.changes.map(({ op, position, before, after }) => ({ op, position, before, after })),
    ).toEqual([
      { op: 'insert', position: 10, before: null, after: first },
      {
        op: 'update',
        position: 20,
        before: { ...first, extra: 'kept' },
        after: { ...second, extra: 'kept' },
      },
      { op: 'delete', position: 30, before: { ...second, extra: 'kept' }, after: null },
    ])
    expect(new Set(report.changes.map((change) => JSON.stringify(change.key)))).toEqual(
      new Set([JSON.stringify({ 'the "key"': 'ключ\t\\N' })]),
    )
    expect(
      report.changes.every((change) => change.table === 'all kinds' && change.direction === 'forward'),
    ).toBe(true)
  })

  test('no change: an equal row, an unknown key', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\ta', '2\t\\N'] }])
    await side.apply([{ table: NOTES, rows: ['1\ta', '2\t\\N'], gone: ['77'] }])
    expect((await changes(side)).changes).toHaveLength(2)
    // Bytes decide: what a type calls equal may be another text.
    const table = spec('amounts', { id: 'bigint', amount: 'numeric', document: 'json' })
    await side.sql('CREATE TABLE amounts (id bigint PRIMARY KEY, amount numeric, document json)')
    await side.apply([{ table, rows: ['1\t1.0\t{"a":1}'] }])
    await side.apply([{ table, rows: ['1\t1.00\t{"a":1}'] }])
    await side.apply([{ table, rows: ['1\t1.00\t{"a": 1}'] }])
    await side.apply([{ table, rows: ['1\t1.00\t{"a": 1}'] }])
    expect((await changes(side, '2')).changes.map((change) => change.after)).toEqual([
      { id: '1', amount: '1.0', document: '{"a":1}' },
      { id: '1', amount: '1.00', document: '{"a":1}' },
      { id: '1', amount: '1.00', document: '{"a": 1}' },
    ])
  })

  test('a row that is set aside is noted as gone, and its refused image nowhere', async () => {
    await using side = await TargetSide.create(`${NOTES_DDL}; ALTER TABLE notes ADD CHECK (body <> 'no')`, [
      NOTES,
    ])
    await side.apply([{ table: NOTES, rows: ['1\ta'] }])
    await side.apply([{ table: NOTES, rows: ['2\tb', '1\tno'] }])
    const noted = (await changes(side)).changes.slice(1)
    expect(noted.map(({ op, key }) => `${op} ${key.id}`).sort()).toEqual(['delete 1', 'insert 2'])
    expect(JSON.stringify(noted)).not.toContain('"no"')
  })

  test('values that two rows exchange', async () => {
    const table = spec('swaps', { id: 'bigint', name: 'text' })
    await using side = await TargetSide.create(
      'CREATE TABLE swaps (id bigint PRIMARY KEY, name text UNIQUE)',
      [table],
    )
    await side.apply([{ table, rows: ['1\ta', '2\tb'] }])
    const before = await side.state()
    const position = await side.apply([{ table, rows: ['1\tb', '2\ta'] }])
    expect((await changes(side, '2')).changes.map((change) => change.op)).toEqual(['update', 'update'])
    await side.rebuild(position - 1n, 'past')
    expect(await side.state('past')).toEqual(before)
  })

  test('a row that is too large has no images, and ends the way back', async () => {
    const table = spec('files', { id: 'bigint', body: 'bytea' })
    await using side = await TargetSide.create('CREATE TABLE files (id bigint PRIMARY KEY, body bytea)', [
      table,
    ])
    await side.apply([{ table, rows: ['1\t\\\\x00'] }])
    await side.apply([{ table, rows: [`1\t\\\\x${'ab'.repeat(33 * 1024 * 1024)}`] }])
    expect(await side.floor()).toBe('0')
    await side.apply([{ table, rows: ['1\t\\\\x01'] }])
    expect(await side.floor()).toBe('30')
    const { changes: entries } = await changes(side)
    expect(entries.map(({ op, before, after }) => [op, before, after])).toEqual([
      ['insert', null, { id: '1', body: '\\x00' }],
      ['update', { id: '1', body: '\\x00' }, null],
      ['update', null, { id: '1', body: '\\x01' }],
    ])
    await expect(side.rebuild(20n, 'past')).rejects.toMatchObject({ code: 'replay_out_of_reach' })
  })
})

describe('the floor', () => {
  test('begins with the first batch in phase replicating', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.sql(`UPDATE slipway.control SET phase = 'catching_up'`)
    await side.apply([{ table: NOTES, rows: ['1\ta'] }])
    expect(await side.floor()).toBeNull()
    await expect(side.rebuild('latest', 'past')).rejects.toMatchObject({ code: 'replay_too_early' })
    await side.sql(`UPDATE slipway.control SET phase = 'replicating'`)
    await side.apply([{ table: NOTES, rows: ['1\tb'] }])
    expect(await side.floor()).toBe('10')
    await side.rebuild(10n, 'past')
    expect(await side.state('past')).toEqual({ notes: ['(1,a)'] })
    await expect(side.rebuild(9n, 'earlier')).rejects.toMatchObject({
      code: 'replay_out_of_reach',
      facts: { from: '10', to: '20' },
    })
    await expect(side.rebuild(21n, 'later')).rejects.toMatchObject({ code: 'replay_out_of_reach' })
  })

  test('ends with a batch that is applied without history, and begins anew', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\ta'] }])
    await side.apply([{ table: NOTES, rows: ['1\tunseen'] }], { history: false })
    expect(await side.floor()).toBeNull()
    await expect(side.rebuild(10n, 'past')).rejects.toThrow(/only 20/)
    await side.apply([{ table: NOTES, rows: ['1\tb'] }])
    expect(await side.floor()).toBe('20')
    // The entries of before stay as a log, and lead nowhere.
    expect((await changes(side)).changes).toHaveLength(2)
    await side.rebuild(20n, 'past')
    expect(await side.state('past')).toEqual({ notes: ['(1,unseen)'] })
  })

  test('after a reset positions may begin anew: older entries of higher positions are not undone', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\told'] }], { step: 1000n })
    await side.apply([{ table: NOTES, rows: ['1\tolder'] }], { step: 1000n })
    await side.connection.transaction((client) => resetHistory(client, MIGRATION))
    await side.sql('UPDATE slipway.history SET position = position + 100000')
    const { tables } = await side.rebuild('latest', 'present')
    expect(tables).toEqual([{ table: 'notes', target: 'notes', rows: 1 }])
    expect(await side.state('present')).toEqual({ notes: ['(1,older)'] })
    await side.apply([{ table: NOTES, rows: ['1\tnew'] }])
    await side.apply([{ table: NOTES, rows: ['1\tnewer'] }])
    await side.rebuild(2010n, 'past')
    expect(await side.state('past')).toEqual({ notes: ['(1,new)'] })
  })

  test('is not made by retention', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\ta'] }])
    await side.sql('UPDATE slipway.control SET history_from = NULL')
    expect(await pruneHistory(side.connection, MIGRATION, 0)).toBe(1)
    expect(await side.floor()).toBeNull()
  })

  test('rises with retention', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    for (let value = 1; value <= 6; value++)
      await side.apply([{ table: NOTES, rows: [`1\t${value}`, `${10 + value}\tx`] }])
    expect(await pruneHistory(side.connection, MIGRATION, 3600)).toBe(0)
    expect(await side.floor()).toBe('0')
    await side.sql(`UPDATE slipway.history SET at = at - interval '2 hours' WHERE position <= 30`)
    expect(await pruneHistory(side.connection, MIGRATION, 3600)).toBe(6)
    expect(await side.floor()).toBe('30')
    await expect(side.rebuild(29n, 'past')).rejects.toThrow(
      /position 29 is before the history.*from 30 .* to 60/,
    )
    await side.rebuild(30n, 'past')
    expect(await side.state('past')).toEqual({ notes: ['(1,3)', '(11,x)', '(12,x)', '(13,x)'] })
    // A time is found from there on as well, and none before.
    const [now] = await side.sql<{ at: string }>(
      `SELECT (history_since + interval '1 minute')::text AS at FROM slipway.control`,
    )
    expect((await side.rebuild(now!.at, 'then')).position).toBe(30n)
    await expect(side.rebuild('2020-01-01T00:00:00Z', 'never')).rejects.toMatchObject({
      code: 'replay_out_of_reach',
    })
  })

  test('retention goes in steps', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    const rows = (value: string) => Array.from({ length: 4000 }, (_, index) => `${index}\t${value}`)
    for (const value of ['a', 'b', 'c']) await side.apply([{ table: NOTES, rows: rows(value) }])
    await side.sql(`UPDATE slipway.history SET at = at - interval '2 hours' WHERE position <= 20`)
    expect(await pruneHistory(side.connection, MIGRATION, 3600)).toBe(8000)
    expect(await side.floor()).toBe('20')
    const { tables } = await side.rebuild(20n, 'past')
    expect(tables).toEqual([{ table: 'notes', target: 'notes', rows: 4000 }])
    expect(new Set((await side.state('past')).notes!.map((row) => row.split(',')[1]))).toEqual(
      new Set(['b)']),
    )
  })
})

describe('pages of changes', () => {
  test('by number', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\ta', '2\tb', '3\tc', '4\td', '5\te'] }])
    const seen: string[] = []
    let pages = 0
    for (let after: number | string | null = 0; after !== null; pages++) {
      const page = await changes(side, String(after), 2)
      expect(page.changes.length).toBeLessThanOrEqual(2)
      seen.push(...page.changes.map((change) => change.key.id!))
      after = page.next
    }
    expect(pages).toBe(3)
    expect(seen.toSorted()).toEqual(['1', '2', '3', '4', '5'])
    expect(await changes(side, '999')).toMatchObject({ changes: [], next: null })
    await expect(changes(side, 'x; DROP')).rejects.toMatchObject({ code: 'bad_request', status: 400 })
  })

  test('by weight: an answer of large rows is short', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    const rows = Array.from({ length: 20 }, (_, index) => `${index}\t${'x'.repeat(1024 * 1024)}`)
    await side.apply([{ table: NOTES, rows }])
    const page = await changes(side)
    expect(page.changes.length).toBeGreaterThan(5)
    expect(page.changes.length).toBeLessThan(12)
    expect(page.next).toBe(page.changes.at(-1)!.id)
  })
})

describe('a past state', () => {
  test('of any position, after random batches over every kind of key', { timeout: 60_000 }, async () => {
    const one = spec('one', { id: 'bigint', a: 'text', b: 'double precision' })
    const two = spec('two', { x: 'integer', 'the y': 'text', v: 'bytea' }, { keys: 2 })
    const sorted = spec('sorted', { name: 'text', n: 'numeric(10,2)' })
    const money = spec('money', { id: 'numeric', note: 'character varying(5)' })
    await using side = await TargetSide.create(
      `CREATE TABLE one (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, b float8, extra int DEFAULT 7,
         twice text GENERATED ALWAYS AS (a || a) STORED);
       CREATE TABLE two (x int, "the y" text, v bytea, PRIMARY KEY (x, "the y"));
       CREATE TABLE sorted (name text COLLATE "C" PRIMARY KEY, n numeric(10,2));
       CREATE SEQUENCE counter; CREATE TABLE money (id numeric PRIMARY KEY, note varchar(5) DEFAULT 'x',
         serial int DEFAULT nextval('counter'))`,
      [one, two, sorted, money],
    )
    let seed = 42
    const random = (limit: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * limit)
    }
    const some = (keys: readonly string[], row: (key: string) => string): Pick<Change, 'gone' | 'rows'> => {
      const touched = keys.filter(() => random(3) === 0)
      const gone = touched.filter(() => random(3) === 0)
      return { gone, rows: touched.filter((key) => !gone.includes(key)).map(row) }
    }
    const numbers = Array.from({ length: 12 }, (_, index) => String(index))
    const states: { position: bigint; state: Record<string, string[]> }[] = []
    for (let round = 0; round < 25; round++) {
      const value = () => String(random(4))
      const position = await side.apply([
        {
          table: one,
          ...some(numbers, (key) => `${key}\tтекст ${value()}\t${['0.1', '-0', '1e300', '\\N'][random(4)]}`),
        },
        {
          table: two,
          ...some(
            numbers.map((key) => `${key}\ty ${key}`),
            (key) => `${key}\t\\\\x0${value()}`,
          ),
        },
        { table: sorted, ...some(['Ä', 'a', 'A', 'ä', ''], (key) => `${key}\t${value()}.50`) },
        { table: money, ...some(['1', '2.50', '3'], (key) => `${key}\tn${value()}`) },
      ])
      // Something that the target's owner did is part of the state too.
      if (round % 5 === 0) await side.sql('UPDATE one SET extra = extra')
      states.push({ position, state: await side.state() })
    }
    for (const [index, { position, state }] of states.entries()) {
      const rebuilt = await side.rebuild(position, `past ${index}`)
      expect(rebuilt.position).toBe(position)
      expect(await side.state(`past ${index}`), `position ${position}`).toEqual(state)
      // Between two batches the earlier one is what the target showed.
      if (index % 8 === 1) {
        const between = await side.rebuild(position + 5n, `between ${index}`)
        expect(between.batch).toBe(position)
        expect(await side.state(`between ${index}`)).toEqual(state)
      }
    }
    expect(new Set(states.map(({ state }) => JSON.stringify(state))).size).toBeGreaterThan(15)

    // Primary keys are there; nothing ties the past to the present.
    const keys = await side.sql(
      `SELECT 1 FROM pg_constraint WHERE contype = 'p' AND connamespace = '"past 0"'::regnamespace`,
    )
    expect(keys).toHaveLength(4)
    await side.sql('DROP TABLE public.one, public.two, public.sorted, public.money; DROP SEQUENCE counter')
  })

  test('is refused in a schema that is taken', async () => {
    await using side = await TargetSide.create(NOTES_DDL, [NOTES])
    await side.apply([{ table: NOTES, rows: ['1\ta'] }])
    for (const into of ['public', 'slipway', 'pg_mine', 'information_schema', '', 'x'.repeat(64)])
      await expect(side.rebuild('latest', into), into).rejects.toMatchObject({
        code: 'replay_schema',
        exit: 2,
      })
    await side.sql('CREATE SCHEMA filled; CREATE TABLE filled.t (); CREATE SCHEMA empty')
    await expect(side.rebuild('latest', 'filled')).rejects.toThrow(/not empty/)
    await side.rebuild('latest', 'empty')
    expect(await side.state('empty')).toEqual({ notes: ['(1,a)'] })
    // What failed left nothing behind.
    await expect(side.rebuild(99n, 'never')).rejects.toThrow(/not applied yet/)
    expect(await side.sql(`SELECT 1 FROM pg_namespace WHERE nspname = 'never'`)).toEqual([])
  })
})
