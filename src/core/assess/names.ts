import type { Finding } from '../finding.ts'
import type { SourceTable } from '../source-schema.ts'
import { HIDDEN_KEY } from '../table.ts'

/** PostgreSQL cuts names here, with no more than a notice (trap V14). */
export const NAME_BYTES = 63

/** What every PostgreSQL table has already (trap V23). `oid` is free since version 12. */
const TAKEN_COLUMNS = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid', HIDDEN_KEY])

const RENAME = 'Give it another name in the plan ("target"), or rename it in SQLite.'

function bytes(name: string): number {
  return Buffer.byteLength(name)
}

/** Names that PostgreSQL cannot keep as they are. */
export function nameFindings(tables: readonly SourceTable[]): Finding[] {
  const colliding = [...collisions(tables)]
  // A name that is cut into another's is told once.
  const told = new Set(colliding.map(({ table, column }) => `${table}\0${column}`))
  const others = tables.flatMap((table) => [...namesOf(table)])
  return [
    ...colliding,
    ...others.filter(
      ({ code, table, column }) => code !== 'name_too_long' || !told.has(`${table}\0${column}`),
    ),
  ]
}

function* namesOf(table: SourceTable): Iterable<Finding> {
  const place = { table: table.name }
  if (table.name === '')
    yield blocking('name_empty', place, 'the table has an empty name, which PostgreSQL does not allow')
  if (bytes(table.name) > NAME_BYTES) yield blocking('name_too_long', place, tooLong('the table', table.name))
  for (const { name, generated } of table.columns) {
    if (generated) continue
    const at = { table: table.name, column: name }
    if (name === '')
      yield blocking('name_empty', at, 'the column has an empty name, which PostgreSQL does not allow')
    if (bytes(name) > NAME_BYTES) yield blocking('name_too_long', at, tooLong('the column', name))
    if (TAKEN_COLUMNS.has(name))
      yield blocking('name_reserved', at, `PostgreSQL keeps the column name ${name} for itself`)
  }
  const long = table.indexes.filter((index) => index.origin === 'c' && bytes(index.name) > NAME_BYTES)
  for (const { name } of long) {
    yield {
      code: 'index_renamed',
      severity: 'info',
      ...place,
      examples: [name],
      message: `the index name has ${bytes(name)} bytes and gets a shorter one in PostgreSQL`,
    }
  }
}

function tooLong(what: string, name: string): string {
  return `the name of ${what} has ${bytes(name)} bytes, and PostgreSQL keeps ${NAME_BYTES}`
}

function blocking(code: string, place: { table: string; column?: string }, message: string): Finding {
  return { code, severity: 'blocks', ...place, message, remedy: RENAME }
}

/** Names that are one name once PostgreSQL has cut them. */
function* collisions(tables: readonly SourceTable[]): Iterable<Finding> {
  for (const [cut, names] of alike(tables.map((table) => table.name))) {
    for (const table of names) {
      yield blocking(
        'names_collide',
        { table },
        `${names.length} tables begin with the same 63 bytes, ${cut}`,
      )
    }
  }
  for (const table of tables) {
    for (const [cut, names] of alike(table.columns.map((column) => column.name))) {
      for (const column of names) {
        const message = `${names.length} columns begin with the same 63 bytes, ${cut}`
        yield blocking('names_collide', { table: table.name, column }, message)
      }
    }
  }
}

function alike(names: readonly string[]): [string, string[]][] {
  const cut = (name: string): string => {
    let head = name
    while (bytes(head) > NAME_BYTES) head = head.slice(0, -1)
    return head
  }
  return [...Map.groupBy(names, cut)].filter(([, group]) => group.length > 1)
}
