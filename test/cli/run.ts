import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, vi } from 'vitest'
import { runCli } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import { type Fixture, fixtureWork } from './fixture-work.ts'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly ended: Promise<Ended>
  /** Resolves when stderr or stdout has this. */
  readonly says: (text: string) => Promise<void>
  readonly kill: (signal: NodeJS.Signals) => void
  readonly output: () => string
  /** Closes our end of its stdout, or stderr. */
  readonly close: (stream?: 'stdout' | 'stderr') => void
}

const FIXTURE_MAIN = fileURLToPath(new URL('fixture-main.ts', import.meta.url))
export const BIN = fileURLToPath(new URL('../../src/cli/bin.js', import.meta.url))

const folders: string[] = []
afterAll(() => {
  for (const made of folders) rmSync(made, { recursive: true, force: true })
})

/** An empty folder, so that no `.env` and no state of others is found. */
export function folder(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'slipway-cli-'))
  folders.push(made)
  return made
}

/** Starts the command line as a process of its own, around the fixture's work. */
export function start(args: readonly string[], env: Record<string, string> = {}, cwd = folder()): Running {
  return launch([FIXTURE_MAIN, ...args], env, cwd)
}

export function launch(args: readonly string[], env: Record<string, string>, cwd: string): Running {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  const waiting = new Set<() => void>()
  const heard = () => {
    for (const look of waiting) look()
  }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    heard()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
    heard()
  })
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (code) => {
      resolve({ code, stdout, stderr })
      heard()
    }),
  )
  return {
    ended,
    kill: (signal) => void child.kill(signal),
    output: () => stdout + stderr,
    close: (stream = 'stdout') => void child[stream].destroy(),
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const done = (stdout + stderr).includes(text)
          if (!done && child.exitCode === null) return
          waiting.delete(look)
          if (done) resolve()
          else reject(new Error(`ended without saying ${text}: ${stdout}${stderr}`))
        }
        waiting.add(look)
        look()
      }),
  }
}

/** Runs a command that ends by itself, in this process: quicker, and the same but for signals and exit. */
export async function run(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd = folder(),
  fixture: Fixture = {},
): Promise<Ended> {
  const output = { stdout: '', stderr: '' }
  const capture = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _encoding, done) {
        output[name] += chunk
        done()
      },
    }) as unknown as NodeJS.WriteStream
  const terminal = new Terminal({
    env,
    stdin: process.stdin,
    stdout: capture('stdout'),
    stderr: capture('stderr'),
  })
  const here = vi.spyOn(process, 'cwd').mockReturnValue(cwd)
  try {
    const code = await runCli(fixtureWork(fixture), ['node', 'slipway', ...args], terminal)
    return { code, ...output }
  } finally {
    here.mockRestore()
  }
}
