import { ownNames } from '../plan-names.ts'
import { quote } from '../quote.ts'
import type { SourceTable } from '../source-schema.ts'
import type { TableSpec } from '../table.ts'
import { type ContextColumn, expressionContext } from './context.ts'
import { translateGenerated } from './translate.ts'

/** A generated column that the target can have. */
export interface GeneratedColumn {
  /** In the source and in the target. */
  readonly name: string
  readonly type: string
  /** Over plain columns alone: PostgreSQL does not let generated columns build on each other. */
  readonly sql: string
  readonly notNull: boolean
}

export interface GeneratedPlan {
  readonly made: readonly GeneratedColumn[]
  readonly left: readonly { readonly name: string; readonly reason: string }[]
  /** As CHECKs and plain indexes see them: by name. */
  readonly named: ReadonlyMap<string, ContextColumn>
  /** As unique indexes see them: by their expression, since rows that are on their way have no generated columns. */
  readonly inline: ReadonlyMap<string, ContextColumn>
}

const STORAGE: Readonly<Record<string, ContextColumn['storage']>> = {
  bigint: 'integer',
  boolean: 'integer',
  text: 'text',
  bytea: 'blob',
}

/** Decides which generated columns of a table of ours come over, in whatever order they build on each other. */
export function planGenerated(source: SourceTable, spec: TableSpec): GeneratedPlan {
  const made: GeneratedColumn[] = []
  const named = new Map<string, ContextColumn>()
  const inline = new Map<string, ContextColumn>()
  const reasons = new Map<string, string>()
  const open = new Set(source.columns.filter((column) => column.generated))
  const taken = new Set(spec.columns.map((column) => column.target))
  for (let progress = true; progress; ) {
    progress = false
    for (const column of open) {
      const { name, declared, generatedSql, collation, notNull } = column
      if (generatedSql === undefined) {
        reasons.set(name, 'its expression could not be read')
        continue
      }
      const unfit = ownNames([name], 'column')[0]?.why ?? (taken.has(name) ? 'its name is taken' : undefined)
      if (unfit !== undefined) {
        reasons.set(name, unfit)
        continue
      }
      const result = translateGenerated(generatedSql, declared, expressionContext(source, spec, inline))
      if ('reason' in result) {
        reasons.set(name, result.reason)
        continue
      }
      const { sql, type, value } = result
      const seen = { name, collation, notNull, sameNulls: true, kind: value.kind as ContextColumn['kind'] }
      const storage = STORAGE[type] ?? (value.kind === 'float' ? 'real' : undefined)
      made.push({ name, type, sql, notNull })
      named.set(name, { ...seen, storage, sql: quote(name) })
      inline.set(name, { ...seen, storage, sql: `(${sql})`, narrow: value.narrow })
      open.delete(column)
      progress = true
    }
  }
  return {
    made: made.toSorted((a, b) => place(source, a.name) - place(source, b.name)),
    left: [...open].map(({ name }) => ({ name, reason: reasons.get(name) ?? 'it builds on itself' })),
    named,
    inline,
  }
}

function place(source: SourceTable, name: string): number {
  return source.columns.findIndex((column) => column.name === name)
}
