/** The demo's last word, for people; pure. */
import type { TableComparison } from './compare.ts'
import type { Tally } from './writer.ts'

export interface DemoFacts {
  readonly comparison: readonly TableComparison[]
  readonly tally: Tally
  readonly copySeconds: number
  readonly caughtUpSeconds: number
  readonly drainSeconds: number
  readonly medianLagSeconds: number | undefined
  readonly highestLagSeconds: number | undefined
}

/** Whether the story ended well: every value equal, and no write that failed. */
export function succeeded({ comparison, tally }: DemoFacts): boolean {
  const compared = comparison.some(({ sqliteRows }) => sqliteRows > 0)
  return compared && tally.failed === 0 && comparison.every(({ different }) => different === 0)
}

export function reportLines(facts: DemoFacts): string[] {
  const { comparison, tally } = facts
  const rows = comparison.reduce((sum, table) => sum + table.sqliteRows, 0)
  const different = comparison.reduce((sum, table) => sum + table.different, 0)
  const verdict = different === 0 && rows > 0 ? 'The data is equal' : 'THE DATA DIFFERS'
  return [
    '',
    line('', 'SQLite', 'PostgreSQL', 'different'),
    ...comparison.map((table) =>
      line(table.table, count(table.sqliteRows), count(table.postgresRows), count(table.different)),
    ),
    ...comparison.flatMap(({ table, differences }) =>
      differences
        .slice(0, 3)
        .map(
          ({ key, column, sqlite, postgres }) =>
            `  ${table} ${key}${column === undefined ? '' : `, ${column}`}: ${sqlite} | ${postgres}`,
        ),
    ),
    '',
    `  copy   ${seconds(facts.copySeconds)}, while the newsroom went on writing`,
    `  lag    median ${seconds(facts.medianLagSeconds)}, highest ${seconds(facts.highestLagSeconds)}; zero ${seconds(facts.drainSeconds)} after the last write`,
    `  kill   caught up ${seconds(facts.caughtUpSeconds)} after the daemon was started again`,
    `  writes ${count(tally.acknowledged)} in ${count(tally.transactions)} transactions, the longest ${seconds(tally.longest_ms / 1_000)}`,
    ...tally.errors.map((error) => `         failed: ${error}`),
    '',
    `${verdict}: ${count(rows)} rows, ${count(different)} different, compared value by value by a reader of its own.`,
    `${count(tally.acknowledged)} writes acknowledged, ${count(tally.failed)} failed.`,
  ]
}

function line(name: string, ...figures: readonly string[]): string {
  return `  ${name.padEnd(22)}${figures.map((figure) => figure.padStart(12)).join('')}`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** Milliseconds below a second, where they say more. */
export function seconds(value: number | undefined): string {
  if (value === undefined) return 'unknown'
  return value < 1 ? `${Math.round(value * 1_000)} ms` : `${value.toFixed(1)} s`
}
