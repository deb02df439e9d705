/** Names of tables and columns: which one of the target is meant, and what PostgreSQL makes of SQLite's. */
import { HIDDEN_KEY } from './table.ts'

/** PostgreSQL cuts names at 63 bytes with no more than a notice (trap V14). */
const NAME_BYTES = 63

/** Names that every PostgreSQL table has already (trap V23). */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

/** Names that differ only in case and underscores are the same name (`AlbumId`, `album_id`). */
function fold(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}

/** The exact name, else the only one of the same letters; where there are several, none is meant. */
export function findName<T extends { readonly name: string }>(
  wanted: string,
  among: readonly T[],
): { readonly found?: T; readonly several: readonly T[] } {
  const exact = among.find((candidate) => candidate.name === wanted)
  if (exact !== undefined) return { found: exact, several: [] }
  const similar = among.filter((candidate) => fold(candidate.name) === fold(wanted))
  return similar.length === 1 ? { found: similar[0] as T, several: [] } : { several: similar }
}

/** A name that PostgreSQL keeps whole: a longer one is cut, and a hash of all of it keeps two of them apart. */
export function shortName(name: string): string {
  return Buffer.byteLength(name) <= NAME_BYTES ? name : withHash(name, name)
}

function withHash(name: string, of: string): string {
  const characters = [...name]
  while (Buffer.byteLength(characters.join('')) > NAME_BYTES - 9) characters.pop()
  return `${characters.join('')}_${hash(of)}`
}

/** FNV-1a, 32 bits: the same on every machine and in every version, since the names stay in the target. */
function hash(text: string): string {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0
  return value.toString(16).padStart(8, '0')
}

export interface OwnName {
  readonly name: string
  readonly target: string
  /** Why it is not the same, for people; undefined where it is. */
  readonly why: string | undefined
}

/**
 * Names of the columns of a table (or of the tables of a schema) that slipway makes: the source's, but for those that
 * PostgreSQL cannot have. `kind` names the ones that have no name at all.
 */
export function ownNames(names: readonly string[], kind: 'column' | 'table'): OwnName[] {
  const taken = new Set(names)
  return names.map((name, index) => {
    const other = otherName(name, kind, index + 1)
    if (other === undefined) return { name, target: name, why: undefined }
    let target = other.target
    while (taken.has(target)) target = withHash(target, `${target} of ${name}`)
    taken.add(target)
    return { name, target, why: other.why }
  })
}

function otherName(
  name: string,
  kind: 'column' | 'table',
  position: number,
): { target: string; why: string } | undefined {
  if (name === '') return { target: `${kind}_${position}`, why: 'PostgreSQL has no empty names' }
  if (kind === 'column' && name === HIDDEN_KEY)
    return { target: `${name}_`, why: 'slipway has columns of this name' }
  if (kind === 'column' && SYSTEM_COLUMNS.has(name)) {
    return { target: `${name}_`, why: 'every table of PostgreSQL has a column of this name' }
  }
  const bytes = Buffer.byteLength(name)
  if (bytes <= NAME_BYTES) return undefined
  return { target: shortName(name), why: `it has ${bytes} bytes, and PostgreSQL keeps ${NAME_BYTES}` }
}
