import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { isGeneric } from '../core/codec.ts'
import { Failure } from '../core/errors.ts'
import type { CopyRows } from '../core/ports.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import type { Connection } from './connection.ts'
import { targetName } from './dormant.ts'

/** Target columns of a row's line, in the source's order of sending (see sqlite/rows.ts). */
export function targetColumns(table: TableSpec): string[] {
  const hidden = table.key.kind === 'rowid' ? [HIDDEN_KEY] : []
  return [...hidden, ...table.columns.map((column) => column.target)]
}

/** Target columns of types without a rule of their own: their values travel as text until PostgreSQL has judged them. */
export function genericColumns(table: TableSpec): string[] {
  return table.columns.filter((column) => isGeneric(column)).map((column) => column.target)
}

export function quoteList(names: readonly string[]): string {
  return names.map((name) => quote(name)).join(', ')
}

/** Sends COPY text as it is. A value that PostgreSQL refuses is a misfit of its column. */
export async function copyInto(
  client: pg.ClientBase,
  into: string,
  columns: readonly string[],
  rows: CopyRows,
  table: TableSpec,
): Promise<void> {
  const stream = client.query(copyFrom(`COPY ${into} (${quoteList(columns)}) FROM STDIN`))
  try {
    await pipeline(Readable.from(rows.read(), { objectMode: true, highWaterMark: 4 }), stream)
  } catch (error) {
    throw refusedValue(error, table) ?? error
  }
}

/** PostgreSQL names the column in its context: `COPY t, line 3, column day: "x"`. */
function refusedValue(error: unknown, table: TableSpec): Failure | undefined {
  const { code = '', where = '', message = '' } = error as { code?: string; where?: string; message?: string }
  const column =
    /, line \d+, column (.*?): /s.exec(where)?.[1] ?? /, line \d+, column (.*)$/s.exec(where)?.[1]
  const spec = table.columns.find((candidate) => candidate.target === column)
  if (!code.startsWith('22') || spec === undefined) return undefined
  return new Failure({
    code: 'misfit',
    message: `${table.name}.${spec.name}: PostgreSQL refuses a value (${message}; ${where})`,
    remedy: `Change the value in SQLite, or the type of ${table.target}.${spec.target} in PostgreSQL; then: slipway start`,
    cause: error,
    facts: {
      table: table.name,
      column: spec.name,
      type: spec.type,
      holds: spec.type === 'text' ? 'bytea' : 'text',
    },
  })
}

/**
 * `rows`: whole rows in the target's own types. `mixed`: the same with text for types that PostgreSQL has to judge,
 * `text`: with text for all, which takes every line. `gone` and `mended`: keys of rows that go, by a batch and by a
 * repair. `touched` and `seen`: keys of the way back, to be looked at and met already.
 */
export type StageKind = 'rows' | 'mixed' | 'text' | 'gone' | 'mended' | 'touched' | 'seen'

/** Rows that are deleted before a stage is truncated, which costs a millisecond and leaves nothing to be read over. */
const FEW = 2_000

/**
 * Temporary tables of one session in which rows arrive before they are merged. Made at first use, so that no batch
 * changes the catalog. No commit empties them: that takes it 2.5 ms for each one that has a column of text, whether it
 * was used or not (measured).
 */
export class Stages {
  #generation = -1
  readonly #known = new Set<string>()

  /** `generation` of the connection: a new session has none of the old one's tables. */
  async get(client: pg.ClientBase, generation: number, table: TableSpec, kind: StageKind): Promise<string> {
    if (generation !== this.#generation) this.forget()
    this.#generation = generation
    const whole = kind === 'rows' || kind === 'mixed' || kind === 'text'
    const columns = whole ? targetColumns(table) : table.key.columns.map((column) => column.target)
    const judged = new Set(kind === 'text' ? columns : kind === 'mixed' ? genericColumns(table) : [])
    const shape = createHash('sha256')
      .update(JSON.stringify([kind, targetName(table), columns]))
      .digest('hex')
    const name = `pg_temp.${quote(`slipway_${kind}_${shape.slice(0, 16)}`)}`
    if (this.#known.has(name)) return name
    await client.query(
      `CREATE TEMP TABLE IF NOT EXISTS ${name} ON COMMIT PRESERVE ROWS
       AS SELECT ${columns.map((name) => (judged.has(name) ? `NULL::text AS ${quote(name)}` : quote(name))).join(', ')}
       FROM ${targetName(table)} WITH NO DATA`,
    )
    this.#known.add(name)
    return name
  }

  /** After a rollback: the tables made in that transaction are gone, and those from before are still there. */
  forget(): void {
    this.#known.clear()
  }
}

/** Stages that are empty when a transaction first asks for them. */
export class FreshStages {
  readonly #connection: Pick<Connection, 'generation' | 'transactions'>
  readonly #stages = new Stages()
  #generation = -1
  /** In which transaction a stage was last used, and how many rows were deleted from it since it was truncated. */
  readonly #used = new Map<string, { transaction: number; deleted: number }>()

  constructor(connection: Pick<Connection, 'generation' | 'transactions'>) {
    this.#connection = connection
  }

  async get(client: pg.ClientBase, table: TableSpec, kind: StageKind): Promise<string> {
    const { generation, transactions: transaction } = this.#connection
    if (generation !== this.#generation) this.#used.clear()
    this.#generation = generation
    const name = await this.#stages.get(client, generation, table, kind)
    const used = this.#used.get(name)
    if (used?.transaction === transaction) return name
    let deleted = 0
    // Somebody else may have worked in this session: what nobody knows of is emptied as well.
    if (used === undefined || used.deleted > FEW) await client.query(`TRUNCATE ${name}`)
    else deleted = used.deleted + ((await client.query(`DELETE FROM ${name}`)).rowCount ?? 0)
    this.#used.set(name, { transaction, deleted })
    return name
  }

  /** After a rollback nobody knows what a stage holds. */
  forget(): void {
    this.#stages.forget()
    this.#used.clear()
  }
}

/** `a."k" = b."k" AND …` over the key's target columns. */
export function sameKey(table: TableSpec, a: string, b: string): string {
  return table.key.columns
    .map((column) => `${a}.${quote(column.target)} = ${b}.${quote(column.target)}`)
    .join(' AND ')
}
