/** Rate and time left, from samples: pure, shared by `/status` and the terminal. */
export interface Progress {
  readonly done: number
  readonly expected: number
  readonly elapsedMs: number
}

export function ratePerSecond(progress: Progress): number | null {
  return progress.elapsedMs < 200 ? null : Math.round((progress.done * 1000) / progress.elapsedMs)
}

/** Seconds left; null while unknown. An estimate that was too low ends at zero, never below. */
export function etaSeconds(progress: Progress): number | null {
  const rate = ratePerSecond(progress)
  if (rate === null || rate === 0) return null
  return Math.max(0, Math.round((progress.expected - progress.done) / rate))
}
