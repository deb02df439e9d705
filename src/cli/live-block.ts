/** Lines at the bottom of a terminal that are drawn anew in place, while other lines pass above them. */
import { stripVTControlCharacters } from 'node:util'

export class LiveBlock {
  readonly #stream: NodeJS.WriteStream
  #lines: readonly string[] = []
  #drawn = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  /** Shows these lines instead of the last ones; what does not fit the window is left out. */
  update(lines: readonly string[]): void {
    if (this.#stream.isTTY !== true) return
    this.#lines = lines
    this.#stream.write(this.#erased() + this.#block())
  }

  /** Lines that stay, above the block. */
  above(text: string): void {
    this.#stream.write(this.#erased() + text + this.#block())
  }

  /** Takes the block away until the next update. */
  pause(): void {
    this.#lines = []
    if (this.#drawn > 0) this.#stream.write(this.#erased())
  }

  #erased(): string {
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\u001b[0J`
    this.#drawn = 0
    return up
  }

  #block(): string {
    // A terminal that does not know its size says 0.
    const width = (this.#stream.columns || 80) - 1
    const height = Math.max(1, (this.#stream.rows || 24) - 2)
    const shown = this.#lines.slice(0, height).map((line) => cut(line, width))
    this.#drawn = shown.length
    return shown.map((line) => `${line}\n`).join('')
  }
}

/** A line that wraps would be two, and the block would not find its start again. */
function cut(line: string, width: number): string {
  const plain = [...stripVTControlCharacters(line)]
  return plain.length <= width ? line : plain.slice(0, width).join('')
}
