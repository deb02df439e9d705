/** What no pragma tells: the parts of an index, and its expression read from a new row. */
import { describe, expect, test } from 'vitest'
import { decodeKey, encodeKey, type KeyValue } from '../../src/core/key.ts'
import type { SourceTable } from '../../src/core/source-schema.ts'
import { renderTemplate } from '../../src/core/template.ts'
import { ofNewRow } from '../../src/sqlite/capture-sql.ts'
import { splitIndexSql } from '../../src/sqlite/introspect.ts'

describe('splitIndexSql', () => {
  test.each([
    ['CREATE INDEX i ON t (a, b DESC)', ['a', 'b'], undefined],
    [
      'CREATE UNIQUE INDEX i ON t (lower(a), substr(b, 1, 2)) WHERE c > 0',
      ['lower(a)', 'substr(b, 1, 2)'],
      'c > 0',
    ],
    [`CREATE INDEX "i (x" ON "t, )" (a || ',)' COLLATE NOCASE)`, [`a || ',)'`], undefined],
    ['CREATE INDEX i ON t (a -- , )\n, b) WHERE a IS NOT NULL', ['a -- , )', 'b'], 'a IS NOT NULL'],
    ['CREATE INDEX i ON t (/* ( */ [a(b])', ['/* ( */ [a(b]'], undefined],
  ])('%s', (sql, parts, where) => {
    expect(splitIndexSql(sql)).toEqual({ parts, where })
  })
})

describe('ofNewRow', () => {
  const source = { columns: [{ name: 'Name' }, { name: 'lower' }, { name: 'a b' }] } as unknown as SourceTable
  test.each([
    ['lower(name)', 'lower(NEW."Name")'],
    [`name || 'name'`, `NEW."Name" || 'name'`],
    ['"a b" + [a b] + `a b`', 'NEW."a b" + NEW."a b" + NEW."a b"'],
    ['lower + lower (name)', 'NEW."lower" + lower (NEW."Name")'],
    ['other + 1e5', 'other + 1e5'],
  ])('%s', (expression, expected) => {
    expect(ofNewRow(expression, source)).toBe(expected)
  })
})

test('scan keys keep storage classes apart and come back as they were', () => {
  const keys: KeyValue[][] = [
    [1n],
    [1.5],
    ['1'],
    [Buffer.from('1')],
    [null, -9223372036854775808n, 'Привет "\\', Buffer.alloc(0)],
  ]
  const encoded = keys.map(encodeKey)
  expect(new Set(encoded).size).toBe(keys.length)
  expect(encoded.map(decodeKey)).toEqual(keys)
})

test('a template without a value for a name is refused', () => {
  expect(() => renderTemplate('SELECT {{missing}}', {})).toThrow('missing')
  expect([
    ...renderTemplate(
      '-- a comment\n-- statement: one\nSELECT {{x}}; -- why\n-- statement: two\nSELECT 2;\n',
      { x: '1' },
    ),
  ]).toEqual([
    ['one', 'SELECT 1'],
    ['two', 'SELECT 2'],
  ])
})
