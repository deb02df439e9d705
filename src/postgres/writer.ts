import type pg from 'pg'
import { Failure, messageOf } from '../core/errors.ts'
import type { Applied, Batch, ChangeTarget, Compared, KeySet, TableBatch } from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import { type Connection, sqlstate } from './connection.ts'
import type { Control } from './control.ts'
import { targetName } from './dormant.ts'
import { keepFloor, recordHistory } from './history.ts'
import { dropIndexes, indexCannotHold } from './indexes.ts'
import { copyInto, quoteList, Stages, sameKey, targetColumns } from './stage.ts'

type Mode = 'upsert' | 'replace'

/** Postponed until the batch's own deletes are done, then 23505 means that the upserts collide (trap P1). */
const UNIQUE_VIOLATION = '23505'

/**
 * Applies batches: rows arrive in stage tables by COPY, gone keys are deleted, the others upserted, and the
 * checkpoint moves, all in one transaction that admits only the holder (invariants 3 and 4).
 */
export class BatchWriter implements ChangeTarget {
  readonly #connection: Connection
  readonly #control: Control
  readonly #stages = new Stages()
  readonly #warn: (text: string) => void
  readonly #shapes: ReadonlyMap<string, TargetTable>
  readonly #history: boolean

  /**
   * `targets`: the target's tables as they are now, by name: what ON CONFLICT may name, and their extra columns.
   * `history`: row images are kept (HISTORY=on).
   */
  constructor(
    connection: Connection,
    control: Control,
    targets: readonly TargetTable[],
    warn: (text: string) => void,
    history = false,
  ) {
    this.#warn = warn
    this.#history = history
    this.#connection = connection
    this.#control = control
    this.#shapes = new Map(targets.map((table) => [table.name, table]))
  }

  async checkpoint(): Promise<Checkpoint> {
    const stored = await this.#control.checkpoint(this.#connection)
    if (stored === undefined)
      throw new Failure({
        code: 'no_checkpoint',
        message: 'the target has no checkpoint: nothing was copied yet',
      })
    return stored.checkpoint
  }

  async compare(): Promise<Compared> {
    throw new Error('not yet')
  }

  async quarantined(): Promise<readonly KeySet[]> {
    return []
  }

  get connected(): boolean {
    return this.#connection.connected
  }

  async apply(batch: Batch): Promise<Applied> {
    for (let mode: Mode = 'upsert', dropped = true; ; ) {
      try {
        return await this.#attempt(batch, mode)
      } catch (error) {
        this.#stages.forget()
        if (!indexCannotHold(error)) throw error
        // Values that two rows exchange collide in any order of upserts; without the old rows they do not.
        if (sqlstate(error) === UNIQUE_VIOLATION && mode === 'upsert') {
          mode = 'replace'
          continue
        }
        dropped = dropped && (await this.#dropIndexes(batch, error))
        if (!dropped) throw this.#refused(error)
      }
    }
  }

  /** On tables of ours an index that cannot hold the rows goes, said loudly; nobody else's is touched. */
  async #dropIndexes(batch: Batch, error: unknown): Promise<boolean> {
    const named = ((error as Failure).cause as { constraint?: string } | undefined)?.constraint
    const names = await this.#connection.transaction(async (client) => {
      await this.#control.admit(client, 'update')
      const all: string[] = []
      for (const { table } of batch.tables)
        if (table.owned) all.push(...(await dropIndexes(client, table, named)))
      return all
    })
    if (names.length > 0)
      this.#warn(`PostgreSQL goes without the indexes ${names.join(', ')}: ${messageOf(error)}`)
    return names.length > 0
  }

  #refused(error: unknown): Failure {
    if (sqlstate(error) !== UNIQUE_VIOLATION) {
      return new Failure({
        code: 'target_index',
        message: `an index of the target cannot hold a row: ${messageOf(error)}`,
        remedy: 'Drop that index in PostgreSQL; slipway tries again by itself.',
        cause: error,
      })
    }
    return new Failure({
      code: 'target_unique',
      message: `the target has a unique constraint that the source does not keep: ${messageOf(error)}`,
      remedy:
        'Drop the constraint in PostgreSQL, or remove the duplicates in SQLite; slipway tries again by itself.',
      cause: error,
    })
  }

  async #attempt(batch: Batch, mode: Mode): Promise<Applied> {
    return await this.#connection.transaction(async (client) => {
      // Not waiting for the disk is safe here: a server that forgets its last commits forgets the checkpoint
      // with the rows, and the changelog still has them (invariant 2).
      await client.query('SET LOCAL synchronous_commit = off')
      const admission = await this.#control.admit(client, 'update')
      const { checkpoint } = admission
      if (checkpoint.seq !== batch.from.seq || checkpoint.mark !== batch.from.mark) {
        throw new Failure({
          code: 'position_moved',
          policy: 'transient',
          message: `the target stands at ${checkpoint.seq}, the batch starts at ${batch.from.seq}: it is read again`,
        })
      }
      await keepFloor(client, this.#control.migration, this.#history, admission)
      const perTable: { table: string; upserted: number; deleted: number }[] = []
      for (const part of batch.tables) {
        perTable.push(await this.#applyTable(client, part, mode, batch.to.seq))
      }
      await client.query({
        name: 'slipway_checkpoint',
        text: `UPDATE slipway.checkpoint SET seq = $2, mark = $3, applied_at = clock_timestamp()
               WHERE migration = $1 AND direction = 'forward'`,
        values: [this.#control.migration, batch.to.seq.toString(), batch.to.mark],
      })
      return {
        retry: [],
        quarantined: 0,
        perTable,
        upserted: perTable.reduce((sum, table) => sum + table.upserted, 0),
        deleted: perTable.reduce((sum, table) => sum + table.deleted, 0),
      }
    })
  }

  async #applyTable(
    client: pg.ClientBase,
    { table, gone, upserts }: TableBatch,
    wanted: Mode,
    position: Seq,
  ): Promise<{ table: string; upserted: number; deleted: number }> {
    const target = targetName(table)
    const generation = this.#connection.generation
    const stages: { gone?: string; rows?: string } = {}
    if (gone.rows > 0) {
      stages.gone = await this.#stages.get(client, generation, table, 'gone')
      const keys = table.key.columns.map((column) => column.target)
      await copyInto(client, stages.gone, keys, gone, table)
    }
    if (upserts.rows > 0) {
      stages.rows = await this.#stages.get(client, generation, table, 'rows')
      await copyInto(client, stages.rows, targetColumns(table), upserts, table)
    }
    await this.#beforeChange(client, table, stages, position)
    let deleted = 0
    if (stages.gone !== undefined) {
      const result = await client.query(
        `DELETE FROM ${target} t USING ${stages.gone} s WHERE ${sameKey(table, 't', 's')}`,
      )
      deleted = result.rowCount ?? 0
    }
    if (stages.rows !== undefined) {
      if (wanted === 'replace' || !this.#hasArbiter(table)) await this.#replace(client, table, stages.rows)
      else await client.query(upsertSql(table, stages.rows))
    }
    return { table: table.name, upserted: upserts.rows, deleted }
  }

  /** The stages are filled, and the target still shows the rows as they were. */
  async #beforeChange(
    client: pg.ClientBase,
    table: TableSpec,
    stages: { readonly gone?: string; readonly rows?: string },
    position: Seq,
  ): Promise<void> {
    if (!this.#history) return
    const { migration } = this.#control
    const shape = this.#shapes.get(table.target)
    await recordHistory(client, { migration, direction: 'forward', position, table, shape, ...stages })
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

  /** Old rows out, new rows in; columns that the source does not have keep their values. */
  async #replace(client: pg.ClientBase, table: TableSpec, stage: string): Promise<void> {
    const target = targetName(table)
    const known = new Set(targetColumns(table))
    const extra = (this.#shapes.get(table.target)?.columns ?? [])
      .filter((column) => !known.has(column.name) && !column.generated)
      .map((column) => column.name)
    if (extra.length === 0) {
      await client.query(`DELETE FROM ${target} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`)
      await client.query(insertSql(table, stage))
      return
    }
    const keep = 'pg_temp.slipway_kept'
    const of = (alias: string, names: readonly string[]): string =>
      names.map((name) => `${alias}.${quote(name)}`).join(', ')
    const keys = table.key.columns.map((column) => column.target)
    const columns = targetColumns(table)
    await client.query(
      `CREATE TEMP TABLE ${keep} ON COMMIT DROP AS SELECT ${of('t', [...keys, ...extra])} FROM ${target} t JOIN ${stage} s ON ${sameKey(table, 't', 's')}`,
    )
    await client.query(`DELETE FROM ${target} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`)
    await client.query(
      `INSERT INTO ${target} (${quoteList([...columns, ...extra])}) OVERRIDING SYSTEM VALUE
       SELECT ${of('s', columns)}, ${of('k', extra)} FROM ${stage} s JOIN ${keep} k ON ${sameKey(table, 's', 'k')}`,
    )
    await client.query(
      `INSERT INTO ${target} (${quoteList(columns)}) OVERRIDING SYSTEM VALUE
       SELECT ${of('s', columns)} FROM ${stage} s WHERE NOT EXISTS (SELECT 1 FROM ${keep} k WHERE ${sameKey(table, 's', 'k')})`,
    )
    await client.query(`DROP TABLE ${keep}`)
  }
}

export function insertSql(table: TableSpec, stage: string): string {
  const columns = quoteList(targetColumns(table))
  // An identity ALWAYS refuses given values otherwise (trap P7).
  return `INSERT INTO ${targetName(table)} (${columns}) OVERRIDING SYSTEM VALUE SELECT ${columns} FROM ${stage}`
}

function upsertSql(table: TableSpec, stage: string): string {
  const keys = new Set(table.key.columns.map((column) => column.target))
  const rest = targetColumns(table).filter((name) => !keys.has(name))
  const action =
    rest.length === 0
      ? 'DO NOTHING'
      : `DO UPDATE SET ${rest.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(', ')}`
  return `${insertSql(table, stage)} ON CONFLICT (${quoteList([...keys])}) ${action}`
}
