import type pg from 'pg'
import { isGeneric } from '../core/codec.ts'
import type { SetAside } from '../core/ports.ts'
import type { ReverseExtras, RowImages } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { Merger } from './merge.ts'
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
  SCRATCH,
  touchSql,
  UNREAD_KEYS,
} from './reverse-compare.ts'
import { pendingSql, type SnapshotParts } from './reverse-position.ts'
import { quoteList, Stages, sameKey } from './stage.ts'

/** Blocks of a stage of keys that are looked at in one go: some thousand keys, however long they are. */
const PAGE_BLOCKS = 16

export interface Work {
  readonly images: RowImages
  readonly signal: AbortSignal
  readonly extras: ReverseExtras
  readonly from: SnapshotParts
  /** The newer one, of the transaction itself. */
  readonly snapshot: string
  /** Names in the source of tables with a marker. */
  readonly truncated: readonly string[]
}

/**
 * Computes what SQLite lacks, in the caller's repeatable-read transaction, page by page: images of the touched rows come
 * from SQLite into stages of the target's own types, are compared there, and what differs goes into a table that
 * outlives the transaction. Neither side's rows are ever in this process's memory as a whole.
 */
export class ReversePages {
  readonly #connection: Connection
  readonly #migration: string
  readonly #tables: readonly TableSpec[]
  readonly #stages = new Stages()
  readonly #merger: Merger
  #generation = -1
  #filled = false
  /** The last page had rows without an image. */
  #unreadSome = false

  constructor(connection: Connection, migration: string, tables: readonly TableSpec[]) {
    this.#connection = connection
    this.#migration = migration
    this.#tables = tables
    this.#merger = new Merger({
      connection,
      migration,
      targets: [],
      tables,
      warn: () => undefined,
      beforeChange: async () => undefined,
      keepExtra: false,
    })
  }

  /** After a rollback: tables that were made in it are gone. */
  forget(): void {
    this.#generation = -1
    this.#stages.forget()
    this.#merger.forget()
  }

  /** Returns the tables with results, and where those are. */
  async compute(client: pg.ClientBase, work: Work, id: number): Promise<readonly StoredTable[]> {
    const { generation } = this.#connection
    await this.#merger.quarantine.prepare(client, generation)
    if (this.#generation !== generation) {
      await client.query(SCRATCH)
      this.#generation = generation
      this.#filled = true
    }
    if (this.#filled) await client.query(`TRUNCATE ${PATCHES}, ${GONE}`)
    this.#filled = false
    // The stages have no statistics, and the target is found by its key: nothing else is worth its start.
    await client.query('SET LOCAL random_page_cost = 1.1; SET LOCAL jit = off')
    const whole = new Set([...(work.extras.whole ?? []), ...work.truncated])
    for (const [place, table] of this.#tables.entries()) {
      const also = (work.extras.also ?? [])
        .filter((set) => set.table === table.name)
        .flatMap((set) => set.keys)
      if (whole.has(table.name)) await this.#walk(client, work, table, place, also)
      else await this.#look(client, work, table, place, also, id)
    }
    const [patches, gone] = [await extents(client, PATCHES), await extents(client, GONE)]
    this.#filled = patches.size + gone.size > 0
    return this.#tables.flatMap((table, place): StoredTable[] => {
      const found = { table, patches: patches.get(place), gone: gone.get(place) }
      return found.patches === undefined && found.gone === undefined ? [] : [found]
    })
  }

  async #stage(client: pg.ClientBase, table: TableSpec, kind: 'rows' | 'text' | 'touched' | 'seen') {
    return await this.#stages.get(client, this.#connection.generation, table, kind)
  }

  /** The touched keys of a table, some blocks of them at a time. */
  async #look(
    client: pg.ClientBase,
    { images, signal, from, snapshot }: Work,
    table: TableSpec,
    place: number,
    also: readonly string[],
    id: number,
  ): Promise<void> {
    const touched = await this.#stage(client, table, 'touched')
    const changes = pendingSql('l.tbl, l.op, l.key, l.xid', '$2', '$3', '$4')
    const visible = `(SELECT * FROM ${changes} p WHERE pg_visible_in_snapshot(p.xid, $5))`
    const parameters = [table.name, id, from.xmax, from.running, snapshot]
    const logged = await client.query(touchSql(table, touched, visible), parameters)
    await this.#setAlso(client, also)
    if (also.length > 0) {
      // Some of them may have been changed as well.
      const more = await this.#stage(client, table, 'seen')
      const names = quoteList(table.key.columns.map((column) => column.target))
      await this.#merger.quarantine.stageKeys(client, table, more, also)
      await client.query(
        `INSERT INTO ${touched} (${names}) SELECT DISTINCT ${names} FROM ${more} m
         WHERE NOT EXISTS (SELECT 1 FROM ${touched} k WHERE ${sameKey(table, 'k', 'm')})`,
      )
    }
    const keyless = await client.query(
      `SELECT EXISTS (SELECT 1 FROM ${visible} l WHERE l.tbl = $1 AND l.op <> 'T' AND jsonb_path_exists(l.key, '$[*] ? (@ == null)')) AS some`,
      parameters,
    )
    const affinity = affinityOfKeys(table, images.affinity?.bind(images))
    const base = { table, place, touched, affinity, also: also.length > 0, known: undefined }
    if (keyless.rows[0].some)
      await client.query(
        keylessSql({ ...base, images: '', blocks: undefined, keys: 0, rows: 0, unread: false }),
      )
    if ((logged.rowCount ?? 0) + also.length === 0) return
    const blocks = await client.query(
      `SELECT (pg_relation_size($1::regclass) / current_setting('block_size')::int)::int AS n`,
      [touched],
    )
    for (let block = 0; block < blocks.rows[0].n; block += PAGE_BLOCKS) {
      signal.throwIfAborted()
      const range = [block, block + PAGE_BLOCKS] as const
      const { rows } = await client.query(keysSql(table, touched, range, affinity))
      if (rows.length === 0) continue
      using found = await images.images(
        table,
        rows.map((row) => row.key),
      )
      const loaded = await this.#load(client, table, found.upserts, found.aside, block > 0)
      const page: PageSql = { ...base, ...loaded, blocks: range, keys: rows.length }
      await client.query(patchesSql(page))
      for (const sql of goneSql(page)) await client.query(sql)
    }
    if (also.length > 0) await client.query(nowhereSql(place))
  }

  /** A whole table, in the order in which SQLite keeps it; then what the target has besides. */
  async #walk(
    client: pg.ClientBase,
    { images, signal }: Work,
    table: TableSpec,
    place: number,
    also: readonly string[],
  ): Promise<void> {
    const touched = await this.#stage(client, table, 'touched')
    const seen = await this.#stage(client, table, 'seen')
    const names = quoteList(table.key.columns.map((column) => column.target))
    const affinity = affinityOfKeys(table, images.affinity?.bind(images))
    const known = { migration: this.#migration }
    const base = { table, place, touched, affinity, known, blocks: undefined, also: also.length > 0 }
    await this.#setAlso(client, also)
    for (let after: string | undefined, first = true; ; first = false) {
      signal.throwIfAborted()
      const chunk = await images.range(table, after)
      if (!first) await client.query(`TRUNCATE ${touched}`)
      const loaded = await this.#load(client, table, chunk.rows, chunk.aside, !first)
      const put = await client.query(
        `INSERT INTO ${touched} (${names}) SELECT ${names} FROM ${loaded.images}`,
      )
      if (loaded.unread)
        await this.#merger.quarantine.stageKeys(client, table, touched, await this.#unread(client))
      await client.query(`INSERT INTO ${seen} (${names}) SELECT ${names} FROM ${touched}`)
      const page = { ...base, ...loaded, keys: (put.rowCount ?? 0) + loaded.unreadKeys }
      if (page.keys > 0) {
        await client.query(patchesSql(page))
        for (const sql of goneSql(page)) await client.query(sql)
      }
      if (loaded.unread) await client.query(impossibleSql(page))
      if (chunk.exhausted) break
      after = chunk.last
    }
    const none = { images: '', rows: 0, unread: false, keys: 0 }
    await client.query(newcomersSql({ ...base, ...none }, seen))
    await client.query(keylessSql({ ...base, ...none }))
    if (also.length > 0) await client.query(nowhereSql(place))
  }

  async #unread(client: pg.ClientBase): Promise<string[]> {
    return (await client.query(`SELECT key FROM ${UNREAD_KEYS}`)).rows.map((row) => row.key)
  }

  /** Keys that are to be told in any case. */
  async #setAlso(client: pg.ClientBase, also: readonly string[]): Promise<void> {
    await client.query(`TRUNCATE ${ALSO_KEYS}`)
    if (also.length > 0)
      await client.query(`INSERT INTO ${ALSO_KEYS} SELECT DISTINCT unnest($1::text[])`, [also])
  }

  /** Images into their stage; keys of rows that have none beside it. */
  async #load(
    client: pg.ClientBase,
    table: TableSpec,
    lines: Parameters<Merger['load']>[2],
    aside: readonly SetAside[],
    again: boolean,
  ): Promise<{ images: string; rows: number; unread: boolean; unreadKeys: number }> {
    const stage = await this.#stage(client, table, 'rows')
    if (again) {
      // Rows that were deleted would still be read: the stages are emptied for good.
      const judged = table.columns.some((column) => isGeneric(column)) || this.#unreadSome
      const text = judged ? `, ${await this.#stage(client, table, 'text')}` : ''
      await client.query(`TRUNCATE ${stage}${text}`)
    }
    const { refused } = await this.#merger.load(client, table, lines)
    const unread = [...aside.map(({ key }) => key), ...refused]
    await client.query(`TRUNCATE ${UNREAD_KEYS}`)
    if (unread.length > 0)
      await client.query(`INSERT INTO ${UNREAD_KEYS} SELECT unnest($1::text[])`, [unread])
    return { images: stage, rows: lines.rows, unread: unread.length > 0, unreadKeys: unread.length }
  }
}

async function extents(client: pg.ClientBase, results: string): Promise<ReadonlyMap<number, Extent>> {
  const { rows } = await client.query(
    `SELECT tbl, min(n)::text AS first, max(n)::text AS last FROM ${results} GROUP BY tbl`,
  )
  return new Map(rows.map(({ tbl, first, last }) => [tbl, { first: BigInt(first), last: BigInt(last) }]))
}
