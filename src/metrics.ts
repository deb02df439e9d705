/**
 * Metrics of the contract in a registry of their own. What is a state is read from the operator at each scrape;
 * what is an event is counted by the observer. Restarts begin at zero, as Prometheus expects of counters.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Observer } from './core/observer.ts'
import { type Operator, PHASES, type StatusReport, type VerifyReport } from './core/operator.ts'

export interface Metrics {
  readonly registry: Registry
  readonly observer: Pick<Observer, 'applied' | 'switched'>
  /** Whose status the gauges show from now on; until then they are absent. */
  bind(operator: Pick<Operator, 'status'>): void
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  let operator: Pick<Operator, 'status'> | undefined
  let current: Promise<StatusReport> | undefined

  // One status per scrape: the registry calls all collectors before it awaits anything.
  const status = () => {
    if (current === undefined && operator !== undefined) {
      current = operator.status()
      queueMicrotask(() => {
        current = undefined
      })
    }
    return current
  }

  /** A gauge without a value is absent: zero would be a claim. */
  const gauge = (name: string, help: string, read: (status: StatusReport) => number | null) => {
    new Gauge({
      name: `slipway_${name}`,
      help,
      registers: [registry],
      async collect() {
        const report = await status()
        const value = report === undefined ? null : read(report)
        if (value === null || Number.isNaN(value)) this.remove()
        else this.set(value)
      },
    })
  }
  const gauges = <L extends string>(
    name: string,
    help: string,
    label: L,
    read: (status: StatusReport) => readonly (readonly [labelValue: string, value: number])[],
  ) => {
    new Gauge({
      name: `slipway_${name}`,
      help,
      labelNames: [label],
      registers: [registry],
      async collect() {
        const report = await status()
        this.reset()
        for (const [value, number] of report === undefined ? [] : read(report)) {
          this.set({ [label]: value } as Record<L, string>, number)
        }
      },
    })
  }

  gauge('lag_seconds', 'Age of the oldest change that is not applied', (now) => now.lag_seconds)
  gauge('lag_changes', 'Changes that are not applied', (now) => now.pending_changes)
  gauge('head_position', 'Newest change in the source', (now) => position(now.head))
  gauge('applied_position', 'Newest change that is applied', (now) => position(now.applied))
  gauge('epoch', 'Raised at each change of authority', (now) => now.epoch)
  gauge('sqlite_wal_bytes', "Size of the source's -wal file", (now) => now.source.wal_bytes)
  gauge('changelog_rows', 'Rows kept in the changelog', (now) => now.source.changelog_rows)
  gauges('phase', '1 for the current phase', 'phase', (now) =>
    PHASES.map((phase) => [phase, Number(phase === now.phase)] as const),
  )
  gauges('authority', '1 for the engine that accepts application writes', 'engine', (now) =>
    (['sqlite', 'postgres'] as const).map((engine) => [engine, Number(engine === now.authority)] as const),
  )
  gauges('fence_closed', '1 where the engine refuses application writes', 'engine', (now) =>
    now.fences.map(({ engine, closed }) => [engine, Number(closed)] as const),
  )
  gauges('quarantined_rows', 'Rows set aside', 'table', (now) => {
    const aside = new Map(now.tables.map(({ table }) => [table, 0]))
    for (const { table, rows } of now.quarantined_tables) aside.set(table, rows)
    return [...aside]
  })
  gauge(
    'verify_mismatched_rows',
    'Rows that differ as the last verify found them, without those that it mended',
    ({ verify }) => (verify === null ? null : verify.mismatched - verify.repaired),
  )
  const compared = new ComparedRows(Date.now())
  new Counter({
    name: 'slipway_verify_rows_total',
    help: 'Rows compared by verify',
    registers: [registry],
    async collect() {
      this.inc(compared.since((await status())?.verify ?? null))
    },
  })
  gauges('snapshot_rows_expected', 'Rows of a table, estimated when its copy began', 'table', (now) =>
    now.tables.map((table) => [table.table, table.rows_expected] as const),
  )
  new Counter({
    name: 'slipway_snapshot_rows_total',
    help: 'Rows copied by the snapshot',
    labelNames: ['table'],
    registers: [registry],
    async collect() {
      this.reset()
      for (const { table, rows_copied } of (await status())?.tables ?? []) this.inc({ table }, rows_copied)
    },
  })

  const changes = new Counter({
    name: 'slipway_changes_applied_total',
    help: 'Rows written to the target by replication',
    labelNames: ['table', 'op', 'direction'],
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'slipway_apply_batch_seconds',
    help: 'From the read of a batch to its commit',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  })

  const pauses = new Histogram({
    name: 'slipway_switchover_pause_seconds',
    help: 'How long writers waited in a change of authority, also in one that was undone',
    labelNames: ['passage'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10],
    registers: [registry],
  })

  return {
    registry,
    observer: {
      switched({ passage, pause_ms: ms }) {
        if (ms !== null) pauses.observe({ passage }, ms / 1000)
      },
      applied(batch) {
        seconds.observe(batch.seconds)
        for (const { table, upserted, deleted } of batch.perTable) {
          const { direction } = batch
          if (upserted > 0) changes.inc({ table, op: 'upsert', direction }, upserted)
          if (deleted > 0) changes.inc({ table, op: 'delete', direction }, deleted)
        }
      },
    },
    bind(bound) {
      operator = bound
    },
  }
}

/** Turns what each run of verify has compared so far into a sum over all runs since this process began. */
class ComparedRows {
  readonly #begunAt: number
  #last: Pick<VerifyReport, 'id' | 'rows_compared'> | undefined

  constructor(begunAt: number) {
    this.#begunAt = begunAt
  }

  /** Rows compared since it was asked last. */
  since(verify: VerifyReport | null): number {
    if (verify === null) return 0
    const { id, rows_compared: rows, started_at: started } = verify
    // What an earlier process has compared is none of ours, also where this one goes on with its run.
    const earlier = this.#last === undefined && started !== null && Date.parse(started) < this.#begunAt
    const before = earlier ? rows : this.#last?.id === id ? this.#last.rows_compared : 0
    this.#last = verify
    return Math.max(0, rows - before)
  }
}

/** Forward a number; in reverse a position is a `pg_snapshot`, which is no number: absent. */
function position(value: number | string | null): number | null {
  return value === null || (typeof value === 'string' && !/^\d+$/.test(value)) ? null : Number(value)
}
