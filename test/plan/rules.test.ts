import { describe, expect, test } from 'vitest'
import type { TableProfile } from '../../src/core/plan-profile.ts'
import { chooseRule, plausibleName, ruleName, rulesOf } from '../../src/core/plan-rules.ts'
import { canonicalType } from '../../src/core/type-names.ts'

const TIMESTAMPTZ = 'timestamp with time zone'

function profile(counts: Readonly<Record<string, number>>): TableProfile {
  return { columns: new Map([['c', new Map(Object.entries(counts))]]), nullKeys: false }
}

function chosen(type: string, counts: Readonly<Record<string, number>>) {
  return chooseRule(rulesOf({ type }, undefined).rules, 'c', profile(counts), ruleName)
}

const as = (codec: string): string => `${TIMESTAMPTZ} as ${codec}`

describe('the codec of a column of times', () => {
  const numbers = { values: 10, numbers: 10, [TIMESTAMPTZ]: 10, [as('julian')]: 10 }

  test('is what every value is written in', () => {
    expect(chosen(TIMESTAMPTZ, { values: 10 })).toEqual({ rule: { type: TIMESTAMPTZ }, misfits: 0 })
  })

  test.for(['epoch_s', 'epoch_ms', 'julian'] as const)(
    'is %s where only that gives plausible times',
    (codec) => {
      const { rule, misfits, unclear } = chosen(TIMESTAMPTZ, {
        ...numbers,
        [as('julian')]: 0,
        [plausibleName(codec)]: 4,
      })
      expect({ codec: rule.codec, misfits, unclear }).toEqual({ codec, misfits: 0, unclear: undefined })
    },
  )

  test('is never guessed where several or none are plausible', () => {
    const both = chosen(TIMESTAMPTZ, {
      ...numbers,
      [plausibleName('epoch_s')]: 4,
      [plausibleName('epoch_ms')]: 1,
    })
    expect(both.unclear).toMatch(/as epoch_s, others as epoch_ms/)
    expect(chosen(TIMESTAMPTZ, numbers).unclear).toMatch(/no way of counting/)
  })

  test('stays text where numbers are the exception', () => {
    const { rule, misfits, unclear } = chosen(TIMESTAMPTZ, {
      ...numbers,
      numbers: 2,
      [TIMESTAMPTZ]: 2,
      [as('epoch_s')]: 8,
    })
    expect({ rule, misfits, unclear }).toEqual({
      rule: { type: TIMESTAMPTZ },
      misfits: 2,
      unclear: undefined,
    })
  })

  test('is the one with the fewest misfits where texts and numbers are mixed', () => {
    const mixed = {
      values: 10,
      numbers: 9,
      [TIMESTAMPTZ]: 9,
      [as('epoch_s')]: 1,
      [plausibleName('epoch_s')]: 9,
    }
    expect(chosen(TIMESTAMPTZ, mixed)).toMatchObject({ rule: { codec: 'epoch_s' }, misfits: 1 })
  })
})

test('other codecs are chosen by their misfits, the type itself first', () => {
  expect(chosen('boolean', { values: 3 }).rule).toEqual({ type: 'boolean' })
  expect(chosen('boolean', { values: 3, boolean: 2 }).rule).toEqual({ type: 'boolean', codec: 'words' })
  expect(chosen('uuid', { uuid: 3, 'uuid as hex': 3 }).rule).toEqual({ type: 'uuid', codec: 'bytes' })
  expect(chosen('text[]', { 'text[] as json_array': 1 }).rule).toEqual({ type: 'text[]' })
  expect(chosen('integer', { integer: 4 })).toEqual({ rule: { type: 'integer' }, misfits: 4 })
})

test('the plan decides what it names, and labels and transforms go along', () => {
  const entry = { codec: 'epoch_ms', zone: 'Europe/Moscow', transforms: ['empty_as_null'] } as const
  expect(rulesOf({ type: TIMESTAMPTZ }, entry)).toEqual({ rules: [{ type: TIMESTAMPTZ, ...entry }] })
  expect(rulesOf({ type: 'mood', labels: ['sad'] }, undefined)).toEqual({
    rules: [{ type: 'mood', labels: ['sad'] }],
  })
  expect(rulesOf({ type: 'integer' }, { codec: 'epoch_s' })).toEqual({
    rules: [{ type: 'integer' }],
    problem: 'the codec epoch_s does not fill a integer',
  })
})

test.for([
  ['DECIMAL(10, 2)', 'numeric(10,2)'],
  ['numeric(5)', 'numeric(5,0)'],
  ['timestamptz', TIMESTAMPTZ],
  ['timestamp(3) with time zone', 'timestamp(3) with time zone'],
  ['Varchar(20)', 'character varying(20)'],
  ['int8[]', 'bigint[]'],
  ['double  precision', 'double precision'],
  ['"app"."Mood"', '"app"."Mood"'],
  ['mood', 'mood'],
] as const)("PostgreSQL's name of %s", ([given, name]) => {
  expect(canonicalType(given)).toBe(name)
})
