/** The named points at which the daemon can be killed or stopped on purpose. */
import type { Passage } from './passage.ts'

/**
 * As the daemon knows them; empty where it knows none. Read when asked for, so that what needs no points runs without.
 */
export async function crashPoints(passage: Passage): Promise<readonly string[]> {
  const path: string = '../../src/switchover/crash.ts'
  const loaded = (await import(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return {}
    throw error
  })) as { readonly ALL_POINTS?: readonly string[] }
  return (loaded.ALL_POINTS ?? []).filter((point) => point.startsWith(`${passage}.`))
}

/** Points that are only met when a change is taken back. */
export function isOfUndo(point: string): boolean {
  return /undo|reopen/.test(point)
}
