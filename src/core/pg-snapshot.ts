/**
 * Positions of the way back, as text: `xmin:xmax:xip,xip`. What a snapshot shows are the transactions before `xmax`
 * that are not in the list (PostgreSQL's documentation, "pg_snapshot Components").
 */

export interface PgSnapshot {
  /** The first transaction that had not begun. */
  readonly xmax: bigint
  /** Those before it that had not ended. */
  readonly open: ReadonlySet<bigint>
}

/** Undefined where the text is no `pg_snapshot`. */
export function parsePgSnapshot(text: string): PgSnapshot | undefined {
  const match = /^\d+:(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text)
  if (match === null) return undefined
  const open = match[2]!.split(',').filter((xid) => xid !== '')
  return { xmax: BigInt(match[1]!), open: new Set(open.map(BigInt)) }
}

/** Whether one position of a direction shows everything that another one shows. Numbers and snapshots never agree. */
export function covers(position: number | string, other: number | string): boolean {
  const [one, two] = [String(position), String(other)]
  if (/^\d+$/.test(one) && /^\d+$/.test(two)) return BigInt(one) >= BigInt(two)
  const [newer, older] = [parsePgSnapshot(one), parsePgSnapshot(two)]
  if (newer === undefined || older === undefined) return false
  // Transactions that only the other one could show, by their numbers; none of them if all were open there.
  const gap = older.xmax - newer.xmax
  if (gap > BigInt(older.open.size)) return false
  for (let xid = newer.xmax; xid < older.xmax; xid++) if (!older.open.has(xid)) return false
  return [...newer.open].every((xid) => xid >= older.xmax || older.open.has(xid))
}
