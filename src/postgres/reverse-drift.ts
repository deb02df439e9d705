import type pg from 'pg'
import type { TableSpec } from '../core/table.ts'
import { targetDrift, targetFingerprint } from './fingerprint.ts'
import { captureMarks, installReverseCapture, markWhole, storedMarks } from './reverse-capture.ts'

/** The tables and their triggers as they are, in the snapshot of the transaction that looks. */
export interface Shape {
  readonly fingerprint: string
  readonly marks: string
}

/** What is to be found where nobody changed anything. */
export interface Expected extends Shape {
  /** As the decision left the tables; empty where nothing was noted. */
  readonly decided: string
}

export async function readShape(client: pg.ClientBase, tables: readonly TableSpec[]): Promise<Shape> {
  return {
    fingerprint: await targetFingerprint(client, tables),
    marks: marksText(await captureMarks(client, tables)),
  }
}

export async function readExpected(client: pg.ClientBase, id: number): Promise<Expected> {
  const { rows } = await client.query(
    `SELECT c.fingerprint AS decided, k.fingerprint AS accepted, k.marks FROM slipway.control c
     LEFT JOIN slipway.captured k ON k.migration = c.id WHERE c.id = $1`,
    [id],
  )
  const { decided = '', accepted, marks } = rows[0] ?? {}
  return { decided, fingerprint: accepted ?? decided, marks: marksText(marks ?? {}) }
}

/** In one order, whatever jsonb made of it. */
function marksText(marks: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(marks).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

export function isExpected(shape: Shape, { fingerprint, marks }: Expected): boolean {
  return shape.marks === marks && (fingerprint === '' || shape.fingerprint === fingerprint)
}

export interface DriftFound {
  readonly reasons: readonly string[]
  readonly fatal: boolean
  /** A table is not what the decision left. */
  readonly altered: boolean
}

/**
 * Somebody changed a table or a trigger of ours. What is not fatal is mended in the caller's transaction: triggers are
 * made again, and every table whose rows may have changed unheard is marked to be compared whole (traps P9, H13, H17).
 * Returns what differs from what the decision left.
 */
export async function mendDrift(
  client: pg.ClientBase,
  id: number,
  tables: readonly TableSpec[],
): Promise<DriftFound> {
  const expected = await readExpected(client, id)
  const fingerprint = await targetFingerprint(client, tables)
  const drifts = expected.decided === '' ? [] : targetDrift(expected.decided, fingerprint, tables)
  if (drifts.some(({ fatal }) => fatal)) return { reasons: reasonsOf(drifts), fatal: true, altered: true }
  const known = (await storedMarks(client, id)) !== undefined
  const doubtful = await installReverseCapture(client, id, tables)
  if (expected.fingerprint !== '') {
    const altered = tables
      .filter((table) => targetDrift(expected.fingerprint, fingerprint, [table]).length > 0)
      .map(({ name }) => name)
    await markWhole(
      client,
      id,
      altered.filter((name) => !doubtful.includes(name)),
    )
    await client.query('UPDATE slipway.captured SET fingerprint = $2 WHERE migration = $1', [id, fingerprint])
  }
  // What was never installed cannot have been touched.
  const touched = known ? doubtful.map((name) => `the triggers that capture ${name} were changed`) : []
  return {
    reasons: [...reasonsOf(drifts), ...touched],
    fatal: false,
    altered: drifts.some(({ past }) => past !== true),
  }
}

/** The first of them: a rebuilt schema differs everywhere. */
function reasonsOf(drifts: readonly { readonly what: string; readonly fatal: boolean }[]): string[] {
  const sorted = drifts.toSorted((a, b) => Number(b.fatal) - Number(a.fatal))
  const shown = sorted.slice(0, 5).map(({ what }) => what)
  return sorted.length > shown.length ? [...shown, `and ${sorted.length - shown.length} more`] : shown
}
