/**
 * A position says how far a stream has been read. Forward it is a Seq, the rowid of a changelog row on
 * SQLite, whose order is commit order (one writer). Stored and shown as decimal text, since it may pass 2^53.
 */
export type Seq = bigint

/**
 * A checkpoint is a position together with the mark of the changelog row that stands there. The mark (table,
 * op, key, time and nonce of the row) tells a file that was restored and written again from the one that was
 * read: seq numbers are reused then, marks are not (trap H5).
 */
export interface Checkpoint {
  readonly seq: Seq
  readonly mark: string
}

export function parseSeq(text: string): Seq {
  if (!/^\d+$/.test(text)) throw new Error(`not a position: ${text}`)
  return BigInt(text)
}

/** JSON has no 64-bit integers: a number where it is exact, decimal text where it is not. */
export function seqToJson(seq: Seq): number | string {
  return seq <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seq) : seq.toString()
}
