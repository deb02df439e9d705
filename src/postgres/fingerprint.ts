import type pg from 'pg'
import type { TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'

interface Column {
  /** Type and modifier by their numbers: names would depend on the search path. */
  readonly type: string
  readonly notNull: boolean
  readonly generated: string
  /**
   * The transaction that wrote the column's row in the catalogue. `ALTER COLUMN … TYPE … USING` may rewrite every value
   * and leave the type as it was, without a trigger hearing of it (trap H17): this changes, and nothing else does.
   */
  readonly written: string
}

interface Shape {
  /** Another one: the table was dropped and made anew, so its rows changed without a trigger. */
  readonly oid: string
  readonly kind: string
  readonly columns: Readonly<Record<string, Column>>
  readonly constraints: Readonly<Record<string, string>>
  readonly uniques: Readonly<Record<string, string>>
  /** Partitions and children: rows come in with one that is attached, and no trigger hears of it. */
  readonly partitions: Readonly<Record<string, string>>
}

type Shapes = Readonly<Record<string, Shape | null>>

/** What DDL did to a table of the target since its fingerprint was taken. */
export interface Drift {
  /** One sentence. */
  readonly what: string
  /** True where rows can no longer be read as the plan says. */
  readonly fatal: boolean
  /** The table is what it was; its rows may not be, and are compared. */
  readonly past?: true
}

/**
 * What the target's tables are: columns, types, NOT NULL, constraints, unique indexes, partitions. A text that is equal
 * as long as no DDL changed any of it, and that `targetDrift` can read. Neither TRUNCATE nor VACUUM FULL, CLUSTER or
 * ANALYZE change it, nor VALIDATE CONSTRAINT, nor a trigger, an index that is not unique, or the session's settings.
 */
export async function targetFingerprint(
  client: pg.ClientBase,
  tables: readonly TableSpec[],
): Promise<string> {
  const { rows } = await client.query({
    name: 'slipway_fingerprint',
    text: `
      SELECT t.name, CASE WHEN c.oid IS NULL THEN NULL ELSE json_build_object(
        'oid', c.oid::text, 'kind', c.relkind,
        'columns', (SELECT json_object_agg(a.attname, json_build_object('type', a.atttypid || ':' || a.atttypmod,
             'notNull', a.attnotnull, 'generated', a.attgenerated, 'written', a.xmin::text) ORDER BY a.attnum)
           FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'constraints', (SELECT json_object_agg(k.conname, concat_ws(' ', k.contype, k.conkey, k.confrelid, k.confkey,
             k.confupdtype, k.confdeltype, k.condeferrable, k.condeferred, md5(k.conbin::text)) ORDER BY k.conname)
           FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')),
        'uniques', (SELECT json_object_agg(i.relname, concat_ws(' ', x.indkey, x.indnkeyatts, x.indclass, x.indcollation,
             md5(x.indpred::text), md5(x.indexprs::text)) ORDER BY i.relname)
           FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid AND x.indisunique),
        'partitions', (WITH RECURSIVE family AS (
             SELECT h.inhrelid, h.inhparent FROM pg_inherits h WHERE h.inhparent = c.oid
             UNION SELECT h.inhrelid, h.inhparent FROM pg_inherits h JOIN family f ON h.inhparent = f.inhrelid)
           SELECT json_object_agg(n.nspname || '.' || p.relname, p.oid::text || ' ' || f.inhparent ORDER BY p.oid)
           FROM family f JOIN pg_class p ON p.oid = f.inhrelid JOIN pg_namespace n ON n.oid = p.relnamespace)) END AS shape
      FROM unnest($1::text[]) WITH ORDINALITY t(name, place) LEFT JOIN pg_class c ON c.oid = to_regclass(t.name)
      ORDER BY t.place`,
    values: [tables.map(targetName)],
  })
  const shapes: Record<string, Shape | null> = {}
  for (const { name, shape } of rows) shapes[name] = shape && { ...EMPTY, ...present(shape) }
  return JSON.stringify(shapes)
}

const EMPTY = { columns: {}, constraints: {}, uniques: {}, partitions: {} }

/** Without what the server has none of: it says null. */
function present(shape: Record<string, unknown>): Shape {
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== null)) as unknown as Shape
}

/** What changed between two fingerprints, in sentences; empty where nothing did. */
export function targetDrift(before: string, after: string, tables: readonly TableSpec[]): readonly Drift[] {
  if (before === after) return []
  const [old, now] = [JSON.parse(before) as Shapes, JSON.parse(after) as Shapes]
  return tables.flatMap((table) => {
    const name = targetName(table)
    const [was, is] = [old[name], now[name]]
    // A table of which the decision knew nothing.
    if (was === undefined || was === null) return is === was ? [] : [{ what: `${name} is new`, fatal: false }]
    if (is === undefined || is === null) return [{ what: `${name} is gone`, fatal: true }]
    return shapeDrift(name, was, is, movedColumns(table))
  })
}

function movedColumns(table: TableSpec): ReadonlySet<string> {
  return new Set([...table.columns, ...table.key.columns].map((column) => column.target))
}

function shapeDrift(name: string, was: Shape, is: Shape, moved: ReadonlySet<string>): Drift[] {
  if (was.oid !== is.oid || was.kind !== is.kind)
    return [{ what: `${name} was dropped and made anew`, fatal: true }]
  const drift: Drift[] = []
  for (const [column, old] of Object.entries(was.columns)) {
    const now = is.columns[column]
    const what = `the column ${column} of ${name}`
    if (now === undefined) drift.push({ what: `${what} is gone`, fatal: moved.has(column) })
    else if (now.type !== old.type || now.generated !== old.generated)
      drift.push({ what: `${what} has another type`, fatal: moved.has(column) })
    else if (now.notNull !== old.notNull)
      drift.push({
        what: `${what} ${now.notNull ? 'became NOT NULL' : 'is no longer NOT NULL'}`,
        fatal: false,
      })
    else if (now.written !== old.written)
      drift.push({
        what: `${what} was altered, and its values may have been rewritten`,
        fatal: false,
        past: true,
      })
  }
  for (const column of Object.keys(is.columns))
    if (!(column in was.columns)) drift.push({ what: `${name} has a new column ${column}`, fatal: false })
  const parts = [
    ['constraint', was.constraints, is.constraints],
    ['unique index', was.uniques, is.uniques],
    ['partition', was.partitions, is.partitions],
  ] as const
  for (const [kind, old, now] of parts) {
    for (const one of new Set([...Object.keys(old), ...Object.keys(now)])) {
      if (old[one] === now[one]) continue
      const did = now[one] === undefined ? 'is gone' : old[one] === undefined ? 'is new' : 'was changed'
      drift.push({ what: `the ${kind} ${one} of ${name} ${did}`, fatal: false })
    }
  }
  return drift
}
