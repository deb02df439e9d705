import type pg from 'pg'
import { isGeneric } from '../core/codec.ts'
import { messageOf } from '../core/errors.ts'
import type { CopyRows, KeySet, TableBatch } from '../core/ports.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import { type Connection, sqlstate } from './connection.ts'
import { hasDuplicates, type JudgedUnique, judge, judgedUniques, release } from './duplicates.ts'
import { dropIndexes, indexCannotHold } from './indexes.ts'
import { type BeforeChange, follow, linksOf } from './parents.ts'
import { Quarantine } from './quarantine.ts'
import { decideRefused, NotKept, putRefused } from './refused.ts'
import { castRows, changedSql, dropRefused, isFaultOfRow, tryRows } from './sift.ts'
import { copyInto, FreshStages, genericColumns, type StageKind, targetColumns } from './stage.ts'
import { deleteSql, insertSql, keptInserts, keptRows, upsertSql } from './write-sql.ts'

/**
 * How rows get in. `upsert` is the fast one. `replace`, old rows out and new rows in, lets rows exchange unique values
 * (trap P1). `careful` looks at each row that PostgreSQL may refuse and sets it aside.
 */
export type How = 'upsert' | 'replace' | 'careful'

export interface MergerDeps {
  /** Whose session it works in: stage tables live there. */
  readonly connection: Connection
  readonly migration: string
  /** The target's tables as they are: what ON CONFLICT may name, and columns that the source does not have. */
  readonly targets: readonly TargetTable[]
  readonly tables: readonly TableSpec[]
  readonly warn: (text: string) => void
  readonly beforeChange: BeforeChange
  /** False while a table is being filled: columns that the source does not have hold their defaults anyway. */
  readonly keepExtra: boolean
  /** What has to leave the target before rows of a stage come in: chunks of a copy are read at several moments. */
  readonly displace?: (table: TableSpec, stage: string) => readonly string[]
}

/**
 * Brings rows into the target, in the transaction of its caller: `begin`, then `merge` or `mend` per table, then `end`.
 * Rows that the target cannot hold go into the quarantine with the same commit. After a rollback: `forget`.
 */
export class Merger {
  readonly quarantine: Quarantine
  readonly #deps: MergerDeps
  readonly #stages: FreshStages
  readonly #shapes: ReadonlyMap<string, TargetTable>
  readonly #links: ReturnType<typeof linksOf>
  /** Something is set aside, or was when this transaction began. */
  #active = false
  readonly #arrivals = new Map<TableSpec, string>()

  constructor(deps: MergerDeps) {
    this.#deps = deps
    this.#stages = new FreshStages(deps.connection)
    this.quarantine = new Quarantine(deps.migration)
    this.#shapes = new Map(deps.targets.map((table) => [table.name, table]))
    this.#links = linksOf(deps.tables)
  }

  forget(): void {
    this.#stages.forget()
    this.quarantine.forget()
  }

  async begin(client: pg.ClientBase): Promise<void> {
    this.#arrivals.clear()
    this.quarantine.begin()
    this.#active = !(await this.quarantine.isEmpty(client))
    if (this.#active) await this.#prepare(client)
  }

  async #prepare(client: pg.ClientBase): Promise<void> {
    await this.quarantine.prepare(client, this.#deps.connection.generation)
  }

  /** Empty when a transaction first asks for it. */
  async stage(client: pg.ClientBase, table: TableSpec, kind: StageKind): Promise<string> {
    return await this.#stages.get(client, table, kind)
  }

  /** One table's part of a batch, or a chunk of it. */
  async merge(
    client: pg.ClientBase,
    { table, gone, upserts, aside }: TableBatch,
    how: How,
    patient = false,
  ): Promise<{ readonly upserted: number; readonly deleted: number }> {
    if (how === 'careful' || aside.length > 0) {
      await this.#prepare(client)
      this.#active = true
    }
    const leaves = gone.rows > 0 || aside.length > 0 || how === 'careful'
    const leaving = leaves ? await this.stage(client, table, 'gone') : undefined
    if (leaving !== undefined && gone.rows > 0) {
      const keys = table.key.columns.map((column) => column.target)
      await copyInto(client, leaving, keys, gone, table)
    }
    let rows: string | undefined
    let count = upserts.rows
    if (count > 0) {
      rows = await this.stage(client, table, 'rows')
      if (how === 'careful') count -= await this.#castInto(client, table, rows, leaving as string, upserts)
      else await this.#copyInto(client, table, rows, upserts)
      this.#arrivals.set(table, rows)
    }
    const stages = [leaving, rows].filter((stage) => stage !== undefined)
    if (this.#active && stages.length > 0) {
      const keys = aside.map(({ key }) => key)
      await this.quarantine.touch(client, table, { stages, rows: gone.rows + upserts.rows, others: keys })
      if (leaving !== undefined && keys.length > 0) {
        await this.quarantine.putMisfits(client, table, aside)
        await this.quarantine.stageKeys(client, table, leaving, keys)
      }
      if (how === 'careful') await putRefused(client, this.quarantine, table, patient)
    }
    const { deleted, refused } = await this.#settle(client, table, { gone: leaving, rows }, how, patient)
    return { upserted: count - refused, deleted }
  }

  /**
   * A repair: rows of a stage, in the target's own types, into the target. Everything that may be in the way is looked
   * at, as in a careful batch. Returns how many rows are in the target then; the stage keeps just those.
   */
  async mend(client: pg.ClientBase, table: TableSpec, stage: string, rows: number): Promise<number> {
    await this.begin(client)
    await this.#prepare(client)
    this.#active = true
    const gone = await this.stage(client, table, 'mended')
    await this.quarantine.touch(client, table, { stages: [stage], rows })
    this.#arrivals.set(table, stage)
    const { refused } = await this.#settle(client, table, { gone, rows: stage }, 'careful', true)
    await this.end(client)
    return rows - refused
  }

  /**
   * Loads lines into the stage of the target's own types, for a look at them. Lines that PostgreSQL refuses are left
   * out; returns the stage and their keys.
   */
  async load(
    client: pg.ClientBase,
    table: TableSpec,
    lines: CopyRows,
  ): Promise<{ readonly stage: string; readonly refused: readonly string[] }> {
    await this.#prepare(client)
    const stage = await this.stage(client, table, 'rows')
    if (!table.columns.some((column) => isGeneric(column))) {
      await client.query('SAVEPOINT slipway_load')
      try {
        await copyInto(client, stage, targetColumns(table), lines, table)
        await client.query('RELEASE SAVEPOINT slipway_load')
        return { stage, refused: [] }
      } catch (error) {
        if (!isFaultOfRow(sqlstate(error))) throw error
        await client.query('ROLLBACK TO SAVEPOINT slipway_load')
      }
    }
    const gone = await this.stage(client, table, 'mended')
    await this.#castInto(client, table, stage, gone, lines)
    const { rows } = await client.query('DELETE FROM pg_temp.slipway_refused RETURNING key')
    // The same lines may come once more in this transaction.
    for (const used of [gone, await this.stage(client, table, 'text')])
      await client.query(`DELETE FROM ${used}`)
    return { stage, refused: rows.map((row) => row.key) }
  }

  /** Children follow their parents; what is due, and how many rows are set aside. */
  async end(
    client: pg.ClientBase,
  ): Promise<{ readonly retry: readonly KeySet[]; readonly quarantined: number }> {
    if (!this.#active) return { retry: [], quarantined: 0 }
    await follow(client, this.quarantine, this.#links, this.#arrivals, this.#deps.beforeChange)
    return { retry: await this.quarantine.due(client), quarantined: await this.quarantine.count(client) }
  }

  /** By COPY into the typed stage. Types that PostgreSQL has to judge arrive as text and must come back as they were. */
  async #copyInto(client: pg.ClientBase, table: TableSpec, rows: string, lines: CopyRows): Promise<void> {
    const columns = targetColumns(table)
    const generic = new Set(genericColumns(table))
    if (generic.size === 0) return await copyInto(client, rows, columns, lines, table)
    const mixed = await this.stage(client, table, 'mixed')
    await copyInto(client, mixed, columns, lines, table)
    const types = new Map(table.columns.map((column) => [column.target, column.type]))
    const cast = (name: string): string =>
      generic.has(name) ? `s.${quote(name)}::${types.get(name)}` : `s.${quote(name)}`
    await client.query(`INSERT INTO ${rows} SELECT ${columns.map(cast).join(', ')} FROM ${mixed} s`)
    const changed = [...generic].map((name) => changedSql(cast(name), `s.${quote(name)}`))
    const found = await client.query(
      `SELECT EXISTS (SELECT 1 FROM ${mixed} s WHERE ${changed.join(' OR ')}) AS some`,
    )
    if (found.rows[0].some) throw new NotKept()
  }

  /** By COPY as text, which takes every line, then row by row where it has to be. Returns how many were refused. */
  async #castInto(
    client: pg.ClientBase,
    table: TableSpec,
    rows: string,
    gone: string,
    lines: CopyRows,
  ): Promise<number> {
    const text = await this.stage(client, table, 'text')
    await copyInto(client, text, targetColumns(table), lines, table)
    await castRows(client, table, { text, rows, gone })
    const refused = await client.query('SELECT count(*)::int AS n FROM pg_temp.slipway_refused')
    return refused.rows[0].n
  }

  /** The stages are filled: duplicates are judged, the target is changed, and losers of what left are due. */
  async #settle(
    client: pg.ClientBase,
    table: TableSpec,
    stages: { readonly gone: string | undefined; readonly rows: string | undefined },
    how: How,
    patient: boolean,
  ): Promise<{ readonly deleted: number; readonly refused: number }> {
    const { rows, gone } = stages
    if (rows !== undefined)
      for (const sql of this.#deps.displace?.(table, rows) ?? []) await client.query(sql)
    let refused = 0
    let deleted = 0
    if (how !== 'careful' || rows === undefined) deleted = await this.#change(client, table, stages, how)
    else {
      const uniques = table.owned ? [] : await judgedUniques(client, table)
      const both = { rows, gone: gone as string }
      refused += await judge(client, this.quarantine, table, uniques, both)
      const changed = await this.#changeCarefully(client, table, both, uniques, patient)
      refused += changed.refused
      deleted = changed.deleted
    }
    if (this.#active && (await hasDuplicates(client, this.quarantine, table))) {
      const touched = [gone, rows].filter((stage) => stage !== undefined)
      await release(client, this.quarantine, table, await judgedUniques(client, table), touched)
    }
    return { deleted, refused }
  }

  async #change(
    client: pg.ClientBase,
    table: TableSpec,
    { gone, rows }: { readonly gone: string | undefined; readonly rows: string | undefined },
    how: How,
  ): Promise<number> {
    await this.#deps.beforeChange(client, table, { gone, rows })
    let deleted = 0
    if (gone !== undefined) deleted = (await client.query(deleteSql(table, gone))).rowCount ?? 0
    if (rows === undefined) return deleted
    if (how === 'upsert' && this.#hasArbiter(table)) await client.query(upsertSql(table, rows))
    else await this.#replace(client, table, rows)
    return deleted
  }

  /** Old rows out, new rows in; columns that the source does not have keep their values. */
  async #replace(client: pg.ClientBase, table: TableSpec, rows: string): Promise<void> {
    const extra = this.#extraOf(table)
    if (extra.length > 0) await client.query(keptRows(table, rows, extra))
    await client.query(deleteSql(table, rows))
    for (const sql of this.#inserts(table, rows, extra)) await client.query(sql)
    if (extra.length > 0) await client.query('DROP TABLE pg_temp.slipway_kept')
  }

  #inserts(table: TableSpec, rows: string, extra: readonly string[]): string[] {
    return extra.length > 0 ? keptInserts(table, rows, extra) : [`${insertSql(table, rows)} s WHERE true`]
  }

  async #changeCarefully(
    client: pg.ClientBase,
    table: TableSpec,
    stages: { readonly gone: string; readonly rows: string },
    uniques: readonly JudgedUnique[],
    patient: boolean,
  ): Promise<{ readonly deleted: number; readonly refused: number }> {
    for (let refused = 0, sifted = false; ; ) {
      await client.query('SAVEPOINT slipway_change')
      try {
        const deleted = await this.#change(client, table, stages, 'replace')
        // Uniques that wait for the commit would speak up when nothing can be done any more.
        await client.query('SET CONSTRAINTS ALL IMMEDIATE')
        await client.query('RELEASE SAVEPOINT slipway_change')
        return { deleted, refused }
      } catch (error) {
        if (!isFaultOfRow(sqlstate(error)) || sifted) throw error
        await client.query('ROLLBACK TO SAVEPOINT slipway_change')
        const named = (error as { constraint?: string }).constraint
        if (table.owned && indexCannotHold(error) && (await this.#dropIndexes(client, table, named, error)))
          continue
      }
      refused += await this.#sift(client, table, stages, uniques, patient)
      sifted = true
    }
  }

  async #sift(
    client: pg.ClientBase,
    table: TableSpec,
    stages: { readonly gone: string; readonly rows: string },
    uniques: readonly JudgedUnique[],
    patient: boolean,
  ): Promise<number> {
    const extra = this.#extraOf(table)
    for (;;) {
      await client.query('DELETE FROM pg_temp.slipway_refused')
      if (extra.length > 0) await client.query(keptRows(table, stages.rows, extra))
      await tryRows(client, table, stages, this.#inserts(table, stages.rows, extra))
      if (extra.length > 0) await client.query('DROP TABLE pg_temp.slipway_kept')
      const index = table.owned ? await decideRefused(client) : undefined
      if (index === undefined || !(await this.#dropIndexes(client, table, index.name, index.error))) break
    }
    const refused = await dropRefused(client, table, stages)
    await putRefused(client, this.quarantine, table, patient, new Set(uniques.map((unique) => unique.name)))
    return refused
  }

  /** On tables of ours an index that cannot hold the rows goes, said loudly; nobody else's is touched. */
  async #dropIndexes(
    client: pg.ClientBase,
    table: TableSpec,
    named: string | undefined,
    error: unknown,
  ): Promise<boolean> {
    const names = await dropIndexes(client, table, named)
    if (names.length > 0)
      this.#deps.warn(`PostgreSQL goes without the indexes ${names.join(', ')}: ${messageOf(error)}`)
    return names.length > 0
  }

  #extraOf(table: TableSpec): string[] {
    if (!this.#deps.keepExtra) return []
    const known = new Set(targetColumns(table))
    return (this.#shapes.get(table.target)?.columns ?? [])
      .filter((column) => !known.has(column.name) && !column.generated)
      .map((column) => column.name)
  }

  /** ON CONFLICT needs an immediate unique index on exactly the key (trap P3). */
  #hasArbiter(table: TableSpec): boolean {
    if (table.owned) return true
    const keys = new Set(table.key.columns.map((column) => column.target))
    const shape = this.#shapes.get(table.target)
    // Such a column takes a given value at INSERT only, so an UPDATE of the row is not to be had.
    const written = new Set(targetColumns(table))
    if (
      shape?.columns.some(
        (column) => column.identityAlways && written.has(column.name) && !keys.has(column.name),
      )
    ) {
      return false
    }
    return (shape?.uniques ?? []).some(
      (unique) =>
        !unique.deferrable &&
        unique.where === undefined &&
        unique.columns?.length === keys.size &&
        unique.columns.every((column) => keys.has(column)),
    )
  }
}
