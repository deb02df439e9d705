import { randomBytes } from 'node:crypto'
import type { ReversePosition } from '../core/reverse.ts'

/** A `pg_snapshot` taken apart, as parameters for SQL. */
export interface SnapshotParts {
  readonly text: string
  readonly xmin: string
  readonly xmax: string
  /** Transactions that were running: they are in the next batch or a later one. */
  readonly running: readonly string[]
}

export function parseSnapshot(text: string): SnapshotParts {
  const found = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text)
  if (found === null) throw new Error(`not a snapshot: ${text}`)
  const [, xmin = '', xmax = '', running = ''] = found
  return { text, xmin, xmax, running: running === '' ? [] : running.split(',') }
}

/**
 * SQL of the changes that a position does not show yet: what began after it, and what ran then. Two ranges of the index,
 * so that a transaction which is open for an hour does not make each read look at what was logged in that hour.
 * `id`, `xmax` and `running` are SQL.
 */
export function pendingSql(columns: string, id: string, xmax: string, running: string): string {
  const part = (which: string): string =>
    `SELECT ${columns} FROM slipway.changelog l WHERE l.migration = ${id} AND ${which}`
  return `(${part(`l.xid >= ${xmax}::xid8`)} UNION ALL ${part(`l.xid = ANY (${running}::xid8[])`)})`
}

/** The token row of PostgreSQL. */
export interface StoredToken {
  readonly token: string
  readonly earlier: Readonly<Record<string, number>>
  /** Changes of transactions up to this one may be gone. */
  readonly pruned: string | null
}

/** Sessions whose tokens are remembered. */
const SESSIONS = 200

interface Token {
  readonly session: string
  readonly number: number
}

function parseToken(text: string): Token {
  const at = text.lastIndexOf(':')
  const number = at < 0 ? Number.NaN : Number(text.slice(at + 1))
  // A decision writes a token of its own making.
  return Number.isSafeInteger(number) ? { session: text.slice(0, at), number } : { session: text, number: 0 }
}

/**
 * Why a position proves nothing on this server; undefined where it holds. A server keeps its commits in order: where it
 * has the token of a session with a number as high, it has everything that the position shows (trap H1). It is no
 * regress when SQLite stands at an earlier token, since its own commit failed or was lost.
 */
export function unproven(position: ReversePosition, stored: StoredToken | undefined): string | undefined {
  if (stored === undefined)
    return 'PostgreSQL has no token of the way back: it was put back to an older state'
  const { session, number } = parseToken(position.token)
  const newest = parseToken(stored.token)
  const highest = newest.session === session ? newest.number : stored.earlier[session]
  if (highest === undefined || number > highest)
    return 'PostgreSQL does not have the token that SQLite stands at: it has forgotten its last commits'
  const { xmin } = parseSnapshot(position.snapshot)
  if (stored.pruned !== null && BigInt(xmin) <= BigInt(stored.pruned))
    return 'SQLite stands before changes that were pruned: the file was put back to an older copy'
  return undefined
}

/**
 * Makes tokens: the name of the session and a number that rises with each commit. A server that forgets commits ends
 * its sessions, so that a number is never given twice under a name.
 */
export class TokenMaker {
  #generation = -1
  #session = ''
  #number = 0

  /** What to store with the next position; `generation` is the connection's. */
  next(stored: StoredToken, generation: number): { readonly token: string; readonly earlier: string } {
    if (generation !== this.#generation) {
      this.#generation = generation
      this.#session = randomBytes(12).toString('base64url')
      this.#number = 0
    }
    const token = `${this.#session}:${++this.#number}`
    const last = parseToken(stored.token)
    const { [last.session]: _, ...others } = stored.earlier
    const earlier =
      last.session === this.#session
        ? stored.earlier
        : Object.fromEntries([...Object.entries(others), [last.session, last.number]].slice(-SESSIONS))
    return { token, earlier: JSON.stringify(earlier) }
  }
}
