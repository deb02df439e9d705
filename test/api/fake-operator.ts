import { Failure } from '../../src/core/errors.ts'
import {
  type ChangesReport,
  type LagReport,
  NO_VERIFICATION,
  type Operator,
  type OperatorEvent,
  type QuarantineReport,
  type RetryReport,
  type StatusReport,
  type VerifyReport,
  type VerifyRequest,
} from '../../src/core/operator.ts'
import { type Guard, NO_RUN, type SwitchRequest, type SwitchRun } from '../../src/core/switch-run.ts'

/** An operator without a migration: the interface is all that API and CLI know. */
export class FakeOperator implements Operator {
  now: StatusReport = { ...STATUS }
  readiness: { ok: boolean; reasons: readonly string[] } = { ok: true, reasons: [] }
  readonly paused: string[] = []
  readonly listeners = new Set<(event: OperatorEvent) => void>()
  aside: QuarantineReport = NOTHING_ASIDE
  /** What is still set aside once it was tried again. */
  afterRetry: QuarantineReport = NOTHING_ASIDE
  verifying: VerifyReport = NO_VERIFICATION
  /** Each look at the run takes the next of these, while there is one. */
  looks: VerifyReport[] = []
  readonly requests: VerifyRequest[] = []
  history: ChangesReport = { history: 'off', changes: [], next: null }
  readonly pages: [after: string, limit: number][] = []
  run: SwitchRun = NO_RUN
  readonly switches: SwitchRequest[] = []
  /** What becomes of a change of authority; the default is done at once. */
  switching: (request: SwitchRequest) => Promise<SwitchRun> = async ({ passage, dry_run }) =>
    dry_run ? { ...DRY_RUN, passage } : { ...SWITCHED, passage }
  readonly finalized: string[] = []
  readonly pausedWrites: [reason: string, seconds: number][] = []
  /** Awaited by a pause, as a batch in flight would be. */
  pausing: () => Promise<void> = async () => {}

  async lag(): Promise<LagReport> {
    const { version: _, epoch: _epoch, ...lag } = this.now
    return Object.fromEntries(LAG_FIELDS.map((name) => [name, lag[name]])) as unknown as LagReport
  }

  async status(): Promise<StatusReport> {
    return this.now
  }

  async pauseReplication(reason: string): Promise<void> {
    await this.pausing()
    this.paused.push(reason)
    this.now = { ...this.now, state: 'paused', reasons: [...this.now.reasons, reason] }
  }

  async resumeReplication(): Promise<void> {
    this.now = { ...this.now, state: 'running', reasons: [] }
  }

  subscribe(listener: (event: OperatorEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  async quarantine(limit: number): Promise<QuarantineReport> {
    const { entries, ...rest } = this.aside
    return { ...rest, entries: entries.slice(0, limit) }
  }

  async retryQuarantine(): Promise<RetryReport> {
    const tried = this.aside.total
    this.aside = this.afterRetry
    return { tried, left: this.aside.total }
  }

  async startVerify(request: VerifyRequest): Promise<VerifyReport> {
    if (this.verifying.state === 'running') {
      throw new Failure({
        code: 'verify_running',
        message: 'A verify is running already.',
        remedy: 'Wait for its end; GET /verify shows it.',
        status: 409,
      })
    }
    const unknown = request.tables?.find((name) => !this.now.tables.some(({ table }) => table === name))
    if (unknown !== undefined) {
      throw new Failure({
        code: 'unknown_table',
        message: `There is no table ${unknown}.`,
        remedy: 'GET /status lists the tables.',
        status: 422,
      })
    }
    this.requests.push(request)
    this.verifying = { ...RUNNING, repair: request.repair }
    return this.verifying
  }

  verification(): VerifyReport {
    this.verifying = this.looks.shift() ?? this.verifying
    return this.verifying
  }

  async changes(after: string, limit: number): Promise<ChangesReport> {
    this.pages.push([after, limit])
    return this.history
  }

  async switchAuthority(request: SwitchRequest): Promise<SwitchRun> {
    this.switches.push(request)
    const run = await this.switching(request)
    this.see(run)
    return run
  }

  /** The run as it stands, told to whoever listens. */
  see(run: SwitchRun): void {
    this.run = run
    this.emit({ type: 'switch', run })
  }

  switchRun(): SwitchRun {
    return this.run
  }

  async finalize(confirm: string): Promise<void> {
    if (confirm !== this.now.migration) {
      throw new Failure({
        code: 'not_confirmed',
        message: `The migration's name is not ${confirm}.`,
        remedy: 'Give its name.',
        status: 422,
      })
    }
    this.finalized.push(confirm)
    this.now = { ...this.now, phase: 'finalized' }
  }

  async pauseWrites(reason: string, seconds: number): Promise<void> {
    this.pausedWrites.push([reason, seconds])
    const until = '2026-01-02T03:09:05.000Z'
    this.now = { ...this.now, fences: [{ engine: 'sqlite', closed: true, reasons: [reason], until }] }
  }

  async resumeWrites(): Promise<void> {
    this.now = { ...this.now, fences: STATUS.fences }
  }

  async report(): Promise<string> {
    return '# news\n\nEqual — after 12,345 rows, hunter22.\n'
  }

  ready() {
    return this.readiness
  }

  emit(event: OperatorEvent): void {
    for (const listener of this.listeners) listener(event)
  }
}

export const NOTHING_ASIDE: QuarantineReport = {
  direction: 'forward',
  total: 0,
  blocking: 0,
  tables: [],
  entries: [],
}

export const ASIDE: QuarantineReport = {
  direction: 'forward',
  total: 2,
  blocking: 1,
  tables: [{ table: 'articles', rows: 2 }],
  entries: [
    {
      table: 'articles',
      target: 'articles',
      key: 'id=7',
      column: 'published_at',
      kind: 'misfit',
      reason: 'no date',
      value: "'soon'",
      blocking: true,
      since: '2026-01-02T03:04:05.000Z',
      last: '2026-01-02T03:04:06.000Z',
      attempts: 2,
    },
    {
      table: 'articles',
      target: 'articles',
      key: 'id=9',
      column: null,
      kind: 'duplicate',
      reason: 'canonical_link is there already',
      value: null,
      blocking: false,
      since: '2026-01-02T03:04:05.000Z',
      last: '2026-01-02T03:04:05.000Z',
      attempts: 1,
    },
  ],
}

const articles: VerifyReport['tables'][number] = {
  table: 'articles',
  state: 'running',
  rows_compared: 2_000,
  rows_expected: 12_345,
  missing: 0,
  extra: 0,
  different: 0,
  quarantined: 0,
  repaired: 0,
}

export const RUNNING: VerifyReport = {
  ...NO_VERIFICATION,
  state: 'running',
  id: 4,
  reason: 'asked for',
  started_at: '2026-01-02T03:04:05.000Z',
  rows_compared: 2_000,
  eta_seconds: 3,
  tables: [articles],
}

export const EQUAL: VerifyReport = {
  ...RUNNING,
  state: 'done',
  equal: true,
  finished_at: '2026-01-02T03:04:09.000Z',
  rows_compared: 12_345,
  eta_seconds: null,
  tables: [{ ...articles, state: 'done', rows_compared: 12_345 }],
}

export const DIFFERENT: VerifyReport = {
  ...EQUAL,
  equal: false,
  mismatched: 3,
  tables: [{ ...articles, state: 'done', rows_compared: 12_345, missing: 1, extra: 1, different: 1 }],
  samples: [
    {
      table: 'articles',
      key: 'id=7',
      kind: 'different',
      columns: [
        { column: 'title', source: 'a\u001b[2Jb', target: 'ab' },
        { column: 'body', source: null, target: '' },
      ],
    },
    { table: 'articles', key: 'id=8', kind: 'missing', columns: [] },
    { table: 'articles', key: 'id=9', kind: 'extra', columns: [] },
  ],
}

export const GUARDS: readonly Guard[] = [
  { code: 'phase', ok: true, value: 'replicating', limit: 'replicating', remedy: '', overridable: false },
  { code: 'lag', ok: true, value: 0.01, limit: 5, remedy: '', overridable: true },
  { code: 'retention', ok: true, value: true, limit: true, remedy: '', overridable: true },
]

const refusing: readonly Guard[] = [
  ...GUARDS,
  {
    code: 'quarantine',
    ok: false,
    value: ['articles', 'dlq'],
    limit: 0,
    remedy: 'slipway quarantine lists them; mend them, then slipway quarantine retry.',
    overridable: true,
  },
  { code: 'drift', ok: false, value: null, limit: null, remedy: 'See slipway status.', overridable: false },
]

/** Just begun: the wait for lag zero. */
export const SWITCHING: SwitchRun = {
  ...NO_RUN,
  state: 'running',
  attempt: 3,
  epoch: 2,
  started_at: '2026-01-02T03:05:00.000Z',
  steps: [
    { step: 'guards', state: 'done', title: 'guards', ms: 12.34, detail: '3 are well' },
    { step: 'wait', state: 'running', title: 'wait for lag zero', ms: null, detail: '2 changes left' },
    { step: 'hold', state: 'waiting', title: "SQLite's write lock", ms: null, detail: null },
  ],
  guards: GUARDS,
}

export const SWITCHED: SwitchRun = {
  ...SWITCHING,
  state: 'done',
  finished_at: '2026-01-02T03:05:01.000Z',
  pause_ms: 38.42,
  drained_changes: 12,
  steps: [
    SWITCHING.steps[0]!,
    { step: 'wait', state: 'done', title: 'wait for lag zero', ms: 810, detail: null },
    { step: 'hold', state: 'done', title: "SQLite's write lock", ms: 0.21, detail: null },
  ],
}

export const UNDONE: SwitchRun = {
  ...SWITCHED,
  state: 'undone',
  epoch: 1,
  pause_ms: 2001.5,
  drained_changes: null,
  steps: [
    ...SWITCHED.steps,
    { step: 'drain', state: 'failed', title: 'drain', ms: 2000, detail: 'too slow' },
    { step: 'settle', state: 'skipped', title: 'settle', ms: null, detail: null },
  ],
  reason: 'the drain took too long',
  remedy: 'slipway switchover --max-pause 5000',
}

export const DRY_RUN: SwitchRun = {
  ...NO_RUN,
  state: 'dry_run',
  epoch: 2,
  started_at: '2026-01-02T03:04:00.000Z',
  finished_at: '2026-01-02T03:04:01.000Z',
  predicted_pause_ms: 41,
  steps: [{ step: 'guards', state: 'done', title: 'guards', ms: 900, detail: null }],
  guards: GUARDS,
}

/** As a guard refuses: 412 with all of them. */
export function refusedByGuards(): Failure {
  return new Failure({
    code: 'guards_refuse',
    message: 'Guards refuse: quarantine, drift.',
    remedy: 'Do what the guards say, then ask again.',
    status: 412,
    facts: { guards: refusing },
  })
}

/** As a pause that took too long: 504 with the run. */
export function undone(): Failure {
  return new Failure({
    code: 'undone',
    message: 'The drain took longer than 2000 ms; SQLite takes writes.',
    remedy: 'slipway switchover --max-pause 5000',
    status: 504,
    facts: { run: UNDONE },
  })
}

/** As where one is running already: 409 with that run. */
export function running(): Failure {
  return new Failure({
    code: 'switch_running',
    message: 'A switchover is running.',
    remedy: 'Wait for its end; GET /switchover shows it.',
    status: 409,
    facts: { run: SWITCHING },
  })
}

const LAG_FIELDS = [
  'migration',
  'phase',
  'authority',
  'direction',
  'state',
  'reasons',
  'head',
  'applied',
  'pending_changes',
  'lag_seconds',
  'caught_up',
  'quarantined',
  'measured_at',
] as const

export const STATUS: StatusReport = {
  migration: 'news',
  phase: 'replicating',
  authority: 'sqlite',
  direction: 'forward',
  state: 'running',
  reasons: [],
  head: 18342,
  applied: 18340,
  pending_changes: 2,
  lag_seconds: 0.012,
  caught_up: false,
  quarantined: 0,
  measured_at: '2026-01-02T03:04:05.678Z',
  version: '0.1.0',
  epoch: 1,
  source: { path: '/srv/news.db', journal_mode: 'wal', wal_bytes: 4_120_000, changelog_rows: 18_342 },
  target: { server: 'db.example:5432/news', schema: 'public', server_version: '18.0' },
  holder: { id: 'a1b2', mine: true },
  tables: [
    {
      table: 'articles',
      target: 'articles',
      state: 'copied',
      rows_copied: 12_345,
      rows_expected: 12_345,
      rows_per_second: null,
      eta_seconds: null,
    },
    {
      table: 'dlq',
      target: 'dlq',
      state: 'copying',
      rows_copied: 50,
      rows_expected: 200,
      rows_per_second: 25,
      eta_seconds: 6,
    },
  ],
  fences: [{ engine: 'postgres', closed: true, reasons: ['sqlite leads'], until: null }],
  waits: [],
  warnings: [],
  last_error: null,
  backup: { path: '/srv/.slipway/backups/news.db', bytes: 1_000_000, at: '2026-01-02T03:00:00.000Z' },
  snapshot: { rows: 12_395, started_at: '2026-01-02T03:00:00.000Z', finished_at: null },
  quarantined_tables: [],
  verify: null,
  dirty: [],
  authority_since: '2026-01-01T00:00:00.000Z',
  switchover: null,
  rollback_safe: null,
  checklist: [],
}
