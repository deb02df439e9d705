import { describe, expect, test } from 'vitest'
import { createMetrics } from '../src/metrics.ts'
import { DIFFERENT, FakeOperator, RUNNING, SWITCHED, UNDONE } from './api/fake-operator.ts'

async function scrape(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  return (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('slipway_'))
}

describe('metrics', () => {
  test('states come from the operator at each scrape', async () => {
    const metrics = createMetrics()
    const operator = new FakeOperator()
    metrics.bind(operator)
    expect(await scrape(metrics)).toEqual(
      expect.arrayContaining([
        'slipway_lag_seconds 0.012',
        'slipway_lag_changes 2',
        'slipway_head_position 18342',
        'slipway_applied_position 18340',
        'slipway_epoch 1',
        'slipway_phase{phase="replicating"} 1',
        'slipway_phase{phase="new"} 0',
        'slipway_authority{engine="sqlite"} 1',
        'slipway_authority{engine="postgres"} 0',
        'slipway_sqlite_wal_bytes 4120000',
        'slipway_changelog_rows 18342',
        'slipway_snapshot_rows_total{table="dlq"} 50',
        'slipway_snapshot_rows_expected{table="dlq"} 200',
        'slipway_quarantined_rows{table="articles"} 0',
        'slipway_quarantined_rows{table="dlq"} 0',
      ]),
    )
    operator.now = { ...operator.now, phase: 'catching_up', lag_seconds: 3, tables: [] }
    const later = await scrape(metrics)
    expect(later).toContain('slipway_lag_seconds 3')
    expect(later).toContain('slipway_phase{phase="replicating"} 0')
    expect(later.filter((line) => line.includes('table="dlq"'))).toEqual([])
  })

  test('rows set aside by table, also of a table that is gone', async () => {
    const metrics = createMetrics()
    const operator = new FakeOperator()
    operator.now = {
      ...operator.now,
      quarantined: 5,
      quarantined_tables: [
        { table: 'dlq', rows: 3 },
        { table: 'old', rows: 2 },
      ],
    }
    metrics.bind(operator)
    expect((await scrape(metrics)).filter((line) => line.includes('quarantined'))).toEqual([
      'slipway_quarantined_rows{table="articles"} 0',
      'slipway_quarantined_rows{table="dlq"} 3',
      'slipway_quarantined_rows{table="old"} 2',
    ])
  })

  test('rows that differ, and rows compared over all runs', async () => {
    const metrics = createMetrics()
    const operator = new FakeOperator()
    metrics.bind(operator)
    const look = async (verify: typeof RUNNING | null) => {
      operator.now = { ...operator.now, verify }
      return (await scrape(metrics)).filter((line) => line.includes('verify'))
    }
    const total = (rows: number) => `slipway_verify_rows_total ${rows}`
    const differ = (rows: number) => `slipway_verify_mismatched_rows ${rows}`
    expect(await look(null)).toEqual([total(0)])
    // Begun by an earlier process: only what is compared from here on counts.
    expect(await look({ ...RUNNING, rows_compared: 500 })).toEqual([differ(0), total(0)])
    expect(await look({ ...DIFFERENT, rows_compared: 800 })).toEqual([differ(3), total(300)])
    expect(await look({ ...DIFFERENT, rows_compared: 800 })).toEqual([differ(3), total(300)])
    expect(await look({ ...DIFFERENT, id: 5, rows_compared: 10, repaired: 3 })).toEqual([
      differ(0),
      total(310),
    ])
  })

  test('one scrape asks for one status', async () => {
    const metrics = createMetrics()
    const operator = new FakeOperator()
    let asked = 0
    metrics.bind({
      status: () => {
        asked += 1
        return operator.status()
      },
    })
    await scrape(metrics)
    expect(asked).toBe(1)
  })

  test('what is not known is absent, not zero', async () => {
    const metrics = createMetrics()
    expect((await scrape(metrics)).filter((line) => /lag|position|epoch/.test(line))).toEqual([])
    const operator = new FakeOperator()
    operator.now = { ...operator.now, lag_seconds: null, head: '727:727:', applied: null }
    metrics.bind(operator)
    const lines = await scrape(metrics)
    expect(lines.filter((line) => /lag_seconds|position/.test(line))).toEqual([])
  })

  test('events are counted by the observer', async () => {
    const metrics = createMetrics()
    metrics.observer.applied({
      direction: 'forward',
      seconds: 0.02,
      changes: 3,
      perTable: [{ table: 'a"b\\c', upserted: 2, deleted: 1 }],
    })
    expect(await scrape(metrics)).toEqual(
      expect.arrayContaining([
        'slipway_changes_applied_total{table="a\\"b\\\\c",op="upsert",direction="forward"} 2',
        'slipway_changes_applied_total{table="a\\"b\\\\c",op="delete",direction="forward"} 1',
        'slipway_apply_batch_seconds_count 1',
        'slipway_apply_batch_seconds_sum 0.02',
      ]),
    )
  })

  test('pauses of changes of authority by direction, and fences', async () => {
    const metrics = createMetrics()
    const operator = new FakeOperator()
    metrics.bind(operator)
    metrics.observer.switched(SWITCHED)
    metrics.observer.switched({ ...UNDONE, passage: 'rollback' })
    metrics.observer.switched({ ...UNDONE, pause_ms: null })
    expect(await scrape(metrics)).toEqual(
      expect.arrayContaining([
        'slipway_switchover_pause_seconds_bucket{le="0.025",passage="switchover"} 0',
        'slipway_switchover_pause_seconds_bucket{le="0.05",passage="switchover"} 1',
        'slipway_switchover_pause_seconds_count{passage="switchover"} 1',
        'slipway_switchover_pause_seconds_count{passage="rollback"} 1',
        'slipway_fence_closed{engine="postgres"} 1',
      ]),
    )
  })

  test('registries do not share anything, and hold the process metrics', async () => {
    const [one, two] = [createMetrics(), createMetrics()]
    expect(one.registry).not.toBe(two.registry)
    expect(await one.registry.metrics()).toContain('process_resident_memory_bytes')
  })
})
