/** What verify has found, as lines for people. */
import type { VerifyReport, VerifyTable } from '../core/operator.ts'
import { count, duration, printable, table } from './format.ts'

/** Rows that differ still: found, and not mended. */
export function remaining({ mismatched, repaired }: Pick<VerifyReport, 'mismatched' | 'repaired'>): number {
  return Math.max(0, mismatched - repaired)
}

/** Rows that the whole run will have compared; an estimate that was too low grows. */
export function expectedRows({ tables }: Pick<VerifyReport, 'tables'>): number {
  return tables.reduce((sum, one) => sum + Math.max(one.rows_compared, expectedOf(one)), 0)
}

/** A run that is done: each table, some of the differences, and the one sentence that matters. */
export function resultLines(report: VerifyReport): string[] {
  const rows = report.tables.map((one) => [
    printable(one.table),
    count(one.rows_compared),
    count(one.missing),
    count(one.extra),
    count(one.different),
    count(one.quarantined),
    count(one.repaired),
    verdict(one),
  ])
  const header = ['table', 'rows', 'missing', 'extra', 'different', 'set aside', 'repaired', 'result']
  return [...table(header, rows), ...sampleLines(report), '', summary(report)]
}

/** One line for `status`. */
export function verifyLine(report: VerifyReport): string {
  const { state, finished_at: finished, eta_seconds: left, error } = report
  if (state === 'failed') return `failed: ${printable(error ?? 'no reason was given')}, ${finished ?? ''}`
  if (state === 'done') return `${findings(report)}, ${finished ?? ''}`
  const far = `${count(report.rows_compared)} of ${count(expectedRows(report), 'row')}`
  const rest = left === null ? '' : `, ${duration(left)} left`
  return `${state === 'interrupted' ? 'interrupted, goes on by itself' : state}, ${far}${rest}`
}

function expectedOf(one: VerifyTable): number {
  return one.state === 'done' ? one.rows_compared : one.rows_expected
}

function verdict(one: VerifyTable): string {
  const found = one.missing + one.extra + one.different
  if (found === 0) return 'equal'
  return one.repaired >= found ? 'repaired' : 'differs'
}

/** One sentence that a person remembers. */
function summary(report: VerifyReport): string {
  const { tables, rows_compared: rows, started_at: started, finished_at: finished, quarantined } = report
  const seconds =
    started === null || finished === null ? undefined : (Date.parse(finished) - Date.parse(started)) / 1000
  const took = seconds === undefined ? '' : ` in ${duration(seconds)}`
  const compared = `${count(rows, 'row')} of ${count(tables.length, 'table')} compared${took}`
  const text = findings(report)
  const aside = quarantined === 0 ? '' : ` ${count(quarantined, 'row')} set aside: not in the target.`
  return `${text[0]!.toUpperCase()}${text.slice(1)}; ${compared}.${aside}`
}

function findings(report: VerifyReport): string {
  const { mismatched, repaired } = report
  if (mismatched === 0) return report.quarantined === 0 ? 'equal' : 'equal but for what is set aside'
  if (repaired === 0) return `${count(mismatched, 'row')} ${mismatched === 1 ? 'differs' : 'differ'}`
  const left = remaining(report)
  if (left === 0)
    return `${count(mismatched, 'row')} differed and ${mismatched === 1 ? 'is' : 'are'} repaired`
  return `${count(left)} of ${count(mismatched, 'row')} still differ, ${count(repaired)} repaired`
}

function sampleLines({ samples, mismatched }: VerifyReport): string[] {
  if (samples.length === 0) return []
  const lines = ['', 'Differences (column: source | target):']
  for (const { table: name, key, kind, columns } of samples) {
    const row = `  ${printable(name)} ${printable(key)}`
    if (kind === 'missing') lines.push(`${row} is missing in the target`)
    if (kind === 'extra') lines.push(`${row} is in the target only`)
    if (kind === 'different') lines.push(row)
    for (const { column, source, target } of columns) {
      lines.push(`    ${printable(column)}: ${value(source)} | ${value(target)}`)
    }
  }
  const more = mismatched - samples.length
  return more > 0 ? [...lines, `  … and ${count(more)} more`] : lines
}

function value(text: string | null): string {
  return text === null ? 'NULL' : `"${printable(text)}"`
}
