/** The functions that codecs call, in each encoding that a database may have. */
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { copyField } from '../../src/core/codec.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'

const ENCODINGS = ['UTF-8', 'UTF-16le', 'UTF-16be'] as const

function open(encoding: (typeof ENCODINGS)[number]): Database.Database {
  const database = new Database(':memory:')
  database.pragma(`encoding = '${encoding}'`)
  database.exec('CREATE TABLE t (x)')
  registerFunctions(database)
  return database
}

/** A text of such bytes, which are no text to JavaScript. */
function put(database: Database.Database, hex: string): void {
  database.exec(`DELETE FROM t; INSERT INTO t VALUES (CAST(x'${hex}' AS TEXT))`)
}

function bytesOf(text: string, encoding: string): string {
  const bytes = Buffer.from(text, encoding === 'UTF-8' ? 'utf8' : 'utf16le')
  return (encoding === 'UTF-16be' ? bytes.swap16() : bytes).toString('hex')
}

describe.each(ENCODINGS)('%s', (encoding) => {
  const isText = (database: Database.Database): unknown =>
    database.prepare('SELECT slipway_is_text(CAST(x AS BLOB)) FROM t').pluck().get()

  test.each([
    ['plain', 1],
    ['Привет 🚀', 1],
    ['', 1],
    ['a\0b', 0],
    ['\0', 0],
  ])('whether %j is a text', (text, answer) => {
    using database = disposable(open(encoding))
    put(database.value, bytesOf(text, encoding))
    expect(isText(database.value)).toBe(answer)
  })

  test('NUL goes, and nothing else', () => {
    using database = disposable(open(encoding))
    put(database.value, bytesOf('a\0é\0🚀\u0100\0', encoding))
    const sql = copyField({ type: 'text', transforms: ['strip_nul'] }, 'x')
    expect(database.value.prepare(`SELECT ${sql} FROM t`).pluck().get()).toBe('aé🚀\u0100')
  })

  test('what is invalid becomes U+FFFD, also beside a NUL', () => {
    using database = disposable(open(encoding))
    const lone = encoding === 'UTF-8' ? 'ff' : encoding === 'UTF-16le' ? '00d8' : 'd800'
    put(database.value, bytesOf('a', encoding) + lone + bytesOf('\0b', encoding))
    expect(isText(database.value)).toBe(0)
    const sql = copyField({ type: 'text', transforms: ['replace_invalid_utf8', 'strip_nul'] }, 'x')
    expect(database.value.prepare(`SELECT ${sql} FROM t`).pluck().get()).toBe('a\ufffdb')
  })
})

test('NULL stays NULL, a number is no text of theirs', () => {
  using database = disposable(open('UTF-8'))
  const row = database.value
    .prepare(
      'SELECT slipway_is_text(NULL), slipway_strip_nul(NULL), slipway_valid_utf8(NULL), slipway_fround(NULL)',
    )
    .raw()
    .get()
  expect(row).toEqual([null, null, null, null])
})

describe('a time that clocks never showed', () => {
  const cases: [string, string, 0 | 1][] = [
    ['2024-03-10 01:59:59.999999', 'America/New_York', 1],
    ['2024-03-10 02:00', 'America/New_York', 0],
    ['2024-03-10T02:59:59', 'America/New_York', 0],
    ['2024-03-10 03:00:00', 'America/New_York', 1],
    ['2024-11-03 01:30:00', 'America/New_York', 1],
    ['2011-03-27 02:30:00', 'Europe/Moscow', 0],
    ['2014-10-26 01:30:00', 'Europe/Moscow', 1],
    ['2024-03-31 02:30:00', 'Europe/Moscow', 1],
    // A whole day was left out there.
    ['2011-12-30 12:00:00', 'Pacific/Apia', 0],
    ['2011-12-31 00:00:00', 'Pacific/Apia', 1],
    ['0001-01-01 00:00:00', 'Europe/Moscow', 1],
    ['2024-03-10 02:30:00', 'Unknown/Zone', 1],
  ]
  test.each(cases)('%s in %s: %i', (text, zone, exists) => {
    using database = disposable(open('UTF-8'))
    expect(database.value.prepare('SELECT slipway_local_exists(?, ?)').pluck().get(text, zone)).toBe(exists)
  })
})

function disposable(value: Database.Database): { value: Database.Database } & Disposable {
  return { value, [Symbol.dispose]: () => void value.close() }
}
