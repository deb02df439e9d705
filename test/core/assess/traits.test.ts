import { describe, expect, test } from 'vitest'
import type { Trait } from '../../../src/core/assess/facts.ts'
import { integerTraits, realTraits, textTraits } from '../../../src/core/assess/traits.ts'

function gather<T>(traits: (value: T, add: (trait: Trait) => void) => void, value: T): Trait[] {
  const found: Trait[] = []
  traits(value, (trait) => found.push(trait))
  return found
}

describe('integers', () => {
  const cases: [bigint, Trait[]][] = [
    [0n, ['int16', 'zero_or_one']],
    [1n, ['int16', 'zero_or_one']],
    [-32_768n, ['int16']],
    [32_768n, ['int32']],
    [-2_147_483_648n, ['int32']],
    [2_147_483_648n, ['int53', 'epoch_s']],
    [1_714_979_289n, ['int32', 'epoch_s']],
    [1_714_979_289_123n, ['int53', 'epoch_ms']],
    [9_007_199_254_740_992n, ['int53']],
    [9_007_199_254_740_993n, ['int64']],
    [-9_223_372_036_854_775_808n, ['int64']],
  ]
  test.for(cases)('%s', ([value, traits]) => {
    expect(gather(integerTraits, value)).toEqual(traits)
  })
})

describe('reals', () => {
  const cases: [number, Trait[]][] = [
    [0.5, []],
    [3, ['real_integral']],
    [1e20, ['real_integral']],
    [Number.POSITIVE_INFINITY, ['infinity']],
    [Number.NEGATIVE_INFINITY, ['infinity']],
    [5e-324, []],
    [2_460_436.5, ['julian']],
    [2_460_437, ['real_integral', 'julian']],
  ]
  test.for(cases)('%s', ([value, traits]) => {
    expect(gather(realTraits, value)).toEqual(traits)
  })
})

describe('texts', () => {
  const cases: [string, Trait[]][] = [
    ['', ['empty']],
    ['plain', []],
    ['a\0b', ['nul']],
    // Dates and times.
    ['2024-02-29', ['iso_date']],
    ['2023-02-29', ['odd_time']],
    ['1900-02-29', ['odd_time']],
    ['2000-02-29', ['iso_date']],
    ['2024-13-01', ['odd_time']],
    ['0000-00-00', ['zero_date']],
    ['0000-00-00 00:00:00', ['zero_date']],
    ['0000-01-01', ['odd_time']],
    ['2024-05-06 07:08', ['iso_naive']],
    ['2024-05-06T07:08:09.123456', ['iso_naive']],
    ['2024-05-06T07:08:09.1234567', ['iso_naive', 'long_fraction']],
    ['2024-05-06T07:08:09Z', ['iso_zoned']],
    ['2024-05-06 07:08:09+02', ['iso_zoned']],
    ['2024-05-06 07:08:09 -0530', ['iso_zoned']],
    ['2024-05-06 07:08:09.999999999+05:30', ['iso_zoned', 'long_fraction']],
    ['0001-01-01 00:00:00+00:00', ['iso_zoned']],
    ['2024-05-06 24:00:00', ['odd_time']],
    ['2024-05-06 23:59:60', ['odd_time']],
    ['12:30', ['iso_time']],
    ['12:30:01.5', ['iso_time']],
    ['24:00:00', ['odd_time']],
    ['06.05.2024', []],
    ['Mon, 06 May 2024 07:08:09 GMT', []],
    // PostgreSQL's words.
    ['now', ['magic_word']],
    [' Today ', ['magic_word']],
    ['-infinity', ['magic_word']],
    ['allballs', ['magic_word']],
    ['nowhere', []],
    // Numbers and booleans.
    ['1', ['decimal', 'boolean_word', 'json_scalar']],
    ['-12.50', ['decimal', 'json_scalar']],
    ['+.5', ['decimal']],
    ['007', ['decimal']],
    ['1e5', ['json_scalar']],
    ['12,50', []],
    ['T', ['boolean_word']],
    ['true', ['boolean_word', 'json_scalar']],
    ['off', ['boolean_word']],
    // Identifiers.
    ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', ['uuid']],
    ['A0EEBC999C0B4EF8BB6D6BB9BD380A11', ['hex32']],
    ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1', []],
    // JSON.
    ['{"a": 1}', ['json']],
    ['\n [1, 2]', ['json']],
    ['[1, 2', []],
    ['[link] text', []],
    ['"quoted"', ['json_scalar']],
    ['"quoted', []],
    ['{"a": "\\u0000"}', ['json', 'json_nul']],
    ['null', ['json_scalar']],
  ]
  test.for(cases)('%j', ([value, traits]) => {
    expect(gather(textTraits, value)).toEqual(traits)
  })
})
