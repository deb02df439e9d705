import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

/** The write-ahead log of a database as it is now. */
export interface WalState {
  /** Size of the file: it keeps its high-water mark after a reset. */
  readonly fileBytes: number
  /** Bytes of frames written since the last reset. */
  readonly usedBytes: number
  /** Changes with every reset. */
  readonly generation: string
}

/**
 * Reads the log's header and, by bisection, how many frames belong to its present generation: a frame carries
 * the salts of the header under which it was written. The `-wal` file carries no POSIX locks, so opening it
 * here is harmless; the database file itself is only ever opened by SQLite (trap H7).
 * Format: https://sqlite.org/fileformat2.html#walformat
 */
export function readWal(databasePath: string): WalState {
  const path = `${databasePath}-wal`
  const none: WalState = { fileBytes: 0, usedBytes: 0, generation: '' }
  if (!existsSync(path)) return none
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return none
  }
  try {
    const fileBytes = statSync(path).size
    const header = Buffer.alloc(HEADER_BYTES)
    if (fileBytes < HEADER_BYTES || readSync(file, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) {
      return { ...none, fileBytes }
    }
    const frameBytes = FRAME_HEADER_BYTES + header.readUInt32BE(8)
    const salts = header.subarray(16, 24)
    const frame = Buffer.alloc(FRAME_HEADER_BYTES)
    const current = (index: number): boolean => {
      const read = readSync(file, frame, 0, FRAME_HEADER_BYTES, HEADER_BYTES + index * frameBytes)
      return read === FRAME_HEADER_BYTES && frame.subarray(8, 16).equals(salts)
    }
    let low = 0
    let high = Math.floor((fileBytes - HEADER_BYTES) / frameBytes)
    while (low < high) {
      const middle = (low + high) >> 1
      if (current(middle)) low = middle + 1
      else high = middle
    }
    return { fileBytes, usedBytes: low * frameBytes, generation: salts.toString('hex') }
  } catch {
    return none
  } finally {
    closeSync(file)
  }
}
