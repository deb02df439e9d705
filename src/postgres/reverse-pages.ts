import type pg from 'pg'
import type { ReverseExtras, RowImages } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { Quarantine } from './quarantine.ts'
import type { Extent, StoredTable } from './reverse-batch.ts'
import {
  ALSO_KEYS,
  affinityOfKeys,
  GONE,
  goneSql,
  impossibleSql,
  keylessSql,
  keysSql,
  newcomersSql,
  nowhereSql,
  PATCHES,
  type PageSql,
  patchesSql,
  touchedKeysSql,
  touchSql,
  UNREAD_KEYS,
} from './reverse-compare.ts'
import { pendingSql, type SnapshotParts } from './reverse-position.ts'
import { ReverseScratch, send } from './reverse-scratch.ts'
import { quoteList, sameKey } from './stage.ts'

/** Keys that are looked at in one go, and blocks of a stage that hold about as many, however long they are. */
const PAGE_KEYS = 1_000
const PAGE_BLOCKS = 16

export interface Work {
  /** Of the control row. */
  readonly id: number
  readonly images: RowImages
  readonly signal: AbortSignal
  readonly extras: ReverseExtras
  readonly from: SnapshotParts
  /** The newer one, of the transaction itself. */
  readonly snapshot: string
  /** By names in the source. */
  readonly changed: ReadonlyMap<string, Changed>
}

export interface Changed {
  readonly n: number
  /** There is a marker: the table is compared whole. */
  readonly truncated: boolean
  /** A row has NULL in its key. */
  readonly keyless: boolean
}

/** One table of a batch. */
interface Part {
  readonly table: TableSpec
  /** Its place in the results. */
  readonly place: number
  /** Encoded keys that are to be told in any case. */
  readonly also: readonly string[]
}

/**
 * Computes what SQLite lacks, in the caller's repeatable-read transaction, page by page: images of the touched rows come
 * from SQLite into stages of the target's own types, are compared there, and what differs goes into a table that
 * outlives the transaction. Neither side's rows are ever in this process's memory as a whole.
 */
export class ReversePages {
  readonly #tables: readonly TableSpec[]
  readonly #scratch: ReverseScratch
  readonly #quarantine: Quarantine

  constructor(connection: Connection, migration: string, tables: readonly TableSpec[]) {
    this.#tables = tables
    this.#scratch = new ReverseScratch(connection)
    this.#quarantine = new Quarantine(migration)
  }

  /** After a rollback. */
  forget(): void {
    this.#scratch.forget()
  }

  /** Returns the tables with results, and where those are. */
  async compute(client: pg.ClientBase, work: Work): Promise<readonly StoredTable[]> {
    await this.#scratch.begin(client)
    for (const [place, table] of this.#tables.entries()) {
      const sets = (work.extras.also ?? []).filter((set) => set.table === table.name)
      const part = { table, place, also: sets.flatMap(({ keys }) => keys) }
      if (part.also.length > 0) await this.#setAlso(client, part.also)
      const changed = work.changed.get(table.name)
      const whole = changed?.truncated === true || work.extras.whole?.includes(table.name) === true
      if (whole) await this.#walk(client, work, part)
      else if (part.also.length > 0 || changed !== undefined) await this.#look(client, work, part)
      if (part.also.length > 0) await client.query(nowhereSql(place))
    }
    const found = await this.#extents(client)
    return this.#tables.flatMap((table, place): StoredTable[] => {
      const [patches, gone] = [found.get(`${PATCHES} ${place}`), found.get(`${GONE} ${place}`)]
      return patches === undefined && gone === undefined ? [] : [{ table, place, patches, gone }]
    })
  }

  async #extents(client: pg.ClientBase): Promise<ReadonlyMap<string, Extent>> {
    const of = (list: string, weight: string): string =>
      `SELECT '${list}' AS list, tbl, min(n)::text AS first, max(n)::text AS last, count(*)::int AS n, sum(${weight})::float8 AS bytes FROM ${list} GROUP BY tbl`
    const { rows } = await client.query(`${of(PATCHES, 'weight')} UNION ALL ${of(GONE, 'length(key)')}`)
    for (const { list, n } of rows) this.#scratch.note(list, n)
    return new Map(
      rows.map(({ list, tbl, first, last, bytes }) => [
        `${list} ${tbl}`,
        { first: BigInt(first), last: BigInt(last), bytes },
      ]),
    )
  }

  /** The touched keys of a table, some blocks of them at a time. */
  async #look(client: pg.ClientBase, work: Work, { table, place, also }: Part): Promise<void> {
    const { id, images, from, snapshot } = work
    const changed = work.changed.get(table.name)
    const affinity = affinityOfKeys(table, images.affinity?.bind(images))
    const touched = await this.#scratch.stage(client, table, 'touched')
    const base = { table, place, touched, affinity, also: also.length > 0, known: undefined }
    if (changed?.keyless === true) await client.query(keylessSql({ ...base, ...NO_PAGE, blocks: undefined }))
    const visible = `(SELECT * FROM ${pendingSql('l.tbl, l.op, l.key, l.xid', '$2', '$3', '$4')} p WHERE pg_visible_in_snapshot(p.xid, $5))`
    const parameters = [table.name, id, from.xmax, from.running, snapshot]
    const emptying = this.#scratch.emptying(touched)
    if (also.length === 0 && (changed?.n ?? 0) <= PAGE_KEYS && emptying.every(isDelete)) {
      const sql = touchedKeysSql(table, touched, visible, { affinity, emptying })
      const { rows } = await client.query(sql, parameters)
      this.#scratch.note(touched, rows.length)
      return await this.#page(client, work, { ...base, blocks: undefined }, rows)
    }
    await send(client, emptying)
    const logged = await client.query(touchSql(table, touched, visible), parameters)
    const count = (logged.rowCount ?? 0) + also.length
    this.#scratch.note(touched, count)
    if (also.length > 0) await this.#touch(client, table, touched, also)
    for (const blocks of await this.#split(client, touched, count)) {
      const { rows } = await client.query(keysSql(table, touched, blocks, affinity))
      await this.#page(client, work, { ...base, blocks }, rows)
    }
  }

  /** Images of these keys, beside what the target has. */
  async #page(
    client: pg.ClientBase,
    { images, signal }: Work,
    base: Omit<PageSql, 'images' | 'rows' | 'unread' | 'keys'>,
    keys: readonly { readonly key: string }[],
  ): Promise<void> {
    signal.throwIfAborted()
    if (keys.length === 0) return
    const { table } = base
    using found = await images.images(
      table,
      keys.map(({ key }) => key),
    )
    const loaded = await this.#scratch.load(client, table, found.upserts, found.aside)
    await this.#compare(client, { ...base, ...loaded, keys: keys.length }, loaded.due)
  }

  /** Parts of a stage of keys; undefined: all of it. */
  async #split(
    client: pg.ClientBase,
    touched: string,
    keys: number,
  ): Promise<Iterable<readonly [number, number] | undefined>> {
    if (keys <= PAGE_KEYS) return keys === 0 ? [] : [undefined]
    const { rows } = await client.query(
      `SELECT (pg_relation_size($1::regclass) / current_setting('block_size')::int)::int AS blocks`,
      [touched],
    )
    const parts = Math.ceil(rows[0].blocks / PAGE_BLOCKS)
    return Array.from({ length: parts }, (_, n) => [n * PAGE_BLOCKS, (n + 1) * PAGE_BLOCKS] as const)
  }

  async #compare(client: pg.ClientBase, page: PageSql, before: readonly string[]): Promise<void> {
    await send(client, [...before, patchesSql(page), ...goneSql(page)])
  }

  /** A whole table, in the order in which SQLite keeps it; then what the target has besides. */
  async #walk(client: pg.ClientBase, work: Work, { table, place, also }: Part): Promise<void> {
    const { images, signal } = work
    const seen = await this.#scratch.fresh(client, table, 'seen')
    const touched = await this.#scratch.stage(client, table, 'touched')
    const names = keyNames(table)
    const affinity = affinityOfKeys(table, images.affinity?.bind(images))
    const known = { migration: this.#quarantine.migration }
    const base = { table, place, touched, affinity, known, blocks: undefined, also: also.length > 0 }
    for (let after: string | undefined; ; ) {
      signal.throwIfAborted()
      const chunk = await images.range(table, after)
      const loaded = await this.#scratch.load(client, table, chunk.rows, chunk.aside)
      await send(client, [...loaded.due, ...this.#scratch.emptying(touched)])
      const put = await client.query(
        `INSERT INTO ${touched} (${names}) SELECT ${names} FROM ${loaded.images}`,
      )
      if (loaded.unread) {
        const { rows } = await client.query(`SELECT key FROM ${UNREAD_KEYS}`)
        const unread = rows.map((row) => row.key as string)
        await this.#quarantine.stageKeys(client, table, touched, unread)
      }
      const keys = (put.rowCount ?? 0) + loaded.unreadKeys
      for (const name of [touched, seen]) this.#scratch.note(name, keys)
      await client.query(`INSERT INTO ${seen} (${names}) SELECT ${names} FROM ${touched}`)
      const page = { ...base, ...loaded, keys }
      if (keys > 0) await this.#compare(client, page, [])
      if (loaded.unread) await client.query(impossibleSql(page))
      if (chunk.exhausted) break
      after = chunk.last
    }
    await client.query(newcomersSql({ ...base, ...NO_PAGE }, seen))
    await client.query(keylessSql({ ...base, ...NO_PAGE }))
  }

  async #setAlso(client: pg.ClientBase, also: readonly string[]): Promise<void> {
    await this.#scratch.empty(client, ALSO_KEYS)
    this.#scratch.note(ALSO_KEYS, also.length)
    await client.query(`INSERT INTO ${ALSO_KEYS} SELECT DISTINCT unnest($1::text[])`, [also])
  }

  /** Some of these keys may have been changed as well. */
  async #touch(
    client: pg.ClientBase,
    table: TableSpec,
    touched: string,
    also: readonly string[],
  ): Promise<void> {
    const more = await this.#scratch.fresh(client, table, 'seen')
    this.#scratch.note(more, also.length)
    await this.#quarantine.stageKeys(client, table, more, also)
    const names = keyNames(table)
    await client.query(
      `INSERT INTO ${touched} (${names}) SELECT DISTINCT ${names} FROM ${more} m
       WHERE NOT EXISTS (SELECT 1 FROM ${touched} k WHERE ${sameKey(table, 'k', 'm')})`,
    )
  }
}

/** Other statements cannot be part of one. */
const isDelete = (sql: string): boolean => sql.startsWith('DELETE')

const NO_PAGE = { images: '', rows: 0, unread: false, keys: 0 }

function keyNames(table: TableSpec): string {
  return quoteList(table.key.columns.map((column) => column.target))
}
