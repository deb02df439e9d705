/**
 * Both sides of a migration without its daemon, and a change of authority made by hand as far as a test wants it: what
 * a coordinator leaves that died there.
 */
import { loadConfig } from '../../src/config.ts'
import type { Notes } from '../../src/core/authority.ts'
import type { Config } from '../../src/core/config.ts'
import type { Observer } from '../../src/core/observer.ts'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import type { ControlState } from '../../src/postgres/control-state.ts'
import { PostgresGate } from '../../src/postgres/gate.ts'
import { SqliteFence } from '../../src/sqlite/fence.ts'
import { attempt, type Outcome } from './foreign.ts'
import type { Scenario } from './scenario.ts'

const NEVER = new AbortController().signal

/** Listens to nothing. */
export const DEAF: Observer = {
  phase: () => undefined,
  applied: () => undefined,
  copied: () => undefined,
  switched: () => undefined,
  step: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** The configuration that the scenario's daemon has. */
export function configOf(scenario: Scenario, env: Readonly<Record<string, string>> = {}): Config {
  const dotenvPath = scenario.workspace.file('no.env')
  return loadConfig({ env: { ...scenario.slipway.env, ...env }, dotenvPath }).config
}

export class Sides implements AsyncDisposable {
  readonly scenario: Scenario
  readonly fence: SqliteFence
  readonly #connections: Connection[] = []
  readonly control: Control
  readonly gate: PostgresGate

  private constructor(scenario: Scenario, tables: readonly string[], holder: string) {
    this.scenario = scenario
    this.fence = new SqliteFence({ path: scenario.path, tables: () => tables })
    const connect = (purpose: string): Connection => this.#connect(sessionName(holder, purpose))
    this.control = new Control(connect('control'), 'app', holder)
    this.gate = new PostgresGate({
      control: this.control,
      connect,
      installCapture: () => Promise.resolve(),
      warn: () => undefined,
    })
  }

  /** Takes the migration over; the daemon has been stopped. */
  static async of(scenario: Scenario, tables: readonly string[], holder = 'a test'): Promise<Sides> {
    const sides = new Sides(scenario, tables, holder)
    const answer = await sides.control.acquire(sides.#connect(sessionName(holder, 'lock')))
    if (!answer.held) throw new Error(`held by ${answer.by}`)
    return sides
  }

  #connect(name: string): Connection {
    const connection = new Connection(this.scenario.database.url, name)
    this.#connections.push(connection)
    return connection
  }

  async state(): Promise<ControlState> {
    const state = await this.control.read()
    if (state === undefined) throw new Error('there is no control row')
    return state
  }

  /** A switchover up to a step: begun; SQLite fenced; decided by PostgreSQL; noted in SQLite. */
  async switchOver(last: 'begin' | 'fence' | 'decide' | 'settle'): Promise<Notes> {
    const { gate, fence } = this
    const notes = await gate.begin('switchover')
    if (last === 'begin') return notes
    await gate.prepare()
    using lock = await fence.lock(5_000, NEVER)
    const fenced = { authority: 'none', epoch: notes.epoch + 1, attempt: notes.attempt } as const
    lock.raise(fenced)
    await lock.commit({ ms: 5_000, signal: NEVER })
    if (last === 'fence') return notes
    await using decision = await gate.open(notes, 'switchover', 5_000, NEVER)
    const { position } = await decision.propose(new Map())
    await decision.commit()
    if (last === 'decide') return notes
    lock.lead({ from: fenced, epoch: fenced.epoch, attempt: fenced.attempt, position })
    await lock.commit()
    return notes
  }

  /** A rollback, from PostgreSQL's lead on, up to a step: begun; decided by PostgreSQL; committed by SQLite. */
  async rollBack(last: 'begin' | 'decide' | 'settle'): Promise<Notes> {
    const { gate, fence } = this
    const notes = await gate.begin('rollback')
    if (last === 'begin') return notes
    await using decision = await gate.open(notes, 'rollback', 5_000, NEVER)
    const { used } = await decision.propose(new Map())
    await decision.commit()
    if (last === 'decide') return notes
    using lock = await fence.lock(5_000, NEVER)
    lock.lower({ from: lock.notes, epoch: notes.epoch + 1, attempt: notes.attempt, used })
    await lock.commit()
    await gate.settled()
    return notes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fence[Symbol.dispose]()
    await Promise.all(this.#connections.map((connection) => connection.close()))
  }
}

/** What an application hears of a write to each side; undefined where it was let through. */
export async function refusals(
  scenario: Scenario,
  sql: string,
): Promise<{ readonly sqlite: string | undefined; readonly postgres: string | undefined }> {
  const [outcome] = (await attempt(scenario.path, [sql])) as [Outcome]
  const postgres = await scenario.postgres(sql).then(
    () => undefined,
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )
  return { sqlite: outcome.error?.message, postgres }
}
