import { describe, expect, test } from 'vitest'
import { NO_VERIFICATION, type VerifyReport } from '../../src/core/operator.ts'
import { NO_RUN, type SwitchRun } from '../../src/core/switch-run.ts'
import { buildReport, type ReportFacts } from '../../src/wiring/report.ts'

const VERIFY: VerifyReport = {
  ...NO_VERIFICATION,
  state: 'done',
  id: 7,
  reason: 'asked for',
  started_at: '2026-05-01T11:00:00.000Z',
  finished_at: '2026-05-01T11:00:09.000Z',
  equal: true,
  rows_compared: 1234,
  tables: [
    {
      table: 'articles',
      state: 'done',
      rows_compared: 1234,
      rows_expected: 1234,
      missing: 0,
      extra: 0,
      different: 0,
      quarantined: 0,
      repaired: 0,
    },
  ],
}

const SWITCHED: SwitchRun = {
  ...NO_RUN,
  state: 'done',
  epoch: 2,
  started_at: '2026-05-01T12:00:00.000Z',
  finished_at: '2026-05-01T12:00:01.000Z',
  pause_ms: 38,
  drained_changes: 12,
  overrides: ['verify'],
  guards: [
    {
      code: 'verify',
      ok: false,
      value: 'none',
      limit: 3600,
      remedy: 'x',
      overridable: true,
      overridden: true,
    },
  ],
}

const FACTS: ReportFacts = {
  migration: 'news',
  at: '2026-05-02T08:00:00.000Z',
  by: 'bot@host',
  versions: { slipway: '0.1.0', node: '26.1.0', sqlite: '3.54.0', postgres: '18.1' },
  source: { path: '/data/news.db' },
  target: { server: 'db:5432/news as news', schema: 'public' },
  phase: 'switched_over',
  authority: 'postgres',
  epoch: 2,
  since: '2026-05-01T12:00:01.000Z',
  copy: { startedAt: '2026-05-01T10:00:00.000Z', finishedAt: '2026-05-01T10:01:03.500Z' },
  tables: [{ table: 'articles', target: 'articles', copied: 1200, aside: 2 }],
  backup: { path: '/backups/news.backup', bytes: 4096, at: '2026-05-01T09:59:00.000Z' },
  verifies: [VERIFY],
  runs: [{ run: SWITCHED, by: 'anna' }],
  history: { on: true, from: '17', entries: 5 },
  warnings: [],
}

function section(report: string, title: string): string {
  return report.split('\n## ').find((part) => part.startsWith(title)) ?? ''
}

describe('the report', () => {
  test('tells who leads, since when, and of what', () => {
    const report = buildReport(FACTS)
    expect(report).toMatch(/^# Migration news\n/)
    expect(report).toContain('| leads | PostgreSQL, epoch 2, since 2026-05-01 12:00:01 UTC |')
    expect(report).toContain('| first copy | 2026-05-01 10:00:00 UTC, 63.5 s |')
    expect(report).toContain('| report | 2026-05-02 08:00:00 UTC, by bot@host |')
    expect(section(report, 'Rows')).toContain('| `articles` | `articles` | 1,200 | 1,234 | equal | 2 |')
    expect(section(report, 'Verify')).toContain('| asked for | done | 1,234 | 0 | 0 | yes |')
    expect(section(report, 'Backup')).toContain(
      '`/backups/news.backup`, 4,096 bytes, checked, of 2026-05-01 09:59:00 UTC.',
    )
    expect(section(report, 'Event history')).toContain('On: 5 entries; states from 17 on can be rebuilt')
    expect(section(report, 'Versions')).toContain('| 0.1.0 | 26.1.0 | 3.54.0 | 18.1 |')
    expect(report).not.toContain('## Warnings')
  })

  test('tells pauses, who asked, and what was overridden', () => {
    const text = section(buildReport(FACTS), 'Changes of authority')
    expect(text).toContain('Writers waited 38 ms in the middle, 38 ms at the longest, in 1 change.')
    expect(text).toContain(
      '| 2026-05-01 12:00:00 UTC | switchover | done, epoch 2 | 38 ms | 12 | anna | `verify` |',
    )
    expect(text).toContain(
      '- switchover of 2026-05-01 12:00:00 UTC, overridden: `verify` was none (limit 3600)',
    )
  })

  test('tells several changes, those that were undone too', () => {
    const runs = [30, 10, 20].map((pause_ms) => ({ run: { ...SWITCHED, pause_ms }, by: null }))
    const undone: SwitchRun = {
      ...NO_RUN,
      state: 'undone',
      passage: 'rollback',
      forced: true,
      started_at: '2026-05-01T13:00:00.000Z',
      pause_ms: 2000,
      reason: 'the time was over',
    }
    const text = section(buildReport({ ...FACTS, runs: [{ run: undone, by: null }, ...runs] }), 'Changes')
    expect(text).toContain('Writers waited 20 ms in the middle, 30 ms at the longest, in 3 changes.')
    expect(text).toContain('| rollback, forced | undone | 2,000 ms |')
    expect(text).toContain('- rollback of 2026-05-01 13:00:00 UTC: the time was over')
  })

  test('says plainly what there is not', () => {
    const report = buildReport({
      ...FACTS,
      authority: 'none',
      since: null,
      copy: { startedAt: null, finishedAt: null },
      backup: null,
      verifies: [],
      runs: [],
      history: { on: false, from: null, entries: 0 },
      warnings: ['an old SQLite writes'],
    })
    expect(report).toContain('| leads | nobody: a switchover is undecided |')
    expect(report).toContain('| first copy | not begun |')
    expect(section(report, 'Rows')).toContain('not compared')
    expect(section(report, 'Verify')).toContain('never compared')
    expect(section(report, 'Changes')).toContain('There was none.')
    expect(section(report, 'Backup')).toContain('**None was made.**')
    expect(section(report, 'Event history')).toContain('Off.')
    expect(section(report, 'Warnings')).toContain('- an old SQLite writes')
  })

  test('tells differences, and what was repaired', () => {
    const table = (name: string, change: object) => ({ ...VERIFY.tables[0]!, table: name, ...change })
    const tables = [
      table('a', { different: 3, repaired: 0 }),
      table('b', { missing: 2, extra: 1, repaired: 3 }),
    ]
    const facts = tables.map(({ table }) => ({ table, target: table, copied: 1, aside: 0 }))
    const text = section(
      buildReport({ ...FACTS, tables: facts, verifies: [{ ...VERIFY, equal: false, tables }] }),
      'Rows',
    )
    expect(text).toContain('| `a` | `a` | 1 | 1,234 | **3 differ** | 0 |')
    expect(text).toContain('| `b` | `b` | 1 | 1,234 | 3 repaired | 0 |')
  })

  test('names cannot break out of it', () => {
    const report = buildReport({
      ...FACTS,
      migration: 'a|b<script>\n# no',
      tables: [{ table: 'a|`b`', target: 'x\ny', copied: 1, aside: 0 }],
    })
    expect(report).toContain('# Migration a\\|b\\<script\\> \\# no\n')
    expect(report).toContain('| `` a\\|`b` `` | `x y` |')
    const lines = section(report, 'Rows')
      .split('\n')
      .filter((line) => line.startsWith('|'))
    expect(new Set(lines.map((line) => line.replaceAll('\\|', '').split('|').length))).toEqual(new Set([8]))
  })
})
