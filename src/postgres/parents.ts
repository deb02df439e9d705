import type pg from 'pg'
import { literal, quote } from '../core/quote.ts'
import type { KeyColumn, TableSpec } from '../core/table.ts'
import { targetName } from './dormant.ts'
import { hasDuplicates, judgedUniques, release } from './duplicates.ts'
import { decodedSql, encodedSql, keyTextSql, shownKeySql } from './key-text.ts'
import type { Quarantine } from './quarantine.ts'
import { sameKey } from './stage.ts'

/** A foreign key to the key of another table. */
interface Link {
  readonly child: TableSpec
  readonly parent: TableSpec
  /** The child's columns in the order of the parent's key, with their types and the parent's spelling. */
  readonly columns: readonly ({ readonly name: string } & Pick<KeyColumn, 'type' | 'codec'>)[]
}

/** What is done before a table of the target is changed; `gone` and `rows` are stage tables. */
export type BeforeChange = (
  client: pg.ClientBase,
  table: TableSpec,
  stages: { readonly gone?: string | undefined; readonly rows?: string | undefined },
) => Promise<void>

/** Types whose values name a parent by the same text. */
function family(type: string): string {
  if (/^(smallint|integer|bigint)$/.test(type)) return 'integer'
  if (/^(text|character varying)/.test(type)) return 'text'
  return type
}

/** Foreign keys to a parent's key by columns of the same kind; others cannot be followed. */
export function linksOf(tables: readonly TableSpec[]): Link[] {
  const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
  return tables.flatMap((child) =>
    (child.parents ?? []).flatMap((key): Link[] => {
      const parent = tables.find((table) => same(table.name, key.parent))
      if (parent === undefined || parent.key.columns.length !== key.parentColumns.length) return []
      const columns = parent.key.columns.flatMap((part) => {
        const at = key.parentColumns.findIndex((name) => same(name, part.name))
        const column = child.columns.find((each) => same(each.name, key.columns[at] ?? ''))
        if (column === undefined || family(column.type) !== family(part.type)) return []
        return [{ name: column.target, type: column.type, codec: part.codec }]
      })
      return columns.length === parent.key.columns.length ? [{ child, parent, columns }] : []
    }),
  )
}

/** SQL of rows that follow: the child's key columns, and of the parent its encoded key, how it is shown, and if it blocks. */
function followers(link: Link, from: string): string {
  const keys = link.child.key.columns.map((column) => `c.${quote(column.target)}`)
  return `SELECT ${keys.join(', ')}, p.key AS sw_of, p.shown AS sw_shown, p.blocking AS sw_blocking FROM ${targetName(link.child)} c ${from}`
}

/** Rows of a stage whose parent is set aside. */
function arrived(link: Link, stage: string, migration: string): string {
  const of = encodedSql(link.columns.map(({ name, type, codec }) => ({ x: `c.${quote(name)}`, type, codec })))
  return followers(
    link,
    `JOIN ${stage} s ON ${sameKey(link.child, 's', 'c')}
     JOIN slipway.quarantine p ON p.migration = ${literal(migration)} AND p.direction = 'forward' AND p.tbl = ${literal(link.parent.name)}
       AND md5(p.key) = md5(${of}) AND p.key = ${of}`,
  )
}

/** Rows of the target whose parent was set aside in this transaction, at that level. */
function orphaned(link: Link, level: number): string {
  const decoded = decodedSql(link.parent.key.columns, 'a.key')
  return followers(
    link,
    `JOIN (SELECT a.key, a.shown, a.blocking, ${decoded.map((sql, i) => `${sql} AS k${i}`).join(', ')}
           FROM pg_temp.slipway_new a WHERE a.tbl = ${literal(link.parent.name)} AND a.level = ${level}) p
     ON ${link.columns.map(({ name }, i) => `c.${quote(name)} = p.k${i}`).join(' AND ')}`,
  )
}

/**
 * Foreign keys, kept although the target's own are asleep: at the end of a transaction no row of the target refers to
 * one that is set aside. Children of such a row are set aside as well, and theirs; children of one that came back, or is
 * gone for good, are due. `arrivals`: stages with the rows that this transaction brought, by table. With `all` the scratch
 * table of new rows was filled by the caller.
 */
export async function follow(
  client: pg.ClientBase,
  quarantine: Quarantine,
  links: readonly Link[],
  arrivals: ReadonlyMap<TableSpec, string>,
  beforeChange: BeforeChange,
  all = false,
): Promise<void> {
  for (const link of links) {
    const stage = arrivals.get(link.child)
    if (stage !== undefined)
      await move(client, quarantine, link, arrived(link, stage, quarantine.migration), 0, beforeChange)
  }
  for (let level = 0; all || quarantine.moved.put > 0; level++) {
    const { rows } = await client.query('SELECT DISTINCT tbl FROM pg_temp.slipway_new WHERE level = $1', [
      level,
    ])
    if (rows.length === 0) break
    const parents = new Set(rows.map((row) => row.tbl))
    for (const link of links) {
      if (parents.has(link.parent.name))
        await move(client, quarantine, link, orphaned(link, level), level + 1, beforeChange)
    }
  }
  if (quarantine.moved.left === 0) return
  await client.query(
    `UPDATE slipway.quarantine q SET due = true FROM pg_temp.slipway_left l
     WHERE q.migration = $1 AND q.direction = 'forward' AND q.kind = 'parent' AND NOT q.due
       AND md5(q.facts->>'of') = md5(l.key) AND q.facts->>'of' = l.key AND q.facts->>'parent' = l.tbl
       AND NOT EXISTS (SELECT 1 FROM slipway.quarantine p WHERE p.migration = $1 AND p.direction = 'forward'
                       AND p.tbl = l.tbl AND md5(p.key) = md5(l.key) AND p.key = l.key)`,
    [quarantine.migration],
  )
}

const MOVING = 'pg_temp.slipway_moving'

async function move(
  client: pg.ClientBase,
  quarantine: Quarantine,
  link: Link,
  select: string,
  level: number,
  beforeChange: BeforeChange,
): Promise<void> {
  const { child, parent } = link
  const any = await client.query(`SELECT EXISTS (${select}) AS some`)
  if (!any.rows[0].some) return
  const keys = child.key.columns.map((column) => quote(column.target)).join(', ')
  await client.query(
    `CREATE TEMP TABLE slipway_moving ON COMMIT DROP AS
     SELECT DISTINCT ON (${keys}) * FROM (${select}) f ORDER BY ${keys}, sw_blocking DESC`,
  )
  await beforeChange(client, child, { gone: MOVING })
  await quarantine.put(
    client,
    child.name,
    `SELECT ${keyTextSql(child, 'm')}, ${shownKeySql(child, 'm')}, 'parent', NULL::text,
            ${literal(`its parent in ${parent.name} is set aside: `)} || m.sw_shown, NULL::text, m.sw_blocking,
            jsonb_build_object('parent', ${literal(parent.name)}::text, 'of', m.sw_of)
     FROM ${MOVING} m`,
    { level },
  )
  await client.query(`DELETE FROM ${targetName(child)} t USING ${MOVING} s WHERE ${sameKey(child, 't', 's')}`)
  if (await hasDuplicates(client, quarantine, child))
    await release(client, quarantine, child, await judgedUniques(client, child), [MOVING])
  await client.query(`DROP TABLE ${MOVING}`)
}

/**
 * The same for the whole quarantine, once: chunks of a copy do not look for parents, and each chunk knows of its own
 * rows alone.
 */
export async function followAll(
  client: pg.ClientBase,
  quarantine: Quarantine,
  tables: readonly TableSpec[],
  beforeChange: BeforeChange,
): Promise<void> {
  const { migration } = quarantine
  await client.query(
    `INSERT INTO pg_temp.slipway_new SELECT tbl, key, shown, blocking, 0 FROM slipway.quarantine
     WHERE migration = $1 AND direction = 'forward' AND tbl = ANY ($2)`,
    [migration, [...new Set(linksOf(tables).map((link) => link.parent.name))]],
  )
  await follow(client, quarantine, linksOf(tables), new Map(), beforeChange, true)
  for (const table of tables) {
    if (await hasDuplicates(client, quarantine, table))
      await release(client, quarantine, table, await judgedUniques(client, table), undefined)
  }
}
