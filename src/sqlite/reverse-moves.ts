import { quote } from '../core/quote.ts'
import type { RowPatch } from '../core/reverse.ts'
import type { Sqlite } from './open.ts'
import type { Refusal } from './reverse-refusal.ts'
import type { Assignment, TableWriter } from './reverse-table.ts'

const PAGE = 500

interface Moving {
  readonly n: bigint
  readonly patch: RowPatch
}

/**
 * Rows of one table that could not be written in their turn, since other rows held their unique values: swaps, cycles,
 * chains (trap P1). Those that exist are taken out whole, native and with their rowid, into a temporary table; then
 * each comes back with what is new of it. One that SQLite refuses also then comes back as it was. All in the
 * caller's transaction, in memory that does not grow with the rows, in a time that grows with their number alone.
 */
export class Moves {
  readonly #database: Sqlite
  readonly #table: TableWriter
  /** What a row is saved by: its rowid, where that is no column, and all that it stores, planned or not. */
  readonly #saved: readonly string[]
  #open = false

  constructor(database: Sqlite, table: TableWriter) {
    this.#database = database
    this.#table = table
    const { shape, table: spec } = table
    const rowid = spec.key.kind === 'rowid' ? spec.key.columns[0]?.name : shape.rowid
    const stored = database
      .prepare(`SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0`)
      .pluck()
      .all(spec.name) as string[]
    this.#saved = [...(rowid === undefined ? [] : [rowid]), ...stored]
  }

  /** Keeps a row for the end of its table. */
  add(patch: RowPatch): void {
    if (!this.#open) this.#begin()
    this.#run('INSERT INTO temp.slipway_moving (patch) VALUES (?)', JSON.stringify(patch))
  }

  /** Once all other rows of the table are written. Returns how many of these are. */
  async finish(
    tell: {
      readonly refused: (key: string, refusal: Refusal) => void
      readonly settled: (key: string) => void
    },
    breathe: () => Promise<void>,
  ): Promise<number> {
    for await (const { n, patch } of this.#pages('1', breathe)) this.#takeOut(n, patch.key)
    let written = 0
    for await (const { n, patch } of this.#pages('out', breathe)) {
      if (this.#change(n, patch)) written++
    }
    written -= await this.#restore(breathe)
    // Only now those that are new: the rowids that SQLite gives them must be nobody's.
    for await (const { n, patch } of this.#pages('NOT out', breathe)) {
      const outcome = this.#table.write(patch)
      if (outcome.kind === 'written') written++
      else this.#refuse(n, outcome.refusal)
    }
    for await (const { patch, refusal } of this.#pages('1', breathe)) {
      if (refusal === null) tell.settled(patch.key)
      else tell.refused(patch.key, JSON.parse(refusal))
    }
    this.#end()
    return written
  }

  #begin(): void {
    const columns = this.#saved.map((_, i) => `x${i}`)
    const keys = this.#keyPlaces().map((place) => `x${place}`)
    // Columns without a type keep each value as it is.
    this.#database.exec(
      `CREATE TEMP TABLE slipway_moving (n INTEGER PRIMARY KEY, patch TEXT, refused TEXT, out INTEGER DEFAULT 0, back INTEGER DEFAULT 0);
       CREATE TEMP TABLE slipway_kept (n INTEGER PRIMARY KEY, ${columns.join(', ')});
       CREATE INDEX temp.slipway_kept_key ON slipway_kept (${keys.join(', ')});
       CREATE TEMP TABLE slipway_displaced (n)`,
    )
    this.#open = true
  }

  #end(): void {
    this.#database.exec(
      'DROP TABLE temp.slipway_displaced; DROP TABLE temp.slipway_kept; DROP TABLE temp.slipway_moving',
    )
    this.#open = false
  }

  #run(sql: string, ...values: (bigint | string)[]): number {
    return this.#table.statement(sql).run(...values).changes
  }

  /** In pages, since a connection that reads rows one by one cannot write meanwhile. */
  async *#pages(
    where: string,
    breathe: () => Promise<void>,
  ): AsyncIterable<Moving & { readonly refusal: string | null }> {
    const sql = `SELECT n, patch, refused FROM temp.slipway_moving WHERE n > ? AND ${where} ORDER BY n LIMIT ${PAGE}`
    for (let after = 0n; ; ) {
      await breathe()
      const rows = this.#table.statement(sql).all(after) as {
        n: bigint
        patch: string
        refused: string | null
      }[]
      for (const { n, patch, refused } of rows) yield { n, patch: JSON.parse(patch), refusal: refused }
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) return
      after = last.n
    }
  }

  #keyPlaces(): number[] {
    return this.#table.table.key.columns.map(({ name }) => this.#saved.indexOf(name))
  }

  #takeOut(n: bigint, key: string): void {
    const match = this.#table.match(key)
    if (match === undefined) return
    const into = `INSERT INTO temp.slipway_kept (n, ${this.#saved.map((_, i) => `x${i}`).join(', ')})`
    const from = `SELECT ?, ${this.#saved.map((name) => quote(name)).join(', ')} FROM ${this.#table.name}`
    const kept = this.#table.statement(`${into} ${from} WHERE ${match.sql}`).run(n, ...match.values).changes
    if (kept === 0) return
    this.#table.remove(key)
    this.#run('UPDATE temp.slipway_moving SET out = 1 WHERE n = ?', n)
  }

  /** A row comes back with its new values; where SQLite does not take it, that is noted. */
  #change(n: bigint, patch: RowPatch): boolean {
    const all = this.#table.assignments(patch)
    if (!Array.isArray(all)) {
      this.#refuse(n, all as Refusal)
      return false
    }
    const outcome = this.#insert('OR ABORT', n, this.#table.withoutKey(all))
    if (outcome.kind === 'written') return true
    this.#refuse(n, outcome.refusal)
    return false
  }

  #insert(clause: string, n: bigint, changed: readonly Assignment[]): ReturnType<TableWriter['attempt']> {
    const byName = new Map(changed.map(({ name, value }) => [name, value]))
    const names = this.#saved.map((name) => quote(name)).join(', ')
    const values = this.#saved.map((name, i) => (byName.has(name) ? '?' : `x${i}`)).join(', ')
    const bound = this.#saved.filter((name) => byName.has(name)).map((name) => byName.get(name) ?? null)
    return this.#table.attempt(
      `INSERT ${clause} INTO ${this.#table.name} (${names}) SELECT ${values} FROM temp.slipway_kept WHERE n = ?`,
      [...bound, n],
    )
  }

  #refuse(n: bigint, refusal: Refusal): void {
    this.#run('UPDATE temp.slipway_moving SET refused = ? WHERE n = ?', JSON.stringify(refusal), n)
  }

  /**
   * Refused rows come back as they were. A value of theirs may be with another row of these by now, and with no other:
   * before they were taken out all of them stood beside the rest. That one then has to be as it was, too. Returns how
   * many that were written are not any more.
   */
  async #restore(breathe: () => Promise<void>): Promise<number> {
    let undone = 0
    const open = 'out AND NOT back AND refused IS NOT NULL'
    const some = this.#table.statement(`SELECT 1 FROM temp.slipway_moving WHERE ${open} LIMIT 1`)
    if (some.get() === undefined) return 0
    this.#database.pragma('ignore_check_constraints = 1')
    let watched = false
    try {
      while (some.get() !== undefined) {
        for await (const { n } of this.#pages(open, breathe)) {
          if (this.#insert('OR ABORT', n, []).kind !== 'written') {
            if (!watched) this.#watch()
            watched = true
            undone += this.#displace(n)
          }
          this.#run('UPDATE temp.slipway_moving SET back = 1 WHERE n = ?', n)
        }
      }
    } finally {
      this.#database.pragma('ignore_check_constraints = 0')
      if (watched) {
        this.#database.pragma('recursive_triggers = 0')
        this.#database.exec('DROP TRIGGER IF EXISTS temp.slipway_displaced_row')
      }
    }
    return undone
  }

  /** REPLACE tells by a trigger which rows it deletes, where triggers are recursive. */
  #watch(): void {
    const { table } = this.#table
    const same = table.key.columns.map(({ name }, i) => {
      const [kept, old] = [`x${this.#keyPlaces()[i]}`, `+OLD.${quote(name)}`]
      return `${kept} = ${old} AND typeof(${kept}) = typeof(${old})`
    })
    this.#database.exec(
      `CREATE TEMP TRIGGER slipway_displaced_row AFTER DELETE ON ${this.#table.name} BEGIN
         INSERT INTO slipway_displaced (n) VALUES ((SELECT n FROM slipway_kept WHERE ${same.join(' AND ')})); END`,
    )
    this.#database.pragma('recursive_triggers = 1')
  }

  #displace(n: bigint): number {
    this.#run('DELETE FROM temp.slipway_displaced')
    const outcome = this.#insert('OR REPLACE', n, [])
    if (outcome.kind !== 'written') throw new Error(`${this.#table.table.name}: a row does not come back`)
    const displaced = this.#table.statement('SELECT n FROM temp.slipway_displaced').pluck().all() as (
      | bigint
      | null
    )[]
    for (const each of displaced) {
      if (each === null) throw new Error(`${this.#table.table.name}: a row that had not moved is in the way`)
      const reason = 'a row that had its unique value before is set aside, and holds it still'
      this.#refuse(each, { column: '', reason, value: '', kind: 'duplicate' })
    }
    return displaced.length
  }
}
