import type pg from 'pg'
import { Failure } from '../core/errors.ts'
import { literal } from '../core/quote.ts'
import { misfitPolicy, type TableSpec } from '../core/table.ts'
import { indexCannotHold } from './indexes.ts'
import type { Quarantine } from './quarantine.ts'

/** PostgreSQL took a value and would write it back in another form: rows are looked at one by one. */
export class NotKept extends Error {
  /** Class 22, as if PostgreSQL had said so. */
  readonly code = '22000'
  constructor() {
    super('PostgreSQL would store a value in another form')
  }
}

/** A row that came in meanwhile, by another session of the copy, has to be judged as well. */
export const MOVING = 'target_moving'

interface Group {
  readonly state: string
  readonly col: string | null
  readonly con: string | null
  readonly shown: string
  readonly reason: string
  readonly value: string | null
}

async function groups(client: pg.ClientBase): Promise<Group[]> {
  const { rows } = await client.query(
    `SELECT state, col, con, min(shown) AS shown, min(reason) AS reason, min(value) AS value
     FROM pg_temp.slipway_refused GROUP BY state, col, con ORDER BY 1, 2, 3`,
  )
  return rows
}

/** The index by which rows were refused although their values are right, where there is one. */
export async function decideRefused(
  client: pg.ClientBase,
): Promise<{ readonly name: string; readonly error: Error } | undefined> {
  const group = (await groups(client)).find(
    ({ state, con }) => con !== null && indexCannotHold({ code: state }),
  )
  return group && { name: group.con as string, error: new Error(group.reason) }
}

/**
 * Puts what was refused into the quarantine, unless the plan wants the type widened, or to stop: then it throws the
 * Failure `misfit`. `judged`: uniques whose duplicates were judged already, so that a collision means that a row came
 * in meanwhile; once `patient`, it is taken as it is.
 */
export async function putRefused(
  client: pg.ClientBase,
  quarantine: Quarantine,
  table: TableSpec,
  patient: boolean,
  judged: ReadonlySet<string> = new Set(),
): Promise<void> {
  for (const group of await groups(client)) {
    if (!patient && group.state === '23505' && judged.has(group.con ?? '')) {
      throw new Failure({
        code: MOVING,
        policy: 'transient',
        message: `${table.name}: ${group.reason}: it is looked at again`,
      })
    }
    refuse(table, group)
  }
  const names = Object.fromEntries(table.columns.map((column) => [column.target, column.name]))
  await quarantine.put(
    client,
    table.name,
    `SELECT key, shown, CASE state WHEN '23505' THEN 'duplicate' ELSE 'refused' END, $4::jsonb->>col,
            CASE WHEN reason LIKE 'PostgreSQL would%' THEN reason ELSE ${literal('PostgreSQL refuses it: ')} || reason END,
            value, true, CASE WHEN con IS NOT NULL THEN jsonb_build_object('unique', con) END
     FROM pg_temp.slipway_refused`,
    { values: [JSON.stringify(names)] },
  )
  await client.query('DELETE FROM pg_temp.slipway_refused')
}

/** Throws where the plan does not set such rows aside. A wider type helps against a value, not against a constraint. */
function refuse(table: TableSpec, { state, col, shown, reason, value }: Group): void {
  const spec = table.columns.find((column) => column.target === col)
  if (spec === undefined) return
  const policy = misfitPolicy(table, spec)
  if (policy !== 'fail' && !(policy === 'widen' && state.startsWith('22'))) return
  throw new Failure({
    code: 'misfit',
    message: `${table.name}.${spec.name}: PostgreSQL refuses ${value ?? 'a value'} at ${shown} (${reason})`,
    remedy: `Change the value in SQLite, or the type of ${table.target}.${spec.target} in PostgreSQL; then: slipway start`,
    facts: {
      table: table.name,
      column: spec.name,
      type: spec.type,
      ...(policy === 'widen' ? { holds: spec.type === 'text' ? 'bytea' : 'text' } : {}),
    },
  })
}
