/** A pause is a set of reasons, never a boolean: it ends when the last reason is taken back. */
export class Pause {
  readonly #reasons = new Set<string>()
  #changed = Promise.withResolvers<void>()

  get reasons(): readonly string[] {
    return [...this.#reasons]
  }

  get active(): boolean {
    return this.#reasons.size > 0
  }

  add(reason: string): void {
    this.#reasons.add(reason)
    this.#signal()
  }

  delete(reason: string): void {
    this.#reasons.delete(reason)
    this.#signal()
  }

  clear(): void {
    this.#reasons.clear()
    this.#signal()
  }

  #signal(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** Resolves when no reason is left; throws when the signal aborts. */
  async end(signal: AbortSignal): Promise<void> {
    while (this.active && !signal.aborted) await this.change(signal)
    signal.throwIfAborted()
  }

  /** Resolves at the next change, or when the signal aborts. */
  async change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const aborted = Promise.withResolvers<void>()
    const onAbort = (): void => aborted.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    await Promise.race([this.#changed.promise, aborted.promise])
    signal.removeEventListener('abort', onAbort)
  }
}
