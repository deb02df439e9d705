import { randomBytes, randomUUID } from 'node:crypto'
import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import type { Phase } from '../core/operator.ts'
import { type Checkpoint, parseSeq, type Seq } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { CONTROL_SQL, type ControlState, controlState } from './control-state.ts'

/** Class of every advisory lock of slipway but the gate's own. */
const HOLDER_LOCK = 7_515
/** A holder that was not heard of for so long is taken to be frozen or cut off. */
export const TAKEOVER_AFTER_SECONDS = 10

export type Acquired =
  | { readonly held: true }
  | { readonly held: false; readonly by: string; readonly silentSeconds: number }

/** What a holder's transaction learns when it is let in. */
export interface Admission {
  readonly checkpoint: Checkpoint
  readonly newest: bigint
  readonly phase: Phase
  /** See ControlState. */
  readonly historyFrom: Seq | undefined
}

/**
 * The control row: phase, authority, epoch, and who may write. The row protects; the advisory lock only keeps a
 * standby waiting (trap H4).
 */
export class Control {
  readonly #connection: Connection
  readonly migration: string
  /** This process. */
  readonly holder: string
  #epoch = 0
  #id = 0
  /** Generation of the session in which the advisory lock is held: a new session has to take it again. */
  #lockedIn = -1

  constructor(connection: Connection, migration: string, holder: string = randomUUID()) {
    this.#connection = connection
    this.migration = migration
    this.holder = holder
  }

  /** The epoch in which this process acts: as it was when it became the holder, or at the last change of authority. */
  get epoch(): number {
    return this.#epoch
  }

  /** After a decision of this holder: its transactions are let in by the new epoch from here on. */
  enterEpoch(epoch: number): void {
    this.#epoch = epoch
  }

  /** Reads the epoch anew, where an attempt's end was seen elsewhere. Throws Failure `displaced`. */
  async refresh(): Promise<number> {
    return await this.#connection.use(async (client) => {
      const { rows } = await client.query(
        'SELECT epoch FROM slipway.control WHERE migration = $1 AND holder = $2',
        [this.migration, this.holder],
      )
      if (rows[0] === undefined) throw displaced()
      this.#epoch = Number(rows[0].epoch)
      return this.#epoch
    })
  }

  /**
   * Makes the control row and the gate's sequence at first use: closed, since SQLite leads. `identity`: noted in the
   * source by a migration of this name that the server has forgotten.
   */
  async create(source: string, schema: string, identity: string | undefined = undefined): Promise<void> {
    await this.#connection.transaction(async (client) => {
      const inserted = await client.query(
        `INSERT INTO slipway.control (migration, phase, authority, epoch, secret, source, schema, identity)
         VALUES ($1, 'new', 'sqlite', 1, $2, $3, $4, coalesce($5, gen_random_uuid()::text)) ON CONFLICT (migration) DO NOTHING RETURNING id`,
        [this.migration, randomBytes(24).toString('base64url'), source, schema, identity ?? null],
      )
      if (inserted.rowCount === 0) {
        const { rows } = await client.query('SELECT schema FROM slipway.control WHERE migration = $1', [
          this.migration,
        ])
        if (rows[0].schema !== schema) {
          throw new Failure({
            code: 'migration_elsewhere',
            message: `the migration "${this.migration}" on this server uses the schema ${rows[0].schema}, not ${schema}`,
            remedy: `Set POSTGRES_SCHEMA=${rows[0].schema}, or give this one another MIGRATION_NAME.`,
          })
        }
        return
      }
      const { id } = inserted.rows[0]
      // An even value: closed in this epoch. Open would be 2 × epoch + 1.
      await client.query(`CREATE SEQUENCE slipway.${quote(`gate_${id}`)} MINVALUE 0`)
      await client.query(`SELECT setval($1::regclass, 2)`, [`slipway.gate_${id}`])
      await client.query('INSERT INTO slipway.holder (migration, holder, seen_at) VALUES ($1, $2, now())', [
        this.migration,
        '',
      ])
    })
  }

  async read(): Promise<ControlState | undefined> {
    return await this.#connection.use(async (client) => {
      const exists = await client.query(`SELECT to_regclass('slipway.control') IS NOT NULL AS there`)
      if (!exists.rows[0].there) return undefined
      const { rows } = await client.query(CONTROL_SQL, [this.migration])
      return rows[0] && controlState(rows[0])
    })
  }

  /**
   * Tries to become the holder. `session` keeps the advisory lock, so it must stay open. Returns who holds it
   * instead while that one lives: it has the lock, or, where its lock's session was cut, other sessions. A holder
   * not heard of for TAKEOVER_AFTER_SECONDS is displaced: its sessions are ended first, since they may hold the
   * control row locked.
   */
  async acquire(session: Connection): Promise<Acquired> {
    return await session.use(async (client) => {
      const { rows } = await client.query(
        `SELECT c.id, c.epoch, h.holder, extract(epoch FROM clock_timestamp() - h.seen_at)::float8 AS silent
         FROM slipway.control c JOIN slipway.holder h USING (migration) WHERE migration = $1`,
        [this.migration],
      )
      const row = rows[0]
      if (row === undefined) {
        throw new Failure({
          code: 'migration_unknown',
          policy: 'transient',
          message: `there is no migration "${this.migration}" on this server`,
          remedy: 'Make it with slipway snapshot or slipway start.',
        })
      }
      this.#id = row.id
      const locked = await this.#tryLock(client, session.generation)
      const other = row.holder !== '' && row.holder !== this.holder
      if (
        other &&
        row.silent < TAKEOVER_AFTER_SECONDS &&
        (!locked || (await hasSessions(client, row.holder)))
      ) {
        if (locked) await this.#unlock(client)
        return { held: false, by: row.holder, silentSeconds: row.silent }
      }
      if (other) await endSessions(client, row.holder)
      await client.query('BEGIN')
      try {
        await client.query(`SET LOCAL lock_timeout = '5s'`)
        await client.query('UPDATE slipway.control SET holder = $2 WHERE migration = $1', [
          this.migration,
          this.holder,
        ])
        await client.query(
          'UPDATE slipway.holder SET holder = $2, seen_at = clock_timestamp() WHERE migration = $1',
          [this.migration, this.holder],
        )
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      }
      this.#epoch = Number(row.epoch)
      return { held: true }
    })
  }

  async #tryLock(client: pg.ClientBase, generation: number): Promise<boolean> {
    if (this.#lockedIn === generation) return true
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1, $2) AS got', [HOLDER_LOCK, this.#id])
    if (rows[0].got) this.#lockedIn = generation
    return rows[0].got
  }

  async #unlock(client: pg.ClientBase): Promise<void> {
    await client.query('SELECT pg_advisory_unlock($1, $2)', [HOLDER_LOCK, this.#id])
    this.#lockedIn = -1
  }

  /**
   * Lets a transaction in: epoch and holder must be ours, or nothing is written (trap H4). `update` also keeps
   * every other holder's transaction out until the end; `share` lets the copy's workers run side by side.
   * The same statement opens the gate for this transaction, so the secret never leaves the server.
   */
  async admit(client: pg.ClientBase, strength: 'update' | 'share'): Promise<Admission> {
    const { rows } = await client.query({
      name: `slipway_admit_${strength}`,
      text: `SELECT set_config('slipway.pass', c.secret, true) IS NOT NULL AS pass, p.seq, p.mark, p.newest, c.phase, c.history_from
             FROM slipway.control c LEFT JOIN slipway.checkpoint p ON p.migration = c.migration AND p.direction = 'forward'
             WHERE c.migration = $1 AND c.holder = $2 AND c.epoch = $3 AND c.authority = 'sqlite'
             FOR ${strength.toUpperCase()} OF c`,
      values: [this.migration, this.holder, this.#epoch],
    })
    const row = rows[0]
    if (row === undefined) {
      throw displaced()
    }
    return {
      checkpoint: { seq: parseSeq(row.seq ?? '0'), mark: row.mark ?? '' },
      newest: BigInt(row.newest ?? 0),
      phase: row.phase,
      historyFrom: row.history_from === null ? undefined : BigInt(row.history_from),
    }
  }

  /**
   * False when another holder was let in meanwhile. In the lock's session: index builds keep the others busy. A
   * session that was cut came back without its lock, which is taken again here.
   */
  async heartbeat(session: Connection): Promise<boolean> {
    return await session.use(async (client) => {
      const { rowCount } = await client.query(
        'UPDATE slipway.holder SET seen_at = clock_timestamp() WHERE migration = $1 AND holder = $2',
        [this.migration, this.holder],
      )
      if (rowCount === 1) await this.#tryLock(client, session.generation)
      return rowCount === 1
    })
  }

  /** `through`: the session whose state is in question; the control session otherwise. */
  async checkpoint(
    through: Connection = this.#connection,
  ): Promise<{ checkpoint: Checkpoint; newest: bigint } | undefined> {
    return await through.use(async (client) => {
      const { rows } = await client.query(
        `SELECT seq, mark, newest FROM slipway.checkpoint WHERE migration = $1 AND direction = 'forward'`,
        [this.migration],
      )
      const row = rows[0]
      return row && { checkpoint: { seq: parseSeq(row.seq), mark: row.mark }, newest: BigInt(row.newest) }
    })
  }

  /** One change of the control row by its holder, in a transaction of its own. */
  async note(
    change: Partial<{
      phase: Phase
      tables: readonly TableSpec[]
      backup: ControlState['backup']
      copyFinishedAt: Date
      dirty: Readonly<Record<string, string>>
    }>,
  ): Promise<void> {
    await this.#connection.transaction(async (client) => {
      await this.admit(client, 'update')
      await client.query(
        `UPDATE slipway.control SET phase = coalesce($2, phase), tables = coalesce($3::jsonb, tables),
           backup = coalesce($4::jsonb, backup), copy_finished_at = coalesce($5, copy_finished_at),
           dirty = coalesce($6::jsonb, dirty) WHERE migration = $1`,
        [
          this.migration,
          change.phase ?? null,
          change.tables === undefined ? null : JSON.stringify(change.tables),
          change.backup === undefined ? null : JSON.stringify(change.backup),
          change.copyFinishedAt ?? null,
          change.dirty === undefined ? null : JSON.stringify(change.dirty),
        ],
      )
    })
  }
}

/** What a transaction is told whose holder or epoch is not the control row's any more. */
export function displaced(): Failure {
  return new Failure({
    code: 'displaced',
    policy: 'transient',
    message: 'another slipway took over, or the authority changed: nothing was written',
    remedy: 'Nothing to do: this one waits as a standby.',
  })
}

/** Sessions carry the holder in their application_name: `slipway <holder> <purpose>`. */
export function sessionName(holder: string, purpose: string): string {
  return `slipway ${holder} ${purpose}`
}

async function hasSessions(client: pg.ClientBase, holder: string): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name LIKE $1 AND pid <> pg_backend_pid()) AS alive`,
    [`slipway ${holder.replaceAll(/[%_\\]/g, '\\$&')} %`],
  )
  return rows[0].alive
}

async function endSessions(client: pg.ClientBase, holder: string): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity
     WHERE application_name LIKE $1 AND usename = current_user AND pid <> pg_backend_pid()`,
    [`slipway ${holder.replaceAll(/[%_\\]/g, '\\$&')} %`],
  )
}
