import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { Applied, Batch, ChangeTarget, KeySet } from '../core/ports.ts'
import type { Checkpoint, Seq } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetTable } from '../core/target-schema.ts'
import { type Connection, sqlstate } from './connection.ts'
import type { Admission, Control } from './control.ts'
import { keepFloor, recordHistory } from './history.ts'
import { type How, Merger } from './merge.ts'
import { quarantinedKeys } from './quarantine.ts'
import { MOVING } from './refused.ts'
import { isFaultOfRow } from './sift.ts'

/** Two rows hold one value: maybe they exchange it, and maybe they both want it. */
const UNIQUE_VIOLATION = '23505'
/** How often a batch may find that rows moved under it. */
const MOVES = 3

/**
 * Applies batches: rows arrive in stage tables by COPY, gone keys are deleted, the others upserted, and the
 * checkpoint moves, all in one transaction that admits only the holder (invariants 3 and 4). What the target refuses
 * is set aside in the same transaction: a batch starts in the fast way, and is tried in a more careful one each time
 * it fails by a fault of its rows.
 */
export class BatchWriter implements ChangeTarget {
  readonly #connection: Connection
  readonly #control: Control
  readonly #shapes: ReadonlyMap<string, TargetTable>
  readonly #history: boolean
  /** Of what is being written now. */
  #position: Seq = 0n
  /** Brings rows into the target; a repair in the same session uses it as well. */
  readonly merger: Merger

  /**
   * `targets`: the target's tables as they are now; `tables`: all that are moved; `history`: row images are kept
   * (HISTORY=on).
   */
  constructor(
    connection: Connection,
    control: Control,
    targets: readonly TargetTable[],
    warn: (text: string) => void,
    tables: readonly TableSpec[],
    history = false,
  ) {
    this.#shapes = new Map(targets.map((table) => [table.name, table]))
    this.#history = history
    this.#connection = connection
    this.#control = control
    this.merger = new Merger({
      connection,
      migration: control.migration,
      targets,
      tables,
      warn,
      keepExtra: true,
      beforeChange: (client, table, stages) => this.beforeChange(client, table, stages),
    })
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

  async quarantined(): Promise<readonly KeySet[]> {
    return await quarantinedKeys(this.#connection, this.#control.migration)
  }

  get connected(): boolean {
    return this.#connection.connected
  }

  /** The stages are filled and the target is as it was: `gone` holds keys of rows that go, `rows` those that come. */
  async beforeChange(
    client: pg.ClientBase,
    table: TableSpec,
    stages: { readonly gone?: string | undefined; readonly rows?: string | undefined },
  ): Promise<void> {
    if (!this.#history) return
    await recordHistory(client, {
      migration: this.#control.migration,
      direction: 'forward',
      position: this.#position,
      table,
      shape: this.#shapes.get(table.target),
      ...(stages.gone === undefined ? {} : { gone: stages.gone }),
      ...(stages.rows === undefined ? {} : { rows: stages.rows }),
    })
  }

  /** What follows in this transaction repairs what differs at a position. */
  async beginRepair(client: pg.ClientBase, at: Checkpoint, admission: Admission): Promise<void> {
    this.#position = at.seq
    await keepFloor(client, this.#control.migration, this.#history, admission)
  }

  async apply(batch: Batch): Promise<Applied> {
    const ways = new Map<string, How>()
    for (let moves = 0; ; ) {
      const at: { table: string | undefined } = { table: undefined }
      try {
        return await this.#attempt(batch, ways, at, moves >= MOVES)
      } catch (error) {
        this.merger.forget()
        if (error instanceof Failure && error.code === MOVING) moves++
        else if (!takeCare(batch, ways, at.table, error)) throw error
      }
    }
  }

  async #attempt(
    batch: Batch,
    ways: ReadonlyMap<string, How>,
    at: { table: string | undefined },
    patient: boolean,
  ): Promise<Applied> {
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
      this.#position = batch.to.seq
      await keepFloor(client, this.#control.migration, this.#history, admission)
      await this.merger.begin(client)
      const perTable: { table: string; upserted: number; deleted: number }[] = []
      for (const part of batch.tables) {
        at.table = part.table.name
        const how = ways.get(part.table.name) ?? 'upsert'
        perTable.push({ table: part.table.name, ...(await this.merger.merge(client, part, how, patient)) })
      }
      at.table = undefined
      const { retry, quarantined } = await this.merger.end(client)
      await client.query({
        name: 'slipway_checkpoint',
        text: `UPDATE slipway.checkpoint SET seq = $2, mark = $3, applied_at = clock_timestamp()
               WHERE migration = $1 AND direction = 'forward'`,
        values: [this.#control.migration, batch.to.seq.toString(), batch.to.mark],
      })
      return {
        retry,
        quarantined,
        perTable,
        upserted: perTable.reduce((sum, table) => sum + table.upserted, 0),
        deleted: perTable.reduce((sum, table) => sum + table.deleted, 0),
      }
    })
  }
}

/** A more careful way for the table that failed, or for all where the commit did; false where there is none left. */
function takeCare(batch: Batch, ways: Map<string, How>, failed: string | undefined, error: unknown): boolean {
  const state = sqlstate(error)
  if (!isFaultOfRow(state)) return false
  const all = batch.tables.map(({ table }) => table.name)
  const raise = (name: string): boolean => {
    const now = ways.get(name) ?? 'upsert'
    if (now === 'careful') return false
    ways.set(name, now === 'upsert' && state === UNIQUE_VIOLATION ? 'replace' : 'careful')
    return true
  }
  if (failed !== undefined && raise(failed)) return true
  return all.map(raise).includes(true)
}
