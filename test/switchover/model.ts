/**
 * The world around the machine, small enough to be explored whole: PostgreSQL's control row, gate, locks and
 * transactions in flight, SQLite's notes and write lock, and two coordinators that run the real transition table. What
 * a coordinator does in a step is what core/switching.ts promises of it.
 *
 * - A coordinator that sleeps is one that is not chosen; it may be killed and started again at any time.
 * - A transaction that was sent waits in a queue, is executed when nobody has the control row locked, and then waits
 *   for its COMMIT to land with the row locked; it may die before, and its answer may be lost at any time: then it is
 *   an orphan, and lands late or not at all.
 * - PostgreSQL crashes with everything that is in flight; the gate, a sequence, is set outside of transactions: after a
 *   crash it has its newest value or the one of the last commit.
 * - SQLite has no process of its own: its crash is that of the machine, the same as both coordinators killed.
 * - Applications are the worst that can be: where an engine accepts, there is always a write that is not replicated,
 *   and on PostgreSQL always a transaction in flight that has passed the gate.
 * - Attempt numbers are kept by their order only, so that the world stays finite however often an attempt is undone.
 * - A file that is put back after a rollback was decided lacks what was decided on, and nobody may go on from it.
 * - Where it is asked for, a copy of the file or of the server is made at any time and put back later, once.
 */

import { type Standing, standingOf } from '../../src/core/authority.ts'
import type { Authority, Phase } from '../../src/core/operator.ts'
import {
  advance,
  type Entry,
  type Event,
  entryOf,
  FACTS,
  STATES,
  type State,
  TRANSITIONS,
  type Transitions,
} from '../../src/switchover/machine.ts'

/** What is explored, and how it is broken on purpose: each mutation is an idea that was tried, or nearly. */
export interface World {
  readonly attempts: number
  /** Transactions whose answer was lost, at a time. */
  readonly orphans: number
  readonly coordinators: 1 | 2
  readonly transitions: Transitions
  readonly entryOf: (standing: Standing) => Entry | undefined
  /** `false`: the decision is an UPDATE without a condition, and the row is not locked before. */
  readonly decideByCas: boolean
  /** `false`: the undo looks at the control row instead of changing it. */
  readonly undoByCas: boolean
  /** `false`: whatever fence is there is lowered. */
  readonly lowerByAttempt: boolean
  /** `false`: the gate's lock is not taken by a rollback. */
  readonly gateLock: boolean
  /** `false`: the gate is a column of the control row, which a transaction sees as its snapshot shows it. */
  readonly gateIsSequence: boolean
  /** `false`: a coordinator looks at the notes when it starts, and not again. */
  readonly looksAgain: boolean
  /** `false`: a server that was put back learns SQLite's epoch, and its gate stays as it was. */
  readonly learnsGate: boolean
  /** `false`: a decided rollback is settled on whatever file is there. */
  readonly settlesWhatWasDecided: boolean
  /** What is copied once and put back once, at any time. */
  readonly restores: 'nothing' | 'file' | 'server'
}

export const REAL: World = {
  attempts: 3,
  orphans: 1,
  coordinators: 2,
  transitions: TRANSITIONS,
  entryOf,
  decideByCas: true,
  undoByCas: true,
  lowerByAttempt: true,
  gateLock: true,
  gateIsSequence: true,
  looksAgain: true,
  learnsGate: true,
  settlesWhatWasDecided: true,
  restores: 'nothing',
}

export type Cells = Uint8Array

// The cells of a world. Authorities: 0 sqlite, 1 postgres, 2 none.
const [NA, NE, NT] = [0, 1, 2] // SQLite's notes: authority, epoch, attempt
const [CA, CE, CT, CH, CP] = [3, 4, 5, 6, 7] // PostgreSQL's: authority, epoch, attempt, holder, phase
const [GATE, GATE_DURABLE, UP] = [8, 9, 10]
const [WRITER, FORWARD, REVERSE] = [11, 12, 13] // in flight on PostgreSQL; not yet replicated, either way
const [LOCK, BEGUN] = [14, 15] // SQLite's write lock: 0 free, else the coordinator + 1
const PROCESS = 16 // two of: state, epoch before, attempt, attempt of the fence seen, sent, looked
const [ST, EPOCH, ATTEMPT, SEEN, SENT, LOOKED] = [0, 1, 2, 3, 4, 5]
const PROCESS_CELLS = 6
const TX = PROCESS + 2 * PROCESS_CELLS // some of: kind, owner, epoch before, attempt, stage, awaited
const [KIND, OWNER, TX_EPOCH, TX_ATTEMPT, STAGE, AWAITED] = [0, 1, 2, 3, 4, 5]
const TX_CELLS = 6
const TX_SLOTS = 4
// A copy that was made, and whether it has been put back: 0 none, 1 made, 2 put back; what was in it.
const COPY = TX + TX_SLOTS * TX_CELLS
const COPIED = COPY + 1
const COPIED_CELLS = {
  nothing: [],
  file: [NA, NE, NT],
  server: [CA, CE, CT, CH, CP, GATE],
} as const
// The file is one from before the rollback that was decided.
const STALE = COPIED + 6
const SIZE = STALE + 1

// Of CP.
const [REST, IN_PASSAGE, TO_SETTLE] = [0, 1, 2]

const [NONE, BEGIN, DECIDE, UNDO] = [0, 1, 2, 3]
const [QUEUED, HELD, OPEN] = [1, 2, 3]
const [SQLITE, POSTGRES, UNDECIDED] = [0, 1, 2]

const DEAD = 0
const IDLE = 1
const FIRST_STATE = 2
const codeOf = (state: State): number => STATES.indexOf(state) + FIRST_STATE
const stateOf = (code: number): State => STATES[code - FIRST_STATE]!

/** SQLite leads in the odd epochs. */
const isSwitchover = (epoch: number): boolean => epoch % 2 === 1
const leaderIn = (epoch: number): number => (isSwitchover(epoch) ? SQLITE : POSTGRES)
const closedIn = (epoch: number): number => 2 * epoch
const openIn = (epoch: number): number => 2 * epoch + 1

export function firstWorld(world: World): Cells {
  const cells = new Uint8Array(SIZE)
  cells[NE] = 1
  cells[CE] = 1
  cells[CT] = 1
  cells[GATE] = closedIn(1)
  cells[GATE_DURABLE] = closedIn(1)
  cells[UP] = 1
  for (let c = 0; c < world.coordinators; c++) cells[PROCESS + c * PROCESS_CELLS + ST] = IDLE
  return normal(cells, world)
}

const AUTHORITIES: readonly Authority[] = ['sqlite', 'postgres', 'none']
const standings = new Map<number, Standing>()

/** What the real core says of the notes. */
export function standingIn(cells: Cells): Standing {
  const key = cells[NA]! + 3 * (cells[CA]! + 2 * (cells[CP]! + 3 * (cells[NE]! + 16 * cells[CE]!)))
  let standing = standings.get(key)
  if (standing === undefined) {
    const phase: Phase =
      cells[CA] === SQLITE
        ? cells[CP] === TO_SETTLE
          ? 'rolling_back'
          : cells[CP] === IN_PASSAGE
            ? 'switching_over'
            : 'replicating'
        : cells[CP] === IN_PASSAGE
          ? 'rolling_back'
          : 'switched_over'
    standing = standingOf(
      { authority: AUTHORITIES[cells[NA]!]!, epoch: cells[NE]!, attempt: 0 },
      { authority: AUTHORITIES[cells[CA]!]!, epoch: cells[CE]!, attempt: 0, phase },
    )
    standings.set(key, standing)
  }
  return standing
}

/** SQLite's triggers let applications write, as soon as its lock is free. */
const sqliteOpen = (cells: Cells): boolean => cells[NA] === SQLITE

/** Some transaction, of whatever snapshot, passes the gate: it compares the gate with the epoch that it sees. */
function postgresOpen(cells: Cells, world: World): boolean {
  if (!world.gateIsSequence) {
    // A snapshot from when PostgreSQL led shows the row of that time.
    return cells[CE]! >= 2
  }
  const gate = cells[GATE]!
  return gate % 2 === 1 && (gate - 1) / 2 <= cells[CE]!
}

/** Why this must never be; undefined where all is well. */
export function violation(cells: Cells, world: World): string | undefined {
  // What was put back is told, and a person decides: until then both may accept.
  if (cells[COPY] === 2 && standingIn(cells).kind === 'divided') return undefined
  if (sqliteOpen(cells) && postgresOpen(cells, world)) return 'two writers: both engines accept'
  if (sqliteOpen(cells) && cells[WRITER] === 1)
    return 'two writers: SQLite accepts while a transaction that passed the gate is in flight on PostgreSQL'
  if (cells[STALE] === 1 && cells[NA] === SQLITE && standingIn(cells).kind === 'sqlite')
    return 'a file from before the rollback is taken for the one that leads'
  if (cells[COPY] === 2) return undefined
  const standing = standingIn(cells)
  if (standing.kind === 'divided') return `divided: ${standing.reason}`
  if (standing.kind === 'sqlite' && standing.behind) return 'behind: PostgreSQL has an older epoch'
  if (cells[CE]! - 1 > cells[BEGUN]!) return 'the authority changed without an attempt'
  return undefined
}

/** Why a step of the world must not be, judged by both ends of it. */
export function violationBetween(before: Cells, after: Cells): string | undefined {
  // A copy that was put back has lost whatever came after it.
  if (after[COPY] === 2) return undefined
  if (before[CE] === after[CE]) {
    return before[CA] === after[CA] ? undefined : 'the authority changed within an epoch'
  }
  if (after[CE] !== before[CE]! + 1 || after[CA] === before[CA])
    return 'the epoch rose without a change of authority, or fell'
  if (after[CA] === POSTGRES && before[FORWARD] === 1) return 'decided with writes of SQLite not drained'
  if (after[CA] === SQLITE && before[REVERSE] === 1) return 'decided with writes of PostgreSQL not drained'
  return undefined
}

/** What the coordinators are doing. */
export function doing(cells: Cells): string[] {
  const found: string[] = []
  for (let c = 0; c < 2; c++) {
    const code = cells[at(c, ST)]!
    if (code < FIRST_STATE) continue
    found.push(`${isSwitchover(cells[at(c, EPOCH)]!) ? 'switchover' : 'rollback'} ${stateOf(code)}`)
  }
  return found
}

/** Who leads, by PostgreSQL. */
export const epochOf = (cells: Cells): number => cells[CE]!

/** Everything is over, and exactly one side is open; or what was put back is left to a person. */
export function isSettled(cells: Cells, world: World): boolean {
  if (cells[COPY] === 2 && (standingIn(cells).kind === 'divided' || isLeftToPerson(cells))) return true
  const holder = at(cells[CH]!, ST)
  if (cells[UP] === 0 || cells[holder] !== IDLE) return false
  for (let c = 0; c < 2; c++) if (cells[at(c, ST)]! > IDLE) return false
  for (let slot = 0; slot < TX_SLOTS; slot++) if (cells[tx(slot, KIND)] !== NONE) return false
  const { kind } = standingIn(cells)
  if (kind === 'sqlite') return sqliteOpen(cells) && !postgresOpen(cells, world)
  return kind === 'postgres' && !sqliteOpen(cells) && cells[GATE] === openIn(cells[CE]!)
}

/** Decided, and the file is not the one that it was decided on: the end is tried, refused, and told. */
const isLeftToPerson = (cells: Cells): boolean => cells[STALE] === 1 && standingIn(cells).kind === 'decided'

const at = (coordinator: number, cell: number): number => PROCESS + coordinator * PROCESS_CELLS + cell
const tx = (slot: number, cell: number): number => TX + slot * TX_CELLS + cell

function rowIsLocked(cells: Cells): boolean {
  for (let slot = 0; slot < TX_SLOTS; slot++) {
    if (cells[tx(slot, KIND)] !== NONE && cells[tx(slot, STAGE)]! >= HELD) return true
  }
  return false
}

function gateIsLocked(cells: Cells): boolean {
  for (let slot = 0; slot < TX_SLOTS; slot++) {
    const stage = cells[tx(slot, STAGE)]!
    if (cells[tx(slot, KIND)] === DECIDE && stage >= HELD && !isSwitchover(cells[tx(slot, TX_EPOCH)]!))
      return true
  }
  return false
}

/** The transaction that a coordinator waits for, or has open. */
function awaited(cells: Cells, c: number): number | undefined {
  for (let slot = 0; slot < TX_SLOTS; slot++) {
    if (cells[tx(slot, KIND)] !== NONE && cells[tx(slot, AWAITED)] === 1 && cells[tx(slot, OWNER)] === c)
      return slot
  }
  return undefined
}

function addTx(cells: Cells, c: number, kind: number, stage: number): void {
  for (let slot = 0; slot < TX_SLOTS; slot++) {
    if (cells[tx(slot, KIND)] !== NONE) continue
    cells[tx(slot, KIND)] = kind
    cells[tx(slot, OWNER)] = c
    cells[tx(slot, TX_EPOCH)] = cells[at(c, EPOCH)]!
    cells[tx(slot, TX_ATTEMPT)] = kind === DECIDE ? cells[at(c, ATTEMPT)]! : 0
    cells[tx(slot, STAGE)] = stage
    cells[tx(slot, AWAITED)] = 1
    return
  }
  throw new Error('the world has too few transactions')
}

function dropTx(cells: Cells, slot: number): void {
  cells.fill(0, tx(slot, 0), tx(slot, 0) + TX_CELLS)
}

/** The owner no longer waits: an orphan, which may still land; where there are too many, it dies. */
function orphan(cells: Cells, slot: number, world: World): void {
  let orphans = 0
  for (let other = 0; other < TX_SLOTS; other++) {
    if (cells[tx(other, KIND)] !== NONE && cells[tx(other, AWAITED)] === 0) orphans += 1
  }
  if (cells[tx(slot, STAGE)] === HELD || orphans >= world.orphans) dropTx(cells, slot)
  else cells[tx(slot, AWAITED)] = 0
}

/** What a coordinator had goes with it. */
function letGo(cells: Cells, c: number, world: World): void {
  if (cells[LOCK] === c + 1) cells[LOCK] = 0
  const slot = awaited(cells, c)
  if (slot !== undefined) orphan(cells, slot, world)
}

/** Attempts of decisions count until they are sent or given up. */
const NEEDS_ATTEMPT = new Set(
  (['waiting', 'holding', 'draining', 'fencing', 'deciding'] as const).map(codeOf),
)

function enter(cells: Cells, c: number, state: State, world: World): void {
  cells[at(c, SENT)] = 0
  if (FACTS[state].step === null) {
    letGo(cells, c, world)
    cells.fill(0, at(c, 0), at(c, 0) + PROCESS_CELLS)
    cells[at(c, ST)] = IDLE
    cells[at(c, LOOKED)] = world.looksAgain ? 0 : 1
    return
  }
  // An undo lets go of every lock before it asks: nobody waits for an answer that may not come.
  if (state === 'undoing') letGo(cells, c, world)
  cells[at(c, ST)] = codeOf(state)
  // A fence is lowered as it was seen before the undo; in a broken order of steps, as we raised it.
  if (state !== 'reopening') cells[at(c, SEEN)] = 0
  else if (cells[at(c, SEEN)] === 0) cells[at(c, SEEN)] = cells[at(c, ATTEMPT)]!
  if (!NEEDS_ATTEMPT.has(codeOf(state))) cells[at(c, ATTEMPT)] = 0
}

/** A coordinator's step has answered. */
function answer(cells: Cells, c: number, event: Event, world: World): void {
  const from = stateOf(cells[at(c, ST)]!)
  enter(cells, c, advance(from, event, world.transitions), world)
}

/** How much a move is wanted where everything works; 0: only bad luck, or a new wish, does it. */
export type Emit = (label: string, wanted: number, next: Cells) => void

/** Every move of the world. */
export function moves(cells: Cells, world: World, emit: Emit): void {
  const then = (label: string, wanted: number, change: (next: Cells) => void): void => {
    const next = cells.slice()
    change(next)
    emit(label, wanted, normal(next, world))
  }
  if (cells[UP] === 1) {
    for (const kept of [GATE, GATE_DURABLE]) {
      if (kept === GATE_DURABLE && cells[GATE] === cells[GATE_DURABLE]) continue
      then('PostgreSQL crashes', 0, (next) => {
        next[UP] = 0
        next[WRITER] = 0
        next[GATE] = cells[kept]!
        next[GATE_DURABLE] = cells[kept]!
        for (let slot = 0; slot < TX_SLOTS; slot++) dropTx(next, slot)
      })
    }
    const locked = rowIsLocked(cells)
    for (let slot = 0; slot < TX_SLOTS; slot++) {
      if (cells[tx(slot, KIND)] !== NONE) movesOfTransaction(cells, slot, locked, world, then)
    }
  } else {
    then('PostgreSQL starts', 9, (next) => {
      next[UP] = 1
    })
  }
  for (let c = 0; c < world.coordinators; c++) movesOfCoordinator(cells, c, world, then)
  if (world.restores !== 'nothing') restores(cells, COPIED_CELLS[world.restores], then)
}

function restores(cells: Cells, copied: readonly number[], then: Then): void {
  if (cells[COPY] === 0) {
    then('a copy is made', 0, (next) => {
      next[COPY] = 1
      copied.forEach((cell, i) => {
        next[COPIED + i] = cells[cell]!
      })
    })
  }
  if (cells[COPY] === 1 && cells[LOCK] === 0) {
    then('the copy is put back', 0, (next) => {
      next[COPY] = 2
      copied.forEach((cell, i) => {
        next[cell] = cells[COPIED + i]!
        next[COPIED + i] = 0
      })
      if (!copied.includes(GATE)) {
        next[STALE] = next[NA] === POSTGRES && next[CA] === SQLITE && next[CE] === next[NE]! + 1 ? 1 : 0
        return
      }
      next[GATE_DURABLE] = next[GATE]!
      next[WRITER] = 0
      for (let slot = 0; slot < TX_SLOTS; slot++) dropTx(next, slot)
    })
  }
}

type Then = (label: string, wanted: number, change: (next: Cells) => void) => void

const KINDS = ['', 'begin', 'decision', 'undo']

function movesOfTransaction(cells: Cells, slot: number, locked: boolean, world: World, then: Then): void {
  const kind = cells[tx(slot, KIND)]!
  const owner = cells[tx(slot, OWNER)]!
  const epoch = cells[tx(slot, TX_EPOCH)]!
  const stage = cells[tx(slot, STAGE)]!
  const isAwaited = cells[tx(slot, AWAITED)] === 1
  const name = `${isAwaited ? '' : 'late '}${KINDS[kind]} of ${owner}`
  const reply = (next: Cells, event: Event): void => {
    if (isAwaited) answer(next, owner, event, world)
  }
  if (stage === QUEUED && !locked) {
    const refused = refusal(cells, slot, world)
    then(`${name} is ${refused === undefined ? 'executed' : 'refused'}`, 7, (next) => {
      if (refused !== undefined) {
        dropTx(next, slot)
        reply(next, refused)
        return
      }
      next[tx(slot, STAGE)] = OPEN
      // Not part of the transaction, so it is there at once.
      if (kind === DECIDE) next[GATE] = openIn(epoch + 1)
      if (kind === UNDO) next[GATE] = isSwitchover(epoch) ? closedIn(epoch) : openIn(epoch)
    })
  }
  if (stage === OPEN) {
    then(`${name} is committed`, 8, (next) => {
      if (kind === DECIDE) {
        next[CA] = leaderIn(epoch + 1)
        next[CE] = epoch + 1
        next[CP] = next[CA] === SQLITE ? TO_SETTLE : REST
      } else {
        next[CT] = next[CT]! + 1
        if (kind === BEGIN) next[CP] = IN_PASSAGE
        else if (next[CP] === IN_PASSAGE) next[CP] = REST
        if (kind === BEGIN) next[BEGUN] = next[BEGUN]! + 1
      }
      next[GATE_DURABLE] = next[GATE]!
      dropTx(next, slot)
      if (kind === BEGIN && isAwaited) {
        answer(next, owner, 'ok', world)
        if (next[at(owner, ST)]! >= FIRST_STATE) next[at(owner, ATTEMPT)] = next[CT]!
      } else reply(next, kind === UNDO ? 'undone' : 'ok')
    })
  }
  then(`the session with the ${name} is cut`, 0, (next) => {
    dropTx(next, slot)
    if (stage !== HELD) reply(next, 'lost')
  })
  if (isAwaited && stage !== HELD) {
    for (const event of answersWithout(cells, owner, world)) {
      then(`the answer to the ${name} does not come: ${event}`, 0, (next) => {
        orphan(next, slot, world)
        answer(next, owner, event, world)
      })
    }
  }
}

/** What the compare-and-set of a transaction says no with; undefined: it passes. */
function refusal(cells: Cells, slot: number, world: World): Event | undefined {
  const kind = cells[tx(slot, KIND)]!
  const epoch = cells[tx(slot, TX_EPOCH)]!
  if (kind === DECIDE && !world.decideByCas) return undefined
  const asBefore = cells[CE] === epoch && cells[CA] === leaderIn(epoch)
  const isHolder = cells[CH] === cells[tx(slot, OWNER)]
  if (kind === BEGIN) {
    if (cells[CP] === TO_SETTLE) return 'failed'
    return asBefore && isHolder && cells[BEGUN]! < world.attempts ? undefined : 'displaced'
  }
  if (kind === DECIDE) {
    return asBefore && isHolder && cells[CT] === cells[tx(slot, TX_ATTEMPT)] ? undefined : 'displaced'
  }
  if (asBefore && isHolder) return undefined
  return isHolder && isDecided(cells, epoch) ? 'decided' : 'displaced'
}

const isDecided = (cells: Cells, epoch: number): boolean =>
  cells[CE] === epoch + 1 && cells[CA] === leaderIn(epoch + 1)

/** Bad luck that leads to different states; those that lead to the same one are told once. */
function answersWithout(cells: Cells, c: number, world: World): Event[] {
  const from = stateOf(cells[at(c, ST)]!)
  const events: Event[] = []
  const seen = new Set<State>()
  for (const event of ['failed', 'late', 'lost'] as const) {
    const to = advance(from, event, world.transitions)
    if (!seen.has(to)) events.push(event)
    seen.add(to)
  }
  return events
}

function movesOfCoordinator(cells: Cells, c: number, world: World, then: Then): void {
  const code = cells[at(c, ST)]!
  const other = 1 - c
  if (code === DEAD) {
    // One of the two is enough to go on.
    then(`${c} starts`, cells[at(other, ST)] === DEAD ? 2 : 0, (next) => {
      next[at(c, ST)] = IDLE
    })
    return
  }
  then(`${c} is killed`, 0, (next) => {
    letGo(next, c, world)
    next.fill(0, at(c, 0), at(c, 0) + PROCESS_CELLS)
  })
  if (code === IDLE) idle(cells, c, world, then)
  else {
    const from = stateOf(code)
    const effect = effectOf(cells, c, from, world)
    for (const { label, wanted, change } of effect) then(`${c} ${from}: ${label}`, wanted, change)
    const waits = cells[at(c, SENT)] === 1
    if (waits ? awaited(cells, c) === undefined : true) {
      for (const event of answersWithout(cells, c, world)) {
        then(`${c} ${from}: ${event}`, waits ? 6 : 1, (next) => answer(next, c, event, world))
      }
    }
  }
}

function idle(cells: Cells, c: number, world: World, then: Then): void {
  if (cells[UP] === 0) return
  if (cells[CH] !== c) {
    if (rowIsLocked(cells)) return
    const holderIsDead = cells[at(cells[CH]!, ST)] === DEAD
    then(`${c} takes over`, holderIsDead ? 3 : 0, (next) => {
      next[CH] = c
      next[at(c, LOOKED)] = 0
    })
    return
  }
  const standing = standingIn(cells)
  const entry = cells[at(c, LOOKED)] === 0 ? world.entryOf(standing) : undefined
  if (entry === undefined && !world.looksAgain && cells[at(c, LOOKED)] === 0) {
    then(`${c} finds nothing to do`, 4, (next) => {
      next[at(c, LOOKED)] = 1
    })
  } else if (entry !== undefined) {
    then(`${c} finds ${standing.kind}`, 4, (next) => {
      enter(next, c, entry.state, world)
      next[at(c, EPOCH)] = standing.kind === 'decided' ? next[CE]! - 1 : next[CE]!
      if (entry.state === 'deciding') next[at(c, ATTEMPT)] = next[CT]!
    })
  } else if (standing.kind === 'sqlite' && standing.behind) {
    if (rowIsLocked(cells)) return
    then(`${c} tells PostgreSQL the epoch`, 4, (next) => {
      next[CE] = next[NE]!
      next[CT] = next[CT]! + 1
      next[CP] = REST
      if (world.learnsGate) next[GATE] = closedIn(next[NE]!)
      next[GATE_DURABLE] = next[GATE]!
    })
  } else if (standing.kind === 'sqlite' && cells[CP] === TO_SETTLE) {
    if (rowIsLocked(cells)) return
    then(`${c} notes that the rollback is settled`, 4, (next) => {
      next[CP] = REST
    })
  } else if (standing.kind === 'sqlite' || standing.kind === 'postgres') {
    if (cells[BEGUN]! >= world.attempts) return
    then(`${c} is asked for a change`, 0, (next) => {
      enter(next, c, 'beginning', world)
      next[at(c, EPOCH)] = next[CE]!
    })
  }
}

interface Effect {
  readonly label: string
  readonly wanted: number
  readonly change: (next: Cells) => void
}

/** What a step does where it works, or is refused. */
function effectOf(cells: Cells, c: number, state: State, world: World): Effect[] {
  if (cells[at(c, SENT)] === 1) return []
  const epoch = cells[at(c, EPOCH)]!
  const switchover = isSwitchover(epoch)
  const up = cells[UP] === 1
  const lockIsFree = cells[LOCK] === 0 || cells[LOCK] === c + 1
  const notesAre = (authority: number, at: number): boolean => cells[NA] === authority && cells[NE] === at
  const effects: Effect[] = []
  const does = (label: string, event: Event, change?: (next: Cells) => void, wanted = 5): void => {
    effects.push({
      label: `${label}: ${event}`,
      wanted,
      change: (next) => {
        change?.(next)
        answer(next, c, event, world)
      },
    })
  }
  const sends = (kind: number): void => {
    effects.push({
      label: 'sends',
      wanted: 5,
      change: (next) => {
        next[at(c, SENT)] = 1
        addTx(next, c, kind, QUEUED)
      },
    })
  }
  const note = (next: Cells, authority: number, at: number, attempt: number): void => {
    next[NA] = authority
    next[NE] = at
    next[NT] = attempt
  }
  switch (state) {
    case 'beginning':
      if (up) sends(BEGIN)
      break
    case 'waiting':
      does('lag is zero', 'ok')
      break
    case 'holding':
      if (switchover) {
        if (!lockIsFree) break
        if (notesAre(SQLITE, epoch)) {
          does('has the lock', 'ok', (next) => {
            next[LOCK] = c + 1
          })
        } else does('finds other notes', 'displaced')
      } else if (up && !rowIsLocked(cells)) {
        const found =
          cells[CA] === POSTGRES &&
          cells[CE] === epoch &&
          cells[CT] === cells[at(c, ATTEMPT)] &&
          cells[CH] === c
        if (found) {
          does('has the gate', 'ok', (next) => {
            addTx(next, c, DECIDE, HELD)
            if (world.gateLock) next[WRITER] = 0
          })
        } else does('finds another row', 'displaced')
      }
      break
    case 'draining':
      if (switchover) {
        if (!up || rowIsLocked(cells)) break
        if (cells[CH] === c && cells[CE] === epoch && cells[CA] === SQLITE) {
          does('is at the head', 'ok', (next) => {
            next[FORWARD] = 0
          })
        } else does('is not admitted', 'displaced')
      } else if (awaited(cells, c) !== undefined && lockIsFree) {
        if (notesAre(POSTGRES, epoch)) {
          does('is at the head', 'ok', (next) => {
            next[REVERSE] = 0
          })
        } else does('is not admitted', 'displaced')
      }
      break
    case 'fencing':
      if (switchover) {
        const raise = (next: Cells): void => note(next, UNDECIDED, epoch + 1, next[at(c, ATTEMPT)]!)
        if (cells[LOCK] !== c + 1) break
        does('commits', 'ok', raise)
        does('commits, and does not get the lock again', 'failed', raise, 0)
      } else if (lockIsFree) {
        if (notesAre(POSTGRES, epoch)) {
          does('is prepared', 'ok', (next) => {
            next[LOCK] = c + 1
          })
        } else does('finds other notes', 'displaced')
      }
      break
    case 'deciding':
      if (!up) break
      if (switchover) sends(DECIDE)
      else {
        const slot = awaited(cells, c)
        if (slot === undefined) break
        effects.push({
          label: 'sends',
          wanted: 5,
          change: (next) => {
            next[at(c, SENT)] = 1
            next[tx(slot, STAGE)] = OPEN
            next[GATE] = closedIn(epoch + 1)
          },
        })
      }
      break
    case 'settling': {
      const leader = leaderIn(epoch + 1)
      if (notesAre(leader, epoch + 1)) does('finds it done', 'ok')
      else if (lockIsFree) {
        if (!switchover && cells[STALE] === 1 && world.settlesWhatWasDecided) break
        if (switchover ? notesAre(UNDECIDED, epoch + 1) : notesAre(POSTGRES, epoch)) {
          const settle = (next: Cells): void => note(next, leader, epoch + 1, 0)
          does('commits', 'ok', settle)
          does('commits', 'lost', settle, 0)
        } else does('finds other notes', 'displaced')
      }
      break
    }
    case 'undoing': {
      const known = switchover
        ? notesAre(SQLITE, epoch) || notesAre(UNDECIDED, epoch + 1)
        : notesAre(POSTGRES, epoch)
      if (!known) {
        // Somebody else has finished it, or a file was put back: asking PostgreSQL would not open anything.
        does('finds notes of another change', 'displaced')
        break
      }
      if (!up) break
      const look = (next: Cells): void => {
        // Read before PostgreSQL is asked: whatever attempt raised this fence is undone with the answer.
        next[at(c, SEEN)] = notesAre(UNDECIDED, epoch + 1) ? cells[NT]! : 0
      }
      if (world.undoByCas) {
        effects.push({
          label: 'sends',
          wanted: 5,
          change: (next) => {
            look(next)
            next[at(c, SENT)] = 1
            addTx(next, c, UNDO, QUEUED)
          },
        })
      } else if (cells[CE] === epoch && cells[CA] === leaderIn(epoch)) does('reads', 'undone', look)
      else does('reads', isDecided(cells, epoch) ? 'decided' : 'displaced')
      break
    }
    case 'reopening':
      if (!switchover || notesAre(SQLITE, epoch)) does('has nothing to lower', 'ok')
      else if (lockIsFree) {
        const mine =
          notesAre(UNDECIDED, epoch + 1) &&
          (!world.lowerByAttempt || (cells[NT] !== 0 && cells[NT] === cells[at(c, SEEN)]))
        if (mine) {
          const lower = (next: Cells): void => note(next, SQLITE, epoch, 0)
          does('lowers the fence', 'ok', lower)
          does('lowers the fence', 'lost', lower, 0)
        } else does('finds another fence', 'displaced')
      }
      break
  }
  return effects
}

/** What follows by itself, and one way to write what is the same world. */
function normal(cells: Cells, world: World): Cells {
  if (sqliteOpen(cells) && cells[LOCK] === 0) cells[FORWARD] = 1
  if (cells[UP] === 1 && postgresOpen(cells, world) && !(world.gateLock && gateIsLocked(cells))) {
    cells[WRITER] = 1
    cells[REVERSE] = 1
  }
  if (cells[NA] !== UNDECIDED) cells[NT] = 0
  rankAttempts(cells, world)
  if (world.coordinators === 2 && weight(cells, 0) > weight(cells, 1)) swapCoordinators(cells, world)
  sortTransactions(cells)
  return cells
}

const LIVE_ATTEMPTS: readonly number[] = [
  CT,
  NT,
  at(0, ATTEMPT),
  at(0, SEEN),
  at(1, ATTEMPT),
  at(1, SEEN),
  ...Array.from({ length: TX_SLOTS }, (_, slot) => tx(slot, TX_ATTEMPT)),
]
const ATTEMPT_CELLS = {
  nothing: LIVE_ATTEMPTS,
  file: [...LIVE_ATTEMPTS, COPIED + 2],
  server: [...LIVE_ATTEMPTS, COPIED + 2],
} as const
const ranks = new Uint8Array(256)

/** Only their order counts, and whether they are equal; 0 is none. */
function rankAttempts(cells: Cells, world: World): void {
  const attempts = ATTEMPT_CELLS[world.restores]
  let top = 0
  for (const cell of attempts) {
    const value = cells[cell]!
    ranks[value] = 1
    if (value > top) top = value
  }
  let rank = 0
  for (let value = 1; value <= top; value++) {
    if (ranks[value] === 1) ranks[value] = ++rank
  }
  ranks[0] = 0
  for (const cell of attempts) cells[cell] = ranks[cells[cell]!]!
  ranks.fill(0, 0, top + 1)
}

function weight(cells: Cells, c: number): number {
  let sum = 0
  for (let cell = 0; cell < PROCESS_CELLS; cell++) sum = sum * 16 + cells[at(c, cell)]!
  return sum * 4 + (cells[CH] === c ? 2 : 0) + (cells[LOCK] === c + 1 ? 1 : 0)
}

function swapCoordinators(cells: Cells, world: World): void {
  for (let cell = 0; cell < PROCESS_CELLS; cell++) {
    const kept = cells[at(0, cell)]!
    cells[at(0, cell)] = cells[at(1, cell)]!
    cells[at(1, cell)] = kept
  }
  cells[CH] = 1 - cells[CH]!
  if (cells[LOCK] !== 0) cells[LOCK] = 3 - cells[LOCK]!
  if (world.restores === 'server' && cells[COPY] === 1) cells[COPIED + 3] = 1 - cells[COPIED + 3]!
  for (let slot = 0; slot < TX_SLOTS; slot++) {
    if (cells[tx(slot, KIND)] !== NONE) cells[tx(slot, OWNER)] = 1 - cells[tx(slot, OWNER)]!
  }
}

function sortTransactions(cells: Cells): void {
  for (let slot = 1; slot < TX_SLOTS; slot++) {
    for (let i = slot; i > 0 && isBefore(cells, i, i - 1); i--) {
      for (let cell = 0; cell < TX_CELLS; cell++) {
        const kept = cells[tx(i, cell)]!
        cells[tx(i, cell)] = cells[tx(i - 1, cell)]!
        cells[tx(i - 1, cell)] = kept
      }
    }
  }
}

/** The empty ones come last. */
function isBefore(cells: Cells, left: number, right: number): boolean {
  for (let cell = 0; cell < TX_CELLS; cell++) {
    const difference = cells[tx(left, cell)]! - cells[tx(right, cell)]!
    if (difference !== 0) return difference > 0
  }
  return false
}
