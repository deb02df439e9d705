import { expect, test } from 'vitest'
import { assess } from '../support/assess.ts'
import { buildEverything, EVERYTHING_TABLES, LONG_COLUMNS, LONG_TABLE } from '../support/everything.ts'
import { Scenario } from '../support/scenario.ts'

// Every misfit is named, and nothing else is.

test('a database with everything at once', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({})
  await buildEverything(scenario.path)
  const before = await scenario.write(['PRAGMA schema_version', 'PRAGMA journal_mode'])

  const { result, assessment, serious, find } = await assess(scenario)
  expect(result.code, result.stderr).toBe(3)
  expect(assessment.tables.map(({ table }) => table).toSorted()).toEqual(EVERYTHING_TABLES.toSorted())
  expect(serious).toEqual(
    [
      // Names that PostgreSQL cannot keep.
      `warns renamed ${LONG_TABLE}`,
      `warns renamed ${LONG_TABLE}.${LONG_COLUMNS[0]}`,
      `warns renamed ${LONG_TABLE}.${LONG_COLUMNS[1]}`,
      'warns renamed system_columns.ctid',
      'warns renamed system_columns.xmin',
      'warns renamed system_columns.tableoid',
      // Keys.
      'warns hidden_key key_kinds',
      'warns hidden_key key_none',
      'warns hidden_key key_null',
      // Their primary keys are no keys in the target.
      'warns index_left_out key_kinds',
      'warns index_left_out key_null',
      'warns widened key_kinds.k',
      // Values.
      'blocks text_invalid_utf8 strict_all.t',
      'blocks text_invalid_utf8 texts.invalid',
      'blocks text_invalid_utf8 texts.surrogate',
      'blocks text_nul texts.nul',
      'warns widened dates.broken',
      'warns widened dates.mixed',
      'warns widened defaults.no',
      'warns widened flags.wild',
      'warns widened kinds.free',
      'warns widened kinds.money',
      'warns widened kinds.whole',
      'warns widened kinds.words',
      'warns widened strict_all.a',
      // Foreign keys.
      'warns foreign_key_orphans eggs.hen',
      'warns foreign_key_orphans hens.egg',
      // Parts of the schema that stay behind: random() is another function there.
      'warns default_left_out defaults.chance',
      'warns collation_differs indexed.name',
      'warns collation_differs indexed.padded',
      'warns triggers_left_out audited',
      'warns view_left_behind live_names',
      'warns virtual_table search',
    ].toSorted(),
  )
  // With the places, so that a person finds the rows.
  expect(find('text_nul')).toMatchObject({ count: 2, examples: ['id=2', 'id=4'] })
  expect(find('text_invalid_utf8', 'texts', 'surrogate')).toMatchObject({ count: 2 })
  expect(find('hidden_key', 'key_null')?.message).toContain('its key holds NULL')
  expect(find('widened', 'dates', 'broken')?.message).toContain(
    '1 empty text, 1 date 0000-00-00, 1 date or time that does not exist, 1 word that PostgreSQL reads as a time and 1 time with more than six digits',
  )
  expect(find('foreign_key_orphans', 'hens')).toMatchObject({ count: 1, examples: ['id=3'] })
  expect(find('bookkeeping_left_behind')).toMatchObject({ severity: 'info', table: 'alembic_version' })
  expect(assessment.findings.every(({ severity, remedy }) => severity === 'info' || remedy)).toBe(true)
  expect(assessment.sentence).toBe('Moves in about 3 s; 4 columns need a decision.')

  // Reads only.
  expect(await scenario.write(['PRAGMA schema_version', 'PRAGMA journal_mode'])).toMatchObject(
    before.map(({ rows }) => ({ rows })),
  )
  expect(await scenario.postgres(`SELECT 1 FROM pg_namespace WHERE nspname = 'slipway'`)).toEqual([])
  expect(await scenario.postgres(`SELECT 1 FROM pg_tables WHERE schemaname = 'public'`)).toEqual([])
})

test('counts of every kind of value', { timeout: 60_000 }, async () => {
  await using scenario = await Scenario.prepare({})
  await buildEverything(scenario.path)
  const { assessment } = await assess(scenario)
  const counts = (table: string, column: string) =>
    assessment.tables.find((each) => each.table === table)?.columns.find((each) => each.column === column)
  expect(counts('numbers', 'i')).toMatchObject({
    min: '-9223372036854775808',
    max: '9223372036854775807',
    counts: { integer: 6, int16: 2, int32: 1, int64: 3, zero_or_one: 1 },
  })
  expect(counts('numbers', 'r')).toMatchObject({ counts: { real: 6, infinity: 2 }, max: 'Infinity' })
  expect(counts('dates', 'zoned')).toMatchObject({ counts: { text: 2, iso_zoned: 2, null: 4 } })
  expect(counts('dates', 'epoch')).toMatchObject({ counts: { epoch_s: 1, zero_or_one: 1 } })
  expect(counts('dates', 'millis')).toMatchObject({ counts: { epoch_ms: 1, zero_or_one: 1 } })
  expect(counts('dates', 'julian')).toMatchObject({ counts: { julian: 2 } })
  expect(counts('dates', 'day')).toMatchObject({ counts: { iso_date: 2 } })
  expect(counts('flags', 'wild')).toMatchObject({ counts: { zero_or_one: 2, boolean_word: 2, int16: 3 } })
  expect(counts('kinds', 'uuid')).toMatchObject({ counts: { uuid: 1, hex32: 1, empty: 1 } })
  expect(counts('texts', 'json')).toMatchObject({ counts: { text: 3, json: 2, json_nul: 1 } })
  expect(counts('large', 'bytes')).toMatchObject({ counts: { blob: 2, blob16: 1 }, longestBytes: 10_000_000 })
  expect(counts('large', 'words')).toMatchObject({ counts: { text: 2 }, longestBytes: 10_000_000 })
  expect(assessment.tables.find(({ table }) => table === 'wide')?.columns).toHaveLength(200)
})

test('the plan that it proposes is one that a snapshot goes through with', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.prepare({})
  await buildEverything(scenario.path)
  expect((await assess(scenario, ['--write-plan'])).result.code).toBe(3)

  const again = await assess(scenario)
  expect(again.result.code, again.serious.join('\n')).toBe(0)
  expect(again.find('text_nul')?.message).toContain('the plan says: type bytea')

  const copied = await scenario.slipway.mustRun(['snapshot'])
  expect(copied.stdout + copied.stderr).not.toContain('is planned again')
  const columns = await scenario.postgres(
    `SELECT table_name || '.' || column_name AS c FROM information_schema.columns
     WHERE table_schema = 'public' AND data_type = 'bytea' ORDER BY 1`,
  )
  // Declared so, or with BLOBs among the values, or with texts that are none.
  expect(columns.map(({ c }) => c)).toEqual([
    'defaults.bytes',
    'key_blob.k',
    'key_kinds.k',
    'kinds.free',
    'kinds.words',
    'large.bytes',
    'strict_all.b',
    'strict_all.t',
    'texts.invalid',
    'texts.nul',
    'texts.surrogate',
  ])

  await scenario.start()
  await scenario.write([
    `INSERT INTO texts VALUES (9, 'live', 'a' || char(0), CAST(x'ff' AS TEXT), 'x', NULL)`,
    `UPDATE flags SET wild = 'f' WHERE id = 1`,
  ])
  await scenario.daemon.caughtUp()
  const verified = await scenario.slipway.run(['verify', '--json'])
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
  expect(JSON.parse(verified.stdout)).toMatchObject({ mismatched: 0 })

  // Once it has begun, its own rows and tables are no obstacle.
  const after = await assess(scenario)
  expect(after.result.code, after.serious.join('\n')).toBe(0)
})
