import type pg from 'pg'
import { showKey } from '../core/key.ts'
import type { Compared, CompareTarget, CopyRows, Difference, KeyPage, Ride } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import type { TableSpec } from '../core/table.ts'
import type { TargetUnique } from '../core/target-schema.ts'
import { compareStage, coversRange, coversTarget, readKeyPage, refuseMoved, SAMPLES } from './compare.ts'
import type { Connection } from './connection.ts'
import type { Control } from './control.ts'
import { displaced } from './displace.ts'
import { targetName } from './dormant.ts'
import { readUniques } from './introspect.ts'
import { keyTextSql } from './key-text.ts'
import { copyInto, quoteList, sameKey } from './stage.ts'
import type { BatchWriter } from './writer.ts'

const NONE: CopyRows = { rows: 0, bytes: 0, read: () => [] }

/** The source keeps this unique of the target as well. */
export type KeptUnique = (table: TableSpec, unique: TargetUnique) => boolean

/**
 * Compares what the source's snapshot shows with the target, between two batches: in one transaction that admits only
 * the holder and finds the target at the position of that snapshot. The session is the one that applies, so that
 * nothing is applied meanwhile.
 */
export class Comparer implements CompareTarget {
  readonly #connection: Connection
  readonly #control: Control
  readonly #writer: BatchWriter
  readonly #kept: KeptUnique

  constructor(connection: Connection, control: Control, writer: BatchWriter, kept: KeptUnique) {
    this.#connection = connection
    this.#control = control
    this.#writer = writer
    this.#kept = kept
  }

  async compare(ride: Ride, at: Checkpoint, repair: boolean): Promise<Compared> {
    const { table, chunk } = ride
    const { merger } = this.#writer
    try {
      return await this.#connection.transaction(async (client) => {
        await client.query('SET LOCAL synchronous_commit = off')
        const admission = await this.#control.admit(client, 'update')
        refuseMoved(at.seq, admission.checkpoint.seq)
        const { stage, refused } = await merger.load(client, table, chunk.rows)
        const gone = await merger.stage(client, table, 'gone')
        if (ride.gone !== undefined) {
          const keys = table.key.columns.map((column) => column.target)
          await copyInto(client, gone, keys, ride.gone, table)
        }
        // What has no form in the target must be set aside, and must not be in the target.
        const unfit = [...chunk.aside.map(({ key }) => key), ...refused]
        const unknown = unfit.length === 0 ? [] : await merger.quarantine.unknown(client, table, unfit)
        if (unfit.length > 0 && !coversRange(table, ride))
          await merger.quarantine.stageKeys(client, table, gone, unfit)
        const { migration } = this.#control
        const found = await compareStage(client, { table, rows: stage, gone, ride, migration })
        const lost = unknown.map((key): Difference => {
          return { table: table.name, key: showKey(table.key.columns, key), kind: 'missing', columns: [] }
        })
        const compared = {
          ...found,
          rows: chunk.rows.rows + chunk.aside.length,
          missing: found.missing + unknown.length,
          quarantined: found.quarantined + unfit.length - unknown.length,
          samples: [...lost, ...found.samples].slice(0, SAMPLES),
          repaired: 0,
          displaced: [],
        }
        const wrong = compared.missing + compared.different
        if (!repair || wrong + compared.extra === 0) return compared
        await this.#writer.beginRepair(client, at, admission)
        let repaired = 0
        // First those that are too many: they may hold a unique value of one that is missing.
        if (found.extra > 0) repaired += await this.#takeAway(client, table, gone)
        const displaced = wrong > 0 ? await this.#displace(client, table, stage, gone) : []
        if (unknown.length > 0) {
          await this.#transfer(client, ride, stage)
          repaired += wrong
        } else if (wrong > 0) repaired += await merger.mend(client, table, stage, wrong)
        return { ...compared, repaired, displaced }
      })
    } catch (error) {
      merger.forget()
      throw error
    }
  }

  /** The whole range once more, as a batch: so rows that do not fit are set aside with the reason. */
  async #transfer(client: pg.ClientBase, { table, chunk }: Ride, stage: string): Promise<void> {
    const { merger } = this.#writer
    await client.query(`DELETE FROM ${stage}`)
    await merger.begin(client)
    await merger.merge(
      client,
      { table, gone: NONE, upserts: chunk.rows, aside: chunk.aside },
      'careful',
      true,
    )
    await merger.end(client)
  }

  /** Rows of the target by the keys in a stage, which is empty then. */
  async #takeAway(client: pg.ClientBase, table: TableSpec, gone: string): Promise<number> {
    await this.#writer.beforeChange(client, table, { gone })
    const deleted = await client.query(
      `DELETE FROM ${targetName(table)} t USING ${gone} g WHERE ${sameKey(table, 't', 'g')}`,
    )
    await client.query(`DELETE FROM ${gone}`)
    return deleted.rowCount ?? 0
  }

  /**
   * A row that holds a unique value of the stage under another key is not what the source has, where the source keeps
   * that value once: it goes, and its key is told.
   */
  async #displace(client: pg.ClientBase, table: TableSpec, stage: string, gone: string): Promise<string[]> {
    const { rows } = await client.query('SELECT to_regclass($1)::oid AS oid', [targetName(table)])
    const keys = quoteList(table.key.columns.map((column) => column.target))
    const told: string[] = []
    for (const unique of await readUniques(client, rows[0].oid)) {
      if (!this.#kept(table, unique)) continue
      await client.query(
        `INSERT INTO ${gone} SELECT ${keys} FROM ${displaced(table, stage, unique)}
         AND NOT EXISTS (SELECT 1 FROM ${stage} s WHERE ${sameKey(table, 's', targetName(table))})`,
      )
      const found = await client.query(`SELECT ${keyTextSql(table, 'g')} AS key FROM ${gone} g`)
      told.push(...found.rows.map((row) => row.key))
      await this.#takeAway(client, table, gone)
    }
    return told
  }

  async keys(table: TableSpec, after: readonly string[] | undefined): Promise<KeyPage | undefined> {
    if (coversTarget(table)) return undefined
    return await this.#connection.use((client) => readKeyPage(client, table, after, keyTextSql(table, 't')))
  }
}
