import { Failure } from '../core/errors.ts'
import type { ReverseAside } from '../core/reverse.ts'
import type { TableSpec } from '../core/table.ts'
import { isSqliteError } from './open.ts'

/** Why SQLite does not take a row. */
export interface Refusal {
  /** Name in the source; empty where it is the row as a whole. */
  readonly column: string
  /** One sentence. */
  readonly reason: string
  /** Of the column, as PostgreSQL writes it; empty where it is the row as a whole. */
  readonly value: string
  /** misfit: no value of SQLite says it; duplicate: another row holds a value that is unique. */
  readonly kind: ReverseAside['kind']
}

const TAKEN = new Set(['SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY', 'SQLITE_CONSTRAINT_ROWID'])

/**
 * What SQLite says to a row as a refusal of that row. Rethrows what says nothing of the row: a full disk, a lock, the
 * fence; and a table that no connection but the application's can write (trap V26) as a Failure `source_unwritable`.
 */
export function refusalOf(error: unknown, table: TableSpec): Refusal {
  if (!isSqliteError(error)) throw error
  const { code, message } = error as { code: string; message: string }
  if (/unknown function|no such (function|collation)/.test(message)) {
    throw new Failure({
      code: 'source_unwritable',
      message: `${table.name} cannot be written in SQLite from here: ${message}`,
      remedy: `Drop the index or the CHECK of ${table.name} that needs it, in SQLite; the application makes it again after the rollback.`,
      facts: { table: table.name },
      cause: error,
    })
  }
  // A CHECK or an index may call a function that fails by itself: JSON's do, of text that is no JSON.
  const byItself = code === 'SQLITE_ERROR' && !/slipway/i.test(message)
  if (!code.startsWith('SQLITE_CONSTRAINT') && !/^SQLITE_(MISMATCH|TOOBIG)$/.test(code) && !byItself) {
    throw error
  }
  const columns = /constraint failed: (.*)$/.exec(message)?.[1]?.split(', ') ?? []
  const [only = ''] = columns.length === 1 ? columns : []
  const name = only.startsWith(`${table.name}.`) ? only.slice(table.name.length + 1) : ''
  return {
    column: name,
    reason: `SQLite refuses the row: ${message}`,
    value: '',
    kind: TAKEN.has(code) ? 'duplicate' : 'refused',
  }
}
