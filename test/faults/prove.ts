/**
 * The proof over a history: pure, so that faulty histories made by hand show that it finds what it is for
 * (prove.test.ts).
 */
import { type Acknowledged, type Entry, type History, leaderOf, payloadOf } from './history.ts'

export type ProblemKind =
  /** Acknowledged and not there. */
  | 'lost'
  /** There more than once. */
  | 'doubled'
  /** There, and neither acknowledged nor in doubt. */
  | 'phantom'
  | 'order'
  /** Accepted by an engine that did not lead, or after another one had begun to. */
  | 'two_writers'
  /** A row says something else than what was written. */
  | 'changed'
  /** A sum over rows does not hold: a part of a transaction is missing, or there twice. */
  | 'sum'

export interface Problem {
  readonly kind: ProblemKind
  readonly message: string
}

export interface Proof {
  readonly problems: readonly Problem[]
  readonly counts: Readonly<Record<ProblemKind, number>>
}

export interface ProofOptions {
  /** Sum of all balances. */
  readonly balance: number
}

type Tell = (kind: ProblemKind, message: string) => void

const keyOf = (row: { readonly writer: number; readonly n: number }): string => `${row.writer}/${row.n}`

export function prove(history: History, options: ProofOptions): Proof {
  const problems: Problem[] = []
  const counts: Record<ProblemKind, number> = {
    lost: 0,
    doubled: 0,
    phantom: 0,
    order: 0,
    two_writers: 0,
    changed: 0,
    sum: 0,
  }
  const tell: Tell = (kind, message) => {
    counts[kind]++
    if (problems.length < 200) problems.push({ kind, message })
  }
  const entries = proveEntries(history, tell)
  proveCopies('journal', history.journal, entries, tell)
  proveCopies('events', history.events, entries, tell)
  proveOrder(history, entries, tell)
  proveOneWriter(history, tell)
  proveSums(history, entries, options, tell)
  return { problems, counts }
}

/** Acknowledged writes against entries. Returns the entries, one by key. */
function proveEntries(history: History, tell: Tell): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const entry of history.entries) {
    const key = keyOf(entry)
    if (entries.has(key)) tell('doubled', `entry ${key} is there more than once`)
    entries.set(key, entry)
    if (entry.payload !== payloadOf(entry.writer, entry.n)) {
      tell('changed', `entry ${key} holds ${JSON.stringify(entry.payload)}`)
    }
  }
  const known = new Set<string>(history.doubtful.map(keyOf))
  for (const ack of history.acknowledged) {
    const key = keyOf(ack)
    if (known.has(key) && !history.doubtful.some((one) => keyOf(one) === key)) {
      tell('doubled', `${key} was acknowledged twice`)
    }
    known.add(key)
    const entry = entries.get(key)
    if (entry === undefined) {
      tell('lost', `${key}, acknowledged by ${ack.engine} in epoch ${ack.epoch}, is not there`)
    } else if (entry.epoch !== ack.epoch || entry.engine !== ack.engine) {
      tell(
        'changed',
        `${key} was acknowledged by ${ack.engine} in epoch ${ack.epoch}, the entry says ${entry.engine} in ${entry.epoch}`,
      )
    }
  }
  for (const key of entries.keys()) {
    if (!known.has(key)) tell('phantom', `entry ${key} was neither acknowledged nor in doubt`)
  }
  return entries
}

/** Tables that get one row with each entry, and have nothing that would keep a second one out. */
function proveCopies(
  table: string,
  rows: readonly { readonly writer: number; readonly n: number }[],
  entries: ReadonlyMap<string, Entry>,
  tell: Tell,
): void {
  const seen = new Set<string>()
  for (const row of rows) {
    const key = keyOf(row)
    if (seen.has(key)) tell('doubled', `${table} has ${key} more than once`)
    seen.add(key)
    if (!entries.has(key)) tell('phantom', `${table} has ${key}, the ledger does not`)
  }
  for (const key of entries.keys()) if (!seen.has(key)) tell('lost', `${table} lacks ${key}`)
}

/** Each write saw the one before it, and got a later id; so did each epoch as a whole. */
function proveOrder(history: History, entries: ReadonlyMap<string, Entry>, tell: Tell): void {
  for (const entry of entries.values()) {
    if (entry.prev !== entry.n - 1) {
      tell('order', `entry ${keyOf(entry)} was written when ${entry.writer}/${entry.prev} was the newest`)
    }
    const before = entries.get(`${entry.writer}/${entry.n - 1}`)
    if (before !== undefined && before.epoch > entry.epoch) {
      tell('order', `entry ${keyOf(entry)} is of epoch ${entry.epoch}, the one before of ${before.epoch}`)
    }
  }
  const ids = new Map(history.journal.map((row) => [keyOf(row), row.id]))
  const ranges = new Map<number, { first: number; last: number }>()
  for (const row of history.journal) {
    const before = ids.get(`${row.writer}/${row.n - 1}`)
    if (before !== undefined && before >= row.id) {
      tell('order', `journal ${row.id} is ${keyOf(row)}, but ${row.writer}/${row.n - 1} got ${before}`)
    }
    const epoch = entries.get(keyOf(row))?.epoch
    if (epoch === undefined) continue
    const range = ranges.get(epoch)
    if (range === undefined) ranges.set(epoch, { first: row.id, last: row.id })
    else {
      range.first = Math.min(range.first, row.id)
      range.last = Math.max(range.last, row.id)
    }
  }
  const epochs = [...ranges].sort(([a], [b]) => a - b)
  for (const [index, [epoch, range]] of epochs.entries()) {
    const next = epochs[index + 1]
    if (next !== undefined && next[1].first <= range.last) {
      tell(
        'order',
        `ids of epoch ${epoch} go up to ${range.last}, those of ${next[0]} begin at ${next[1].first}`,
      )
    }
  }
}

/** Nobody accepted a write in an epoch that it did not lead, nor one begun after a later epoch had answered. */
function proveOneWriter(history: History, tell: Tell): void {
  for (const entry of history.entries) {
    if (entry.engine !== leaderOf(entry.epoch)) {
      tell('two_writers', `entry ${keyOf(entry)} was accepted by ${entry.engine} in epoch ${entry.epoch}`)
    }
  }
  const earliest = new Map<number, Acknowledged>()
  for (const ack of history.acknowledged) {
    const first = earliest.get(ack.epoch)
    if (first === undefined || ack.ended < first.ended) earliest.set(ack.epoch, ack)
  }
  const later = [...earliest].sort(([a], [b]) => a - b)
  for (const ack of history.acknowledged) {
    const other = later.find(([epoch, one]) => epoch > ack.epoch && one.ended < ack.started)?.[1]
    if (other === undefined) continue
    tell(
      'two_writers',
      `${keyOf(ack)} began ${(ack.started - other.ended).toFixed(1)} ms after ${keyOf(other)} of epoch ${other.epoch} was acknowledged, and was accepted by ${ack.engine} in epoch ${ack.epoch}`,
    )
  }
}

function proveSums(
  history: History,
  entries: ReadonlyMap<string, Entry>,
  options: ProofOptions,
  tell: Tell,
): void {
  if (history.balance !== options.balance) {
    tell('sum', `the balances add up to ${history.balance}, not ${options.balance}`)
  }
  if (history.orphans > 0) tell('sum', `${history.orphans} children without their parent`)
  const written = new Map<number, { total: number; last: number }>()
  for (const { writer, n } of entries.values()) {
    const one = written.get(writer) ?? { total: 0, last: 0 }
    written.set(writer, { total: one.total + 1, last: Math.max(one.last, n) })
  }
  for (const tally of history.tallies) {
    const one = written.get(tally.writer) ?? { total: 0, last: 0 }
    if (one.total !== tally.total || one.last !== tally.last) {
      tell(
        'sum',
        `writer ${tally.writer} counted ${tally.total} writes up to ${tally.last}, the ledger has ${one.total} up to ${one.last}`,
      )
    }
    written.delete(tally.writer)
  }
  for (const writer of written.keys()) tell('sum', `writer ${writer} has no tally`)
}
