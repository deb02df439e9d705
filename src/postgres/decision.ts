import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import type { Notes, Passage } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type { Decision, UsedIds } from '../core/switching.ts'
import type { TableSpec } from '../core/table.ts'
import { wakeNow } from './awake.ts'
import { type Control, displaced } from './control.ts'
import { type Dormant, targetName } from './dormant.ts'
import { targetFingerprint } from './fingerprint.ts'
import { ANSWER_MS, type LockTimes } from './gate-lock.ts'
import type { HeldSession } from './held-session.ts'
import { advanceIdentities, lastIds } from './identities.ts'
import { readExpected } from './reverse-drift.ts'

/** How long the answer to a COMMIT is waited for at least, ms. */
const COMMIT_MS = 1_000

export interface DecisionParts {
  readonly control: Control
  /** With the transaction open: the control row is locked, and for a rollback the gate. */
  readonly session: HeldSession
  readonly passage: Passage
  /** As found in the control row. */
  readonly expected: Notes
  /** control.id. */
  readonly id: number
  readonly tables: readonly TableSpec[]
  /** What comes back: as `prepare` has tried it. */
  readonly sleepers: readonly Dormant[]
  readonly times: LockTimes
  /** `performance.now()` at which everything is given up but an answer to the COMMIT. */
  readonly deadline: number
}

/** The transaction of the decision. Whatever is not committed leaves no trace, but for sequences that are too high. */
export class PostgresDecision implements Decision {
  readonly #parts: DecisionParts
  #proposed = false
  #sent = false

  constructor(parts: DecisionParts) {
    this.#parts = parts
  }

  get #left(): number {
    return Math.max(1, Math.ceil(this.#parts.deadline - performance.now()))
  }

  async propose(
    used: UsedIds,
    stands?: ReversePosition,
  ): Promise<{ position: ReversePosition; used: UsedIds }> {
    const { session, passage } = this.#parts
    // A coordinator that is frozen from here on is given up by the server, and parked writers go on.
    const ends = `SET LOCAL statement_timeout = ${this.#left}; SET LOCAL idle_in_transaction_session_timeout = ${this.#left + ANSWER_MS}`
    await session.run(this.#left + ANSWER_MS, (client) => client.query(ends))
    const result =
      passage === 'switchover' ? await this.#towardsTarget(used) : await this.#backToSource(stands)
    this.#proposed = true
    return result
  }

  async #towardsTarget(used: UsedIds): Promise<{ position: ReversePosition; used: UsedIds }> {
    const { session, control, tables, expected, sleepers, times, deadline } = this.#parts
    await session.run(this.#left + ANSWER_MS, (client) => advanceIdentities(client, tables, used))
    await wakeNow(session, { sleepers, tables: tables.map(targetName), times, deadline })
    const token = randomBytes(18).toString('base64url')
    const snapshot = await session.run(this.#left + ANSWER_MS, async (client) => {
      const fingerprint = await targetFingerprint(client, tables)
      await client.query(
        `INSERT INTO slipway.token (migration, token) VALUES ($1, $2)
         ON CONFLICT (migration) DO UPDATE SET token = excluded.token`,
        [control.migration, token],
      )
      const { rows } = await client.query(
        `UPDATE slipway.control SET authority = 'postgres', epoch = epoch + 1, phase = 'switched_over',
           since = clock_timestamp(), reverse_start = pg_current_snapshot()::text, fingerprint = $5, awake = true,
           unsafe = '{}', pauses = '{}'
         WHERE migration = $1 AND holder = $2 AND authority = 'sqlite' AND epoch = $3 AND attempt = $4
           AND phase = 'switching_over' RETURNING reverse_start`,
        [control.migration, control.holder, expected.epoch, expected.attempt, fingerprint],
      )
      if (rows[0] === undefined) throw displaced()
      return rows[0].reverse_start as string
    })
    return { position: { snapshot, token }, used }
  }

  async #backToSource(
    stands: ReversePosition | undefined,
  ): Promise<{ position: ReversePosition; used: UsedIds }> {
    const { session, control, tables, expected } = this.#parts
    return await session.run(this.#left + ANSWER_MS, async (client) => {
      await this.#refuseDrift(client)
      const used = await lastIds(client, tables)
      const { rows } = await client.query(
        `UPDATE slipway.control c SET authority = 'sqlite', epoch = epoch + 1,
           since = clock_timestamp(), reverse_start = $5, fingerprint = '', unsafe = '{}', pauses = '{}'
         WHERE migration = $1 AND holder = $2 AND authority = 'postgres' AND epoch = $3 AND attempt = $4
           AND phase = 'rolling_back'
         RETURNING pg_current_snapshot()::text AS snapshot,
           (SELECT token FROM slipway.token t WHERE t.migration = c.migration) AS token`,
        [control.migration, control.holder, expected.epoch, expected.attempt, stands?.snapshot ?? null],
      )
      if (rows[0] === undefined) throw displaced()
      if (stands !== undefined)
        await client.query('UPDATE slipway.token SET token = $2 WHERE migration = $1', [
          control.migration,
          stands.token,
        ])
      return { position: { snapshot: rows[0].snapshot, token: rows[0].token ?? '' }, used }
    })
  }

  /** DDL does not ask the gate: what came after the last batch was read would be missing in SQLite (trap H13). */
  async #refuseDrift(client: pg.ClientBase): Promise<void> {
    const { tables, id } = this.#parts
    await client.query(`LOCK TABLE ${tables.map(targetName).join(', ')} IN ACCESS SHARE MODE`)
    const { fingerprint } = await readExpected(client, id)
    if (fingerprint === '' || fingerprint === (await targetFingerprint(client, tables))) return
    throw new Failure({
      code: 'drift',
      exit: 1,
      message: 'the schema of a moved table on PostgreSQL was changed a moment ago',
      remedy: 'Try again: what the change did to the rows is compared first.',
    })
  }

  async commit(): Promise<void> {
    const { session, control, passage, expected, id } = this.#parts
    if (!this.#proposed || this.#sent) throw new Error('a decision is proposed first, and sent once')
    // Of the epoch to come: without the COMMIT it opens nothing. In one message, so that a coordinator that dies now
    // cannot leave the gate closed while PostgreSQL leads.
    const value = 2 * (expected.epoch + 1) + (passage === 'switchover' ? 1 : 0)
    const sql = `SELECT setval('slipway.gate_${id}', ${value}); COMMIT`
    if (!session.alive) throw notSent()
    this.#sent = true
    let last: string | undefined
    try {
      const results = await session.run(Math.max(this.#left, COMMIT_MS), (client) => client.query(sql))
      // Several statements yield several results; the types of the driver know of one.
      last = (results as unknown as { command: string }[]).at(-1)?.command
    } catch (error) {
      // A session that goes on after an error has rolled back; of any other nobody knows what it did.
      const goesOn =
        session.alive &&
        (await session.run(ANSWER_MS, (client) => client.query('ROLLBACK')).catch(() => undefined))
      if (goesOn) throw error
      throw new Failure({
        code: 'outcome_unknown',
        policy: 'transient',
        message:
          'the decision was sent to PostgreSQL, and no answer came: nobody knows whether it was committed',
        remedy: 'Nothing to do: the fence stays until PostgreSQL answers. See slipway status.',
        cause: error,
      })
    }
    // COMMIT of a transaction that had failed answers ROLLBACK, without an error.
    if (last !== 'COMMIT') throw notSent()
    control.enterEpoch(expected.epoch + 1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.session.release()
  }
}

function notSent(): Failure {
  return new Failure({
    code: 'target_unreachable',
    policy: 'transient',
    message: 'the transaction of the decision had ended before it was committed: nothing was decided',
    remedy: 'Nothing to do: the attempt is undone.',
  })
}
