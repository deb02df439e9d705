import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ControlNotes, type Notes, standingOf } from '../../src/core/authority.ts'
import { Failure } from '../../src/core/errors.ts'
import type { Authority, Phase } from '../../src/core/operator.ts'
import { PHASES } from '../../src/core/operator.ts'
import { STEPS } from '../../src/core/switching.ts'
import {
  advance,
  EVENTS,
  entryOf,
  eventOf,
  FACTS,
  STATES,
  TRANSITIONS,
} from '../../src/switchover/machine.ts'

const before = ['beginning', 'waiting', 'holding', 'draining', 'fencing', 'deciding'] as const
const ends = ['done', 'undone', 'displaced'] as const

describe('the table', () => {
  test('has an answer to every event in every state, and no other state', () => {
    for (const state of STATES) {
      expect(Object.keys(TRANSITIONS[state]).toSorted(), state).toEqual([...EVENTS].toSorted())
      for (const event of EVENTS) expect(STATES).toContain(advance(state, event))
    }
    expect(Object.keys(TRANSITIONS).toSorted()).toEqual([...STATES].toSorted())
  })

  test('is what the page says', async () => {
    const page = await readFile(join(import.meta.dirname, '../../docs/change-of-authority.md'), 'utf8')
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    const named = rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`(\w+)`/g)].map(([, name]) => name))
    expect(named.toSorted()).toEqual([...STATES].toSorted())
  })

  test('has one state for each step, in their order', () => {
    const steps = STATES.map((state) => FACTS[state].step).filter((step) => step !== null)
    expect(steps).toEqual([...STEPS])
  })

  test('goes forward by ok alone, until it is done', () => {
    const path: string[] = []
    for (let state = STATES[0] as (typeof STATES)[number]; FACTS[state].step !== null; ) {
      state = advance(state, 'ok')
      path.push(state)
    }
    expect(path).toEqual(['waiting', 'holding', 'draining', 'fencing', 'deciding', 'settling', 'done'])
  })

  test.each(before)('%s: whatever goes wrong is undone, but for another holder', (state) => {
    for (const event of EVENTS) {
      if (event === 'ok') continue
      expect(advance(state, event), event).toBe(event === 'displaced' ? 'displaced' : 'undoing')
    }
  })

  test('settling never goes back: PostgreSQL has decided', () => {
    const reached = EVENTS.map((event) => advance('settling', event))
    expect(new Set(reached)).toEqual(new Set(['done', 'settling', 'displaced']))
  })

  test('an undo is believed only by its own three answers', () => {
    expect(advance('undoing', 'undone')).toBe('reopening')
    expect(advance('undoing', 'decided')).toBe('settling')
    expect(advance('undoing', 'displaced')).toBe('displaced')
    for (const event of ['ok', 'failed', 'late', 'lost'] as const)
      expect(advance('undoing', event)).toBe('undoing')
  })

  test('nothing is lowered before the undo has answered', () => {
    const into = STATES.flatMap((state) =>
      EVENTS.filter((event) => advance(state, event) === 'reopening').map((event) => `${state} ${event}`),
    )
    expect(into).toEqual(['undoing undone', 'reopening failed', 'reopening late', 'reopening lost'])
  })

  test('nothing comes to the decision but the fence', () => {
    const into = STATES.flatMap((state) =>
      EVENTS.filter((event) => advance(state, event) === 'deciding').map((event) => `${state} ${event}`),
    )
    expect(into).toEqual(['fencing ok'])
  })

  test.each(ends)('%s is the end', (state) => {
    expect(FACTS[state].step).toBeNull()
    for (const event of EVENTS) expect(advance(state, event)).toBe(state)
  })

  test('what has left its mark on PostgreSQL has no deadline any more', () => {
    const without = STATES.filter((state) => FACTS[state].deadline === 'none' && FACTS[state].step !== null)
    expect(without).toEqual(['settling', 'undoing', 'reopening'])
  })
})

describe('eventOf', () => {
  const failure = (code: string) => new Failure({ code, message: 'm' })
  test.each([
    ['an unknown outcome', failure('outcome_unknown'), 'lost'],
    ['another holder', failure('displaced'), 'displaced'],
    ['notes of somebody else', failure('fence_stale'), 'displaced'],
    ['a busy lock', failure('source_locked'), 'failed'],
    ['a defect', new TypeError('x'), 'failed'],
    ['anything', 'text', 'failed'],
  ])('%s', (_name, error, event) => {
    expect(eventOf(error)).toBe(event)
  })
})

describe('standingOf', () => {
  const sqlite = (authority: Authority, epoch: number): Notes => ({ authority, epoch, attempt: 1 })
  const postgres = (authority: Authority, epoch: number, phase: Phase): ControlNotes => ({
    authority,
    epoch,
    attempt: 1,
    phase,
  })
  const rows: [string, Notes, ControlNotes, string][] = [
    ['at rest', sqlite('sqlite', 1), postgres('sqlite', 1, 'replicating'), 'sqlite'],
    ['before the first copy', sqlite('sqlite', 1), postgres('sqlite', 1, 'new'), 'sqlite'],
    ['begun', sqlite('sqlite', 1), postgres('sqlite', 1, 'switching_over'), 'undecided switchover'],
    ['fenced', sqlite('none', 2), postgres('sqlite', 1, 'switching_over'), 'undecided switchover'],
    ['undone, not reopened', sqlite('none', 2), postgres('sqlite', 1, 'replicating'), 'undecided switchover'],
    ['decided', sqlite('none', 2), postgres('postgres', 2, 'switched_over'), 'decided switchover'],
    ['switched over', sqlite('postgres', 2), postgres('postgres', 2, 'switched_over'), 'postgres'],
    ['finalized', sqlite('postgres', 2), postgres('postgres', 2, 'finalized'), 'postgres'],
    ['rolling back', sqlite('postgres', 2), postgres('postgres', 2, 'rolling_back'), 'undecided rollback'],
    [
      'rolled back, not settled',
      sqlite('postgres', 2),
      postgres('sqlite', 3, 'rolling_back'),
      'decided rollback',
    ],
    ['rolled back', sqlite('sqlite', 3), postgres('sqlite', 3, 'replicating'), 'sqlite'],
    ['rolled back, not yet noted', sqlite('sqlite', 3), postgres('sqlite', 3, 'rolling_back'), 'sqlite'],
    [
      'a file from the time before, put back after a rollback',
      sqlite('postgres', 2),
      postgres('sqlite', 3, 'replicating'),
      'divided',
    ],
    [
      'the same, and a switchover has begun',
      sqlite('postgres', 2),
      postgres('sqlite', 3, 'switching_over'),
      'divided',
    ],
    [
      'a server put back while SQLite leads',
      sqlite('sqlite', 3),
      postgres('sqlite', 1, 'replicating'),
      'sqlite behind',
    ],
    [
      'a server put back while PostgreSQL leads',
      sqlite('postgres', 2),
      postgres('sqlite', 1, 'replicating'),
      'divided',
    ],
    [
      'the same, over a later epoch',
      sqlite('postgres', 4),
      postgres('postgres', 2, 'switched_over'),
      'divided',
    ],
    [
      'a server that comes back after a forced rollback',
      sqlite('sqlite', 3),
      postgres('postgres', 2, 'switched_over'),
      'divided',
    ],
    [
      'a file put back while PostgreSQL leads',
      sqlite('sqlite', 1),
      postgres('postgres', 2, 'switched_over'),
      'divided',
    ],
    ['a file put back over a rollback', sqlite('sqlite', 1), postgres('sqlite', 3, 'replicating'), 'divided'],
    ['an older fence', sqlite('none', 2), postgres('sqlite', 3, 'replicating'), 'divided'],
    [
      'an older fence, PostgreSQL leads',
      sqlite('none', 2),
      postgres('postgres', 4, 'switched_over'),
      'divided',
    ],
    ['a fence for an epoch too far', sqlite('none', 4), postgres('sqlite', 1, 'replicating'), 'divided'],
    [
      'an older lead of PostgreSQL',
      sqlite('postgres', 2),
      postgres('postgres', 4, 'switched_over'),
      'divided',
    ],
  ]
  test.each(rows)('%s', (_name, file, server, expected) => {
    const standing = standingOf(file, server)
    const told =
      standing.kind === 'undecided' || standing.kind === 'decided'
        ? `${standing.kind} ${standing.passage}`
        : standing.kind === 'sqlite' && standing.behind
          ? 'sqlite behind'
          : standing.kind
    expect(told).toBe(expected)
    if (standing.kind === 'divided') expect(standing.remedy).toContain('slipway recover')
  })

  test('has an answer to every pair, and a way in for what is left to do', () => {
    let pairs = 0
    for (const a of ['sqlite', 'postgres', 'none'] as const) {
      for (const b of ['sqlite', 'postgres', 'none'] as const) {
        for (const phase of PHASES) {
          for (let s = 0; s < 6; s++) {
            for (let p = 0; p < 6; p++) {
              const standing = standingOf(sqlite(a, s), postgres(b, p, phase))
              const entry = entryOf(standing)
              pairs += 1
              if (standing.kind === 'undecided') {
                expect(entry).toEqual({ state: 'undoing', passage: standing.passage })
                // An undo is asked of the side that decides, and it still shows the old one.
                expect(b).toBe(standing.passage === 'switchover' ? 'sqlite' : 'postgres')
              } else if (standing.kind === 'decided') {
                expect(entry).toEqual({ state: 'settling', passage: standing.passage })
                expect(b).toBe(standing.passage === 'switchover' ? 'postgres' : 'sqlite')
              } else expect(entry).toBeUndefined()
            }
          }
        }
      }
    }
    expect(pairs).toBe(9 * PHASES.length * 36)
  })
})
