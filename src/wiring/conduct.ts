import type { Notes, Passage } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import type { Authority } from '../core/operator.ts'
import type { ReversePosition } from '../core/reverse.ts'
import type {
  Conduct,
  Decision,
  SourceFence,
  SourceLock,
  SourceNotes,
  TargetGate,
  UsedIds,
} from '../core/switching.ts'
import type { Replicator } from '../replication/replicator.ts'
import { sleep } from '../runtime/retry.ts'
import { crashPoint } from '../switchover/crash.ts'

/** Why the loop is held, in `/status`. */
const HELD = 'a change of authority'
const LOOK_MS = 10
/** Of the pause, for an answer that says what it waited for. */
const SPARE_MS = 150
/** How long writers stay parked at the most while an attempt is taken back. */
const PARKED_MS = 500

export interface ConductDeps {
  readonly fence: SourceFence
  readonly gate: TargetGate
  readonly replicator: Pick<Replicator, 'standStill' | 'release' | 'drain' | 'look' | 'turn' | 'view'>
  /** What is left to apply is drained under the lock in no time; after `waitedMs` in a little more than that. */
  readonly nearHead: (waitedMs: number) => Promise<boolean>
  /** Refuses what must not be decided on: drift, rows set aside. Under the lock, after the drain. */
  readonly inspect: (lock: SourceLock | undefined) => Promise<void>
  /** What PostgreSQL has stored of the way back: its start, or where SQLite stood when a rollback was decided. */
  readonly start: () => Promise<ReversePosition | undefined>
  /** Ids given out by SQLite (switchover) or by PostgreSQL (rollback, after a crash). */
  readonly usedBySqlite: () => UsedIds
  readonly usedByPostgres: () => Promise<UsedIds>
  readonly begun: (notes: Notes) => void
  /** Locks are gone, and nobody waits for this any more. */
  readonly ended: () => void
  readonly maxPauseMs: number
  /** Where the notes stand as the run begins, or as a crash left them. */
  readonly notes: SourceNotes
}

/** What both directions share: the attempt, the lock, the loop that is held. */
abstract class Base {
  protected readonly deps: ConductDeps
  /** As `begin` left it on PostgreSQL. */
  protected attempt: Notes | undefined
  protected lock: SourceLock | undefined
  protected decision: Decision | undefined
  /** When writers began to wait; `performance.now()`. */
  protected pauseFrom = 0
  protected abstract readonly passage: Passage
  /** Of PostgreSQL's control row before the decision. */
  protected abstract readonly before: number

  constructor(deps: ConductDeps) {
    this.deps = deps
  }

  async begin(): Promise<void> {
    this.attempt = await this.deps.gate.begin(this.passage)
    this.deps.begun(this.attempt)
    if (this.passage === 'switchover') await this.deps.gate.prepare()
  }

  async wait(signal: AbortSignal): Promise<void> {
    const { replicator, nearHead } = this.deps
    for (const began = performance.now(); ; ) {
      signal.throwIfAborted()
      const { state, reasons, stream } = replicator.view
      // It is opened again when no change is under way: nothing would ever come to zero.
      if (stream === undefined && state === 'running') throw noStream()
      if (state !== 'running') {
        throw new Failure({
          code: `replication_${state}`,
          exit: 1,
          message: `replication is ${state}: ${reasons.join('; ')}`,
          remedy: state === 'paused' ? 'slipway replication resume' : 'See: slipway status',
        })
      }
      if (await nearHead(performance.now() - began)) {
        // A batch in flight is waited for here: for a rollback the next step is in the pause already.
        await this.#holdLoop()
        signal.throwIfAborted()
        await replicator.look(signal)
        if (await nearHead(performance.now() - began)) return
        replicator.release(HELD)
      }
      await sleep(LOOK_MS, signal)
    }
  }

  async drain(signal: AbortSignal): Promise<number> {
    return await this.deps.replicator.drain(signal)
  }

  async undo(): Promise<'undone' | 'decided' | 'displaced'> {
    // Nobody waits for an answer that may not come. Where the fence stands, those who are parked would only meet it: they
    // are spared that for as long as an answer usually takes.
    if (this.passage === 'rollback' || this.lock?.notes.closed !== true) this.drop()
    const parked = setTimeout(() => this.drop(), PARKED_MS)
    try {
      const open = this.decision
      this.decision = undefined
      await open?.[Symbol.asyncDispose]()
      const answer = await this.deps.gate.undo(this.passage, this.before)
      await crashPoint(`${this.passage}.undo_committed`)
      return answer
    } catch (error) {
      this.drop()
      throw error
    } finally {
      clearTimeout(parked)
    }
  }

  /** Once it is decided, by this process or by one that is gone. */
  protected async finished(lock: SourceLock): Promise<void> {
    try {
      await lock.commit()
    } finally {
      // What was not committed is made again, in a transaction that is known to be whole.
      this.drop()
    }
  }

  /** The decision's COMMIT, sent once. */
  protected async send(decision: Decision): Promise<void> {
    await crashPoint(`${this.passage}.decide_proposed`)
    const answer = decision.commit()
    // Whoever does not wait for it must not see it as unhandled.
    answer.catch(() => undefined)
    await crashPoint(`${this.passage}.decide_sent`)
    await answer
    this.decision = undefined
    await decision[Symbol.asyncDispose]()
  }

  /** The lock, where a failure or a crash took it. */
  protected async locked(signal: AbortSignal): Promise<SourceLock> {
    if (this.lock !== undefined) return this.lock
    const lock = await this.deps.fence.lock(this.deps.maxPauseMs, signal)
    // It came too late: nobody would give it back.
    if (signal.aborted || this.#closed) {
      lock[Symbol.dispose]()
      signal.throwIfAborted()
      throw new Error('the change of authority has ended')
    }
    this.lock = lock
    return lock
  }

  protected drop(): void {
    this.lock?.[Symbol.dispose]()
    this.lock = undefined
  }

  protected letGo(): void {
    this.drop()
    this.deps.replicator.release(HELD)
  }

  /** Less than the pause has left: who was in the way is told, instead of that the time was over. */
  protected get left(): number {
    return Math.max(1, this.pauseFrom + this.deps.maxPauseMs - SPARE_MS - performance.now())
  }

  /** The stream of this direction has ended: it must not go on for a moment when it is let go. */
  protected turn(): void {
    this.deps.replicator.turn()
    this.letGo()
  }

  async #holdLoop(): Promise<void> {
    await this.deps.replicator.standStill(HELD)
    // It came too late: nobody would let it go.
    if (this.#closed) this.deps.replicator.release(HELD)
  }

  protected get begun(): Notes {
    if (this.attempt === undefined) throw new Error('the attempt has not begun')
    return this.attempt
  }

  #closed = false

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const open = this.decision
    this.decision = undefined
    this.letGo()
    this.deps.ended()
    await open?.[Symbol.asyncDispose]()
  }
}

/** No change can begin or go on: nothing brings the lag to zero. */
export function noStream(): Failure {
  return new Failure({
    code: 'no_stream',
    exit: 1,
    status: 409,
    policy: 'transient',
    message: 'replication is being made ready again',
    remedy: 'Nothing to do: try again in a moment.',
  })
}

/** Forward: SQLite's lock and fence, PostgreSQL's decision, SQLite's note. */
export class SwitchoverConduct extends Base implements Conduct {
  protected readonly passage = 'switchover'

  protected get before(): number {
    const { authority, epoch } = this.deps.notes
    return authority === 'sqlite' ? epoch : epoch - 1
  }

  async hold(signal: AbortSignal): Promise<void> {
    await this.locked(signal)
    this.pauseFrom = performance.now()
  }

  async fence(signal: AbortSignal): Promise<void> {
    const lock = await this.locked(signal)
    await this.deps.inspect(lock)
    lock.raise({ epoch: this.before + 1, attempt: this.begun.attempt })
    try {
      await lock.commit({ ms: this.deps.maxPauseMs, signal })
    } catch (error) {
      // The fence may stand, and the lock is another's: it is taken anew where it is needed.
      this.drop()
      throw error
    }
    await crashPoint('switchover.fence_committed')
  }

  async decide(signal: AbortSignal): Promise<void> {
    const { gate, usedBySqlite } = this.deps
    this.decision = await gate.open(this.begun, 'switchover', this.left, signal)
    const { position } = await this.decision.propose(usedBySqlite())
    this.#position = position
    signal.throwIfAborted()
    await this.send(this.decision)
  }

  #position: ReversePosition | undefined

  async settle(signal: AbortSignal): Promise<void> {
    const lock = await this.locked(signal)
    const epoch = this.before + 1
    const { authority, attempt } = lock.notes
    // An earlier try may have come through.
    if (authority !== 'postgres') {
      const position = this.#position ?? (await this.deps.start())
      if (position === undefined) throw new Error('PostgreSQL does not know where the way back starts')
      lock.lead({ from: { authority: 'none', epoch, attempt }, epoch, attempt, position })
    }
    await this.finished(lock)
    await crashPoint('switchover.settle_committed')
    this.turn()
  }

  async reopen(signal: AbortSignal): Promise<void> {
    // Without a fence there is nothing to lower, and whoever has the lock may keep it.
    if (this.lock === undefined && this.deps.fence.notes().authority !== 'none') return this.letGo()
    const lock = await this.locked(signal)
    const { authority, epoch, attempt } = lock.notes
    if (authority === 'none') {
      // Our own attempt's fence, or the one that a crash left: never one that was raised since.
      const own = this.attempt?.attempt ?? this.deps.notes.attempt
      lock.lower({ from: { authority: 'none', epoch, attempt: own }, epoch: epoch - 1, attempt })
      await this.finished(lock)
    }
    this.letGo()
  }
}

/** Back: PostgreSQL's gate lock, SQLite prepared, PostgreSQL's decision, SQLite's commit. */
export class RollbackConduct extends Base implements Conduct {
  protected readonly passage = 'rollback'

  protected get before(): number {
    const { authority, epoch } = this.deps.notes
    const leads: Authority = 'postgres'
    return authority === leads ? epoch : epoch - 1
  }

  async hold(signal: AbortSignal): Promise<void> {
    this.pauseFrom = performance.now()
    this.decision = await this.deps.gate.open(this.begun, 'rollback', this.left, signal)
  }

  async fence(signal: AbortSignal): Promise<void> {
    if (this.decision === undefined) throw new Error('the gate is not held')
    await this.deps.inspect(undefined)
    const lock = await this.locked(signal)
    const { used } = await this.decision.propose(new Map(), lock.notes.position)
    this.#prepare(lock, used)
  }

  #prepare(lock: SourceLock, used: UsedIds): void {
    const { authority, epoch, attempt } = lock.notes
    if (authority === 'sqlite' && epoch === this.before + 1) return
    const from: Notes = { authority: 'postgres', epoch: this.before, attempt }
    lock.lower({ from, epoch: this.before + 1, attempt: this.attempt?.attempt ?? attempt, used })
  }

  async decide(): Promise<void> {
    if (this.decision === undefined) throw new Error('the gate is not held')
    await this.send(this.decision)
  }

  async settle(signal: AbortSignal): Promise<void> {
    if (this.lock === undefined) {
      const used = await this.deps.usedByPostgres()
      const stood = await this.deps.start()
      const lock = await this.locked(signal)
      try {
        requireStanding(lock.notes, stood)
        this.#prepare(lock, used)
      } catch (error) {
        // A lock that is held when this is tried again is one with everything prepared.
        this.drop()
        throw error
      }
    }
    await this.finished(await this.locked(signal))
    await crashPoint('rollback.settle_committed')
    this.turn()
  }

  /** SQLite's transaction was never committed, and PostgreSQL is open again since the undo. */
  async reopen(): Promise<void> {
    this.letGo()
  }
}

/** A copy of the file that was put back between the decision and its end: it lacks what the decision was made on. */
function requireStanding(notes: SourceNotes, stood: ReversePosition | undefined): void {
  const { position } = notes
  if (position === undefined || stood === undefined) return
  if (position.snapshot === stood.snapshot && position.token === stood.token) return
  throw new Failure({
    code: 'divided',
    message: 'the rollback was decided on a newer state of the file: the file was put back to an older copy',
    remedy:
      'Put the newest file back and start again; or with the daemon stopped: slipway recover --authority sqlite|postgres --accept-loss',
  })
}
