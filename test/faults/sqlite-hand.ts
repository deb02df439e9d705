/** The SQLite side of a writer: a Python process with the standard library's sqlite3. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { EPOCH_AT, type Statement, type Write } from './operations.ts'
import type { Hand, Outcome } from './outcome.ts'

const SCRIPT = join(import.meta.dirname, 'sqlite-hand.py')

export type HandAnswer =
  | { readonly ok: true; readonly rows: readonly (readonly (readonly unknown[])[])[] }
  | {
      readonly ok: false
      readonly stage: 'begin' | 'statement' | 'commit'
      readonly class: string
      readonly name: string
      readonly message: string
    }

export interface HandRequest {
  readonly statements: readonly Statement[]
  readonly end?: 'commit' | 'rollback' | 'keep'
  /** Seconds before the end. */
  readonly hold?: number
}

export class SqliteHand implements Hand {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting: ((line: HandAnswer) => void)[] = []

  constructor(path: string, busyMs = 5000) {
    this.#child = spawn('python3', [SCRIPT, path, String(busyMs)], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdin.on('error', () => {})
    createInterface(this.#child.stdout).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line)))
    this.#child.once('close', () => {
      for (const wait of this.#waiting.splice(0)) {
        wait({ ok: false, stage: 'commit', class: 'Gone', name: '', message: 'the Python process has ended' })
      }
    })
  }

  /** One transaction, or a part of one that was kept open. */
  async ask(request: HandRequest): Promise<HandAnswer> {
    const { promise, resolve } = Promise.withResolvers<HandAnswer>()
    this.#waiting.push(resolve)
    const statements = request.statements.map(({ sql, parameters }) => [sql, parameters])
    this.#child.stdin.write(`${JSON.stringify({ ...request, statements })}\n`)
    return await promise
  }

  async write(write: Write): Promise<Outcome> {
    const statements = write.statements('sqlite')
    const answer = await this.ask({ statements })
    if (answer.ok) {
      const values = answer.rows.map((rows) => Number(rows[0]?.[0]))
      for (const [index, { expected, sql }] of statements.entries()) {
        if (expected !== undefined && values[index] !== expected) {
          return { kind: 'wrong', message: `${sql} gave ${values[index]}, not ${expected}` }
        }
      }
      return { kind: 'acknowledged', epoch: values[EPOCH_AT]! }
    }
    const told = `${answer.class} ${answer.name} at ${answer.stage}: ${answer.message}`
    if (answer.class === 'OperationalError' && answer.message.includes('slipway')) {
      return { kind: 'fenced', message: told }
    }
    if (/UNIQUE constraint failed: ledger\./.test(answer.message)) return await this.#there(write)
    const found: Outcome['kind'] | undefined = /^SQLITE_BUSY/.test(answer.name)
      ? 'busy'
      : answer.name === 'SQLITE_FULL' || /^SQLITE_IOERR/.test(answer.name)
        ? 'full'
        : undefined
    // Whatever happens at COMMIT: nobody knows, and the ledger's key tells.
    if (found !== undefined) return { kind: found, message: told, doubt: answer.stage === 'commit' }
    return { kind: 'wrong', message: told }
  }

  async #there(write: Write): Promise<Outcome> {
    const answer = await this.ask({
      statements: [
        {
          sql: 'SELECT epoch, engine FROM ledger WHERE writer = ? AND n = ?',
          parameters: [write.writer, write.n],
        },
      ],
      end: 'rollback',
    })
    const row = answer.ok ? answer.rows[0]?.[0] : undefined
    if (row === undefined) return { kind: 'busy', message: JSON.stringify(answer), doubt: true }
    return { kind: 'there', epoch: Number(row[0]), engine: row[1] === 'sqlite' ? 'sqlite' : 'postgres' }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.stdin.end()
    const insist = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await closed
    clearTimeout(insist)
  }
}
