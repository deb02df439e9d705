import { setTimeout as sleep } from 'node:timers/promises'
import { sourceFailure } from './open.ts'

const PATIENCE_MS = 30_000
const AGAIN_MS = 100

/** Reads again while a writer has the file for itself, as it may outside WAL mode; gives up after half a minute. */
export async function patiently<T>(
  path: string,
  signal: AbortSignal,
  read: () => T | Promise<T>,
): Promise<T> {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await read()
    } catch (error) {
      if (!isBusy(error)) throw error
      if (Date.now() > deadline) throw sourceFailure(path, error)
      await sleep(AGAIN_MS, undefined, { signal })
    }
  }
}

function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test((error as { code?: string } | undefined)?.code ?? '')
}
