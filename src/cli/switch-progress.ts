/** How a switchover or rollback goes: a list of steps that is drawn anew on a terminal, lines elsewhere. */
import type { SwitchRun, SwitchStep } from '../core/switch-run.ts'
import { stepLine } from './switch-report.ts'
import type { Terminal } from './terminal.ts'

export class SwitchProgress implements Disposable {
  readonly #terminal: Pick<Terminal, 'live' | 'interactive' | 'note'>
  readonly #told = new Map<SwitchStep['step'], SwitchStep['state']>()

  constructor(terminal: Pick<Terminal, 'live' | 'interactive' | 'note'>) {
    this.#terminal = terminal
  }

  /** A run as it stands. Once it has ended its steps stay on the terminal, above what comes. */
  show(run: SwitchRun): void {
    const { live, interactive } = this.#terminal
    if (interactive && run.state === 'running') live.update(run.steps.map(stepLine))
    else for (const step of run.steps) this.#tell(step)
  }

  [Symbol.dispose](): void {
    this.#terminal.live.pause()
  }

  /** Each state of a step once; what waits is not worth a line. */
  #tell(step: SwitchStep): void {
    if (step.state === 'waiting' || this.#told.get(step.step) === step.state) return
    this.#told.set(step.step, step.state)
    this.#terminal.note(stepLine(step))
  }
}
