import type pg from 'pg'
import type { Compared, CompareTarget, KeyPage, Ride } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import { compareStage, coversTarget, deleteExtras, readKeyPage, refuseMoved } from './compare.ts'
import type { Connection } from './connection.ts'
import type { Control } from './control.ts'
import { copyInto, Stages, targetColumns } from './stage.ts'

/** How a comparison repairs: rows of a stage into the target, in the caller's transaction. */
export type Mend = (client: pg.ClientBase, table: TableSpec, stage: string, rows: number) => Promise<number>

/**
 * Compares what the source's snapshot shows with the target, between two batches: in one transaction that admits only
 * the holder and finds the target at the position of that snapshot. The session is the one that applies, so that
 * nothing is applied meanwhile.
 */
export class Comparer implements CompareTarget {
  readonly #connection: Connection
  readonly #control: Control
  readonly #stages = new Stages()
  readonly #mend: Mend
  readonly #keyText: (table: TableSpec, alias: string) => string

  constructor(
    connection: Connection,
    control: Control,
    mend: Mend,
    keyText: (table: TableSpec, alias: string) => string,
  ) {
    this.#connection = connection
    this.#control = control
    this.#mend = mend
    this.#keyText = keyText
  }

  async compare(ride: Ride, at: Checkpoint, repair: boolean): Promise<Compared> {
    const { table, chunk } = ride
    try {
      return await this.#connection.transaction(async (client) => {
        await client.query('SET LOCAL synchronous_commit = off')
        const { checkpoint } = await this.#control.admit(client, 'update')
        refuseMoved(at.seq, checkpoint.seq)
        const rows = await this.#stages.get(client, this.#connection.generation, table, 'rows')
        await copyInto(client, rows, targetColumns(table), chunk.rows, table)
        const gone =
          ride.gone === undefined
            ? undefined
            : await this.#stages.get(client, this.#connection.generation, table, 'gone')
        if (gone !== undefined && ride.gone !== undefined) {
          const keys = table.key.columns.map((column) => column.target)
          await copyInto(client, gone, keys, ride.gone, table)
        }
        const found = await compareStage(client, { table, rows, gone, ride })
        let repaired = 0
        // First those that are too many: they may hold a unique value of one that is missing.
        if (repair && found.extra > 0) repaired += await deleteExtras(client, table)
        if (repair && found.missing + found.different > 0)
          repaired += await this.#mend(client, table, rows, found.missing + found.different)
        const { extras: _, ...compared } = found
        return { ...compared, quarantined: chunk.aside.length, repaired }
      })
    } catch (error) {
      this.#stages.forget()
      throw error
    }
  }

  async keys(table: TableSpec, after: readonly string[] | undefined): Promise<KeyPage | undefined> {
    if (coversTarget(table)) return undefined
    return await this.#connection.use((client) =>
      readKeyPage(client, table, after, this.#keyText(table, 't')),
    )
  }
}
