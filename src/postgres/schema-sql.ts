import type { Finding } from '../core/finding.ts'
import { quote } from '../core/quote.ts'
import { HIDDEN_KEY } from '../core/table.ts'
import { ownConstraints, type PlannedPair } from './constraints.ts'
import { targetName } from './dormant.ts'
import { createIndexSql, otherName, shortName } from './indexes.ts'
import { columnLines, finishPlan, keyList } from './schema.ts'

/**
 * The DDL of a snapshot as a script for psql: the tables that slipway would make, with keys, indexes, CHECKs and
 * foreign keys, in one transaction. What is left out stands there as a comment.
 */
export function schemaScript(
  planned: readonly PlannedPair[],
  schema: string,
  findings: readonly Finding[],
): string {
  const own = planned.filter(({ spec }) => spec.owned)
  const lines = [
    'BEGIN;',
    '',
    ...(schema === 'public' ? [] : [`CREATE SCHEMA IF NOT EXISTS ${quote(schema)};`, '']),
    ...planned
      .filter(({ spec }) => !spec.owned)
      .flatMap(({ spec }) => [comment(`${targetName(spec)} is there already and takes ${spec.name}`), '']),
    ...own.flatMap(({ source, spec }) => [...tableSql({ source, spec }), '']),
    ...indexLines(own),
    ...ownConstraints(planned).dormant.map(({ wake }) => `${wake.replace(/ NOT VALID$/, '')};`),
    '',
    ...findings.flatMap(({ message, remedy }) => [
      comment(remedy === undefined ? message : `${message}. ${remedy}`),
    ]),
    '',
    'COMMIT;',
  ]
  return `${lines.join('\n').replace(/\n{3,}/g, '\n\n')}\n`
}

function comment(text: string): string {
  return `-- ${text.replace(/\s+/g, ' ')}`
}

function tableSql({ source, spec }: PlannedPair): string[] {
  const lines = columnLines(source, spec)
  const hidden = spec.key.kind === 'rowid'
  if (!hidden)
    lines.push(`CONSTRAINT ${quote(shortName(`${spec.target}_pkey`))} PRIMARY KEY (${keyList(spec)})`)
  return [
    ...(hidden
      ? [comment(`${spec.name} has no key: while it is moved there is a column ${HIDDEN_KEY} besides`)]
      : []),
    `CREATE TABLE ${targetName(spec)} (\n  ${lines.join(',\n  ')}\n);`,
  ]
}

/** Index names are one space per schema: a second one of a name gets the other that a snapshot would give it. */
function indexLines(own: readonly PlannedPair[]): string[] {
  const taken = new Set(own.flatMap(({ spec }) => [spec.target, shortName(`${spec.target}_pkey`)]))
  return own.flatMap(({ source, spec }) =>
    finishPlan(source, spec).indexes.map((index) => {
      const wanted = shortName(index.name)
      const name = taken.has(wanted) ? otherName(spec, index) : wanted
      taken.add(name)
      return `${createIndexSql(spec, index, name)};`
    }),
  )
}
