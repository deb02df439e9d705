/** Notes of the way back in `_slipway_control`: where it stands, and the rows that SQLite does not take. */
import { Failure } from '../core/errors.ts'
import type { KeySet } from '../core/ports.ts'
import type { ReverseAside, ReversePosition } from '../core/reverse.ts'
import type { Sqlite } from './open.ts'
import { drifted } from './reverse-shape.ts'

/** More rows than these set aside are no exception any more: somebody has to decide about the table. */
const MOST_ASIDE = 10_000

function note(database: Sqlite, name: string): string | undefined {
  return database.prepare('SELECT value FROM main._slipway_control WHERE name = ?').pluck().get(name) as
    | string
    | undefined
}

function setNote(database: Sqlite, name: string, value: string): void {
  database
    .prepare(
      `INSERT INTO main._slipway_control (name, value) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    )
    .run(name, value)
}

/** Throws a Failure `not_leading` where PostgreSQL does not lead by these notes. */
export function readPosition(database: Sqlite): ReversePosition {
  const authority = note(database, 'authority')
  const [snapshot, token] = [note(database, 'position'), note(database, 'token')]
  if (authority === 'postgres' && snapshot !== undefined && token !== undefined) return { snapshot, token }
  throw new Failure({
    code: 'not_leading',
    policy: 'transient',
    message: `by SQLite's notes PostgreSQL does not lead (authority ${authority ?? 'sqlite'}): nothing is brought back`,
    remedy: 'Nothing to do: slipway looks again who leads.',
  })
}

export function writePosition(database: Sqlite, { snapshot, token }: ReversePosition): void {
  setNote(database, 'position', snapshot)
  setNote(database, 'token', token)
}

/**
 * Throws a Failure `source_drift` where somebody else changed the schema since slipway noted it (trap H13), but for the
 * change that is being mended: that is known from now on.
 */
export function refuseDrift(database: Sqlite, mended: string | undefined): void {
  const version = String(database.pragma('schema_version', { simple: true }))
  const noted = note(database, 'schema_version')
  if (version === noted) return
  if (version !== mended) {
    throw drifted(
      `the schema of the source was changed (schema_version ${version}, expected ${noted ?? 'none'})`,
    )
  }
  setNote(database, 'schema_version', version)
}

const PREFIX = 'aside/'
const IS_ASIDE = `name >= '${PREFIX}' AND name < 'aside0'`

const nameOf = (table: string, key: string): string => `${PREFIX}${table}/${key}`

/** Rows that are set aside, as one transaction sees and changes them. */
export class AsideRows {
  readonly #database: Sqlite
  readonly #before = new Map<string, ReverseAside>()
  readonly #now = new Set<string>()

  constructor(database: Sqlite) {
    this.#database = database
    for (const entry of readAside(database, MOST_ASIDE).entries) {
      this.#before.set(nameOf(entry.table, entry.key), entry)
    }
    for (const name of this.#before.keys()) this.#now.add(name)
  }

  get total(): number {
    return this.#now.size
  }

  /** The row is as PostgreSQL has it. */
  clear(table: string, key: string): void {
    if (this.#now.size === 0) return
    const name = nameOf(table, key)
    if (!this.#now.delete(name)) return
    this.#database.prepare('DELETE FROM main._slipway_control WHERE name = ?').run(name)
  }

  /** True where the row was not set aside before. */
  set(
    table: string,
    key: string,
    why: Pick<ReverseAside, 'column' | 'reason' | 'value' | 'kind'>,
    now: Date,
  ): boolean {
    const name = nameOf(table, key)
    const before = this.#before.get(name)
    const entry: ReverseAside = {
      table,
      key,
      ...why,
      since: before?.since ?? now.toISOString(),
      last: now.toISOString(),
      attempts: (before?.attempts ?? 0) + 1,
    }
    setNote(this.#database, name, JSON.stringify(entry))
    this.#now.add(name)
    if (this.#now.size > MOST_ASIDE) {
      throw new Failure({
        code: 'too_many_misfits',
        message: `SQLite takes more than ${MOST_ASIDE} rows not back, the last one of ${table}: ${why.reason}`,
        remedy: `Change these rows of ${table} in PostgreSQL, or stay there: slipway finalize`,
        facts: { table, column: why.column },
      })
    }
    return before === undefined
  }
}

/** The oldest names first; the total is exact. */
export function readAside(
  database: Sqlite,
  limit: number,
): { readonly total: number; readonly entries: readonly ReverseAside[] } {
  const rows = database
    .prepare(`SELECT value FROM main._slipway_control WHERE ${IS_ASIDE} ORDER BY name LIMIT ?`)
    .pluck()
    .all(limit) as string[]
  const total = database.prepare(`SELECT count(*) FROM main._slipway_control WHERE ${IS_ASIDE}`).pluck().get()
  return { total: Number(total), entries: rows.map((row) => JSON.parse(row) as ReverseAside) }
}

/** For the transaction that ends the way back: what was set aside says nothing of the next one. */
export function forgetAside(database: Sqlite): void {
  database.prepare(`DELETE FROM main._slipway_control WHERE ${IS_ASIDE}`).run()
}

/** How many of each table, by names in the source. */
export function asideCounts(database: Sqlite): { readonly table: string; readonly rows: number }[] {
  const rows = database
    .prepare(
      `SELECT json_extract(value, '$.table') AS "table", count(*) AS n FROM main._slipway_control WHERE ${IS_ASIDE}
       GROUP BY 1 ORDER BY 1`,
    )
    .raw()
    .all() as [string, bigint | number][]
  return rows.map(([table, n]) => ({ table, rows: Number(n) }))
}

export function asideKeys(database: Sqlite): KeySet[] {
  const { entries } = readAside(database, MOST_ASIDE)
  const byTable = Map.groupBy(entries, ({ table }) => table)
  return [...byTable].map(([table, rows]) => ({ table, keys: rows.map(({ key }) => key) }))
}
