/** What assess found, for people: the tables, what is to be decided by table, what is good to know, one sentence. */
import type { Assessment } from '../core/assess/assessment.ts'
import type { Finding } from '../core/finding.ts'
import { bytes, count, table } from './format.ts'

export function assessmentLines(assessment: Assessment): string[] {
  return [
    ...places(assessment),
    '',
    ...tables(assessment),
    ...toDecide(assessment),
    ...goodToKnow(assessment),
    ...(assessment.plan === null ? [] : ['', planLine(assessment.plan)]),
    '',
    assessment.sentence,
  ]
}

function places({ source, target }: Assessment): string[] {
  const writer = source.writerVersion === undefined ? '' : `, last written by SQLite ${source.writerVersion}`
  const from = `${source.path}: ${bytes(source.bytes)}, journal mode ${source.journalMode}, ${source.encoding}${writer}`
  if (target === null) return [from]
  const { server, schema, version } = target
  return [from, `${server}: PostgreSQL ${version}, schema ${schema}`]
}

function tables({ tables: all, summary }: Assessment): string[] {
  if (all.length === 0) return []
  const rows = all.map((each) => [
    each.table,
    count(each.rows),
    bytes(each.bytes),
    each.key.length > 0 ? each.key.join(', ') : each.target === null ? '' : 'the rowid',
    each.target === null ? 'not yet' : each.made ? `${each.target} (new)` : each.target,
  ])
  const sum = ['in all', count(summary.rows), bytes(summary.bytes), '', '']
  return table(['table', 'rows', 'size', 'key', 'becomes'], all.length > 1 ? [...rows, sum] : rows)
}

/** What blocks and what will be different, by table. */
function toDecide({ findings }: Assessment): string[] {
  const serious = findings.filter((finding) => finding.severity !== 'info')
  const groups = Map.groupBy(serious, (finding) => finding.table)
  return [...groups].flatMap(([name, group]) => [
    '',
    name ?? 'in general',
    ...group.flatMap((finding, index) => lines(finding, group[index + 1])),
  ])
}

/** A remedy that the next finding has too is told there. */
function lines(finding: Finding, next: Finding | undefined): string[] {
  const where = finding.column === undefined ? '' : `${finding.column}: `
  const examples = finding.examples?.length ? ` (${finding.examples.join('; ')})` : ''
  const first = `  ${finding.severity.padEnd(6)}  ${where}${finding.message}${examples} [${finding.code}]`
  return finding.remedy === undefined || finding.remedy === next?.remedy
    ? [first]
    : [first, `          → ${finding.remedy}`]
}

/** Each thing once, with the places that it is about. */
function goodToKnow({ findings }: Assessment): string[] {
  const info = findings.filter((finding) => finding.severity === 'info')
  if (info.length === 0) return []
  const groups = Map.groupBy(info, ({ code, message }) => `${code}\0${message}`)
  return [
    '',
    'good to know',
    ...[...groups.values()].flatMap((group) => {
      const first = group[0] as Finding
      const where = group.flatMap((each) =>
        each.table === undefined
          ? []
          : [each.column === undefined ? each.table : `${each.table}.${each.column}`],
      )
      const line = `  ${where.length > 0 ? `${where.join(', ')}: ` : ''}${first.message} [${first.code}]`
      return first.remedy === undefined ? [line] : [line, `    → ${first.remedy}`]
    }),
  ]
}

function planLine({ path, written }: { readonly path: string; readonly written: boolean }): string {
  return written
    ? `The plan is in ${path}: read it, and change what is to be otherwise.`
    : `With the plan of ${path}.`
}
