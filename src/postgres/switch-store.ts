import type { Passage } from '../core/authority.ts'
import type { SwitchRun } from '../core/switch-run.ts'
import type { Connection } from './connection.ts'

/** Runs of switchover and rollback, kept with their steps, guards and overrides (slipway.switch_run). */
export class SwitchRuns {
  readonly #connection: Connection
  readonly #migration: string

  constructor(connection: Connection, migration: string) {
    this.#connection = connection
    this.#migration = migration
  }

  /** The last `limit`, newest first. */
  async load(limit: number): Promise<readonly SwitchRun[]> {
    return await this.#query(
      'SELECT report FROM slipway.switch_run WHERE migration = $1 ORDER BY id DESC LIMIT $2',
      [this.#migration, limit],
    )
  }

  /** The last one of that kind that was done. */
  async last(passage: Passage): Promise<SwitchRun | undefined> {
    const runs = await this.#query(
      `SELECT report FROM slipway.switch_run WHERE migration = $1 AND passage = $2 AND state = 'done' ORDER BY id DESC LIMIT 1`,
      [this.#migration, passage],
    )
    return runs[0]
  }

  /** A run that has ended. */
  async save(run: SwitchRun): Promise<void> {
    await this.#connection.use((client) =>
      client.query(
        `INSERT INTO slipway.switch_run (migration, passage, attempt, state, started_at, finished_at, report)
         VALUES ($1, $2, $3, $4, coalesce($5::timestamptz, clock_timestamp()), $6, $7)`,
        [
          this.#migration,
          run.passage,
          run.attempt,
          run.state,
          run.started_at,
          run.finished_at,
          JSON.stringify(run),
        ],
      ),
    )
  }

  async #query(sql: string, values: unknown[]): Promise<SwitchRun[]> {
    return await this.#connection.use(async (client) => {
      const { rows } = await client.query(sql, values)
      return rows.map((row) => row.report as SwitchRun)
    })
  }
}
