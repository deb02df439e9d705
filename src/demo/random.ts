/** A small seeded generator: the same seed gives the same row on every machine. Not for secrets. */
export class Random {
  #state: number

  /** The parts are mixed into one seed, so that each row of each table has a sequence of its own. */
  constructor(...parts: readonly number[]) {
    let state = 0x9e3779b9
    for (const part of parts) state = Math.imul(state ^ part, 0x85ebca6b) ^ (state >>> 13)
    this.#state = state | 0
  }

  /** In [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from `low` to `high`, both possible. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)]!
  }
}
