/** What the work tells, told on: to the log, and to several listeners at once. */
import type { Observer } from '../core/observer.ts'
import type { Logger } from '../logging.ts'

/** Each listener hears everything that it has an ear for. */
export function combine(...listeners: readonly Partial<Observer>[]): Observer {
  return {
    phase: (phase, previous) => each(listeners, (one) => one.phase?.(phase, previous)),
    applied: (batch) => each(listeners, (one) => one.applied?.(batch)),
    copied: (table) => each(listeners, (one) => one.copied?.(table)),
    switched: (run) => each(listeners, (one) => one.switched?.(run)),
    step: (text) => each(listeners, (one) => one.step?.(text)),
    warn: (text, facts) => each(listeners, (one) => one.warn?.(text, facts)),
    error: (error, willRetryInMs) => each(listeners, (one) => one.error?.(error, willRetryInMs)),
  }
}

function each(listeners: readonly Partial<Observer>[], tell: (one: Partial<Observer>) => void): void {
  for (const listener of listeners) tell(listener)
}

/** Batches are many: they are told at level debug, for the metrics count them. */
export function logObserver(logger: Logger): Omit<Observer, 'copied'> {
  return {
    phase: (phase, previous) => logger.info({ phase, previous }, `phase ${previous} → ${phase}`),
    applied: ({ direction, seconds, changes }) =>
      logger.debug({ direction, seconds, changes }, 'batch applied'),
    switched: ({ passage, state, epoch, attempt, pause_ms, drained_changes, overrides, reason }) =>
      logger.info(
        { passage, state, epoch, attempt, pause_ms, drained_changes, overrides },
        `${passage} ${state}${pause_ms === null ? '' : `, writes paused for ${pause_ms.toFixed(1)} ms`}${reason === null ? '' : `: ${reason}`}`,
      ),
    step: (text) => logger.info(text),
    warn: (text, facts) => logger.warn(facts ?? {}, text),
    error: (err, willRetryInMs) => {
      const text = err instanceof Error ? err.message : String(err)
      if (willRetryInMs === undefined) logger.error({ err }, text)
      else
        logger.warn({ err, willRetryInMs }, `${text}; trying again in ${(willRetryInMs / 1000).toFixed(1)} s`)
    },
  }
}
