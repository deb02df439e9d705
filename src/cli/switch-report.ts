/** A switchover or rollback as lines for people: its steps, its guards, how it ended. */
import type { Guard, SwitchRun, SwitchStep } from '../core/switch-run.ts'
import { commandsIn, count, printable, table } from './format.ts'

const MARKS: Readonly<Record<SwitchStep['state'], string>> = {
  waiting: '·',
  running: '…',
  done: '✓',
  failed: '✗',
  skipped: '–',
}
const ENGINES = { sqlite: 'SQLite', postgres: 'PostgreSQL', none: 'nobody' } as const
const WIDEST_VALUE = 40

/** `38.4 ms`, `2,002 ms`. */
export function milliseconds(ms: number): string {
  return `${ms < 100 ? Number(ms.toFixed(1)) : count(Math.round(ms))} ms`
}

/** One step: its mark, what it does, how long it took, what is to be said of it. */
export function stepLine({ state, title, ms, detail }: SwitchStep): string {
  const took = ms === null ? '' : milliseconds(ms)
  return `${MARKS[state]} ${printable(title).padEnd(32)} ${took.padStart(9)}  ${printable(detail ?? '')}`.trimEnd()
}

/** Well, or a person said to go on. */
export function passes({ ok, overridden = false }: Guard): boolean {
  return ok || overridden
}

/** All of them as a table; under a row what to do, and where a list is not well each line of it. */
export function guardLines(guards: readonly Guard[], env: NodeJS.ProcessEnv): string[] {
  if (guards.length === 0) return []
  const rows = guards.map((guard) => [
    printable(guard.code),
    guard.ok ? '✓' : guard.overridden ? '✗ overridden' : '✗',
    value(guard.value),
    value(guard.limit),
    guard.overridable ? 'yes' : 'no',
  ])
  const [header, ...lines] = table(['guard', 'ok', 'value', 'limit', 'overridable'], rows)
  return [header!, ...guards.flatMap((guard, i) => [lines[i]!, ...below(guard, env)])]
}

function below({ ok, value: measured, remedy }: Guard, env: NodeJS.ProcessEnv): string[] {
  const listed = !ok && typeof measured === 'object' && measured !== null ? measured : []
  const todo = remedy === '' ? [] : [`    → ${printable(commandsIn(remedy, env))}`]
  return [...listed.map((line) => `    ${printable(line)}`), ...todo]
}

/** How it ended, in one sentence. */
export function outcome(run: SwitchRun): string {
  const { state, passage, epoch, pause_ms: pause, drained_changes: drained, reason } = run
  const why = reason === null ? '' : `: ${printable(reason)}`
  if (state === 'none') return 'There was no switchover yet.'
  if (state === 'running') return `The ${passage} is running.`
  if (state === 'dry_run') return rehearsed(run)
  if (state === 'refused') return `The ${passage} was refused${why}. Nothing was changed.`
  if (state === 'undone') {
    const after = pause === null ? '' : `, after writes had paused for ${milliseconds(pause)}`
    return `The ${passage} was undone${after}${why}. ${ENGINES[run.from]} takes the writes as before.`
  }
  const paused = pause === null ? '' : `; writes paused for ${milliseconds(pause)}`
  const changes = drained === null ? '' : `, ${count(drained, 'change')} drained meanwhile`
  const forced = run.forced ? ' By force: what only PostgreSQL had is not in SQLite.' : ''
  return `${ENGINES[run.to]} takes the writes, epoch ${epoch}${paused}${changes}.${forced}`
}

/** One line for `status`. */
export function runLine(run: SwitchRun): string {
  const { passage, state, started_at: started, finished_at: finished, pause_ms: pause } = run
  if (state === 'running') {
    const step = run.steps.find((one) => one.state === 'running')
    const doing = step === undefined ? '' : `: ${printable(step.title)}`
    return `${passage} running since ${started ?? 'just now'}${doing}${step?.detail ? ` (${printable(step.detail)})` : ''}`
  }
  const paused = pause === null ? '' : `, paused ${milliseconds(pause)}`
  const overrides = run.overrides.length === 0 ? '' : `, overridden: ${run.overrides.join(', ')}`
  const why = run.reason === null ? '' : `: ${printable(run.reason)}`
  return `${passage} ${state.replaceAll('_', ' ')} ${finished ?? ''}${paused}${overrides}${why}`
}

function rehearsed({ passage, guards, predicted_pause_ms: predicted, to }: SwitchRun): string {
  const refusing = guards.filter((guard) => !passes(guard)).map(({ code }) => code)
  if (refusing.length > 0) {
    return `A ${passage} would be refused by ${count(refusing.length, 'guard')}: ${refusing.join(', ')}. Nothing was changed.`
  }
  const pause = predicted === null ? '' : ` after a pause of about ${milliseconds(predicted)}`
  return `A ${passage} would give the writes to ${ENGINES[to]}${pause}. Nothing was changed.`
}

/** A list is counted here: its lines may be long. */
function value(of: Guard['value']): string {
  if (of === null) return '–'
  if (typeof of === 'boolean') return of ? 'yes' : 'no'
  if (typeof of === 'number') return count(of)
  if (typeof of === 'object') return of.length === 0 ? 'none' : `${of.length} found`
  const text = printable(of)
  return text.length > WIDEST_VALUE ? `${text.slice(0, WIDEST_VALUE - 1)}…` : text
}
