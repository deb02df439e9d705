import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { CopyRows } from '../core/ports.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

/** Target columns of a row's line, in the source's order of sending (see sqlite/rows.ts). */
export function targetColumns(table: TableSpec): string[] {
  const hidden = table.key.kind === 'rowid' ? [HIDDEN_KEY] : []
  return [...hidden, ...table.columns.map((column) => column.target)]
}

export function quoteList(names: readonly string[]): string {
  return names.map((name) => quote(name)).join(', ')
}

/** Sends COPY text as it is. */
export async function copyInto(
  client: pg.ClientBase,
  table: string,
  columns: readonly string[],
  rows: CopyRows,
): Promise<void> {
  const stream = client.query(copyFrom(`COPY ${table} (${quoteList(columns)}) FROM STDIN`))
  await pipeline(Readable.from(rows.read(), { objectMode: true, highWaterMark: 4 }), stream)
}

/**
 * Temporary tables of one session in which rows arrive before they are merged: `rows` for whole rows, `gone` for
 * keys. Made at first use, emptied by each commit, so that no batch changes the catalog.
 */
export class Stages {
  #generation = -1
  #names = new Map<string, string>()

  /** `generation` of the connection: a new session has none of the old one's tables. */
  async get(
    client: pg.ClientBase,
    generation: number,
    table: TableSpec,
    kind: 'rows' | 'gone',
  ): Promise<string> {
    if (generation !== this.#generation) {
      this.#generation = generation
      this.#names = new Map()
    }
    const columns = kind === 'rows' ? targetColumns(table) : table.key.columns.map((column) => column.target)
    const shape = `${kind} ${targetName(table)} ${JSON.stringify(columns)}`
    const known = this.#names.get(shape)
    if (known !== undefined) return known
    const name = `pg_temp.${quote(`slipway_${kind}_${this.#names.size}`)}`
    await client.query(
      `CREATE TEMP TABLE ${name} ON COMMIT DELETE ROWS AS SELECT ${quoteList(columns)} FROM ${targetName(table)} WITH NO DATA`,
    )
    this.#names.set(shape, name)
    return name
  }

  /** After a rollback the tables made in that transaction are gone; after a change of types they are wrong. */
  forget(): void {
    this.#generation = -1
  }
}

/** `a."k" = b."k" AND …` over the key's target columns. */
export function sameKey(table: TableSpec, a: string, b: string): string {
  return table.key.columns
    .map((column) => `${a}.${quote(column.target)} = ${b}.${quote(column.target)}`)
    .join(' AND ')
}
