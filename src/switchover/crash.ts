/**
 * Named points of a change of authority at which a test ends or stops the process, so that every order of crashes can
 * be had on purpose. Without the variable SLIPWAY_CRASH_AT no point does anything.
 *
 * `SLIPWAY_CRASH_AT=switchover.after_fence` kills the process there; more of them are separated by commas, each with
 * what happens: `:stop` stops the process until somebody continues it, `:delay=MS` waits there and goes on, `:fail`
 * makes the step fail. Each happens once in the life of a process.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Passage } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import { STEPS, type Step } from '../core/switching.ts'

/** Inside steps, where an effect has more than one part. The conduct calls them. */
export const INNER_POINTS = [
  /** SQLite's fence is durable, and the lock is not taken again yet. */
  'switchover.fence_committed',
  /** The gate, which is not part of the transaction, is set; the transaction is not committed. */
  'switchover.decide_proposed',
  'rollback.decide_proposed',
  /** The COMMIT of the decision is on its way, no answer has come. */
  'switchover.decide_sent',
  'rollback.decide_sent',
  /** PostgreSQL has taken the attempt back; its answer is not looked at yet. */
  'switchover.undo_committed',
  'rollback.undo_committed',
  /** SQLite has committed what was decided; nobody has been told. */
  'switchover.settle_committed',
  'rollback.settle_committed',
] as const

const PASSAGES = ['switchover', 'rollback'] as const satisfies readonly Passage[]
const MOMENTS = ['before', 'after'] as const

export type StepPoint = `${Passage}.${(typeof MOMENTS)[number]}_${Step}`
export type CrashPoint = StepPoint | (typeof INNER_POINTS)[number]

/** Before and after each step of both passages, in their order. */
export const STEP_POINTS: readonly StepPoint[] = PASSAGES.flatMap((passage) =>
  STEPS.flatMap((step) => MOMENTS.map((moment): StepPoint => `${passage}.${moment}_${step}`)),
)

export const ALL_POINTS: readonly CrashPoint[] = [...STEP_POINTS, ...INNER_POINTS]

export type CrashAction =
  | { readonly kind: 'kill' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'fail' }
  | { readonly kind: 'delay'; readonly ms: number }

/** Throws a Failure where a name or an action is not known: a test that crashes nowhere would prove nothing. */
export function parseCrashPoints(text: string | undefined): Map<CrashPoint, CrashAction> {
  const armed = new Map<CrashPoint, CrashAction>()
  for (const part of (text ?? '').split(',')) {
    if (part.trim() === '') continue
    const [name = '', action = 'kill'] = part.trim().split(':')
    const point = ALL_POINTS.find((candidate) => candidate === name)
    const parsed = actionOf(action)
    if (point === undefined || parsed === undefined) {
      throw new Failure({
        code: 'crash_point_unknown',
        message: `SLIPWAY_CRASH_AT names ${part.trim()}, which is no point or no action`,
        remedy: 'Unset it: it is for tests of slipway itself.',
        exit: 2,
      })
    }
    armed.set(point, parsed)
  }
  return armed
}

function actionOf(text: string): CrashAction | undefined {
  if (text === 'kill' || text === 'stop' || text === 'fail') return { kind: text }
  const ms = /^delay=(\d+)$/.exec(text)?.[1]
  return ms === undefined ? undefined : { kind: 'delay', ms: Number(ms) }
}

/** Read at the first point that is passed. */
let armed: Map<CrashPoint, CrashAction> | undefined

/** Called where the point is. Resolves at once, unless a test has armed it in this process. */
export async function crashPoint(point: CrashPoint): Promise<void> {
  armed ??= parseCrashPoints(process.env.SLIPWAY_CRASH_AT)
  const action = armed.get(point)
  if (action === undefined) return
  armed.delete(point)
  if (action.kind === 'kill') process.kill(process.pid, 'SIGKILL')
  else if (action.kind === 'stop') process.kill(process.pid, 'SIGSTOP')
  else if (action.kind === 'delay') await sleep(action.ms)
  else {
    throw new Failure({
      code: 'crash_point',
      message: `SLIPWAY_CRASH_AT made the step fail at ${point}`,
      remedy: 'Unset it: it is for tests of slipway itself.',
    })
  }
}
