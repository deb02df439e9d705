/** How each guard judges what was measured; see guards.ts. Pure. */
import {
  type ForeignTransaction,
  type GuardFacts,
  isUnmeasured,
  type Measured,
  type OrphanFacts,
  type VerifyFacts,
} from '../core/guard-facts.ts'
import type { Guard, SwitchRequest } from '../core/switch-run.ts'

export interface GuardLimits {
  readonly maxLagSeconds: number
  readonly verifyMaxAgeSeconds: number
  /** Of the configuration; the request may say another one. */
  readonly maxPauseMs: number
}

/** Every guard in the order in which people read them. */
export const GUARD_CODES = [
  'phase',
  'lag',
  'quarantine',
  'drift',
  'unsafe',
  'capture',
  'verify',
  'backup',
  'disk',
  'rights',
  'parity',
  'rehearsal',
  'transactions',
  'prepared',
  'unlogged',
  'retention',
  'pause',
  'foreign_keys',
  'hook',
] as const
export type GuardCode = (typeof GUARD_CODES)[number]

/** Usual busy timeouts of applications: writers that wait longer get an error. */
const BUSY_TIMEOUT_MS = 5_000
/** A writer that comes late in the pause still needs a moment after it. */
const BUSY_MARGIN_MS = 500
/** Changes are kept at least that long, so that a server that forgot its last commits is mended from them. */
const LEAST_RETENTION_SECONDS = 60
/** Names that one guard lists at the most. */
const LISTED = 20

/** What one guard found; `remedy` is empty where nothing has to be done. */
export interface Verdict {
  readonly ok: boolean
  readonly value: Guard['value']
  readonly limit: Guard['limit']
  readonly remedy: string
}

export type Judge = (facts: GuardFacts, request: SwitchRequest, limits: GuardLimits) => Verdict

const well = (value: Guard['value'], limit: Guard['limit'], remedy = ''): Verdict => ({
  ok: true,
  value,
  limit,
  remedy,
})
const wrong = (value: Guard['value'], limit: Guard['limit'], remedy: string): Verdict => ({
  ok: false,
  value,
  limit,
  remedy,
})

/** Where it could not be measured: the reason stands in the remedy. */
function measured<T>(fact: Measured<T>, limit: Guard['limit'], judge: (fact: T) => Verdict): Verdict {
  return isUnmeasured(fact)
    ? wrong(null, limit, `It could not be measured: ${fact.unmeasured}`)
    : judge(fact as T)
}

/** A list that must be empty. */
function none<T>(fact: Measured<readonly T[]>, show: (item: T) => string, remedy: string): Verdict {
  return measured(fact, null, (items) =>
    items.length === 0 ? well([], null) : wrong(listed(items.map(show)), null, remedy),
  )
}

function listed(lines: readonly string[]): readonly string[] {
  return lines.length <= LISTED ? lines : [...lines.slice(0, LISTED), `and ${lines.length - LISTED} more`]
}

export const JUDGES: Record<GuardCode, Judge> = {
  phase: ({ passage, phase, authority, state, reasons }, { force }) => {
    const switching = passage === 'switchover'
    const [wanted, leader] = switching ? ['replicating', 'sqlite'] : ['switched_over', 'postgres']
    const value = `${phase}, ${state}`
    const limit = `${wanted}, running`
    if (authority !== leader || (phase !== wanted && !force))
      return wrong(value, limit, `A ${passage} begins in phase ${wanted}. See: slipway status`)
    // What is forced is forced because nothing runs any more.
    if (state === 'running' || force) return well(value, limit)
    const why = reasons.length > 0 ? ` (${reasons.join('; ')})` : ''
    return wrong(
      value,
      limit,
      state === 'paused' ? `End the pause${why}: slipway replication resume` : `See: slipway status${why}`,
    )
  },

  lag: ({ lagSeconds }, _request, { maxLagSeconds }) =>
    measured(lagSeconds, maxLagSeconds, (seconds) =>
      seconds <= maxLagSeconds
        ? well(round(seconds), maxLagSeconds)
        : wrong(
            round(seconds),
            maxLagSeconds,
            'Wait until the lag is small: slipway lag --wait; or raise MAX_LAG_SECONDS.',
          ),
    ),

  quarantine: ({ quarantine, passage }) =>
    measured(quarantine, 0, (tables) => {
      const rows = tables.reduce((sum, table) => sum + table.rows, 0)
      if (rows === 0) return well(0, 0)
      const where = tables
        .filter((table) => table.rows > 0)
        .map((table) => `${table.table} (${table.rows})`)
        .join(', ')
      return wrong(
        rows,
        0,
        `Rows set aside in ${where} would ${passage === 'switchover' ? 'stay behind' : 'be missing in SQLite, or old there'}: see slipway quarantine, mend them or decide in the plan, then slipway quarantine retry`,
      )
    }),

  drift: ({ drift }) =>
    none(
      drift,
      (line) => line,
      'Wait until the tables are verified and mended, or compare them: slipway verify --repair',
    ),

  unsafe: ({ unsafe }) =>
    measured(unsafe, null, (reasons) =>
      reasons.size === 0
        ? well([], null)
        : wrong(
            listed([...reasons].map(([code, reason]) => `${code}: ${reason}`)),
            null,
            'A rollback now would lose or change this. Mend the cause, or say that you accept it: --override unsafe',
          ),
    ),

  capture: ({ capture, passage }) =>
    none(
      capture,
      (line) => line,
      passage === 'switchover'
        ? 'Changes might not be seen: restart the daemon, which installs capture again and verifies.'
        : 'Changes on PostgreSQL might not be seen: do not change the triggers named " slipway…"; see slipway status.',
    ),

  verify: ({ verify, tables, askedAt, now }, request, { verifyMaxAgeSeconds }) =>
    measured(verify, verifyMaxAgeSeconds, (found) =>
      judgeVerify({ found, tables, askedAt, now }, request, verifyMaxAgeSeconds),
    ),

  backup: ({ backup }) =>
    measured(backup, true, (found) => {
      if (found === null)
        return wrong(
          false,
          true,
          'No backup was made (--no-backup). Make one by hand and say: --override backup',
        )
      if (!found.exists)
        return wrong(
          found.path,
          true,
          'The file is gone: bring it back, or make another one by hand and say: --override backup',
        )
      if (found.bytes !== found.bytesNoted)
        return wrong(
          found.path,
          true,
          `The file has ${found.bytes} bytes and had ${found.bytesNoted} when it was checked: it was changed or cut off.`,
        )
      return well(found.path, true)
    }),

  disk: ({ disks }) =>
    measured(disks, null, (found) => {
      const short = found.filter((disk) => disk.freeBytes < disk.neededBytes)
      const show = (disk: (typeof found)[number]): string =>
        `${disk.path}: ${megabytes(disk.freeBytes)} MB free, ${megabytes(disk.neededBytes)} MB needed`
      return short.length === 0
        ? well(found.map(show), null)
        : wrong(short.map(show), null, 'Free some space there first.')
    }),

  rights: ({ rights }) =>
    none(
      rights,
      (grant) => grant,
      'The way back needs these: run them as a superuser or the owner of the tables.',
    ),

  parity: ({ parity }) =>
    none(
      parity,
      (line) => line,
      'PostgreSQL may come to hold what SQLite refuses, and then a rollback stands still: add the constraint, or accept it: --override parity',
    ),

  rehearsal: ({ rehearsal }) =>
    none(
      rehearsal,
      ({ table, column, reason }) => `${table}${column === '' ? '' : `.${column}`}: ${reason}`,
      'The way back was rehearsed and these did not come through: mend the plan or the schema, or accept it: --override rehearsal',
    ),

  transactions: ({ target }, request, limits) =>
    measured(target, maxPause(request, limits), ({ transactions }) => {
      const limit = maxPause(request, limits)
      const long = transactions.filter(({ seconds }) => seconds === null || seconds * 1000 > limit)
      return long.length === 0
        ? well([], limit)
        : wrong(
            listed(long.map(showTransaction)),
            limit,
            'They would be waited for inside the pause: end them (pg_terminate_backend), or wait until they have ended.',
          )
    }),

  prepared: ({ target }) =>
    measured(target, null, ({ prepared }) =>
      prepared.length === 0
        ? well([], null)
        : wrong(
            listed(prepared),
            null,
            'A prepared transaction keeps its locks whatever happens: COMMIT PREPARED or ROLLBACK PREPARED it first.',
          ),
    ),

  unlogged: ({ target }) =>
    measured(target, null, ({ unlogged }) =>
      unlogged.length === 0
        ? well([], null)
        : wrong(
            listed(unlogged),
            null,
            `A crash of PostgreSQL would empty them: ALTER TABLE ${unlogged[0]} SET LOGGED`,
          ),
    ),

  retention: ({ retentionSeconds, lagSeconds }) => {
    const lag = isUnmeasured(lagSeconds) ? 0 : lagSeconds
    const needed = Math.ceil(LEAST_RETENTION_SECONDS + lag)
    return retentionSeconds >= needed
      ? well(retentionSeconds, needed)
      : wrong(
          retentionSeconds,
          needed,
          `A server that forgot its last commits could not be mended: set CHANGELOG_RETENTION_SECONDS=${needed} or more.`,
        )
  },

  // Told and not refused: a long pause may be wanted.
  pause: (_facts, request, limits) => {
    const ms = maxPause(request, limits)
    return well(
      ms,
      BUSY_TIMEOUT_MS,
      ms > BUSY_TIMEOUT_MS - BUSY_MARGIN_MS
        ? `Writers with the usual busy timeout of ${BUSY_TIMEOUT_MS / 1000} s may get an error before a pause of ${ms} ms is undone: lower MAX_PAUSE_MS, or raise their timeouts.`
        : '',
    )
  },

  // What breaks a foreign key before the switchover is the application's own; it is noted with the run.
  foreign_keys: ({ passage, foreignKeys, foreignKeysBefore }) =>
    measured(foreignKeys, null, (found) => {
      const before = new Map((foreignKeysBefore ?? []).map(({ key, rows }) => [key, rows]))
      const added = found.filter(({ key, rows }) => rows > (before.get(key) ?? 0))
      return passage === 'switchover' || added.length === 0
        ? well(found.map(showOrphans), null)
        : wrong(
            added.map(showOrphans),
            null,
            'SQLite would hold rows without their parents: mend them on PostgreSQL, or accept it: --override foreign_keys',
          )
    }),

  hook: ({ hook }) =>
    hook === null
      ? well(true, true)
      : wrong(hook, true, 'HOOK_COMMAND refused it: see its output in the log.'),
}

/** Whether the last comparison says enough, in the words of the request. */
function judgeVerify(
  {
    found,
    tables,
    askedAt,
    now,
  }: Pick<GuardFacts, 'tables' | 'askedAt' | 'now'> & { found: VerifyFacts | null },
  request: SwitchRequest,
  limit: number,
): Verdict {
  const run = 'Run it: slipway verify'
  if (found === null) {
    // Nothing has to be compared backwards, unless somebody asks for it.
    return request.verify === 'full' ? wrong('none', limit, run) : well(null, limit)
  }
  if (found.state === 'none') return wrong('none', limit, run)
  if (found.state !== 'done' || found.finishedAt === null || found.startedAt === null)
    return wrong(found.state, limit, found.state === 'running' ? 'Wait for its end: slipway verify' : run)
  if (found.equal !== true)
    return wrong('different', limit, 'Mend what differs: slipway verify --repair; then verify again.')
  const left = tables.filter((table) => !found.tables.includes(table))
  if (left.length > 0) return wrong(listed(left.map((table) => `${table} was not compared`)), limit, run)
  if (request.verify === 'full' && Date.parse(found.startedAt) < askedAt) return wrong('earlier', limit, run)
  const age = Math.max(0, Math.round((now - Date.parse(found.finishedAt)) / 1000))
  return age <= limit ? well(age, limit) : wrong(age, limit, `${run}; or raise VERIFY_MAX_AGE_SECONDS.`)
}

function maxPause(request: SwitchRequest, limits: GuardLimits): number {
  return request.max_pause_ms ?? limits.maxPauseMs
}

function showTransaction({ who, state, seconds, why, tables }: ForeignTransaction): string {
  const age = seconds === null ? 'for an unknown time' : `for ${round(seconds)} s`
  return `${who}, ${state}, ${why}${tables.length > 0 ? ` on ${tables.join(', ')}` : ''}, ${age}`
}

function showOrphans({ key, rows }: OrphanFacts): string {
  return `${key}: ${rows}`
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_048_576)
}
