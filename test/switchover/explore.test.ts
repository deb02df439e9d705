/**
 * Every world that the machine can come into, together with both engines, crashes, sleep and lost answers: see
 * model.ts. The bounds: two coordinators that are killed, sleep and take over as often as they like; three attempts,
 * which is both passages and one more, with one transaction at a time whose answer was lost; and two of those with two
 * attempts. `SLIPWAY_TEST_FULL=1`: two of those with four attempts.
 */
import { describe, expect, test } from 'vitest'
import { entryOf, STATES, TRANSITIONS } from '../../src/switchover/machine.ts'
import { type Exploration, explore } from './explorer.ts'
import { REAL, type World } from './model.ts'

const FULL = process.env.SLIPWAY_TEST_FULL === '1'

/** What has no step is no state that a coordinator stays in. */
const RUNNING = STATES.filter((state) => !['done', 'undone', 'displaced'].includes(state))

function expectWell(seen: Exploration): void {
  expect(seen.found).toBeUndefined()
  expect(seen.stuck).toBeUndefined()
  // Nothing is proved by a model that does not come there.
  expect([...seen.states].toSorted()).toEqual(
    RUNNING.flatMap((state) => [`switchover ${state}`, `rollback ${state}`]).toSorted(),
  )
}

describe('every world', () => {
  test('never has two writers, loses no write, is never divided, and has a way out', () => {
    const seen = explore(REAL)
    expectWell(seen)
    expect(seen.standings).toEqual(new Set(['sqlite', 'postgres', 'undecided', 'decided']))
    expect(seen.epochs).toEqual(new Set([1, 2, 3, 4]))
    expect(seen.worlds).toBeGreaterThan(50_000)
  })

  test(`with two lost answers at a time, and ${FULL ? 4 : 2} attempts`, () => {
    const seen = explore({ ...REAL, orphans: 2, attempts: FULL ? 4 : 2 })
    expectWell(seen)
    expect(seen.worlds).toBeGreaterThan(50_000)
  }, 180_000)

  test.each(['file', 'server'] as const)(
    'with a %s that is put back: told as divided before both could accept unnoticed',
    (restores) => {
      const seen = explore({ ...REAL, restores, attempts: FULL ? 3 : restores === 'file' ? 2 : 1 })
      expect({ found: seen.found, stuck: seen.stuck }).toEqual({ found: undefined, stuck: undefined })
      expect(seen.standings).toContain('divided')
      const alone = explore({ ...REAL, restores, coordinators: 1 })
      expectWell(alone)
      expect(alone.standings).toContain('divided')
      expect(alone.epochs).toContain(4)
    },
    180_000,
  )
})

describe('the exploration finds', () => {
  const with_ = (changes: Partial<World['transitions']>): Partial<World> => ({
    transitions: { ...TRANSITIONS, ...changes },
  })
  const broken: [name: string, world: Partial<World>, found: RegExp][] = [
    [
      'a fence that is lowered before the undo has answered',
      with_({
        deciding: { ...TRANSITIONS.deciding, failed: 'reopening', late: 'reopening', lost: 'reopening' },
        reopening: { ...TRANSITIONS.reopening, ok: 'undoing' },
        undoing: { ...TRANSITIONS.undoing, undone: 'undone' },
      }),
      /both engines accept/,
    ],
    ['a fence that is lowered whoever raised it', { lowerByAttempt: false }, /both engines accept/],
    ['a decision without compare-and-set', { decideByCas: false }, /both engines accept/],
    ['an undo that reads', { undoByCas: false }, /both engines accept/],
    [
      'a recovery that decides',
      {
        entryOf: (standing) =>
          standing.kind === 'undecided'
            ? { state: 'deciding', passage: standing.passage }
            : entryOf(standing),
      },
      /both engines accept/,
    ],
    [
      'an undo that reopens what was decided',
      with_({ undoing: { ...TRANSITIONS.undoing, decided: 'reopening' } }),
      /both engines accept/,
    ],
    [
      'a decision without a fence',
      with_({ draining: { ...TRANSITIONS.draining, ok: 'deciding' } }),
      /both engines accept/,
    ],
    ['a gate that a snapshot hides (trap H2)', { gateIsSequence: false }, /both engines accept/],
    ['a gate that does not wait for writers in flight', { gateLock: false }, /in flight on PostgreSQL/],
  ]
  // A write that is lost is found too, and often sooner: here it is two writers that are looked for.
  test.each(broken)('%s', (_name, world, found) => {
    const seen = explore({ ...REAL, ...world }, 'decided with')
    expect(seen.found?.what).toMatch(found)
    expect(seen.found?.way.length).toBeGreaterThan(3)
  })

  test('a drain before the lock: a write is lost', () => {
    const seen = explore({
      ...REAL,
      ...with_({
        waiting: { ...TRANSITIONS.waiting, ok: 'draining' },
        draining: { ...TRANSITIONS.draining, ok: 'holding' },
        holding: { ...TRANSITIONS.holding, ok: 'fencing' },
      }),
    })
    expect(seen.found?.what).toMatch(/not drained/)
  })

  test('a holder that looks at the notes only when it starts: a sleeper wakes up and leaves a fence', () => {
    const seen = explore({ ...REAL, looksAgain: false, attempts: 2 })
    expect(seen.found).toBeUndefined()
    expect(seen.stuck?.count).toBeGreaterThan(0)
  })

  test('a rollback that is settled on whatever file is there: one was put back after the decision', () => {
    const seen = explore({ ...REAL, coordinators: 1, restores: 'file', settlesWhatWasDecided: false })
    expect(seen.found?.what).toMatch(/from before the rollback/)
  })

  test('a server that was put back and learns the epoch without its gate: an aborted decision had set that', () => {
    const seen = explore({ ...REAL, coordinators: 1, restores: 'server', learnsGate: false })
    expect(seen.found?.what).toMatch(/both engines accept/)
  })

  test('an undo that is given up when PostgreSQL does not answer, with nobody who looks again', () => {
    const seen = explore({
      ...REAL,
      ...with_({ undoing: { ...TRANSITIONS.undoing, lost: 'displaced' } }),
      looksAgain: false,
      attempts: 2,
    })
    expect(seen.stuck?.count).toBeGreaterThan(0)
  })
})
