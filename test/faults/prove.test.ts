/** Histories made by hand: each fault must be found, and a good history must pass. */
import { expect, test } from 'vitest'
import { type Acknowledged, type Engine, type Entry, type History, leaderOf, payloadOf } from './history.ts'
import { type ProblemKind, prove } from './prove.ts'

interface Write extends Entry {
  readonly engine: Engine
  readonly id: number
  readonly started: number
  readonly ended: number
}

/** Two writers, three epochs, four writes each in every epoch, one after the other. */
function writes(): Write[] {
  const all: Write[] = []
  for (let step = 0; step < 12; step++) {
    const epoch = 1 + Math.floor(step / 4)
    for (const writer of [1, 2]) {
      const n = step + 1
      const started = step * 100 + writer * 10
      all.push({
        writer,
        n,
        engine: leaderOf(epoch),
        epoch,
        prev: n - 1,
        payload: payloadOf(writer, n),
        id: all.length + 1 + epoch * 100,
        started,
        ended: started + 25,
      })
    }
  }
  return all
}

function historyOf(all: readonly Write[], changed: Partial<History> = {}): History {
  const last = (writer: number) => all.filter((one) => one.writer === writer)
  return {
    acknowledged: all,
    doubtful: [],
    entries: all,
    journal: all,
    events: all,
    tallies: [1, 2].map((writer) => ({
      writer,
      total: last(writer).length,
      last: Math.max(...last(writer).map((one) => one.n)),
    })),
    balance: 500,
    orphans: 0,
    ...changed,
  }
}

function found(history: History): ProblemKind[] {
  const { problems } = prove(history, { balance: 500 })
  return [...new Set(problems.map((one) => one.kind))].sort()
}

const is =
  (writer: number, n: number) =>
  (one: { readonly writer: number; readonly n: number }): boolean =>
    one.writer === writer && one.n === n
const without = <T extends { readonly writer: number; readonly n: number }>(
  rows: readonly T[],
  writer: number,
  n: number,
): T[] => rows.filter((one) => !is(writer, n)(one))
const changed = (writer: number, n: number, change: Partial<Write>): Write[] =>
  writes().map((one) => (is(writer, n)(one) ? { ...one, ...change } : one))

test('a good history passes', () => {
  expect(prove(historyOf(writes()), { balance: 500 }).problems).toEqual([])
})

test('a write in doubt may be there, and may not', () => {
  const doubtful = [{ writer: 2, n: 12 }]
  const acknowledged = without(writes(), 2, 12)
  expect(found(historyOf(writes(), { acknowledged, doubtful }))).toEqual([])
  const all = without(writes(), 2, 12)
  expect(found(historyOf(all, { doubtful }))).toEqual([])
})

test('a lost write', () => {
  const all = writes()
  const gone = without(all, 1, 5)
  expect(found(historyOf(gone, { acknowledged: all }))).toContain('lost')
  // The last one of its writer leaves no gap.
  const last = without(all, 1, 12)
  expect(found(historyOf(last, { acknowledged: all }))).toEqual(['lost'])
})

test('a write whose other rows are lost', () => {
  const all = writes()
  expect(found(historyOf(all, { journal: without(all, 2, 3) }))).toEqual(['lost'])
  expect(found(historyOf(all, { events: without(all, 2, 3) }))).toEqual(['lost'])
})

test('a doubled write', () => {
  const all = writes()
  const twice = [...all, all[7]!]
  expect(found(historyOf(all, { entries: twice }))).toEqual(['doubled'])
  expect(found(historyOf(all, { events: twice }))).toEqual(['doubled'])
  expect(found(historyOf(all, { journal: [...all, { ...all[7]!, id: 999 }] }))).toContain('doubled')
  expect(found(historyOf(all, { acknowledged: twice }))).toEqual(['doubled'])
})

test('a write that was refused and is there all the same', () => {
  const all = writes()
  expect(found(historyOf(all, { acknowledged: without(all, 2, 12) }))).toEqual(['phantom'])
})

test('a reordered write', () => {
  // Written when the one before it was not there yet: it came later, or was lost for a while.
  expect(found(historyOf(changed(1, 6, { prev: 4 })))).toEqual(['order'])
  // The engine gave it an earlier id than the write before it has.
  expect(found(historyOf(changed(1, 3, { id: 0 })))).toContain('order')
  // Ids are handed out again that another epoch used.
  expect(found(historyOf(changed(2, 12, { id: 101 })))).toContain('order')
})

test('two writers at once: an engine accepts in an epoch that it does not lead', () => {
  expect(found(historyOf(changed(1, 8, { engine: 'sqlite' })))).toEqual(['two_writers'])
})

test('two writers at once: an engine accepts what begins after a later epoch has answered', () => {
  // By its epoch nothing is wrong; by the clock the other side was open already.
  const slow = (one: Write): Acknowledged => (is(2, 4)(one) ? { ...one, started: 440, ended: 460 } : one)
  const all = writes()
  expect(found(historyOf(all, { acknowledged: all.map(slow) }))).toEqual(['two_writers'])
})

test('a write that began before the change and was acknowledged after it is none', () => {
  const slow = (one: Write): Acknowledged => (is(2, 4)(one) ? { ...one, ended: 460 } : one)
  const all = writes()
  expect(found(historyOf(all, { acknowledged: all.map(slow) }))).toEqual([])
})

test('content that has changed', () => {
  expect(found(historyOf(changed(1, 2, { payload: payloadOf(1, 3) })))).toEqual(['changed'])
  const all = writes()
  const acknowledged = all.map((one) => (is(1, 2)(one) ? { ...one, epoch: 3 } : one))
  expect(found(historyOf(all, { acknowledged }))).toContain('changed')
})

test('a sum that does not hold', () => {
  expect(found(historyOf(writes(), { balance: 499 }))).toEqual(['sum'])
  expect(found(historyOf(writes(), { orphans: 1 }))).toEqual(['sum'])
  const [first, second] = historyOf(writes()).tallies
  expect(found(historyOf(writes(), { tallies: [first!, { ...second!, total: 11 }] }))).toEqual(['sum'])
  expect(found(historyOf(writes(), { tallies: [first!] }))).toEqual(['sum'])
})
