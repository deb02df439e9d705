import { describe, expect, test } from 'vitest'
import {
  detectFormat,
  formatMatches,
  formatOf,
  parseFormat,
  takesFormat,
} from '../../src/core/codec/formats.ts'
import type { ColumnRule } from '../../src/core/table.ts'

describe('a format is what a time looks like', () => {
  const cases: [string, string | undefined][] = [
    ['2024-02-29', 'YYYY-MM-DD'],
    ['2024-02-30', 'YYYY-MM-DD'],
    ['23:59', 'HH:MM'],
    ['23:59:59.5', 'HH:MM:SS.S'],
    ['2024-02-29 23:59', 'YYYY-MM-DD HH:MM'],
    ['2024-02-29T23:59:59.123Z', 'YYYY-MM-DDTHH:MM:SS.SSSZ'],
    ['2024-02-29 23:59:59.123456+03:00', 'YYYY-MM-DD HH:MM:SS.SSSSSS+HH:MM'],
    ['2024-02-29 23:59:59 -0300', 'YYYY-MM-DD HH:MM:SS +HHMM'],
    ['2024-02-29T23:59:59+03', 'YYYY-MM-DDTHH:MM:SS+HH'],
    ['2024-02-29T23:59:59.123456789Z', 'YYYY-MM-DDTHH:MM:SS.SSSSSSSSSZ'],
    ['2024-02-29T', undefined],
    ['T23:59', undefined],
    ['23:59Z', undefined],
    ['2024-02-29 23:59:59,5', undefined],
    ['24-02-29', undefined],
    ['now', undefined],
    ['', undefined],
    ['1700000000', undefined],
  ]
  test.each(cases)('%s', (text, format) => {
    expect(detectFormat(text)).toBe(format)
    if (format !== undefined) {
      expect(parseFormat(format)).toBeDefined()
      expect(formatMatches(format, text)).toBe(true)
    }
  })

  test('a fraction in brackets may be missing', () => {
    const format = 'YYYY-MM-DD HH:MM:SS[.SSSSSS]+HH:MM'
    expect(formatMatches(format, '2024-02-29 23:59:59+00:00')).toBe(true)
    expect(formatMatches(format, '2024-02-29 23:59:59.000001+00:00')).toBe(true)
    expect(formatMatches(format, '2024-02-29 23:59:59.001+00:00')).toBe(false)
    expect(formatMatches(format, '2024-02-29 23:59:59.000001')).toBe(false)
  })

  test.each([
    '',
    'YYYY',
    'YYYY-MM-DD-HH:MM',
    'HH:MM.SSS',
    'YYYY-MM-DD HH:MM:SS.',
    'DD.MM.YYYY',
    'YYYY-MM-DDZ',
    "HH:MM'",
  ])('"%s" is none', (format) => expect(parseFormat(format)).toBeUndefined())
})

describe('a rule takes the formats that say something for it', () => {
  const cases: [ColumnRule, string, boolean][] = [
    [{ type: 'date' }, 'YYYY-MM-DD', true],
    [{ type: 'date' }, 'YYYY-MM-DD HH:MM', false],
    [{ type: 'time without time zone' }, 'HH:MM', true],
    [{ type: 'timestamp without time zone' }, 'YYYY-MM-DDTHH:MM:SS', true],
    [{ type: 'timestamp without time zone' }, 'YYYY-MM-DDTHH:MM:SSZ', false],
    [{ type: 'timestamp(3) with time zone' }, 'YYYY-MM-DDTHH:MM:SSZ', true],
    [{ type: 'timestamp with time zone', codec: 'epoch_s' }, 'YYYY-MM-DD', false],
    [{ type: 'timestamp with time zone', codec: 'epoch_s' }, 'real', true],
    [{ type: 'uuid' }, 'upper', true],
    [{ type: 'text' }, 'upper', false],
    [{ type: 'boolean', codec: 'words' }, 't/f', true],
    [{ type: 'boolean', codec: 'words' }, 't/t', false],
    [{ type: 'boolean' }, 't/f', false],
  ]
  test.each(cases)('%o, %s', (rule, format, takes) => expect(takesFormat(rule, format)).toBe(takes))
})

test('the format of a text depends on the rule', () => {
  expect(formatOf({ type: 'uuid' }, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')).toBe('upper')
  expect(formatOf({ type: 'bytea', codec: 'hex' }, '00ff')).toBe('lower')
  expect(formatOf({ type: 'boolean', codec: 'words' }, 'TRUE')).toBe('TRUE/FALSE')
  expect(formatOf({ type: 'boolean', codec: 'words' }, 'No')).toBe('Yes/No')
  expect(formatOf({ type: 'date' }, '2024-02-29')).toBe('YYYY-MM-DD')
  expect(formatOf({ type: 'date' }, '2024-02-29 10:00')).toBeUndefined()
  expect(formatOf({ type: 'text' }, '2024-02-29')).toBeUndefined()
})
