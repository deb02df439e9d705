/** How verify goes: bars on a terminal, a line every five seconds elsewhere. */
import type { VerifyReport, VerifyTable } from '../core/operator.ts'
import { ratePerSecond } from '../core/progress.ts'
import { count, duration, printable } from './format.ts'
import { bar } from './progress.ts'
import type { Terminal } from './terminal.ts'
import { expectedRows } from './verify-report.ts'

const LINE_EVERY_MS = 5_000

interface Begun {
  readonly at: number
  readonly rows: number
}

export class VerifyProgress implements Disposable {
  readonly #terminal: Pick<Terminal, 'live' | 'interactive' | 'note'>
  readonly #now: () => number
  readonly #begun = new Map<string | undefined, Begun>()
  #toldAt: number

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(
    terminal: Pick<Terminal, 'live' | 'interactive' | 'note'>,
    now: () => number = () => performance.now(),
  ) {
    this.#terminal = terminal
    this.#now = now
    this.#toldAt = now()
  }

  show(report: VerifyReport): void {
    const { live, interactive, note } = this.#terminal
    if (report.state !== 'running') {
      live.pause()
      return
    }
    const total = this.#total(report)
    if (interactive) {
      const running = report.tables.filter((one) => one.state === 'running')
      live.update([...running.map((one) => this.#bar(one)), total])
    } else if (this.#now() - this.#toldAt >= LINE_EVERY_MS) {
      this.#toldAt = this.#now()
      note.call(this.#terminal, total)
    }
  }

  [Symbol.dispose](): void {
    this.#terminal.live.pause()
  }

  #bar({ table, rows_compared: rows, rows_expected: expected }: VerifyTable): string {
    const rate = this.#rate(table, rows)
    const name = printable(table)
    return bar({
      table: name,
      rows_copied: rows,
      rows_expected: expected,
      rows_per_second: rate,
      eta_seconds: null,
    })
  }

  #total(report: VerifyReport): string {
    const { tables, rows_compared: rows, mismatched, eta_seconds: left } = report
    const done = tables.filter((one) => one.state === 'done').length
    const parts = [
      `${done} of ${count(tables.length, 'table')}`,
      `${count(rows)} of ${count(expectedRows(report), 'row')}`,
    ]
    const rate = this.#rate(undefined, rows)
    if (rate !== null) parts.push(`${count(rate)}/s`)
    if (left !== null) parts.push(`${duration(left)} left`)
    if (mismatched > 0) parts.push(`${count(mismatched)} different so far`)
    return parts.join(', ')
  }

  /** Since it was seen first: what was compared before says nothing of the time it took. */
  #rate(table: string | undefined, rows: number): number | null {
    const at = this.#now()
    const begun = this.#begun.get(table) ?? { at, rows }
    this.#begun.set(table, begun)
    return ratePerSecond({ done: Math.max(0, rows - begun.rows), expected: 0, elapsedMs: at - begun.at })
  }
}
