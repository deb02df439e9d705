import type pg from 'pg'
import type { Notes, Passage } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { Authority, Phase } from '../core/operator.ts'
import type { Decision, TargetGate } from '../core/switching.ts'
import type { TableSpec } from '../core/table.ts'
import { rehearseWake, sleepAgain, validateAwake } from './awake.ts'
import type { Connection } from './connection.ts'
import { type Control, displaced, sessionName } from './control.ts'
import { PostgresDecision } from './decision.ts'
import { type Dormant, readDormant, targetName } from './dormant.ts'
import { ANSWER_MS, closeGate, type LockTimes, lockRefused, lockTimes, tablesBusy } from './gate-lock.ts'
import { HeldSession } from './held-session.ts'
import { giveHiddenKeys } from './hidden-key.ts'
import { advanceIdentities, checkSequenceRights } from './identities.ts'

/** What begins, decides and undoes: durable when it answers, whatever the server's or the role's default is. */
const DURABLE = `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)`
/** For a short transaction on the control row, ms: nobody holds it for longer than a decision takes. */
const CONTROL_MS = 2_000
/** How long a pause of writes waits for writers in flight, ms. */
const PAUSE_WAIT_MS = 5_000
/** How long `prepare` tries for its locks, ms. */
const PREPARE_MS = 5_000
/** Of one try: it empties the changelog of an earlier time. */
const LONGEST_PREPARE_MS = 120_000

/** Who leads before a change of authority, and the phases around it. */
const FROM: Readonly<Record<Passage, { authority: Authority; rest: Phase; moving: Phase }>> = {
  switchover: { authority: 'sqlite', rest: 'replicating', moving: 'switching_over' },
  rollback: { authority: 'postgres', rest: 'switched_over', moving: 'rolling_back' },
}

export interface GateParts {
  readonly control: Control
  /** A session of its own for a purpose, which becomes a part of its name. */
  readonly connect: (purpose: string) => Connection
  /** Makes the reverse capture of these tables, in the transaction that is open; safe to run again. */
  readonly installCapture: (
    client: pg.ClientBase,
    id: number,
    tables: readonly TableSpec[],
  ) => Promise<unknown>
  /** A sentence for people. */
  readonly warn: (text: string) => void
}

/** The gate of PostgreSQL, and the decision. See core/switching.ts. */
export class PostgresGate implements TargetGate {
  readonly #parts: GateParts
  readonly #connection: Connection
  readonly #decision: Connection
  #times: LockTimes | undefined
  /** In which the newest decision was opened. */
  #deciding: HeldSession | undefined
  /** What comes back in the decision; undefined until `prepare` has tried it for the attempt. */
  #rehearsed: readonly Dormant[] | undefined

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#connection = parts.connect('gate')
    this.#decision = parts.connect('decision')
  }

  async begin(passage: Passage): Promise<Notes> {
    const { control } = this.#parts
    const { authority, rest, moving } = FROM[passage]
    this.#rehearsed = undefined
    const notes = await this.#change(async (client) => {
      const found = await this.#locked(client)
      if (found.holder !== control.holder || found.epoch !== control.epoch || found.authority !== authority)
        throw displaced()
      if (found.phase !== rest && found.phase !== moving) throw wrongPhase(passage, found.phase)
      const { rows } = await client.query(
        'UPDATE slipway.control SET phase = $2, attempt = attempt + 1 WHERE migration = $1 RETURNING attempt',
        [control.migration, moving],
      )
      return { authority, epoch: found.epoch, attempt: rows[0].attempt as number }
    })
    // The pause does not wait for a session to be opened.
    await using session = await HeldSession.take(this.#decision, CONTROL_MS)
    await this.#lockTimes(session)
    return notes
  }

  async prepare(): Promise<void> {
    const { control, installCapture, warn } = this.#parts
    const rehearsal = await this.#patiently(async (client) => {
      const { id, tables } = await this.#leading(client, 'sqlite')
      await installCapture(client, id, tables)
      await giveHiddenKeys(client, tables)
      // Of an earlier time in which PostgreSQL led; capture logs nothing while the gate is closed.
      await client.query('DELETE FROM slipway.changelog WHERE migration = $1', [id])
      // What the role may not do, and what is no number, is told before anybody waits.
      await checkSequenceRights(client, tables)
      await advanceIdentities(client, tables, new Map())
      await client.query('SAVEPOINT slipway_rehearsal')
      const result = await rehearseWake(client, await readDormant(client, control.migration))
      await client.query('ROLLBACK TO SAVEPOINT slipway_rehearsal')
      return result
    })
    this.#rehearsed = rehearsal.able
    for (const text of rehearsal.warnings) warn(text)
  }

  async open(expected: Notes, passage: Passage, ms: number, signal: AbortSignal): Promise<Decision> {
    const { control } = this.#parts
    const deadline = performance.now() + ms
    const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()))
    const session = await HeldSession.take(this.#decision, ms, signal)
    this.#deciding = session
    try {
      const times = await this.#lockTimes(session)
      const begin = `BEGIN; ${DURABLE}; SET LOCAL statement_timeout = ${left()}; SET LOCAL idle_in_transaction_session_timeout = ${left() + ANSWER_MS}`
      const look = async (lock: Locking): Promise<ControlRow> => {
        const found = await session.run(left() + ANSWER_MS, (client) => this.#row(client, lock), signal)
        const same =
          found.holder === control.holder &&
          found.authority === expected.authority &&
          found.epoch === expected.epoch &&
          found.attempt === expected.attempt &&
          found.phase === FROM[passage].moving
        if (!same) throw displaced()
        return found
      }
      const ask = async (sql: string): Promise<void> =>
        void (await session.run(left() + ANSWER_MS, (client) => client.query(sql), signal))
      const wait = (): string => `SET LOCAL lock_timeout = ${left()}`
      if (passage === 'rollback') {
        // Before anybody has to wait for one that may do nothing any more.
        const { id } = await look('')
        await closeGate(session, { id, begin, times, deadline, signal })
        await ask(wait())
      } else await ask(`${begin}; ${wait()}`)
      const { id, tables } = await look('FOR NO KEY UPDATE')
      const sleepers = passage === 'switchover' ? this.#rehearsed : []
      if (sleepers === undefined) throw new Error('a switchover is prepared before it is decided')
      return new PostgresDecision({
        ...{ control, session, passage, expected, id, tables, sleepers, times, deadline },
      })
    } catch (error) {
      await session.release()
      throw error
    }
  }

  async undo(passage: Passage, epoch: number): Promise<'undone' | 'decided' | 'displaced'> {
    const { control } = this.#parts
    const { authority, rest, moving } = FROM[passage]
    // A decision of ours that is still open can only end: whichever way, this transaction comes after it.
    this.#deciding?.cut()
    return await this.#change(async (client) => {
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = $1 AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
           -- Ending this wait would make a commit that a standby does not have.
           AND wait_event IS DISTINCT FROM 'SyncRep'`,
        [sessionName(control.holder, 'decision').slice(0, 63)],
      )
      const found = await this.#locked(client)
      if (found.holder !== control.holder) return 'displaced'
      if (found.authority !== authority && found.epoch === epoch + 1) {
        control.enterEpoch(found.epoch)
        return 'decided'
      }
      if (found.authority !== authority || found.epoch !== epoch) throw otherEpoch(epoch, found)
      await client.query(
        'UPDATE slipway.control SET phase = CASE phase WHEN $2 THEN $3 ELSE phase END, attempt = attempt + 1 WHERE migration = $1',
        [control.migration, moving, rest],
      )
      await this.#set(client, found)
      return 'undone'
    })
  }

  async settled(): Promise<void> {
    const { control } = this.#parts
    await this.#change(async (client) => {
      const found = await this.#leading(client, 'sqlite')
      if (found.phase !== 'rolling_back') return
      await client.query(
        `UPDATE slipway.control SET phase = 'replicating', reverse_start = NULL WHERE migration = $1`,
        [control.migration],
      )
    })
  }

  async pause(reason: string, until: Date): Promise<void> {
    const session = await HeldSession.take(this.#connection, CONTROL_MS)
    try {
      const times = await this.#lockTimes(session)
      const { id } = await session.run(CONTROL_MS, (client) => this.#leading(client, 'postgres'))
      const begin = `BEGIN; ${DURABLE}; SET LOCAL statement_timeout = ${CONTROL_MS}; SET LOCAL idle_in_transaction_session_timeout = ${CONTROL_MS}`
      const deadline = performance.now() + PAUSE_WAIT_MS
      await closeGate(session, { id, begin, times, deadline })
      await session.run(CONTROL_MS, async (client) => {
        const found = await this.#leading(client, 'postgres')
        // By the server's clock, which judges it.
        const ms = Math.max(0, until.getTime() - Date.now())
        const { rows } = await client.query(
          `UPDATE slipway.control SET pauses = (
               SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each_text(pauses) WHERE value::timestamptz > clock_timestamp())
             || jsonb_build_object($2::text, clock_timestamp() + make_interval(secs => $3::float8 / 1000))
           WHERE migration = $1 RETURNING pauses`,
          [this.#parts.control.migration, reason, ms],
        )
        await this.#set(client, { ...found, pauses: rows[0].pauses })
        await client.query('COMMIT')
      })
    } finally {
      await session.release()
    }
  }

  async resume(): Promise<void> {
    await this.#change(async (client) => {
      const found = await this.#leading(client, 'postgres')
      await client.query(`UPDATE slipway.control SET pauses = '{}' WHERE migration = $1`, [
        this.#parts.control.migration,
      ])
      await this.#set(client, { ...found, pauses: {} })
    })
  }

  /** After a switchover, outside the pause; see awake.ts. Returns what is not whole. */
  async validateAwake(): Promise<string[]> {
    return await validateAwake(await this.#aftermath())
  }

  /** After a rollback, before anything is applied; see awake.ts. */
  async sleepAgain(): Promise<void> {
    await sleepAgain(await this.#aftermath())
  }

  async #aftermath(): Promise<Parameters<typeof sleepAgain>[0]> {
    await using session = await HeldSession.take(this.#connection, CONTROL_MS)
    const times = await this.#lockTimes(session)
    const { tables } = await session.run(CONTROL_MS, (client) => this.#row(client))
    return { connection: this.#connection, control: this.#parts.control, tables, times }
  }

  /** The gate as the authority wants it. The control row is locked; a pause of writes that has not ended stays. */
  async #set(client: pg.ClientBase, row: ControlRow): Promise<void> {
    await client.query(
      `SELECT setval($1::regclass, CASE
         WHEN $2 = 'sqlite' THEN 2 * $3::bigint
         WHEN u.until IS NULL THEN 2 * $3::bigint + 1
         ELSE (ceil(extract(epoch FROM u.until) * 1000)::bigint << 20) | (2 * $3::bigint) END)
       FROM (SELECT max(value::timestamptz) AS until FROM jsonb_each_text($4::jsonb)
             WHERE value::timestamptz > clock_timestamp()) u`,
      [`slipway.gate_${row.id}`, row.authority, row.epoch, JSON.stringify(row.pauses)],
    )
  }

  /** A short durable transaction on the control row, with an end to every wait. */
  async #change<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const session = await HeldSession.take(this.#connection, CONTROL_MS)
    try {
      return await session.run(CONTROL_MS + ANSWER_MS, async (client) => {
        await client.query(
          `BEGIN; ${DURABLE}; SET LOCAL statement_timeout = ${CONTROL_MS}; SET LOCAL lock_timeout = ${CONTROL_MS}; SET LOCAL idle_in_transaction_session_timeout = ${CONTROL_MS}`,
        )
        const result = await work(client)
        await client.query('COMMIT')
        return result
      })
    } finally {
      await session.release()
    }
  }

  /**
   * NO KEY UPDATE keeps every other holder's transaction out, as UPDATE does; the keys that refer to the row, such as
   * the run that is being noted meanwhile, stay free.
   */
  async #locked(client: pg.ClientBase): Promise<ControlRow> {
    return await this.#row(client, 'FOR NO KEY UPDATE')
  }

  async #leading(client: pg.ClientBase, authority: Authority): Promise<ControlRow> {
    const { control } = this.#parts
    const found = await this.#locked(client)
    if (found.holder !== control.holder || found.epoch !== control.epoch) throw displaced()
    if (found.authority !== authority) {
      throw new Failure({
        code: 'wrong_authority',
        status: 409,
        exit: 1,
        message: `${found.authority} leads, not ${authority}`,
        remedy: 'Ask again: slipway status',
      })
    }
    return found
  }

  async #row(client: pg.ClientBase, lock: Locking = ''): Promise<ControlRow> {
    const { rows } = await client.query(
      `SELECT id, holder, authority, epoch::int, attempt, phase, pauses, tables FROM slipway.control WHERE migration = $1 ${lock}`,
      [this.#parts.control.migration],
    )
    if (rows[0] === undefined) throw displaced()
    return rows[0]
  }

  /** A transaction outside any pause, tried again while locks are not to be had. */
  async #patiently<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const deadline = performance.now() + PREPARE_MS
    for (let tries = 1; ; tries++) {
      await using session = await HeldSession.take(this.#connection, CONTROL_MS)
      const times = await this.#lockTimes(session)
      // An autovacuum makes room for whoever has waited longer than the deadlock timeout.
      const wait = tries % 3 === 0 ? times.patient : times.slice
      try {
        return await session.run(LONGEST_PREPARE_MS, async (client) => {
          await client.query(`BEGIN; SET LOCAL lock_timeout = ${wait}`)
          await this.#locked(client)
          const result = await work(client)
          await client.query('COMMIT')
          return result
        })
      } catch (error) {
        if (!lockRefused(error)) throw error
        if (performance.now() > deadline) {
          throw await session.run(CONTROL_MS, async (client) => {
            await client.query('ROLLBACK')
            return await tablesBusy(client, (await this.#row(client)).tables.map(targetName))
          })
        }
      }
    }
  }

  async #lockTimes(session: HeldSession): Promise<LockTimes> {
    this.#times ??= await session.run(CONTROL_MS, lockTimes)
    return this.#times
  }
}

/** NO KEY UPDATE: see `#locked`. */
type Locking = '' | 'FOR NO KEY UPDATE'

interface ControlRow extends Notes {
  readonly id: number
  readonly holder: string
  readonly phase: Phase
  readonly pauses: Readonly<Record<string, string>>
  readonly tables: readonly TableSpec[]
}

function wrongPhase(passage: Passage, phase: Phase): Failure {
  return new Failure({
    code: 'wrong_phase',
    status: 409,
    exit: 1,
    message: `a ${passage} cannot begin in phase ${phase}`,
    remedy: 'See slipway status for what is under way.',
  })
}

function otherEpoch(epoch: number, found: Notes): Failure {
  return new Failure({
    code: 'authority_divided',
    message: `PostgreSQL notes ${found.authority} in epoch ${found.epoch}, and the attempt was in epoch ${epoch}: one of the two engines was put back`,
    remedy:
      'Find out which side has the newest writes, then with the daemon stopped: slipway recover --authority sqlite|postgres --accept-loss',
  })
}
