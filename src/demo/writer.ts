/**
 * A process that writes to a newsroom's file until it is told to stop (SIGTERM, or its standard input ends):
 * `node writer.ts FILE SEED WRITES_PER_SECOND`. It prints a tally as a line of JSON each second, and a last
 * one with `"final": true`. It is an application like any other: it knows nothing of slipway.
 */
import Database from 'better-sqlite3'
import { Traffic } from './traffic.ts'

/** What a writer has done so far. */
export interface Tally {
  readonly final: boolean
  /** Statements whose transaction SQLite has acknowledged. */
  readonly acknowledged: number
  readonly transactions: number
  readonly failed: number
  /** The first few, as SQLite said them. */
  readonly errors: readonly string[]
  readonly longest_ms: number
  readonly by_kind: Readonly<Record<string, number>>
}

const SHOWN_ERRORS = 5
/** A writer that had to wait does not make up for more than this. */
const MAX_ARREARS_MS = 500

async function write(path: string, seed: number, perSecond: number): Promise<void> {
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  // Ctrl-C reaches every process of a terminal: the parent decides about us.
  process.on('SIGINT', () => {})
  process.stdin.once('close', () => stop.abort()).resume()
  process.stdout.on('error', () => stop.abort())

  const db = new Database(path, { fileMustExist: true, timeout: 5_000 })
  const traffic = new Traffic(db, seed)
  const counts = { acknowledged: 0, transactions: 0, failed: 0, longest_ms: 0 }
  const errors: string[] = []
  const by_kind: Record<string, number> = {}
  const tell = (final: boolean) =>
    process.stdout.write(JSON.stringify({ final, ...counts, errors, by_kind } satisfies Tally) + '\n')

  let due = performance.now()
  let told = due
  while (!stop.signal.aborted) {
    const started = performance.now()
    let written = 1
    try {
      const { name, statements } = traffic.step()
      written = Math.max(1, statements)
      counts.acknowledged += statements
      counts.transactions += 1
      by_kind[name] = (by_kind[name] ?? 0) + 1
    } catch (error) {
      counts.failed += 1
      if (errors.length < SHOWN_ERRORS) errors.push(String(error))
    }
    const now = performance.now()
    counts.longest_ms = Math.max(counts.longest_ms, Math.round(now - started))
    if (now - told >= 1_000) {
      tell(false)
      told = now
    }
    due = Math.max(due + (1_000 * written) / perSecond, now - MAX_ARREARS_MS)
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - now)))
  }
  db.close()
  tell(true)
}

const [path, seed, perSecond] = process.argv.slice(2)
if (path === undefined) {
  console.error('Usage: writer FILE SEED WRITES_PER_SECOND')
  process.exitCode = 2
} else {
  await write(path, Number(seed ?? 1), Number(perSecond ?? 150))
  // It may still be open, and would keep the process alive.
  process.stdin.destroy()
}
