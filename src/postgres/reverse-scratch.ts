import type pg from 'pg'
import { isGeneric } from '../core/codec.ts'
import type { CopyRows, SetAside } from '../core/ports.ts'
import type { TableSpec } from '../core/table.ts'
import { type Connection, sqlstate } from './connection.ts'
import { GONE, PATCHES, SCRATCH, UNREAD_KEYS } from './reverse-compare.ts'
import { castRows, isFaultOfRow } from './sift.ts'
import { copyInto, type StageKind, Stages, targetColumns } from './stage.ts'

/** Up to so many rows are deleted; more, and the table is truncated, which costs a millisecond and leaves nothing. */
const FEW = 2_000

const REFUSED = 'pg_temp.slipway_refused'

/** Images of a page, as they stand in their stage. */
export interface Loaded {
  readonly images: string
  readonly rows: number
  /** Rows that SQLite has and the codecs have no image of: their keys are in a table of their own. */
  readonly unread: boolean
  readonly unreadKeys: number
  /** What is still to be sent, in front of the next statement: each message of its own is one more way there and back. */
  readonly due: readonly string[]
}

/** The temporary tables of the session in which batches of the way back are computed. */
export class ReverseScratch {
  readonly #connection: Connection
  readonly #stages = new Stages()
  #generation = -1
  /** Rows that a table has held since it was truncated; not there: nobody knows. */
  readonly #held = new Map<string, number>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** After a rollback: tables that were made in it are gone, and others hold again what they held. */
  forget(): void {
    this.#generation = -1
    this.#stages.forget()
    this.#held.clear()
  }

  /** A transaction begins: the tables are there, and the results of the last one are gone. */
  async begin(client: pg.ClientBase): Promise<void> {
    const { generation } = this.#connection
    if (this.#generation !== generation) {
      this.forget()
      await client.query(SCRATCH)
      this.#generation = generation
    }
    await send(client, [...this.emptying(PATCHES), ...this.emptying(GONE)])
  }

  async stage(client: pg.ClientBase, table: TableSpec, kind: StageKind): Promise<string> {
    return await this.#stages.get(client, this.#connection.generation, table, kind)
  }

  /** The table is about to be filled, or was, with so many rows. */
  note(name: string, rows: number): void {
    this.#held.set(name, (this.#held.get(name) ?? FEW) + rows)
  }

  /** The statements that empty it: they are about to be sent. */
  emptying(name: string): string[] {
    const held = this.#held.get(name)
    if (held === 0) return []
    if (held !== undefined && held <= FEW) return [`DELETE FROM ${name}`]
    this.#held.set(name, 0)
    return [`TRUNCATE ${name}`]
  }

  async empty(client: pg.ClientBase, name: string): Promise<void> {
    await send(client, this.emptying(name))
  }

  /** An empty stage. */
  async fresh(client: pg.ClientBase, table: TableSpec, kind: StageKind): Promise<string> {
    const name = await this.stage(client, table, kind)
    await this.empty(client, name)
    return name
  }

  /**
   * Images into the stage of the target's own types, which is emptied first. Lines that PostgreSQL refuses are left out:
   * such a row has no image either.
   */
  async load(
    client: pg.ClientBase,
    table: TableSpec,
    lines: CopyRows,
    aside: readonly SetAside[],
  ): Promise<Loaded> {
    const images = await this.stage(client, table, 'rows')
    const before = [...this.emptying(images), ...this.emptying(UNREAD_KEYS)]
    this.note(images, lines.rows)
    const { refused, due } =
      lines.rows === 0 ? { refused: [], due: before } : await this.#copy(client, table, images, lines, before)
    const unread = [...aside.map(({ key }) => key), ...refused]
    this.note(UNREAD_KEYS, unread.length)
    const loaded = { images, rows: lines.rows, unread: unread.length > 0, unreadKeys: unread.length }
    if (unread.length === 0) return { ...loaded, due }
    await send(client, due)
    await client.query(`INSERT INTO ${UNREAD_KEYS} SELECT unnest($1::text[])`, [unread])
    return { ...loaded, due: [] }
  }

  async #copy(
    client: pg.ClientBase,
    table: TableSpec,
    images: string,
    lines: CopyRows,
    before: readonly string[],
  ): Promise<{ readonly refused: readonly string[]; readonly due: readonly string[] }> {
    const columns = targetColumns(table)
    if (table.columns.some((column) => isGeneric(column))) await send(client, before)
    else {
      await send(client, [...before, 'SAVEPOINT slipway_load'])
      try {
        await copyInto(client, images, columns, lines, table)
        return { refused: [], due: ['RELEASE SAVEPOINT slipway_load'] }
      } catch (error) {
        if (!isFaultOfRow(sqlstate(error))) throw error
        await client.query('ROLLBACK TO SAVEPOINT slipway_load')
      }
    }
    const text = await this.fresh(client, table, 'text')
    const gone = await this.fresh(client, table, 'mended')
    this.note(text, lines.rows)
    this.note(gone, lines.rows)
    await copyInto(client, text, columns, lines, table)
    await castRows(client, table, { text, rows: images, gone })
    const { rows } = await client.query(`SELECT key FROM ${REFUSED}`)
    if (rows.length > 0) await client.query(`TRUNCATE ${REFUSED}`)
    return { refused: rows.map((row) => row.key), due: [] }
  }
}

/** In one message. */
export async function send(client: pg.ClientBase, statements: readonly string[]): Promise<void> {
  if (statements.length > 0) await client.query(statements.join(';\n'))
}
