import type { Config } from '../core/config.ts'
import { constraintParity } from '../core/parity.ts'
import type { SourceTable } from '../core/source-schema.ts'
import type { TableSpec } from '../core/table.ts'
import type { Connection } from '../postgres/connection.ts'
import { introspectTarget } from '../postgres/introspect.ts'
import { openReader } from '../sqlite/open.ts'

interface ParityDeps {
  readonly config: Config
  readonly connection: Connection
  readonly sources: readonly SourceTable[]
  readonly tables: readonly TableSpec[]
  /** What may stand in the way of a rollback, and need not. */
  readonly warn: (text: string) => void
}

/** What no row could come back past (trap H19), one sentence each; what only may is a warning. */
export async function parityOf({
  config,
  connection,
  sources,
  tables,
  warn,
}: ParityDeps): Promise<readonly string[]> {
  const shapes = await introspectTarget(connection, config.postgresSchema)
  const pairs = tables.flatMap((spec) => {
    const source = sources.find(({ name }) => name === spec.name)
    const target = shapes.find(({ name }) => name === spec.target)
    return source === undefined ? [] : [{ source, spec, target }]
  })
  const findings = constraintParity(pairs, functionsOf(config.sqlitePath))
  for (const { severity, message } of findings) if (severity === 'warns') warn(message)
  return findings
    .filter(({ severity }) => severity === 'blocks')
    .map(({ message, remedy }) => `${message}. ${remedy}`)
}

/** Lower-case names of the SQL functions that slipway's own connections have. */
function functionsOf(path: string): ReadonlySet<string> {
  const reader = openReader(path)
  try {
    const names = reader.prepare('SELECT DISTINCT lower(name) FROM pragma_function_list').pluck().all()
    return new Set(names as string[])
  } finally {
    reader.close()
  }
}
