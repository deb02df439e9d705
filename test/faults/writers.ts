/** The writers of a run, as the harness sees them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Process, until } from '../support/daemon.ts'
import type { Acknowledged } from './history.ts'
import { ISOLATIONS } from './postgres-hand.ts'
import type { WriterOptions, WriterReport } from './writer.ts'

const SCRIPT = join(import.meta.dirname, 'writer.ts')

export interface WritersOptions {
  readonly count: number
  readonly seed: number
  /** Of all together. */
  readonly rate: number
  readonly sqlitePath: string
  readonly postgresUrl: string
  /** Folder of the files of acknowledgements. */
  readonly directory: string
}

/** One writer after the other gets the next isolation level. */
export class Writers {
  readonly #processes: readonly Process[]
  readonly #files: readonly string[]

  private constructor(processes: readonly Process[], files: readonly string[]) {
    this.#processes = processes
    this.#files = files
  }

  static async start(options: WritersOptions): Promise<Writers> {
    const files: string[] = []
    const processes = Array.from({ length: options.count }, (_, index) => {
      const acknowledgements = join(options.directory, `acknowledged-${index + 1}.jsonl`)
      files.push(acknowledgements)
      const given: WriterOptions = {
        writer: index + 1,
        seed: options.seed,
        sqlitePath: options.sqlitePath,
        postgresUrl: options.postgresUrl,
        isolation: ISOLATIONS[index % ISOLATIONS.length]!,
        rate: options.rate / options.count,
        acknowledgements,
      }
      return new Process(process.execPath, [SCRIPT, JSON.stringify(given)])
    })
    const writers = new Writers(processes, files)
    await writers.#all((one) => one.stdout.includes('{"ready":true}'), 30_000, 'ready')
    return writers
  }

  get count(): number {
    return this.#processes.length
  }

  /** Resolves once none is in the middle of a write. */
  async pause(ms = 60_000): Promise<void> {
    const marks = this.#processes.map((one) => one.stdout.length)
    for (const one of this.#processes) one.child.stdin?.write('pause\n')
    await this.#all((one, index) => one.stdout.indexOf('{"paused":true}', marks[index]) >= 0, ms, 'paused')
  }

  resume(): void {
    for (const one of this.#processes) one.child.stdin?.write('resume\n')
  }

  async stop(ms = 60_000): Promise<readonly WriterReport[]> {
    for (const one of this.#processes) one.child.stdin?.write('stop\n')
    return await Promise.all(
      this.#processes.map(async (one) => {
        const { code, stdout, stderr } = await one.end(ms)
        const line = stdout
          .trimEnd()
          .split('\n')
          .find((text) => text.startsWith('{"report":'))
        if (code !== 0 || line === undefined) throw new Error(`a writer ended with ${code}\n${stderr}`)
        return (JSON.parse(line) as { report: WriterReport }).report
      }),
    )
  }

  async kill(): Promise<void> {
    await Promise.all(this.#processes.filter((one) => one.alive).map((one) => one.kill()))
  }

  /** What each writer has heard an answer to so far, by writer. */
  acknowledged(): readonly (readonly Acknowledged[])[] {
    return this.#files.map((file) => {
      const lines = readFileSync(file, 'utf8').split('\n')
      // The last one is empty, or half written.
      return lines.slice(0, -1).map((line) => JSON.parse(line) as Acknowledged)
    })
  }

  async #all(check: (one: Process, index: number) => boolean, ms: number, what: string): Promise<void> {
    await until(() => this.#processes.every(check), {
      ms,
      every: 10,
      describe: () => {
        const late = this.#processes.filter((one, index) => !check(one, index))
        return `${late.length} writers are not ${what}\n${late.map((one) => one.tail(8)).join('\n')}`
      },
    })
  }
}
