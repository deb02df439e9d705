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
} from '../../src/core/operator.ts'

/** An operator without a migration: the interface is all that API and CLI know. */
export class FakeOperator implements Operator {
  now: StatusReport = { ...STATUS }
  readiness: { ok: boolean; reasons: readonly string[] } = { ok: true, reasons: [] }
  readonly paused: string[] = []
  readonly listeners = new Set<(event: OperatorEvent) => void>()
  /** Awaited by a pause, as a batch in flight would be. */
  pausing: () => Promise<void> = async () => {}

  lag(): LagReport {
    const { version: _, epoch: _epoch, ...lag } = this.now
    return Object.fromEntries(LAG_FIELDS.map((name) => [name, lag[name]])) as unknown as LagReport
  }

  status(): StatusReport {
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

  async quarantine(): Promise<QuarantineReport> {
    return { total: 0, blocking: 0, tables: [], entries: [] }
  }

  async retryQuarantine(): Promise<RetryReport> {
    return { tried: 0, left: 0 }
  }

  async startVerify(): Promise<VerifyReport> {
    return this.verification()
  }

  verification(): VerifyReport {
    return NO_VERIFICATION
  }

  async changes(): Promise<ChangesReport> {
    return { history: 'off', changes: [], next: null }
  }

  ready() {
    return this.readiness
  }

  emit(event: OperatorEvent): void {
    for (const listener of this.listeners) listener(event)
  }
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
  fences: [{ engine: 'postgres', closed: true, reasons: ['sqlite leads'] }],
  waits: [],
  warnings: [],
  last_error: null,
  backup: { path: '/srv/.slipway/backups/news.db', bytes: 1_000_000, at: '2026-01-02T03:00:00.000Z' },
  snapshot: { rows: 12_395, started_at: '2026-01-02T03:00:00.000Z', finished_at: null },
}
