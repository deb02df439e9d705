import type pg from 'pg'
import { Failure, messageOf } from '../core/errors.ts'
import type { CopyRows } from '../core/ports.ts'
import type { TableSpec } from '../core/table.ts'
import { sqlstate } from './connection.ts'
import { targetName } from './dormant.ts'
import { isFaultOfRow } from './sift.ts'
import { copyInto, targetColumns } from './stage.ts'

/** A row that PostgreSQL does not take. */
export interface RefusedRow {
  /** For people: `id=7`. */
  readonly key: string
  readonly column: string
  readonly reason: string
}

/** Each refused row costs as many tries as the lines can be halved: past so many the rest is not looked for. */
const MAX_REFUSED = 100

const NEWLINE = 0x0a

/**
 * Copies rows and leaves those out that PostgreSQL refuses, which are found by halving. For a rehearsal, which has
 * nowhere to keep them; runs in the caller's transaction.
 */
export async function copyTolerantly(
  client: pg.ClientBase,
  table: TableSpec,
  rows: CopyRows,
): Promise<readonly RefusedRow[]> {
  const first = await attempt(client, table, rows)
  if (first === undefined) return []
  const blocks: Buffer[] = []
  for await (const block of rows.read()) blocks.push(block)
  const refused: RefusedRow[] = []
  const open = [splitLines(Buffer.concat(blocks))]
  for (let lines = open.pop(); lines !== undefined; lines = open.pop()) {
    const error = await attempt(client, table, asRows(lines))
    if (error === undefined) continue
    if (lines.length > 1) {
      const middle = lines.length >> 1
      open.push(lines.slice(middle), lines.slice(0, middle))
      continue
    }
    refused.push(describe(table, lines[0] as Buffer, error))
    if (refused.length > MAX_REFUSED) throw error
  }
  return refused
}

/** Undefined where they went in. */
async function attempt(client: pg.ClientBase, table: TableSpec, rows: CopyRows): Promise<unknown> {
  await client.query('SAVEPOINT slipway_rows')
  try {
    await copyInto(client, targetName(table), targetColumns(table), rows, table)
    await client.query('RELEASE SAVEPOINT slipway_rows')
    return undefined
  } catch (error) {
    if (!isFaultOfRow(sqlstate(error))) throw error
    await client.query('ROLLBACK TO SAVEPOINT slipway_rows')
    return error
  }
}

/** With their ends: a newline within a value is escaped. */
function splitLines(text: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf(NEWLINE, at)
    const next = end < 0 ? text.length : end + 1
    lines.push(text.subarray(at, next))
    at = next
  }
  return lines
}

function asRows(lines: readonly Buffer[]): CopyRows {
  const block = Buffer.concat(lines)
  return { rows: lines.length, bytes: block.length, read: () => [block] }
}

function describe(table: TableSpec, line: Buffer, error: unknown): RefusedRow {
  const fields = line.toString('utf8').replace(/\n$/, '').split('\t')
  const columns = targetColumns(table)
  const key = table.key.columns
    .map(({ name, target }) => `${name}=${fields[columns.indexOf(target)]?.slice(0, 100)}`)
    .join(', ')
  const facts = error instanceof Failure ? error.facts : {}
  return { key, column: String(facts.column ?? ''), reason: messageOf(error) }
}
