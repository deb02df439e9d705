/**
 * The guards of switchover and rollback, judged from what was measured. Pure: no clock, no engine. A guard that could
 * not be measured does not hold; what a person overrides is told as overridden and kept with the run.
 */
import type { Passage } from '../core/authority.ts'
import { Failure } from '../core/errors.ts'
import { type GuardFacts, isUnmeasured, type OrphanFacts } from '../core/guard-facts.ts'
import type { Guard, SwitchRequest, SwitchRun } from '../core/switch-run.ts'
import { GUARD_CODES, type GuardCode, type GuardLimits, JUDGES } from './judges.ts'

/** What no person can answer for: past these nobody knows what would be lost. */
export const FIRM: ReadonlySet<GuardCode> = new Set(['phase', 'capture', 'rights', 'drift'])

/** Guards that only one of the two passages has. */
export const ONLY: Partial<Record<GuardCode, Passage>> = {
  unsafe: 'rollback',
  backup: 'switchover',
  rights: 'switchover',
  parity: 'switchover',
  rehearsal: 'switchover',
}

/**
 * Every guard of a passage, as measured. What the request overrides is marked; `force` (PostgreSQL is gone) overrides
 * what only PostgreSQL could have answered.
 */
export function guardsOf(facts: GuardFacts, request: SwitchRequest, limits: GuardLimits): Guard[] {
  const asked = new Set(request.override)
  return GUARD_CODES.filter((code) => (ONLY[code] ?? facts.passage) === facts.passage).map((code) => {
    const verdict = JUDGES[code](facts, request, limits)
    const overridable = !FIRM.has(code)
    const given = overridable && (asked.has(code) || (code === 'verify' && request.verify === 'none'))
    const forced = request.force && !verdict.ok && verdict.value === null
    const overridden = !verdict.ok && (given || forced)
    return { code, ...verdict, overridable, ...(overridden ? { overridden } : {}) }
  })
}

/** Those that stand in the way. */
export function refusing(guards: readonly Guard[]): Guard[] {
  return guards.filter((guard) => !guard.ok && guard.overridden !== true)
}

/** The answer where guards refuse: 412, with all of them. Undefined where none does. */
export function refusalOf(guards: readonly Guard[], passage: Passage): Failure | undefined {
  const inTheWay = refusing(guards)
  const [first] = inTheWay
  if (first === undefined) return undefined
  return new Failure({
    code: 'guards_refuse',
    status: 412,
    exit: 1,
    message: `${passage} refused by ${inTheWay.map((guard) => guard.code).join(', ')}`,
    remedy:
      inTheWay.length === 1 ? first.remedy : `${first.remedy} All of them: slipway ${passage} --dry-run`,
    facts: { guards },
  })
}

/** Throws a Failure where a code is unknown (422), or stands for a guard that nobody can override (412). */
export function checkOverrides(codes: readonly string[]): void {
  const unknown = codes.filter((code) => !(GUARD_CODES as readonly string[]).includes(code))
  const possible = GUARD_CODES.filter((code) => !FIRM.has(code)).join(', ')
  if (unknown.length > 0) {
    throw new Failure({
      code: 'unknown_guard',
      status: 422,
      exit: 2,
      message: `there is no guard ${unknown.join(', ')}`,
      remedy: `These can be overridden: ${possible}.`,
    })
  }
  const firm = codes.filter((code) => FIRM.has(code as GuardCode))
  if (firm.length > 0) {
    throw new Failure({
      code: 'not_overridable',
      status: 412,
      exit: 1,
      message: `${firm.join(', ')} cannot be overridden: nobody could say what would be lost`,
      remedy: `Mend the cause (slipway status). These can be overridden: ${possible}.`,
    })
  }
}

/** Statements of the decision besides those for what is dormant, and of SQLite's fence. */
const DECISION_TRIPS = 12
const DECISION_DDL_MS = 3
/** Two commits of SQLite and one of PostgreSQL wait for the disk. */
const DURABLE_COMMITS_MS = 15
/** A read and a commit of nothing, where no batch was seen yet. */
const SMALL_BATCH_MS = 20

/**
 * How long writers would wait, ms, by what was measured just now: the lock of the engine that leads, one last batch,
 * the decision. Null where the lock could not be measured.
 */
export function predictPause(
  facts: Pick<GuardFacts, 'lockMs' | 'pace' | 'target' | 'passage'>,
): number | null {
  const { lockMs, pace, target, passage } = facts
  if (isUnmeasured(lockMs) || isUnmeasured(target)) return null
  const batches = Math.max(1, Math.ceil(pace.pending / Math.max(1, pace.batchChanges)))
  const batchMs = pace.batchSeconds === null ? SMALL_BATCH_MS : pace.batchSeconds * 1000
  // A rollback brings nothing back on PostgreSQL.
  const ddl = passage === 'switchover' ? target.dormant * (target.roundTripMs + DECISION_DDL_MS) : 0
  return Math.ceil(
    lockMs + batches * batchMs + DECISION_TRIPS * target.roundTripMs + ddl + DURABLE_COMMITS_MS,
  )
}

/** What broke a foreign key before a switchover, from the guards that were kept with its run. */
export function orphansOf(run: Pick<SwitchRun, 'guards'>): OrphanFacts[] | null {
  const value = run.guards.find(({ code }) => code === 'foreign_keys')?.value
  if (!Array.isArray(value)) return null
  return value.map((line: string) => {
    const end = line.lastIndexOf(': ')
    return { key: line.slice(0, end), rows: Number(line.slice(end + 2)) }
  })
}
