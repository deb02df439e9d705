/** How the copy goes: bars on a terminal, a log line every two seconds elsewhere. */
import type { Observer } from '../core/observer.ts'
import type { TableStatus } from '../core/operator.ts'
import { etaSeconds, ratePerSecond } from '../core/progress.ts'
import type { Logger } from '../logging.ts'
import { count, duration } from './format.ts'
import type { LiveBlock } from './live-block.ts'

const LINE_EVERY_MS = 2000
const DRAW_EVERY_MS = 100
const BAR_CELLS = 24

export interface ProgressOptions {
  readonly live: LiveBlock
  readonly interactive: boolean
  readonly logger: Logger
  /** What has been done to the rows in the end; default: copied. */
  readonly done?: string
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number
}

/** Listens to the copy. Ends by itself with the last table; `close` takes the bars away at any time. */
export class CopyProgress implements Pick<Observer, 'copied'>, Disposable {
  readonly #options: ProgressOptions
  readonly #now: () => number
  readonly #tables = new Map<string, TableStatus>()
  #begun: { readonly at: number; readonly rows: number } | undefined
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  copied(table: TableStatus): void {
    const before = this.#tables.get(table.table)
    // What an earlier run has copied counts as done, but not for the rate.
    this.#begun ??= { at: this.#now(), rows: 0 }
    if (before === undefined) this.#begun = { ...this.#begun, rows: this.#begun.rows + table.rows_copied }
    this.#tables.set(table.table, table)
    if (table.state === 'copied' && before !== undefined && before.state !== 'copied') {
      const { table: name, rows_copied: rows } = table
      this.#options.logger.info(
        { table: name, rows },
        `${name}: ${count(rows, 'row')} ${this.#options.done ?? 'copied'}`,
      )
    }
    this.#tell()
  }

  [Symbol.dispose](): void {
    this.#options.live.pause()
  }

  #tell(): void {
    const { interactive, live, logger } = this.#options
    const total = this.#total()
    if (total.tablesDone === total.tables) {
      live.pause()
      return
    }
    const now = this.#now()
    if (now - this.#toldAt < (interactive ? DRAW_EVERY_MS : LINE_EVERY_MS)) return
    this.#toldAt = now
    if (interactive) {
      const copying = [...this.#tables.values()].filter((table) => table.state === 'copying')
      live.update([...copying.map(bar), summary(total)])
    } else {
      const { rows, expected, rate, left } = total
      logger.info({ rows, expected, rate, left }, summary(total))
    }
  }

  #total(): Total {
    const tables = [...this.#tables.values()]
    const rows = sum(tables.map((table) => table.rows_copied))
    const expected = sum(tables.map((table) => Math.max(table.rows_copied, expectedOf(table))))
    const begun = this.#begun ?? { at: 0, rows: 0 }
    const done = Math.max(0, rows - begun.rows)
    const progress = { done, expected: expected - begun.rows, elapsedMs: this.#now() - begun.at }
    return {
      tables: tables.length,
      tablesDone: tables.filter((table) => table.state === 'copied').length,
      rows,
      expected,
      rate: ratePerSecond(progress),
      left: etaSeconds(progress),
    }
  }
}

interface Total {
  readonly tables: number
  readonly tablesDone: number
  readonly rows: number
  readonly expected: number
  readonly rate: number | null
  readonly left: number | null
}

/** A copied table has as many rows as it has, whatever was expected. */
function expectedOf(table: TableStatus): number {
  return table.state === 'copied' ? table.rows_copied : table.rows_expected
}

function summary({ tables, tablesDone, rows, expected, rate, left }: Total): string {
  const parts = [`${tablesDone} of ${count(tables, 'table')}`, `${count(rows)} of ${count(expected, 'row')}`]
  if (rate !== null) parts.push(`${count(rate)}/s`)
  if (left !== null) parts.push(`${duration(left)} left`)
  return parts.join(', ')
}

/** One table as a line: name, bar, share, rows, rate and time left. */
export function bar(table: Omit<TableStatus, 'target' | 'state'>): string {
  const share = table.rows_expected === 0 ? 0 : Math.min(1, table.rows_copied / table.rows_expected)
  const full = Math.round(share * BAR_CELLS)
  const cells = '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
  const percent = `${Math.floor(share * 100)}%`.padStart(4)
  const rate = table.rows_per_second === null ? '' : `  ${count(table.rows_per_second)}/s`
  const left = table.eta_seconds === null ? '' : `  ${duration(table.eta_seconds)} left`
  return `${table.table.slice(0, 24).padEnd(24)} ${cells} ${percent}  ${count(table.rows_copied)}${rate}${left}`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
