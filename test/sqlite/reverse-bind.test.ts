/** What SQLite is given for a value of PostgreSQL: the value comes back as it was, or it is a misfit. */
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { affinityOf } from '../../src/core/codec/decode.ts'
import { copyField } from '../../src/core/codec.ts'
import { encodeKey } from '../../src/core/key.ts'
import type { ColumnRule } from '../../src/core/table.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'
import { bindValue, keepsClass, keyParts } from '../../src/sqlite/reverse-bind.ts'

const database = new Database(':memory:')
database.defaultSafeIntegers(true)
registerFunctions(database)
afterAll(() => database.close())

const TYPES = ['', 'TEXT', 'INTEGER', 'REAL', 'NUMERIC', 'BLOB']

function kept(declared: string, value: unknown): string {
  database.exec(`DROP TABLE IF EXISTS v; CREATE TABLE v (x ${declared})`)
  database.prepare('INSERT INTO v VALUES (?)').run(value)
  return declared
}

/** What goes to PostgreSQL again; null for a misfit. */
function image(rule: ColumnRule): string | null {
  return database
    .prepare(`SELECT ${copyField(rule, 'v.x')} FROM v`)
    .pluck()
    .get() as string | null
}

const looksLikeANumber = fc.oneof(
  fc.constantFrom(
    '7',
    '007',
    '-0',
    '+5',
    ' 5',
    '5 ',
    '1.50',
    '1.5',
    '.5',
    '5.',
    '1e3',
    '1E+3',
    '9223372036854775808',
    '0x10',
    '1_000',
    '',
    '-',
    '1e400',
    '0.00001',
    '100000000000000000000.5',
  ),
  fc.double().map(String),
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String),
  fc.string({ unit: fc.constantFrom('0', '1', '9', '.', 'e', '-', '+', ' ', 'x'), maxLength: 8 }),
)

test.each(TYPES)('a text in a column of type "%s"', (declared) => {
  fc.assert(
    fc.property(
      looksLikeANumber,
      fc.constantFrom('text', 'character varying(30)', 'citext'),
      (text, type) => {
        const value = bindValue({ type }, text, affinityOf(declared))
        if (value === undefined) expect(declared).toMatch(/INTEGER|REAL|NUMERIC/)
        else {
          kept(declared, value)
          expect(image({ type })).toBe(text)
        }
      },
    ),
    { numRuns: 600 },
  )
})

test('texts that are no numbers, and whole numbers, go into columns of numbers as they are', () => {
  for (const text of ['x', '7x', '2024-01-01', '1,5', 'Infinity']) {
    for (const declared of TYPES) expect(bindValue({ type: 'text' }, text, affinityOf(declared))).toBe(text)
  }
  expect(bindValue({ type: 'text' }, '7', 'INTEGER')).toBe('7')
  expect(bindValue({ type: 'text' }, '1.5', 'NUMERIC')).toBe('1.5')
  expect(bindValue({ type: 'text' }, '007', 'NUMERIC')).toBeUndefined()
})

test('numbers', () => {
  expect(bindValue({ type: 'bigint' }, '5', 'TEXT')).toBeUndefined()
  expect(bindValue({ type: 'double precision' }, '0.5', 'TEXT')).toBeUndefined()
  expect(bindValue({ type: 'numeric' }, '1.50', 'TEXT')).toBe('1.50')
  expect(bindValue({ type: 'numeric' }, '9007199254740993', 'REAL')).toBeUndefined()
  expect(bindValue({ type: 'numeric' }, '9007199254740992', 'REAL')).toBe(9007199254740992n)
  expect(
    bindValue({ type: 'uuid', codec: 'hex' }, '12345678901234567890123456789012', 'NUMERIC'),
  ).toBeUndefined()
})

test('a key keeps its class in the column, or it is no key of it', () => {
  const value = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.double({ noNaN: true }),
    fc.integer().map(Number),
    looksLikeANumber,
    fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(value, fc.constantFrom(...TYPES), (key, declared) => {
      const [part] = keyParts(encodeKey([key]))
      if (part === undefined) throw new Error('no key')
      kept(declared, key)
      const found = database.prepare('SELECT x FROM v').pluck().get() as typeof key
      const same = Buffer.isBuffer(key) ? key.equals(found as Buffer) : found === key
      if (keepsClass(part, affinityOf(declared)))
        expect([declared, key, found, same]).toEqual([declared, key, found, true])
    }),
    { numRuns: 2_000 },
  )
})
