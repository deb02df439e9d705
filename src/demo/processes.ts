/** Child processes that cannot be left behind: whatever ends the parent, short of SIGKILL, ends them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

export interface ChildOptions {
  /** For people. */
  readonly name: string
  /** A script for this very Node, and its arguments. */
  readonly script: string
  readonly args: readonly string[]
  readonly cwd: string
  /** On top of the few variables that any program needs: settings of the caller's shell must not leak in. */
  readonly env?: Readonly<Record<string, string>>
  /** What the child prints is added to this file; standard output only where `onLine` is not given. */
  readonly logFile: string
  readonly onLine?: (line: string) => void
}

/** Variables that are passed on. */
const PASSED = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot']
const KILL_AFTER_MS = 15_000

export class Child {
  readonly name: string
  /** The exit code, or the signal that ended it. Never rejects. */
  readonly ended: Promise<number | NodeJS.Signals>
  readonly #process: ChildProcess
  readonly #logFile: string
  #end: number | NodeJS.Signals | undefined

  constructor(options: ChildOptions) {
    this.name = options.name
    this.#logFile = options.logFile
    const log = openSync(options.logFile, 'a')
    this.#process = spawn(process.execPath, [options.script, ...options.args], {
      cwd: options.cwd,
      env: { ...passedOn(), ...options.env },
      stdio: ['pipe', options.onLine ? 'pipe' : log, log],
    })
    closeSync(log)
    this.#process.stdin?.on('error', () => {})
    const { stdout } = this.#process
    if (stdout && options.onLine) createInterface(stdout).on('line', options.onLine)
    // `close` comes when the last line has been read as well.
    this.ended = new Promise<number | NodeJS.Signals>((resolve) => {
      this.#process.once('error', () => resolve(1))
      this.#process.once('close', (code, signal) => resolve(code ?? signal ?? 1))
    }).then((end) => {
      this.#end = end
      return end
    })
  }

  /** Undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  get running(): boolean {
    return this.#end === undefined
  }

  /** Throws when it has ended, with the last lines of its log. */
  async assertRunning(): Promise<void> {
    if (!this.running) throw await this.failure(`ended by itself (${this.#end})`)
  }

  /** Asks it to end, and insists after a while. Resolves with how it ended. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.#process.kill('SIGTERM')
    const insist = setTimeout(() => this.kill(), KILL_AFTER_MS)
    try {
      return await this.ended
    } finally {
      clearTimeout(insist)
    }
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  async failure(what: string): Promise<Error> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '')
    const tail = log.trimEnd().split('\n').slice(-8).join('\n  ')
    return new Error(`${this.name} ${what}. Its log ends with:\n  ${tail}`)
  }
}

/** All children of one story; they are killed when it is disposed of, or when this process exits. */
export class Children implements AsyncDisposable {
  readonly #all = new Set<Child>()
  readonly #onExit = () => {
    for (const child of this.#all) child.kill()
  }

  constructor() {
    process.once('exit', this.#onExit)
  }

  start(options: ChildOptions): Child {
    const child = new Child(options)
    this.#all.add(child)
    void child.ended.then(() => this.#all.delete(child))
    return child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#onExit)
    await Promise.all([...this.#all].map((child) => child.stop()))
  }
}

function passedOn(): Record<string, string> {
  return Object.fromEntries(
    PASSED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}
