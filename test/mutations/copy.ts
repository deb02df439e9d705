/** A copy of the checkout that may be spoiled, and vitest in it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Edit, NamedTest } from './mutations.ts'

const ROOT = resolve(import.meta.dirname, '../..')
/** What a run of the tests needs. */
const PARTS = [
  'src',
  'test',
  'triggers',
  'migrations',
  'docs',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
]
/** No run of the tests that are named takes as long; one that hangs is no proof of anything. */
const LONGEST_MS = 900_000
/** Characters of what a test says. */
const SHOWN = 160

interface TestOutcome {
  readonly test: NamedTest
  /** `absent`: there is no such test, or its file could not be loaded. */
  readonly state: 'passed' | 'failed' | 'skipped' | 'absent'
  /** First line of why it failed. */
  readonly message: string
}

/** As vitest's JSON reporter writes it. */
interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly title: string
      readonly status: string
      readonly failureMessages?: readonly string[] | null
    }[]
  }[]
}

/** The text with the edit made; throws unless the text that is replaced is there exactly once. */
export function edited(text: string, { file, from, to }: Edit): string {
  const found = text.split(from).length - 1
  if (found !== 1) throw new Error(`${file} has this ${found} times, not once:\n${from}`)
  return text.split(from).join(to)
}

export class Copy implements Disposable {
  readonly #folder: string
  readonly #keep: boolean

  private constructor(folder: string, keep: boolean) {
    this.#folder = folder
    this.#keep = keep
  }

  static of(name: string, keep: boolean): Copy {
    const folder = mkdtempSync(join(tmpdir(), `slipway-mutation-${name}-`))
    for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true })
    symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(folder, 'node_modules'))
    if (keep) process.stdout.write(`${name}: ${folder}\n`)
    return new Copy(folder, keep)
  }

  apply(edit: Edit): void {
    const path = join(this.#folder, edit.file)
    writeFileSync(path, edited(readFileSync(path, 'utf8'), edit))
  }

  /** Runs the tests, in one run, and tells of each. */
  async run(tests: readonly NamedTest[]): Promise<readonly TestOutcome[]> {
    const report = join(this.#folder, 'report.json')
    const names = tests.map(({ name }) => `${RegExp.escape(name)}$`).join('|')
    const files = [...new Set(tests.map(({ file }) => file))]
    const args = ['run', ...files, '-t', names, '--reporter=json', `--outputFile=${report}`]
    const vitest = spawn(process.execPath, [join(this.#folder, 'node_modules/vitest/vitest.mjs'), ...args], {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that what it started ends with it.
      detached: true,
    })
    let said = ''
    for (const stream of [vitest.stdout, vitest.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-4_000)
      })
    const end = (): void => {
      if (vitest.pid !== undefined) process.kill(-vitest.pid, 'SIGKILL')
    }
    const timer = setTimeout(end, LONGEST_MS)
    process.once('SIGINT', end)
    await once(vitest, 'close')
    process.off('SIGINT', end)
    clearTimeout(timer)
    let read: Report
    try {
      read = JSON.parse(readFileSync(report, 'utf8')) as Report
    } catch (cause) {
      throw new Error(
        `vitest ended with ${vitest.signalCode ?? vitest.exitCode} and left no report\n${said}`,
        { cause },
      )
    }
    return tests.map((test) => this.#outcomeOf(test, read))
  }

  #outcomeOf(test: NamedTest, report: Report): TestOutcome {
    const file = report.testResults.find(
      ({ name }) => resolve(name) === join(realpathSync(this.#folder), test.file),
    )
    const results = file?.assertionResults.filter(({ title }) => title === test.name) ?? []
    if (results.length === 0) return { test, state: 'absent', message: lineOf(file?.message ?? 'not run') }
    const failed = results.find(({ status }) => status === 'failed')
    if (failed !== undefined)
      return { test, state: 'failed', message: lineOf(failed.failureMessages?.[0] ?? '') }
    const passed = results.every(({ status }) => status === 'passed')
    return { test, state: passed ? 'passed' : 'skipped', message: '' }
  }

  [Symbol.dispose](): void {
    if (!this.#keep) rmSync(this.#folder, { recursive: true, force: true })
  }
}

function lineOf(message: string): string {
  const [line = ''] = stripVTControlCharacters(message).split('\n')
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line
}
