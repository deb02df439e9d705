import { basename, dirname } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'

/**
 * Wakes the loop when the source's write-ahead log changes. The folder is watched, since the log may not exist
 * yet, may vanish and come back; `raw` is used since `change` is throttled to 50 ms (trap R3). Events may be
 * missed or made up: the loop polls as well, and the poll is the truth.
 */
export class WalWake {
  readonly #watcher: FSWatcher
  #waiters: (() => void)[] = []
  /** A sign between two waits is kept: the next wait returns at once. */
  #signalled = false

  constructor(databasePath: string) {
    const folder = dirname(databasePath)
    const wal = `${basename(databasePath)}-wal`
    this.#watcher = watch(folder, {
      depth: 0,
      ignoreInitial: true,
      // Only the log and the database are looked at: the folder may hold thousands of other files.
      ignored: (path) => path !== folder && !path.endsWith(wal),
    })
    this.#watcher.on('raw', (_event, path) => {
      if (path === null || String(path).endsWith(wal)) this.#signal()
    })
    // A watcher that fails (inotify limits) costs latency, not correctness.
    this.#watcher.on('error', () => undefined)
  }

  #signal(): void {
    this.#signalled = true
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#signalled || signal.aborted) {
      this.#signalled = false
      return
    }
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done, { once: true })
      this.#waiters.push(done)
    })
    this.#signalled = false
  }

  async close(): Promise<void> {
    this.#signal()
    await this.#watcher.close()
  }
}
