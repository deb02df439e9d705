/**
 * The schedule of faults: a pure function of the seed and the number of the round, so that a run can be repeated and
 * any of its rounds looked at alone. What happens in time is the machines' affair.
 */
import { Random } from '../../src/demo/random.ts'
import type { CommitStrike } from './proxy.ts'

export type Who = 'daemon' | 'writers'

export type Stroke =
  | { readonly kind: 'none' }
  | { readonly kind: 'kill' }
  | { readonly kind: 'freeze'; readonly ms: number }
  | { readonly kind: 'postgres_crash'; readonly downMs: number }
  | { readonly kind: 'postgres_freeze'; readonly ms: number }
  | { readonly kind: 'cut'; readonly who: Who; readonly times: number }
  | { readonly kind: 'delay'; readonly who: Who; readonly byMs: number; readonly ms: number }
  | { readonly kind: 'blackhole'; readonly who: Who; readonly ms: number }
  | {
      readonly kind: 'commit'
      readonly who: Who
      readonly strike: CommitStrike
      readonly times: number
      readonly holdMs: number
      /** Only the COMMIT of a decision, or of its undo. */
      readonly decision: boolean
    }
  /** `at`: which of the points of the passage, as a fraction of their list. */
  | { readonly kind: 'point'; readonly at: number; readonly action: 'kill' | 'stop'; readonly ms: number }
  /** Killed at the point, and PostgreSQL crashes with it. */
  | { readonly kind: 'point_and_postgres'; readonly at: number; readonly downMs: number }
  | { readonly kind: 'twin'; readonly action: 'kill' | 'freeze' }
  | { readonly kind: 'fill'; readonly disk: 'state' | 'source'; readonly ms: number }
  | { readonly kind: 'vacuum' }
  | { readonly kind: 'reader'; readonly ms: number }
  | { readonly kind: 'lock'; readonly ms: number }
  | { readonly kind: 'hold_sqlite'; readonly ms: number }

export interface Round {
  readonly number: number
  /** A change of authority is asked for, in the direction that is possible. */
  readonly passage: boolean
  readonly maxPauseMs: number
  /** Before the round, with nothing disturbed. */
  readonly calmMs: number
  /** From the request of the change to the stroke. */
  readonly offsetMs: number
  readonly stroke: Stroke
}

type Make = (random: Random) => Stroke

const STRIKES = ['answer_lost', 'never_sent', 'late', 'slow'] as const
const WHO = ['daemon', 'writers'] as const

const STROKES: readonly (readonly [weight: number, make: Make])[] = [
  [18, () => ({ kind: 'none' })],
  [10, () => ({ kind: 'kill' })],
  [8, (r) => ({ kind: 'freeze', ms: r.whole(1000, 10_000) })],
  [8, (r) => ({ kind: 'postgres_crash', downMs: r.whole(0, 2500) })],
  [4, (r) => ({ kind: 'postgres_freeze', ms: r.whole(500, 5000) })],
  [6, (r) => ({ kind: 'cut', who: r.pick(WHO), times: r.whole(1, 4) })],
  [4, (r) => ({ kind: 'delay', who: r.pick(WHO), byMs: r.whole(5, 300), ms: r.whole(500, 3000) })],
  [5, (r) => ({ kind: 'blackhole', who: r.pick(WHO), ms: r.whole(500, 6000) })],
  [
    14,
    (r) => ({
      kind: 'commit',
      who: 'daemon',
      strike: r.pick(STRIKES),
      times: r.whole(1, 3),
      holdMs: r.whole(50, 4000),
      decision: true,
    }),
  ],
  [
    8,
    (r) => ({
      kind: 'commit',
      who: r.pick(WHO),
      strike: r.pick(STRIKES),
      times: r.whole(1, 20),
      holdMs: r.whole(20, 1500),
      decision: false,
    }),
  ],
  [14, (r) => ({ kind: 'point', at: r.next(), action: r.pick(['kill', 'stop']), ms: r.whole(500, 6000) })],
  [5, (r) => ({ kind: 'point_and_postgres', at: r.next(), downMs: r.whole(0, 1500) })],
  [3, (r) => ({ kind: 'twin', action: r.pick(['kill', 'freeze']) })],
  [3, (r) => ({ kind: 'fill', disk: r.pick(['state', 'source']), ms: r.whole(500, 3000) })],
  [3, () => ({ kind: 'vacuum' })],
  [3, (r) => ({ kind: 'reader', ms: r.whole(1000, 5000) })],
  [3, (r) => ({ kind: 'lock', ms: r.whole(500, 3500) })],
  [3, (r) => ({ kind: 'hold_sqlite', ms: r.whole(1000, 3000) })],
]
const WEIGHTS = STROKES.reduce((sum, [weight]) => sum + weight, 0)

/** Rounds count from 1. */
export function roundOf(seed: number, number: number): Round {
  const random = new Random(seed, 7919, number)
  let left = random.whole(1, WEIGHTS)
  const [, make] = STROKES.find(([weight]) => {
    left -= weight
    return left <= 0
  })!
  const stroke = make(random)
  return {
    number,
    passage: meansChange(stroke) || random.chance(0.8),
    // Sometimes no change can be made in the time.
    maxPauseMs: random.chance(0.12) ? random.pick([1, 3, 10]) : random.pick([300, 1000, 2000, 2000, 3000]),
    calmMs: random.whole(100, 1200),
    offsetMs: random.chance(0.5) ? random.whole(0, 150) : random.whole(0, 1500),
    stroke,
  }
}

/** Without a change of authority it would be nothing. */
function meansChange(stroke: Stroke): boolean {
  if (stroke.kind === 'commit') return stroke.decision
  return ['none', 'point', 'point_and_postgres'].includes(stroke.kind)
}

/** One line, the same for the same round. */
export function describeRound({ number, passage, maxPauseMs, offsetMs, stroke }: Round): string {
  const { kind, ...rest } = stroke
  const facts = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'number' ? Number(value.toFixed(3)) : value}`,
  )
  const change = passage ? `change max_pause_ms=${maxPauseMs}` : 'no change'
  return `#${number} ${change}, ${[kind, ...facts].join(' ')}${kind === 'none' ? '' : ` after ${offsetMs} ms`}`
}
