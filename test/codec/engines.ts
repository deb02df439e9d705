/**
 * Both engines for the codecs: values go from a column of SQLite through the codec into a column of PostgreSQL, and
 * back, many at once.
 */

import { pipeline } from 'node:stream/promises'
import Database from 'better-sqlite3'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { type Affinity, affinityOf, bindDecoded, decodeSql } from '../../src/core/codec/decode.ts'
import { formatOf } from '../../src/core/codec/formats.ts'
import { copyField } from '../../src/core/codec.ts'
import type { ColumnRule } from '../../src/core/table.ts'
import { SESSION } from '../../src/postgres/connection.ts'
import { registerFunctions } from '../../src/sqlite/functions.ts'
import { createDatabase } from '../support/postgres.ts'

/** `text`: bytes of a TEXT that JavaScript has no string for. */
export type Value = bigint | number | string | Buffer | { readonly text: Buffer }

/** A value as SQLite keeps it: its class, its bytes, and for a REAL its bits. */
export interface Stored {
  readonly type: string
  readonly bytes: string
  readonly value: unknown
}

/** What became of a value on its way to PostgreSQL and back. */
export interface Journey {
  readonly value: Value
  readonly stored: Stored
  readonly format: string | undefined
  /** Undefined: a misfit. */
  readonly copied: string | undefined
  /** As PostgreSQL writes it. */
  readonly target?: string
  /** Undefined: it could not come back. */
  readonly back?: Stored
  /** What PostgreSQL makes of what came back; undefined where that is a misfit. */
  readonly again?: string | undefined
}

export class Engines implements AsyncDisposable {
  readonly sqlite: Database.Database
  readonly postgres: pg.Client
  readonly #drop: () => Promise<void>

  private constructor(postgres: pg.Client, drop: () => Promise<void>) {
    this.postgres = postgres
    this.#drop = drop
    this.sqlite = new Database(':memory:')
    this.sqlite.defaultSafeIntegers(true)
    registerFunctions(this.sqlite)
  }

  static async open(): Promise<Engines> {
    const database = await createDatabase()
    const postgres = await database.connect()
    await postgres.query(SESSION)
    return new Engines(postgres, () => database.drop())
  }

  /** The values in a column of the declared type, where SQLite may change them at once. */
  store(declared: string, values: readonly (Value | undefined)[]): (Stored | undefined)[] {
    this.sqlite.exec(`DROP TABLE IF EXISTS v; CREATE TABLE v (id INTEGER PRIMARY KEY, x ${declared})`)
    const insert = this.sqlite.prepare('INSERT INTO v VALUES (?, ?)')
    const insertText = this.sqlite.prepare('INSERT INTO v VALUES (?, CAST(? AS TEXT))')
    this.sqlite.transaction(() => {
      values.forEach((value, id) => {
        if (value === undefined) return
        if (typeof value === 'object' && 'text' in value) insertText.run(id, value.text)
        else insert.run(id, value)
      })
    })()
    const rows = this.sqlite
      .prepare(
        `SELECT id, typeof(x), hex(CAST(x AS BLOB)), CASE typeof(x) WHEN 'real' THEN x WHEN 'integer' THEN x END FROM v`,
      )
      .raw()
      .all() as [bigint, string, string, unknown][]
    const found = new Map(
      rows.map(([id, type, bytes, value]) => [Number(id), { type, bytes, value: value ?? undefined }]),
    )
    return values.map((_, id) => found.get(id))
  }

  /** The COPY text of what is stored; undefined for a misfit, also for what is no text of PostgreSQL. */
  encode(rule: ColumnRule): Map<number, string> {
    const rows = this.sqlite
      .prepare(
        `SELECT id, CAST(f AS BLOB), slipway_is_text(CAST(f AS BLOB)) FROM (SELECT id, ${copyField(rule, 'v.x')} AS f FROM v) WHERE f IS NOT NULL`,
      )
      .raw()
      .all() as [bigint, Buffer, bigint][]
    return new Map(
      rows.filter(([, , fits]) => fits === 1n).map(([id, text]) => [Number(id), text.toString()]),
    )
  }

  /** Loads COPY texts into a column of the type, which has to take each of them. */
  async load(table: string, type: string, texts: ReadonlyMap<number, string>): Promise<void> {
    await this.postgres.query(
      `DROP TABLE IF EXISTS ${table}; CREATE UNLOGGED TABLE ${table} (id int PRIMARY KEY, x ${type})`,
    )
    const lines = [...texts].map(([id, text]) => `${id}\t${text}\n`)
    const stream = this.postgres.query(copyFrom(`COPY ${table} FROM STDIN`))
    await pipeline([lines.join('')], stream).catch((error: Error & { where?: string }) => {
      throw new Error(
        `${type}: the codec let through what PostgreSQL refuses: ${error.message}; ${error.where}`,
      )
    })
  }

  async #texts(sql: string): Promise<Map<number, string>> {
    const { rows } = await this.postgres.query<{ id: number; x: string | null }>(sql)
    return new Map(rows.filter((row) => row.x !== null).map((row) => [row.id, row.x as string]))
  }

  /** Brings decoded texts back to SQLite, and from there to PostgreSQL once more. */
  async #back(
    rule: ColumnRule,
    declared: string,
    count: number,
  ): Promise<{ back: (Stored | undefined)[]; again: Map<number, string> }> {
    const decoded = await this.#texts(`SELECT id, ${decodeSql(rule, 'x')} AS x FROM w ORDER BY id`)
    const affinity: Affinity = affinityOf(declared)
    const values = Array.from({ length: count }, (_, id) => {
      const text = decoded.get(id)
      return text === undefined ? undefined : bindDecoded(rule, text, affinity)
    })
    const back = this.store(declared, values)
    await this.load('w2', rule.type, this.encode(rule))
    return { back, again: await this.#texts('SELECT id, CAST(x AS text) AS x FROM w2 ORDER BY id') }
  }

  /** Values of SQLite to PostgreSQL and back, each in the format that it has. */
  async toAndFro(rule: ColumnRule, declared: string, values: readonly Value[]): Promise<Journey[]> {
    const byFormat = new Map<string | undefined, Value[]>()
    for (const value of values) {
      const text = typeof value === 'object' && 'text' in value ? value.text.toString() : value
      const format = rule.format ?? (typeof text === 'string' ? formatOf(rule, text) : undefined)
      byFormat.set(format, [...(byFormat.get(format) ?? []), value])
    }
    const journeys: Journey[] = []
    for (const [format, group] of byFormat) {
      const formatted = { ...rule, format }
      const stored = this.store(declared, group)
      const copied = this.encode(formatted)
      await this.load('w', rule.type, copied)
      const target = await this.#texts('SELECT id, CAST(x AS text) AS x FROM w ORDER BY id')
      const { back, again } = await this.#back(formatted, declared, group.length)
      group.forEach((value, id) => {
        const text = copied.get(id)
        const base = { value, stored: stored[id] as Stored, format, copied: text }
        if (text === undefined) journeys.push(base)
        else {
          const arrived = target.get(id) as string
          const came = back[id]
          journeys.push({ ...base, target: arrived, again: again.get(id), ...(came ? { back: came } : {}) })
        }
      })
    }
    return journeys
  }

  /**
   * Values of PostgreSQL to SQLite and to PostgreSQL once more: pairs of texts; the second is null where SQLite cannot
   * hold the value, undefined where the way there and back is broken.
   */
  async froAndTo(
    rule: ColumnRule,
    declared: string,
    literals: readonly string[],
  ): Promise<(readonly [from: string, to: string | null | undefined, stored: Stored | undefined])[]> {
    await this.postgres.query(
      `DROP TABLE IF EXISTS w; CREATE UNLOGGED TABLE w (id int PRIMARY KEY, x ${rule.type})`,
    )
    await this.postgres.query(
      `INSERT INTO w SELECT n - 1, CAST(t AS ${rule.type}) FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n)`,
      [literals],
    )
    const from = await this.#texts('SELECT id, CAST(x AS text) AS x FROM w ORDER BY id')
    const { back, again } = await this.#back(rule, declared, literals.length)
    return literals.map((_, id) => {
      const stored = back[id]
      return [from.get(id) as string, stored === undefined ? null : again.get(id), stored] as const
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sqlite.close()
    await this.#drop()
  }
}

export function same(one: Stored | undefined, other: Stored | undefined): boolean {
  return (
    one !== undefined &&
    other !== undefined &&
    one.type === other.type &&
    one.bytes === other.bytes &&
    Object.is(one.value, other.value)
  )
}
