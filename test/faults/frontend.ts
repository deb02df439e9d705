/**
 * What a client of PostgreSQL sends, cut into pieces at the messages that a proxy may want to strike: protocol 3.0,
 * unencrypted. Long messages pass without being kept.
 */
export interface Piece {
  readonly bytes: Buffer
  /** The text of a Query or Parse, where it is short enough to be one of ours. */
  readonly text?: string
}

const KEPT_BYTES = 64 * 1024
const QUERY = 0x51
const PARSE = 0x50

export class Frontend {
  #started = false
  #pending: Buffer = Buffer.alloc(0)
  /** Bytes of a message that passes without being kept. */
  #passing = 0

  /** Pieces that are complete now; the rest waits for the next bytes. */
  push(chunk: Buffer): Piece[] {
    const pieces: Piece[] = []
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    for (;;) {
      if (this.#passing > 0) {
        const bytes = this.#take(Math.min(this.#passing, this.#pending.length))
        if (bytes.length === 0) return pieces
        this.#passing -= bytes.length
        pieces.push({ bytes })
        continue
      }
      // Startup has a length and no type; it may come after a request for encryption, which is one too.
      const header = this.#started ? 5 : 8
      if (this.#pending.length < header) return pieces
      const type = this.#started ? this.#pending[0]! : 0
      const length = this.#started ? 1 + this.#pending.readInt32BE(1) : this.#pending.readInt32BE(0)
      const kept = !this.#started || ((type === QUERY || type === PARSE) && length <= KEPT_BYTES)
      if (!kept) {
        this.#passing = length
        continue
      }
      if (this.#pending.length < length) return pieces
      const bytes = this.#take(length)
      if (!this.#started) {
        this.#started = bytes.readInt32BE(4) === 3 << 16
        pieces.push({ bytes })
      } else {
        pieces.push({ bytes, text: textOf(type, bytes) })
      }
    }
  }

  #take(length: number): Buffer {
    const bytes = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return bytes
  }
}

function textOf(type: number, bytes: Buffer): string {
  const from = type === QUERY ? 5 : bytes.indexOf(0, 5) + 1
  const end = bytes.indexOf(0, from)
  return bytes.toString('utf8', from, end < 0 ? bytes.length : end)
}
