import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { Applied, Batch, ChangeTarget, TableBatch } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import type { Connection } from './connection.ts'
import type { Control } from './control.ts'
import { targetName } from './dormant.ts'
import { copyInto, quoteList, Stages, sameKey, targetColumns } from './stage.ts'

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
  readonly #shapes: ReadonlyMap<string, TargetTable>

  /** `targets`: the target's tables as they are now, by name: what ON CONFLICT may name, and their extra columns. */
  constructor(connection: Connection, control: Control, targets: readonly TargetTable[]) {
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

  get connected(): boolean {
    return this.#connection.connected
  }

  async apply(batch: Batch): Promise<Applied> {
    try {
      return await this.#attempt(batch, 'upsert')
    } catch (error) {
      this.#stages.forget()
      // Values that two rows exchange collide in any order of upserts; without the old rows they do not.
      if (sqlstate(error) !== UNIQUE_VIOLATION) throw error
    }
    try {
      return await this.#attempt(batch, 'replace')
    } catch (error) {
      this.#stages.forget()
      if (sqlstate(error) !== UNIQUE_VIOLATION) throw error
      throw new Failure({
        code: 'target_unique',
        message: `the target has a unique constraint that the source does not keep: ${(error as Error).message}`,
        remedy: 'Drop the constraint in PostgreSQL, or remove the duplicates in SQLite; then: slipway start',
        cause: error,
      })
    }
  }

  async #attempt(batch: Batch, mode: 'upsert' | 'replace'): Promise<Applied> {
    return await this.#connection.transaction(async (client) => {
      // Not waiting for the disk is safe here: a server that forgets its last commits forgets the checkpoint
      // with the rows, and the changelog still has them (invariant 2).
      await client.query('SET LOCAL synchronous_commit = off')
      const { checkpoint } = await this.#control.admit(client, 'update')
      if (checkpoint.seq !== batch.from.seq || checkpoint.mark !== batch.from.mark) {
        throw new Failure({
          code: 'position_moved',
          policy: 'transient',
          message: `the target stands at ${checkpoint.seq}, the batch starts at ${batch.from.seq}: it is read again`,
        })
      }
      const perTable: { table: string; upserted: number; deleted: number }[] = []
      for (const part of batch.tables) perTable.push(await this.#applyTable(client, part, mode))
      await client.query({
        name: 'slipway_checkpoint',
        text: `UPDATE slipway.checkpoint SET seq = $2, mark = $3, applied_at = clock_timestamp()
               WHERE migration = $1 AND direction = 'forward'`,
        values: [this.#control.migration, batch.to.seq.toString(), batch.to.mark],
      })
      return {
        perTable,
        upserted: perTable.reduce((sum, table) => sum + table.upserted, 0),
        deleted: perTable.reduce((sum, table) => sum + table.deleted, 0),
      }
    })
  }

  async #applyTable(
    client: pg.ClientBase,
    { table, gone, upserts }: TableBatch,
    wanted: 'upsert' | 'replace',
  ): Promise<{ table: string; upserted: number; deleted: number }> {
    const target = targetName(table)
    const generation = this.#connection.generation
    const keys = table.key.columns.map((column) => column.target)
    let deleted = 0
    if (gone.rows > 0) {
      const stage = await this.#stages.get(client, generation, table, 'gone')
      await copyInto(client, stage, keys, gone, table)
      const result = await client.query(
        `DELETE FROM ${target} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`,
      )
      deleted = result.rowCount ?? 0
    }
    if (upserts.rows > 0) {
      const columns = targetColumns(table)
      const stage = await this.#stages.get(client, generation, table, 'rows')
      await copyInto(client, stage, columns, upserts, table)
      if (wanted === 'replace' || !this.#hasArbiter(table)) await this.#replace(client, table, stage)
      else await client.query(upsertSql(table, stage))
    }
    return { table: table.name, upserted: upserts.rows, deleted }
  }

  /** ON CONFLICT needs an immediate unique index on exactly the key (trap P3). */
  #hasArbiter(table: TableSpec): boolean {
    if (table.owned) return true
    const keys = new Set(table.key.columns.map((column) => column.target))
    return (this.#shapes.get(table.target)?.uniques ?? []).some(
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
    const keep = 'pg_temp.slipway_kept'
    if (extra.length > 0) {
      const columns = [...table.key.columns.map((column) => column.target), ...extra]
        .map((name) => `t.${quote(name)}`)
        .join(', ')
      await client.query(
        `CREATE TEMP TABLE ${keep} ON COMMIT DROP AS SELECT ${columns} FROM ${target} t JOIN ${stage} s ON ${sameKey(table, 't', 's')}`,
      )
    }
    await client.query(`DELETE FROM ${target} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`)
    await client.query(insertSql(table, stage))
    if (extra.length > 0) {
      const set = extra.map((name) => `${quote(name)} = k.${quote(name)}`).join(', ')
      await client.query(`UPDATE ${target} t SET ${set} FROM ${keep} k WHERE ${sameKey(table, 't', 'k')}`)
      await client.query(`DROP TABLE ${keep}`)
    }
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

export function sqlstate(error: unknown): string | undefined {
  const cause = error instanceof Failure ? error.cause : error
  return (cause as { code?: string } | undefined)?.code
}
