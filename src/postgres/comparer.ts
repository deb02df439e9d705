import type pg from 'pg'
import type { Compared, CompareTarget, KeyPage, Ride } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import { compareStage, coversTarget, deleteExtras, readKeyPage, refuseMoved } from './compare.ts'
import type { Connection } from './connection.ts'
import type { Control } from './control.ts'
import { displaceSql } from './copy.ts'
import { targetName } from './dormant.ts'
import { readUniques } from './introspect.ts'
import { keyTextSql } from './key-text.ts'
import { copyInto, Stages, sameKey, targetColumns } from './stage.ts'
import { insertSql } from './writer.ts'

/**
 * Compares what the source's snapshot shows with the target, between two batches: in one transaction that admits only
 * the holder and finds the target at the position of that snapshot. The session is the one that applies, so that
 * nothing is applied meanwhile.
 */
export class Comparer implements CompareTarget {
  readonly #connection: Connection
  readonly #control: Control
  readonly #stages = new Stages()

  constructor(connection: Connection, control: Control) {
    this.#connection = connection
    this.#control = control
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
        let displaced: readonly string[] = []
        if (repair && found.missing + found.different > 0) {
          const mended = await mend(client, table, rows)
          repaired += mended.rows
          displaced = mended.displaced
        }
        const { extras: _, ...compared } = found
        return { ...compared, quarantined: chunk.aside.length, repaired, displaced }
      })
    } catch (error) {
      this.#stages.forget()
      throw error
    }
  }

  async keys(table: TableSpec, after: readonly string[] | undefined): Promise<KeyPage | undefined> {
    if (coversTarget(table)) return undefined
    return await this.#connection.use((client) => readKeyPage(client, table, after, keyTextSql(table, 't')))
  }
}

/**
 * The stage's rows into the target. One that holds a unique value of theirs under another key is not what the source
 * has, since the source keeps that value once: it goes, and its key is told.
 */
async function mend(
  client: pg.ClientBase,
  table: TableSpec,
  stage: string,
): Promise<{ rows: number; displaced: string[] }> {
  await client.query(`DELETE FROM ${targetName(table)} t USING ${stage} s WHERE ${sameKey(table, 't', 's')}`)
  const { rows } = await client.query('SELECT to_regclass($1)::oid AS oid', [targetName(table)])
  const displaced: string[] = []
  for (const unique of await readUniques(client, rows[0].oid)) {
    const gone = await client.query(
      `${displaceSql(table, stage, unique)} RETURNING ${keyTextSql(table, targetName(table))} AS key`,
    )
    displaced.push(...gone.rows.map((row) => row.key))
  }
  return { rows: (await client.query(insertSql(table, stage))).rowCount ?? 0, displaced }
}
