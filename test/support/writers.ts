/** Starts `writers.py`: the application's processes, in Python, with their own SQLite. */
import { join } from 'node:path'
import { Process, until } from './daemon.ts'

const SCRIPT = join(import.meta.dirname, 'writers.py')

/** What every transaction keeps, over two tables; the same SQL for both engines. */
export const BALANCE_SQL =
  'SELECT (SELECT sum(balance) FROM accounts) + (SELECT coalesce(sum(amount), 0) FROM vaults) AS sum'
export const TOTAL_BALANCE = 200_000

export interface WriterReport {
  readonly sqlite: string
  readonly attempted: number
  readonly acked: number
  readonly constraint_errors: number
  readonly busy_errors: number
  readonly slowest_ms: number
  readonly per_operation: Readonly<Record<string, number>>
  readonly unexpected: readonly string[]
}

export interface SchemaOptions {
  /** Rows in `items`. */
  readonly fill?: number
  readonly wal?: boolean
}

/** Makes the writers' schema in a new file. */
export async function createSource(path: string, options: SchemaOptions = {}): Promise<void> {
  const args = [SCRIPT, path, '--create', '--fill', String(options.fill ?? 0)]
  if (options.wal === false) args.push('--no-wal')
  const result = await new Process('python3', args).end(120_000)
  if (result.code !== 0) throw new Error(`writers.py --create failed\n${result.stderr}`)
}

export interface WriterOptions {
  readonly path: string
  readonly writer?: number
  readonly seed?: string | number
  /** Operations a second; 0: as fast as it goes. */
  readonly rate?: number
  readonly seconds?: number
  readonly ops?: number
}

/** One writer. Without `seconds` and `ops` it writes until `stop`. */
export class Writer {
  readonly process: Process

  constructor(options: WriterOptions) {
    const args = [
      SCRIPT,
      options.path,
      '--seed',
      String(options.seed ?? 1),
      '--writer',
      String(options.writer ?? 0),
    ]
    if (options.rate !== undefined) args.push('--rate', String(options.rate))
    if (options.ops !== undefined) args.push('--ops', String(options.ops))
    else if (options.seconds !== undefined) args.push('--seconds', String(options.seconds))
    else args.push('--until-stdin-close')
    this.process = new Process('python3', args)
  }

  /** Resolves when it writes. */
  async ready(): Promise<void> {
    await until(() => this.process.stderr.includes('ready'), {
      ms: 15_000,
      describe: () => `no writer\n${this.process.tail()}`,
    })
  }

  /** Waits for its own end, or asks for it first when it has none. */
  async stop(ms = 30_000): Promise<WriterReport> {
    this.process.child.stdin?.end()
    return await this.done(ms)
  }

  async done(ms = 120_000): Promise<WriterReport> {
    const result = await this.process.end(ms)
    if (result.code !== 0) throw new Error(`a writer ended with ${result.code}\n${this.process.tail()}`)
    return JSON.parse(result.stdout) as WriterReport
  }
}

/** Several writers at once, each with its own number. */
export async function startWriters(count: number, options: WriterOptions): Promise<Writer[]> {
  const writers = Array.from({ length: count }, (_, writer) => new Writer({ ...options, writer }))
  await Promise.all(writers.map(async (writer) => await writer.ready()))
  return writers
}

/** Stops them all; one report for all. */
export async function stopWriters(writers: readonly Writer[]): Promise<WriterReport> {
  const reports = await Promise.all(writers.map(async (writer) => await writer.stop()))
  const sum = (pick: (report: WriterReport) => number): number =>
    reports.reduce((total, one) => total + pick(one), 0)
  const perOperation: Record<string, number> = {}
  for (const report of reports) {
    for (const [name, count] of Object.entries(report.per_operation)) {
      perOperation[name] = (perOperation[name] ?? 0) + count
    }
  }
  return {
    sqlite: reports[0]?.sqlite ?? '',
    attempted: sum((report) => report.attempted),
    acked: sum((report) => report.acked),
    constraint_errors: sum((report) => report.constraint_errors),
    busy_errors: sum((report) => report.busy_errors),
    slowest_ms: Math.max(...reports.map((report) => report.slowest_ms)),
    per_operation: perOperation,
    unexpected: reports.flatMap((report) => report.unexpected),
  }
}
