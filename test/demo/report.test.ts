import { expect, test } from 'vitest'
import { type DemoFacts, reportLines, succeeded } from '../../src/demo/report.ts'

const GOOD: DemoFacts = {
  comparison: [
    { table: 'articles', sqliteRows: 10_412, postgresRows: 10_412, different: 0, differences: [] },
  ],
  tally: {
    final: true,
    acknowledged: 1_697,
    transactions: 1_357,
    failed: 0,
    errors: [],
    longest_ms: 10,
    by_kind: {},
  },
  copySeconds: 0.937,
  caughtUpSeconds: 1.8,
  drainSeconds: 0.061,
  medianLagSeconds: 0.005,
  highestLagSeconds: undefined,
}

test('equal data and no failed write is a success, and the last lines say so', () => {
  expect(succeeded(GOOD)).toBe(true)
  const lines = reportLines(GOOD)
  expect(lines.slice(-2).join(' ')).toMatch(/The data is equal: 10,412 rows, 0 different.* 0 failed\./)
  expect(lines.join('\n')).toContain('median 5 ms, highest unknown')
})

test('a difference is a failure that names the value', () => {
  const differences = [{ key: '7', column: 'title', sqlite: 'ёж', postgres: 'еж' }]
  const facts = { ...GOOD, comparison: [{ ...GOOD.comparison[0]!, different: 1, differences }] }
  expect(succeeded(facts)).toBe(false)
  const text = reportLines(facts).join('\n')
  expect(text).toContain('THE DATA DIFFERS')
  expect(text).toContain('articles 7, title: ёж | еж')
})

test('a failed write is a failure that says why', () => {
  const facts = { ...GOOD, tally: { ...GOOD.tally, failed: 2, errors: ['SqliteError: database is locked'] } }
  expect(succeeded(facts)).toBe(false)
  expect(reportLines(facts).join('\n')).toContain('failed: SqliteError: database is locked')
  expect(reportLines(facts).at(-1)).toContain('2 failed')
})

test('nothing compared is no success', () => {
  expect(succeeded({ ...GOOD, comparison: [] })).toBe(false)
  expect(reportLines({ ...GOOD, comparison: [] }).join('\n')).not.toContain('is equal')
})
