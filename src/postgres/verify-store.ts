import type { Connection } from './connection.ts'

/** A run of verify as PostgreSQL keeps it; its inside is not looked at here. */
export interface StoredRun {
  readonly id: number
  readonly state: string
  readonly reason: string
  readonly repair: boolean
  readonly finishedAt: string | undefined
}

/** Runs that are kept of one migration. */
const KEPT = 50

/** Keeps runs of verify on the target, so that they outlive the daemon. */
export class VerifyRuns<T extends StoredRun> {
  readonly #connection: Connection
  readonly #migration: string

  constructor(connection: Connection, migration: string) {
    this.#connection = connection
    this.#migration = migration
  }

  async load(): Promise<T | undefined> {
    return await this.#connection.use(async (client) => {
      const { rows } = await client.query(
        'SELECT id, report FROM slipway.verify_run WHERE migration = $1 ORDER BY id DESC LIMIT 1',
        [this.#migration],
      )
      return rows[0] && ({ ...rows[0].report, id: Number(rows[0].id) } as T)
    })
  }

  async begin(run: Omit<T, 'id'>): Promise<T> {
    return await this.#connection.transaction(async (client) => {
      const { rows } = await client.query(
        `INSERT INTO slipway.verify_run (migration, state, reason, repair, report) VALUES ($1, 'running', $2, $3, $4) RETURNING id`,
        [this.#migration, run.reason, run.repair, JSON.stringify(run)],
      )
      await client.query(
        `DELETE FROM slipway.verify_run WHERE migration = $1 AND id NOT IN
           (SELECT id FROM slipway.verify_run WHERE migration = $1 ORDER BY id DESC LIMIT ${KEPT})`,
        [this.#migration],
      )
      return { ...run, id: Number(rows[0].id) } as T
    })
  }

  async save(run: T): Promise<void> {
    await this.#connection.use((client) =>
      client.query('UPDATE slipway.verify_run SET state = $2, finished_at = $3, report = $4 WHERE id = $1', [
        run.id,
        run.state,
        run.finishedAt ?? null,
        JSON.stringify(run),
      ]),
    )
  }
}
