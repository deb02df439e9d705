import type { RetryReport } from '../core/operator.ts'
import type { Applied, KeySet } from '../core/ports.ts'

/** Whoever knows the keys that are set aside. */
interface Asides {
  quarantined(): Promise<readonly KeySet[]> | readonly KeySet[]
}

/** Rows set aside that are to be transferred again: those that may fit by now, and all where a person asks. */
export class Retries {
  #keys = new Map<string, Set<string>>()
  #asked: PromiseWithResolvers<RetryReport> | undefined
  #tried = 0

  /** Tries all of them with the next batch. */
  async ask(): Promise<RetryReport> {
    this.#asked ??= Promise.withResolvers()
    return await this.#asked.promise
  }

  /** What the next read shall bring. */
  async next(target: Asides): Promise<readonly KeySet[]> {
    if (this.#asked !== undefined) {
      const all = await target.quarantined()
      this.#tried = all.reduce((sum, { keys }) => sum + keys.length, 0)
      this.#add(all)
      if (this.#tried === 0) this.#answer(0)
    }
    return [...this.#keys].map(([table, keys]) => ({ table, keys: [...keys] }))
  }

  /** After the batch that had them is committed. */
  took(applied: Pick<Applied, 'retry' | 'quarantined'>): void {
    this.#keys = new Map()
    this.#add(applied.retry)
    if (this.#tried > 0) this.#answer(applied.quarantined)
  }

  #answer(left: number): void {
    this.#asked?.resolve({ tried: this.#tried, left })
    this.#asked = undefined
    this.#tried = 0
  }

  #add(sets: readonly KeySet[]): void {
    for (const { table, keys } of sets) {
      const known = this.#keys.get(table) ?? new Set<string>()
      for (const key of keys) known.add(key)
      this.#keys.set(table, known)
    }
  }
}
